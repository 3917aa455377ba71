/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_score.c: what weights are worth. Magnitude needs the weights only; Wanda runs the model on samples and looks at what the weights are
 * multiplied with; Taylor runs the gradient graph of the loss and looks at what a step to zero would change.
 */
#include "base/rand.h"
#include "runtime/compress/prune_parts.h"
#include "runtime/compress/tap.h"
#include "runtime/train/evaluate.h"
#include "runtime/train/graph.h"

#include <math.h>

#define BATCH 16 /* samples of one run */

struct pt_scores {
    struct pt_edit *e;
    const struct pt_layers *l;
    const struct pt_prune_options *o;
    float **per_input; /* Wanda: of each layer, root mean square of every input channel */
    float **taylor;    /* of each layer, mean of (w dL/dw)^2 over batches; NULL: has no derivative */
};

static int no_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "out of memory for pruning");
}

/* --- Wanda ------------------------------------------------------------------------------------------------------------------ */

/* Axis of a layer's input that its input channels are. */
static int channel_axis(const struct pt_edit *e, const struct pt_layer *l, int rank)
{
    const struct pt_onnx_node *n = &e->model.graph.nodes[l->node];
    if (n->op_type.p[0] == 'C') /* Conv, ConvTranspose */
        return 1;
    bool turned = pt_node_is(n, "", "Gemm") ? pt_edit_attr_int(n, "transA", 0) != 0 : !pt_str_eq(n->inputs[0], l->input);
    return turned ? (rank < 2 ? 0 : rank - 2) : rank - 1;
}

static int add_squares(const struct pt_scores *s, size_t i, const struct pt_tensor *x, double *sums, int64_t channels, int64_t *seen,
                       struct pt_err *err)
{
    const struct pt_layer *l = &s->l->list[i];
    int axis = channel_axis(s->e, l, x->rank);
    if (x->dtype != PT_FLOAT || axis >= x->rank || x->dims[axis] != channels)
        return pt_fail(err, PT_EUNSUPPORTED, "layer '" PT_STR_FMT "': its input '" PT_STR_FMT "' is %s; %lld channels of float32 are needed",
                       PT_STR_ARG(l->name), PT_STR_ARG(l->input), PT_SHAPE(x), (long long)channels);
    int64_t stride = pt_dims_product(x->dims + axis + 1, x->rank - axis - 1), count = pt_tensor_count(x);
    const float *p = x->data;
    for (int64_t e = 0; e < count; e++)
        sums[e / stride % channels] += (double)p[e] * (double)p[e];
    *seen += count / channels;
    return PT_OK;
}

static int run_batches(struct pt_scores *s, struct pt_tap *tap, const struct pt_data *samples, double **sums, int64_t *seen, struct pt_err *err)
{
    pt_auto_free struct pt_tensor *in = pt_calloc(samples->input_count + 1, sizeof *in);
    int rc = in ? pt_data_check(samples, pt_tap_session(tap), "the samples", err) : no_memory(err);
    for (int64_t first = 0; rc == PT_OK && first < samples->count; first += BATCH) {
        pt_data_slice(samples, first, samples->count - first < BATCH ? samples->count - first : BATCH, in);
        rc = pt_tap_run(tap, in, samples->input_count, err);
        for (size_t i = 0; rc == PT_OK && i < s->l->count; i++)
            rc = add_squares(s, i, pt_tap_value(tap, i), sums[i], s->l->list[i].ins * s->l->list[i].groups, &seen[i], err);
    }
    return rc;
}

static int find_norms(struct pt_scores *s, const struct pt_data *samples, struct pt_err *err)
{
    size_t n = s->l->count;
    pt_auto_free struct pt_str *names = pt_calloc(n + 1, sizeof *names);
    pt_auto_free double **sums = pt_calloc(n + 1, sizeof *sums);
    pt_auto_free int64_t *seen = pt_calloc(n + 1, sizeof *seen);
    struct pt_tap *tap = NULL;
    int rc = names && sums && seen ? PT_OK : no_memory(err);
    for (size_t i = 0; rc == PT_OK && i < n; i++) {
        int64_t channels = s->l->list[i].ins * s->l->list[i].groups;
        names[i] = s->l->list[i].input;
        sums[i] = pt_calloc((size_t)channels + 1, sizeof **sums);
        s->per_input[i] = pt_calloc((size_t)channels + 1, sizeof **s->per_input);
        if (!sums[i] || !s->per_input[i])
            rc = no_memory(err);
    }
    if (rc == PT_OK)
        rc = pt_tap_open(s->e, names, n, s->o->threads, &tap, err);
    if (rc == PT_OK)
        rc = run_batches(s, tap, samples, sums, seen, err);
    for (size_t i = 0; sums && i < n; i++) {
        for (int64_t c = 0; rc == PT_OK && c < s->l->list[i].ins * s->l->list[i].groups; c++)
            s->per_input[i][c] = (float)sqrt(sums[i][c] / (double)(seen[i] ? seen[i] : 1));
        pt_free(sums[i]);
    }
    pt_tap_close(tap);
    return rc;
}

