/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.c: k-means of numbers. They are sorted once, with sums in front of each, so that a round of Lloyd's algorithm is a binary search for each
 * boundary between two centroids and one division for each centroid, however many weights there are.
 */
#include "runtime/compress/cluster.h"

#include "runtime/compress/quantize_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLUSTERS 4096
#define MAX_ROUNDS 100
#define SEEDED 65536 /* k-means++ looks at so many of the weights */

const char *const pt_cluster_starts[] = {"k-means++", "linear", NULL};

/* --- one tensor ----------------------------------------------------------------------------------------------------------------- */

struct numbers {
    float *x;    /* ascending, without zeros where they are kept */
    double *sum; /* sum[i]: of the first i */
    size_t count;
};

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int sort_numbers(const float *w, size_t n, bool keep_zeros, struct numbers *out, struct pt_err *err)
{
    *out = (struct numbers){.x = pt_reallocarray(NULL, n + 1, sizeof *out->x), .sum = pt_calloc(n + 1, sizeof *out->sum)};
    if (!out->x || !out->sum)
        return pt_fail(err, PT_ENOMEM, "out of memory clustering weights");
    for (size_t i = 0; i < n; i++)
        if (w[i] != 0 || !keep_zeros)
            out->x[out->count++] = w[i];
    qsort(out->x, out->count, sizeof *out->x, ascending);
    for (size_t i = 0; i < out->count; i++)
        out->sum[i + 1] = out->sum[i] + (double)out->x[i];
    return PT_OK;
}

