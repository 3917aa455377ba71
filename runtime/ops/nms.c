/* SPDX-License-Identifier: Apache-2.0
 *
 * nms.c: NonMaxSuppression: per batch and class, boxes by falling score, each kept unless it overlaps one kept before by more than the threshold.
 *
 * How many are kept decides the shape, so infer does the work and run does it again; the room for it lasts for one call only.
 */
#include "runtime/ops/order.h"

struct nms {
    int64_t center;
    int64_t most;     /* boxes per class */
    float iou, score; /* thresholds */
    bool has_score;
};

struct box {
    float y1, x1, y2, x2;
};

static int read_scalars(struct pt_op_ctx *c)
{
    struct nms *p = c->params;
    double iou = 0, score = 0;
    int n, rc = pt_attr_int(c, "center_point_box", 0, 0, 1, &p->center);
    if (rc < 0 || (rc = pt_op_const_ints(c, 2, "max_output_boxes_per_class", &p->most, 1, &n)) < 0 ||
        (rc = pt_op_const_float(c, 3, "iou_threshold", &iou)) < 0 || (rc = pt_op_const_float(c, 4, "score_threshold", &score)) < 0)
        return rc;
    if (n == 0)
        return pt_op_fail(c, PT_EINVAL, "input 2 (max_output_boxes_per_class) is empty, must be one value");
    if (!(iou >= 0 && iou <= 1))
        return pt_op_fail(c, PT_EINVAL, "iou_threshold = %g is outside 0 to 1", iou);
    p->iou = (float)iou;
    p->score = (float)score;
    p->has_score = pt_op_in(c, 4) != NULL;
    return PT_OK;
}

/* Box i of `boxes`, which infer may get as a file has them: at any address. */
static struct box box_at(const struct nms *p, const char *boxes, int64_t i)
{
    float b[4];
    memcpy(b, boxes + (size_t)i * sizeof b, sizeof b);
    if (p->center) /* center x, center y, width, height */
        return (struct box){b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
    return (struct box){b[0] < b[2] ? b[0] : b[2], b[1] < b[3] ? b[1] : b[3], b[0] < b[2] ? b[2] : b[0], b[1] < b[3] ? b[3] : b[1]};
}

static float area(struct box b)
{
    return (b.y2 - b.y1) * (b.x2 - b.x1);
}

static bool overlaps(const struct nms *p, struct box a, struct box b)
{
    struct box both = {a.y1 > b.y1 ? a.y1 : b.y1, a.x1 > b.x1 ? a.x1 : b.x1, a.y2 < b.y2 ? a.y2 : b.y2, a.x2 < b.x2 ? a.x2 : b.x2};
    if (both.y2 <= both.y1 || both.x2 <= both.x1)
        return false;
    float inter = area(both), sum = area(a) + area(b) - inter;
    return area(a) > 0 && area(b) > 0 && sum > 0 && inter / sum > p->iou;
}

static int by_score(const void *arg, int64_t a, int64_t b)
{
    const float *scores = arg;
    return (scores[a] < scores[b]) - (scores[a] > scores[b]);
}

/* kept <- the boxes of one class; how many. order and tmp have room for n too. */
static int64_t keep(const struct nms *p, const char *boxes, const float *scores, int64_t n, int64_t *order, int64_t *tmp, int64_t *kept)
{
    int64_t candidates = 0, count = 0;
    for (int64_t i = 0; i < n; i++)
        if (p->has_score ? scores[i] > p->score : scores[i] == scores[i])
            order[candidates++] = i;
    pt_sort(order, tmp, candidates, by_score, scores);
    for (int64_t i = 0; i < candidates && count < p->most; i++) {
        struct box box = box_at(p, boxes, order[i]);
        bool free = true;
        for (int64_t k = 0; free && k < count; k++)
            free = !overlaps(p, box_at(p, boxes, kept[k]), box);
        if (free)
            kept[count++] = order[i];
    }
    return count;
}

/* Number of boxes kept in all; with y, their (batch, class, box). */
static int select_all(struct pt_op_ctx *c, int64_t *y, int64_t room, int64_t *total)
{
    const struct nms *p = c->params;
    const struct pt_tensor *boxes = c->in[0], *scores = c->in[1];
    int64_t batches = scores->dims[0], classes = scores->dims[1], n = scores->dims[2];
    pt_auto_free int64_t *memory = pt_reallocarray(NULL, 4 * (size_t)n + 1, sizeof *memory);
    *total = 0;
    if (!memory)
        return pt_op_fail(c, PT_ENOMEM, "out of memory for %lld boxes", (long long)n);
    int64_t *kept = memory + 2 * n;
    float *row_scores = (float *)(void *)(memory + 3 * n);
    for (int64_t row = 0; n && p->most > 0 && row < batches * classes; row++) {
        memcpy(row_scores, (const char *)scores->data + (size_t)(row * n) * sizeof(float), (size_t)n * sizeof(float));
        const char *row_boxes = (const char *)boxes->data + (size_t)(row / classes * n) * sizeof(struct box);
        int64_t count = keep(p, row_boxes, row_scores, n, memory, memory + n, kept);
        for (int64_t i = 0; y && i < count && *total + i < room; i++) {
            int64_t *to = y + 3 * (*total + i);
            to[0] = row / classes;
            to[1] = row % classes;
            to[2] = kept[i];
        }
        *total += count;
    }
    return PT_OK;
}

static int nms_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *boxes = c->in[0], *scores = c->in[1];
    int64_t dims[2] = {0, 3};
    int rc = read_scalars(c);
    if (rc < 0)
        return rc;
    if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[2])
        return pt_op_fail(c, PT_EINVAL, "boxes %s and scores %s are not [batches,boxes,4] and [batches,classes,boxes]", PT_SHAPE(boxes),
                          PT_SHAPE(scores));
    for (int i = 0; i < 2; i++)
        if (!c->in[i]->data && pt_tensor_count(c->in[i]))
            return pt_op_needs_data(c, i, i ? "scores" : "boxes");
    if ((rc = select_all(c, NULL, 0, &dims[0])) < 0)
        return rc;
    pt_op_set_out(c, 0, PT_INT64, 2, dims);
    return PT_OK;
}

static int nms_run(struct pt_op_ctx *c)
{
    int64_t total;
    return select_all(c, c->out[0]->data, c->out[0]->dims[0], &total);
}

const struct pt_op pt_op_nms = {.type = "NonMaxSuppression",
                                .since = {10, 11},
                                .min_in = 2,
                                .max_in = 5,
                                .max_out = 1,
                                .types = {PT_T(PT_FLOAT), PT_T(PT_FLOAT), PT_T(PT_INT64), PT_T(PT_FLOAT)},
                                .params_size = sizeof(struct nms),
                                .infer = nms_infer,
                                .run = nms_run};