/* --- Taylor ----------------------------------------------------------------------------------------------------------------- */

/* The training graph, run without ever taking a step. */
struct slope {
    struct pt_training_graph graph;
    struct pt_buf bytes;
    struct pt_session *session;
    struct pt_run *run;
    struct pt_tensor *in;
    float *target;
};

static int open_slope(struct pt_scores *s, const struct pt_data *samples, struct slope *p, struct pt_err *err)
{
    struct pt_train_options t = {.loss = s->o->loss, .frozen_batchnorm = true};
    struct pt_session_options so = {.size = sizeof so, .threads = s->o->threads};
    int rc = pt_training_graph_make(&p->graph, s->e, &t, err);
    if (rc == PT_OK)
        rc = pt_onnx_write(&p->graph.e.model, &p->bytes, err);
    if (rc == PT_OK)
        rc = pt_session_open_memory(p->bytes.data, p->bytes.len, &so, &p->session, err);
    if (rc == PT_OK)
        rc = pt_run_create(p->session, &p->run, err);
    if (rc == PT_OK && !(p->in = pt_calloc(samples->input_count + 1, sizeof *p->in)))
        rc = no_memory(err);
    for (size_t k = 0; rc == PT_OK && k < p->graph.weight_count; k++) /* as copies: a file's data need not be aligned */
        rc = pt_edit_floats(s->e, p->graph.weights[k], err)
                 ? pt_run_set_input(p->run, p->graph.model_inputs + k, &s->e->model.graph.initializers[p->graph.weights[k]].t, err)
                 : err->code;
    return rc;
}

static void close_slope(struct slope *p)
{
    pt_run_destroy(p->run);
    pt_session_close(p->session);
    pt_training_graph_finish(&p->graph);
    pt_buf_finish(&p->bytes);
    pt_free(p->in);
    pt_free(p->target);
}

/* Labels as the graph wants them: one-hot rows divided by the number of samples, or the numbers themselves. */
static int set_labels(const struct pt_scores *s, struct slope *p, const struct pt_data *batch, int64_t classes, struct pt_err *err)
{
    int64_t n = batch->count;
    if (s->o->loss == PT_LOSS_MSE) {
        float scale = 1 / (float)(n * classes);
        struct pt_tensor one = {.dtype = PT_FLOAT, .data = &p->target[0], .size_bytes = sizeof(float)};
        p->target[0] = scale;
        int rc = pt_run_set_input(p->run, p->graph.target_input, &batch->labels, err);
        return rc < 0 ? rc : pt_run_set_input(p->run, p->graph.scale_input, &one, err);
    }
    memset(p->target, 0, (size_t)(n * classes) * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        int64_t label = ((const int64_t *)batch->labels.data)[i];
        if (label < 0 || label >= classes)
            return pt_fail(err, PT_EINVAL, "label %lld is outside of the model's %lld classes", (long long)label, (long long)classes);
        p->target[i * classes + label] = 1 / (float)n;
    }
    struct pt_tensor target = {
        .dtype = PT_FLOAT, .rank = 2, .dims = {n, classes}, .data = p->target, .size_bytes = (size_t)(n * classes) * sizeof(float)};
    return pt_run_set_input(p->run, p->graph.target_input, &target, err);
}

static void add_slopes(struct pt_scores *s, const struct slope *p)
{
    for (size_t k = 0; k < p->graph.weight_count; k++)
        for (size_t i = 0; i < s->l->count; i++) {
            if (s->l->list[i].weight != p->graph.weights[k] || !s->taylor[i])
                continue;
            const struct pt_tensor *g = pt_run_output(p->run, 2 + k);
            const float *w = s->e->model.graph.initializers[p->graph.weights[k]].t.data, *d = g->data;
            for (int64_t e = 0; e < s->l->list[i].count; e++)
                s->taylor[i][e] += w[e] * d[e] * w[e] * d[e];
        }
}

static int count_classes(struct pt_scores *s, const struct pt_data *samples, int64_t *classes, struct pt_err *err)
{
    struct pt_evaluation v;
    struct pt_tensor *in = pt_calloc(samples->input_count + 1, sizeof *in);
    if (!in)
        return no_memory(err);
    struct pt_data one = pt_data_slice(samples, 0, 1, in);
    int rc = pt_evaluate(s->e, &one, s->o->loss, 1, s->o->threads, false, &v, err);
    *classes = v.classes;
    pt_free(in);
    return rc;
}