/* How many are at most v. */
static size_t rank_of(const struct numbers *n, double v)
{
    size_t low = 0, high = n->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if ((double)n->x[mid] <= v)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static uint64_t next_random(uint64_t *s)
{
    *s += 0x9e3779b97f4a7c15U; /* splitmix64 (Steele et al. 2014) */
    uint64_t z = *s;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static double random_real(uint64_t *s)
{
    return (double)(next_random(s) >> 11) / 9007199254740992.0;
}

/* Each further centroid is one of the weights, with a probability that grows as the square of its distance to the nearest one so far. */
static int start_plusplus(const struct numbers *n, size_t k, uint64_t seed, double *centroid, struct pt_err *err)
{
    size_t count = n->count < SEEDED ? n->count : SEEDED;
    pt_auto_free double *distance = pt_reallocarray(NULL, count + 1, sizeof *distance);
    if (!distance)
        return pt_fail(err, PT_ENOMEM, "out of memory clustering weights");
    for (size_t i = 0; i < count; i++)
        distance[i] = INFINITY;
    size_t pick = (size_t)(random_real(&seed) * (double)count);
    for (size_t c = 0; c < k; c++) {
        double total = 0;
        centroid[c] = (double)n->x[pick * n->count / count];
        for (size_t i = 0; i < count; i++) {
            double d = (double)n->x[i * n->count / count] - centroid[c];
            distance[i] = fmin(distance[i], d * d);
            total += distance[i];
        }
        double at = random_real(&seed) * total;
        for (pick = 0; pick + 1 < count && at >= distance[pick]; pick++)
            at -= distance[pick];
    }
    return PT_OK;
}

static void start_linear(const struct numbers *n, size_t k, double *centroid)
{
    double low = (double)n->x[0], high = (double)n->x[n->count - 1];
    for (size_t c = 0; c < k; c++)
        centroid[c] = k == 1 ? (low + high) / 2 : low + (high - low) * (double)c / (double)(k - 1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Lloyd: every centroid becomes the mean of what is nearest to it; one that nothing is nearest to stays where it is. */
static void settle(const struct numbers *n, size_t k, int64_t rounds, double *centroid)
{
    bool moved = true;
    qsort(centroid, k, sizeof *centroid, by_value);
    for (int64_t r = 0; moved && r < (rounds ? rounds : MAX_ROUNDS); r++) {
        size_t begin = 0;
        moved = false;
        for (size_t c = 0; c < k; c++) {
            double own = centroid[c];
            size_t end = c + 1 < k ? rank_of(n, (own + centroid[c + 1]) / 2) : n->count;
            if (end > begin)
                centroid[c] = (n->sum[end] - n->sum[begin]) / (double)(end - begin);
            moved |= centroid[c] != own;
            begin = end > begin ? end : begin;
        }
    }
}

static float nearest(const double *centroid, size_t k, float v)
{
    size_t low = 0, high = k - 1;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if ((double)v > (centroid[mid] + centroid[mid + 1]) / 2)
            low = mid + 1;
        else
            high = mid;
    }
    return (float)centroid[low];
}

/* How often each value occurs: values ascending. How many there are; more than MAX_CLUSTERS + 1: that many. */
static size_t count_values(const float *sorted, size_t n, size_t *counts)
{
    size_t values = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || sorted[i] != sorted[i - 1])
            if (++values > MAX_CLUSTERS + 1)
                return values;
        counts[values - 1]++;
    }
    return values;
}

static int describe(const float *before, const float *now, size_t n, struct pt_cluster_tensor *t, struct pt_err *err)
{
    pt_auto_free float *sorted = pt_reallocarray(NULL, n + 1, sizeof *sorted);
    pt_auto_free size_t *counts = pt_calloc(MAX_CLUSTERS + 2, sizeof *counts);
    double signal = 0, noise = 0;
    if (!sorted || !counts)
        return pt_fail(err, PT_ENOMEM, "out of memory clustering weights");
    memcpy(sorted, now, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    t->elements = (int64_t)n;
    t->values = (int64_t)count_values(sorted, n, counts);
    for (size_t i = 0; i < (size_t)t->values; i++)
        t->bits -= (double)counts[i] / (double)n * log2((double)counts[i] / (double)n);
    for (size_t i = 0; i < n; i++) {
        double off = (double)before[i] - (double)now[i];
        signal += (double)before[i] * (double)before[i];
        noise += off * off;
    }
    t->sqnr = noise > 0 ? 10 * log10(signal / noise) : (double)INFINITY;
    t->bytes_before = 4 * (uint64_t)n;
    t->bytes_coded = (uint64_t)ceil((double)n * t->bits / 8) + 4 * (uint64_t)t->values;
    return PT_OK;
}

static int cluster_floats(float *w, size_t n, const struct pt_cluster_options *o, struct pt_err *err)
{
    struct numbers s;
    double centroid[MAX_CLUSTERS];
    int rc = sort_numbers(w, n, o->keep_zeros, &s, err);
    size_t k = (size_t)o->clusters - (o->keep_zeros && s.count < n), distinct = 0;
    for (size_t i = 0; rc == PT_OK && i < s.count && distinct <= k; i++)
        distinct += i == 0 || s.x[i] != s.x[i - 1];
    if (rc == PT_OK && distinct > k) {
        if (o->start == PT_CLUSTER_LINEAR)
            start_linear(&s, k, centroid);
        else
            rc = start_plusplus(&s, k, o->seed, centroid, err);
        if (rc == PT_OK)
            settle(&s, k, o->rounds, centroid);
        for (size_t i = 0; rc == PT_OK && i < n; i++)
            if (w[i] != 0 || !o->keep_zeros)
                w[i] = nearest(centroid, k, w[i]);
    }
    pt_free(s.x);
    pt_free(s.sum);
    return rc;
}

/* --- the model --------------------------------------------------------------------------------------------------------------------- */

static bool is_skipped(const struct pt_cluster_options *o, const struct pt_onnx_node *n, struct pt_str initializer)
{
    for (size_t i = 0; i < o->skip_count; i++)
        if (pt_str_eq(o->skip[i], n->name.len ? n->name : n->outputs[0]) || pt_str_eq(o->skip[i], n->op_type) || pt_str_eq(o->skip[i], initializer))
            return true;
    return false;
}

/* Initializers that are weights, each once, with the node that reads them first. */
static size_t find_weights(struct pt_edit *e, int *initializers, size_t *nodes)
{
    size_t count = 0;
    for (size_t i = 0; i < e->model.graph.node_count; i++) {
        const struct pt_onnx_node *n = &e->model.graph.nodes[i];
        const struct pt_qz_op *row = pt_qz_op_find(n);
        struct pt_qz_weight w;
        const char *why;
        bool known = !row || (row->kind != PT_QZ_PRODUCT && row->kind != PT_QZ_STORED) || !pt_qz_weight_of(e, n, row, &w, &why);
        for (size_t k = 0; !known && k < count; k++)
            known = initializers[k] == w.initializer;
        if (known)
            continue;
        initializers[count] = w.initializer;
        nodes[count++] = i;
    }
    return count;
}

static struct pt_str keep(struct pt_cluster_report *r, struct pt_str s)
{
    char *p = pt_arena_strndup(&r->arena, s.len ? s.p : "", s.len);
    return (struct pt_str){p, p ? s.len : 0};
}

static int cluster_one(struct pt_edit *e, int at, size_t node, const struct pt_cluster_options *o, struct pt_cluster_report *r, struct pt_err *err)
{
    const struct pt_onnx_tensor *x = &e->model.graph.initializers[at];
    const struct pt_onnx_node *n = &e->model.graph.nodes[node];
    size_t count = (size_t)pt_tensor_count(&x->t);
    if ((int64_t)count < (o->min_elements ? o->min_elements : 1024) || is_skipped(o, n, x->name))
        return PT_OK;
    pt_auto_free float *before = pt_reallocarray(NULL, count + 1, sizeof *before);
    if (!before)
        return pt_fail(err, PT_ENOMEM, "out of memory clustering weights");
    memcpy(before, x->t.data, count * sizeof *before);
    float *w = pt_edit_floats(e, at, err);
    int rc = w ? cluster_floats(w, count, o, err) : err->code;
    struct pt_cluster_tensor *t = &r->tensors[r->count++];
    *t = (struct pt_cluster_tensor){.name = keep(r, x->name), .node = keep(r, n->name.len ? n->name : n->outputs[0])};
    if (rc == PT_OK && (!t->name.p || !t->node.p))
        rc = pt_fail(err, PT_ENOMEM, "out of memory for a report");
    if (rc == PT_OK)
        rc = describe(before, w, count, t, err);
    r->bytes_coded -= t->bytes_before - t->bytes_coded;
    return rc;
}

static int cluster_model(struct pt_edit *e, const struct pt_cluster_options *o, struct pt_cluster_report *r, struct pt_err *err)
{
    size_t room = e->model.graph.node_count + 1;
    int rc = PT_OK;
    pt_auto_free int *initializers = pt_calloc(room, sizeof *initializers);
    pt_auto_free size_t *nodes = pt_calloc(room, sizeof *nodes);
    r->tensors = pt_calloc(room, sizeof *r->tensors);
    if (!initializers || !nodes || !r->tensors || (!pt_edit_value(e, PT_STR("?"), &rc) && rc == PT_ENOMEM))
        return pt_fail(err, PT_ENOMEM, "out of memory clustering weights");
    for (size_t i = 0; i < e->model.graph.initializer_count; i++)
        r->bytes_before += e->model.graph.initializers[i].t.size_bytes;
    r->bytes_coded = r->bytes_before;
    size_t count = find_weights(e, initializers, nodes);
    rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        rc = cluster_one(e, initializers[i], nodes[i], o, r, err);
    if (rc == PT_OK && r->count == 0)
        rc = pt_fail(err, PT_EUNSUPPORTED, "the model has no weights to cluster: none of %zu has %lld elements and is not to be skipped", count,
                     (long long)(o->min_elements ? o->min_elements : 1024));
    return rc < 0 ? rc : pt_edit_note(e, "pintle.cluster", pt_cluster_starts[o->start], err);
}

void pt_cluster_report_finish(struct pt_cluster_report *r)
{
    pt_free(r->tensors);
    pt_arena_finish(&r->arena);
    *r = (struct pt_cluster_report){0};
}

int pt_cluster(struct pt_edit *model, const struct pt_cluster_options *o, struct pt_cluster_report *report, struct pt_err *err)
{
    struct pt_cluster_report own, *r = report ? report : &own;
    struct pt_edit work = {0};
    *r = (struct pt_cluster_report){0};
    pt_arena_init(&r->arena, 0);
    if (o->clusters < 2 || o->clusters > MAX_CLUSTERS)
        return pt_fail(err, PT_EINVAL, "%lld clusters: must be from 2 to %d", (long long)o->clusters, MAX_CLUSTERS);
    if (o->rounds < 0 || o->min_elements < 0 || (unsigned)o->start > PT_CLUSTER_LINEAR)
        return pt_fail(err, PT_EINVAL, "%lld rounds, tensors from %lld elements on: must not be negative", (long long)o->rounds,
                       (long long)o->min_elements);
    int rc = pt_edit_copy(model, &work, err);
    if (rc == PT_OK)
        rc = cluster_model(&work, o, r, err);
    if (rc == PT_OK) {
        pt_edit_finish(model);
        *model = work;
        work = (struct pt_edit){0};
    }
    pt_edit_finish(&work);
    if (!report)
        pt_cluster_report_finish(&own);
    return rc;
}

int pt_cluster_report_json(const struct pt_cluster_report *r, struct pt_buf *out, struct pt_err *err)
{
    bool ok = pt_buf_printf(out, "{\"tensors\": [");
    for (size_t i = 0; ok && i < r->count; i++) {
        const struct pt_cluster_tensor *t = &r->tensors[i];
        ok = pt_buf_printf(out, "%s\n  {\"name\": ", i ? "," : "") && pt_buf_json_string(out, t->name) && pt_buf_printf(out, ", \"node\": ") &&
             pt_buf_json_string(out, t->node) &&
             pt_buf_printf(out, ", \"elements\": %lld, \"values\": %lld, \"bits\": %.4g, \"bytes\": [%llu, %llu]", (long long)t->elements,
                           (long long)t->values, t->bits, (unsigned long long)t->bytes_before, (unsigned long long)t->bytes_coded) &&
             (isfinite(t->sqnr) ? pt_buf_printf(out, ", \"sqnr_db\": %.4g}", t->sqnr) : pt_buf_printf(out, ", \"sqnr_db\": null}"));
    }
    ok = ok && pt_buf_printf(out, "],\n \"bytes\": [%llu, %llu]}", (unsigned long long)r->bytes_before, (unsigned long long)r->bytes_coded);
    return ok ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for a report");
}

/* --- training ------------------------------------------------------------------------------------------------------------------------- */

/* A clustered tensor in training: which of its values each weight has. */
struct tied {
    int initializer;
    size_t count, values, zero; /* zero: the value that is 0 and stays so; values: there is none */
    uint16_t *which;
    double *sum;
    size_t *members;
};
struct ties {
    struct pt_edit *e;
    struct tied *list;
    size_t count;
    const struct pt_train_options *o;
};

static int tie(struct ties *t, int initializer, int64_t max_values, struct pt_err *err)
{
    size_t n = (size_t)pt_tensor_count(&t->e->model.graph.initializers[initializer].t), values = 0;
    const float *w = pt_edit_floats(t->e, initializer, err);
    if (!w)
        return err->code;
    pt_auto_free float *sorted = pt_reallocarray(NULL, n + 1, sizeof *sorted);
    if (!sorted)
        return pt_fail(err, PT_ENOMEM, "out of memory for training");
    memcpy(sorted, w, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || sorted[i] != sorted[values - 1])
            sorted[values++] = sorted[i];
    if ((int64_t)values > max_values)
        return PT_OK;
    struct tied *d = &t->list[t->count++];
    *d = (struct tied){.initializer = initializer,
                       .count = n,
                       .values = values,
                       .zero = values,
                       .which = pt_calloc(n + 1, sizeof *d->which),
                       .sum = pt_calloc(values + 1, sizeof *d->sum),
                       .members = pt_calloc(values + 1, sizeof *d->members)};
    if (!d->which || !d->sum || !d->members)
        return pt_fail(err, PT_ENOMEM, "out of memory for training");
    for (size_t k = 0; k < values; k++)
        d->zero = sorted[k] == 0 ? k : d->zero;
    for (size_t i = 0; i < n; i++) {
        const float *at = bsearch(&w[i], sorted, values, sizeof *sorted, ascending);
        d->which[i] = (uint16_t)(at - sorted);
    }
    return PT_OK;
}

/* Every weight becomes the mean of its cluster: as if the gradients of a cluster had been averaged. */
static int average(void *arg, const struct pt_train_progress *p, struct pt_err *err)
{
    struct ties *t = arg;
    for (size_t k = 0; k < t->count; k++) {
        struct tied *d = &t->list[k];
        float *w = t->e->model.graph.initializers[d->initializer].t.data;
        memset(d->sum, 0, d->values * sizeof *d->sum);
        memset(d->members, 0, d->values * sizeof *d->members);
        for (size_t i = 0; i < d->count; i++) {
            d->sum[d->which[i]] += (double)w[i];
            d->members[d->which[i]]++;
        }
        for (size_t i = 0; i < d->count; i++)
            w[i] = d->which[i] == d->zero ? 0 : (float)(d->sum[d->which[i]] / (double)d->members[d->which[i]]);
    }
    return t->o->after_step ? t->o->after_step(t->o->after_step_arg, p, err) : 0;
}

int pt_cluster_train(struct pt_edit *model, int64_t max_values, const struct pt_data *train, const struct pt_data *held_out,
                     const struct pt_train_options *t, struct pt_train_result *result, struct pt_err *err)
{
    struct ties ties = {.e = model, .o = t};
    struct pt_train_options o = *t;
    size_t room = model->model.graph.node_count + 1;
    pt_auto_free int *initializers = pt_calloc(room, sizeof *initializers);
    pt_auto_free size_t *nodes = pt_calloc(room, sizeof *nodes);
    ties.list = pt_calloc(room, sizeof *ties.list);
    int rc = initializers && nodes && ties.list ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for training");
    if (rc == PT_OK && (max_values < 2 || max_values > MAX_CLUSTERS + 1))
        rc = pt_fail(err, PT_EINVAL, "%lld values a tensor: must be from 2 to %d", (long long)max_values, MAX_CLUSTERS + 1);
    size_t count = rc == PT_OK ? find_weights(model, initializers, nodes) : 0;
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        rc = tie(&ties, initializers[i], max_values, err);
    if (rc == PT_OK && ties.count == 0)
        rc = pt_fail(err, PT_EINVAL, "no weights of the model have at most %lld different values: cluster it first", (long long)max_values);
    o.after_step = average;
    o.after_step_arg = &ties;
    if (rc == PT_OK)
        rc = pt_train(model, train, held_out, &o, result, err);
    for (size_t i = 0; i < ties.count; i++) {
        pt_free(ties.list[i].which);
        pt_free(ties.list[i].sum);
        pt_free(ties.list[i].members);
    }
    pt_free(ties.list);
    return rc;
}