static int find_slopes(struct pt_scores *s, const struct pt_data *samples, struct pt_err *err)
{
    struct slope p = {0};
    int64_t classes = 0;
    int rc = count_classes(s, samples, &classes, err);
    if (rc == PT_OK)
        rc = open_slope(s, samples, &p, err);
    if (rc == PT_OK && !(p.target = pt_calloc((size_t)(BATCH * classes) + 1, sizeof *p.target)))
        rc = no_memory(err);
    for (size_t i = 0; rc == PT_OK && i < s->l->count; i++)
        for (size_t k = 0; rc == PT_OK && k < p.graph.weight_count; k++)
            if (p.graph.weights[k] == s->l->list[i].weight && !s->taylor[i] &&
                !(s->taylor[i] = pt_calloc((size_t)s->l->list[i].count + 1, sizeof **s->taylor)))
                rc = no_memory(err);
    for (int64_t first = 0; rc == PT_OK && first < samples->count; first += BATCH) {
        struct pt_data batch = pt_data_slice(samples, first, samples->count - first < BATCH ? samples->count - first : BATCH, p.in);
        for (size_t i = 0; rc == PT_OK && i < samples->input_count; i++)
            rc = pt_run_set_input(p.run, i, &p.in[i], err);
        if (rc == PT_OK)
            rc = set_labels(s, &p, &batch, classes, err);
        if (rc == PT_OK)
            rc = pt_run_execute(p.run, err);
        if (rc == PT_OK)
            add_slopes(s, &p);
    }
    close_slope(&p);
    return rc;
}

/* --- all -------------------------------------------------------------------------------------------------------------------- */

int pt_scores_open(struct pt_edit *e, const struct pt_layers *l, const struct pt_data *samples, const struct pt_prune_options *o,
                   struct pt_scores **out, struct pt_err *err)
{
    struct pt_scores *s = pt_calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return no_memory(err);
    *s = (struct pt_scores){.e = e, .l = l, .o = o};
    s->per_input = pt_calloc(l->count + 1, sizeof *s->per_input);
    s->taylor = pt_calloc(l->count + 1, sizeof *s->taylor);
    if (!s->per_input || !s->taylor)
        return no_memory(err);
    return o->criterion == PT_PRUNE_WANDA ? find_norms(s, samples, err) : o->criterion == PT_PRUNE_TAYLOR ? find_slopes(s, samples, err) : PT_OK;
}

void pt_scores_close(struct pt_scores *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->l->count; i++) {
        pt_free(s->per_input ? s->per_input[i] : NULL);
        pt_free(s->taylor ? s->taylor[i] : NULL);
    }
    pt_free(s->per_input);
    pt_free(s->taylor);
    pt_free(s);
}

static float as_float(const struct pt_tensor *t, int64_t e)
{
    const char *p = (const char *)t->data + (size_t)e * pt_dtype_size(t->dtype);
    float f;
    double d;
    uint16_t h;
    switch (t->dtype) {
    case PT_DOUBLE:
        memcpy(&d, p, sizeof d);
        return (float)d;
    case PT_FLOAT16:
    case PT_BFLOAT16:
        memcpy(&h, p, sizeof h);
        return t->dtype == PT_FLOAT16 ? pt_f16_to_f32(h) : pt_bf16_to_f32(h);
    case PT_FLOAT:
        memcpy(&f, p, sizeof f);
        return f;
    default:
        return 0;
    }
}

int pt_scores_get(struct pt_scores *s, size_t i, float *out, struct pt_err *err)
{
    const struct pt_layer *l = &s->l->list[i];
    const struct pt_tensor *t = &s->e->model.graph.initializers[l->weight].t;
    struct pt_rand r;
    pt_rand_init(&r, s->o->seed * 0x9e3779b97f4a7c15U + i);
    if (s->o->criterion == PT_PRUNE_TAYLOR && !s->taylor[i])
        return pt_fail(err, PT_EUNSUPPORTED,
                       "layer '" PT_STR_FMT "': the loss has no derivative by its weights '" PT_STR_FMT "'; criterion taylor needs it",
                       PT_STR_ARG(l->name), PT_STR_ARG(s->e->model.graph.initializers[l->weight].name));
    for (int64_t e = 0; e < l->count; e++) {
        float w = fabsf(as_float(t, e));
        switch (s->o->criterion) {
        case PT_PRUNE_L2:
            out[e] = w * w;
            break;
        case PT_PRUNE_TAYLOR:
            out[e] = s->taylor[i][e];
            break;
        case PT_PRUNE_WANDA: /* a group's inputs are those of its outputs */
            out[e] = w * s->per_input[i][pt_layer_out(l, e) * l->groups / l->outs % l->groups * l->ins + pt_layer_in(l, e)];
            break;
        case PT_PRUNE_RANDOM:
            out[e] = (float)pt_rand_unit(&r);
            break;
        default:
            out[e] = w;
        }
        if (!isfinite(out[e]))
            return pt_fail(err, PT_EINVAL, "layer '" PT_STR_FMT "': weight %lld of '" PT_STR_FMT "' is worth %g: it, or a sample, is not a number",
                           PT_STR_ARG(l->name), (long long)e, PT_STR_ARG(s->e->model.graph.initializers[l->weight].name), (double)out[e]);
    }
    return PT_OK;
}
