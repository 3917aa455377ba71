/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_shapes.c: what shape every value has. The model is run once with all of them tapped: that is right for every operator, also where shapes
 * depend on data.
 */
#include "runtime/compress/prune_parts.h"
#include "runtime/compress/tap.h"

static int no_memory(struct pt_err *err)
{
    return pt_fail(err, PT_ENOMEM, "out of memory for the shapes of the model");
}

/* Is a free dim called what some input's first one is, "batch"? Caches have that further behind. */
static bool is_batch(const struct pt_session *s, const char *name)
{
    bool found = false;
    for (size_t i = 0; name && i < pt_session_input_count(s); i++) {
        const struct pt_value_info *vi = pt_session_input(s, i);
        found = found || (vi->rank > 0 && vi->dims[0] < 0 && vi->dim_names[0] && strcmp(vi->dim_names[0], name) == 0);
    }
    return found;
}

/* Zeros, with `batch` for free dims in front, `size` for those behind. */
static int make_inputs(const struct pt_session *s, int64_t batch, int64_t size, struct pt_tensor *in, struct pt_err *err)
{
    for (size_t i = 0; i < pt_session_input_count(s); i++) {
        const struct pt_value_info *vi = pt_session_input(s, i);
        struct pt_tensor *t = &in[i];
        *t = (struct pt_tensor){.dtype = vi->dtype, .rank = vi->rank};
        for (int k = 0; k < vi->rank; k++)
            t->dims[k] = vi->dims[k] >= 0 ? vi->dims[k] : k == 0 || is_batch(s, vi->dim_names[k]) ? batch : size;
        if (vi->rank < 0 || vi->dtype == PT_STRING || !pt_tensor_need(vi->dtype, vi->rank, t->dims, &t->size_bytes))
            return pt_fail(err, PT_EINVAL, "no input can be made up for '%s': samples are needed", vi->name);
        if (!(t->data = pt_calloc(t->size_bytes + 1, 1)))
            return no_memory(err);
    }
    return PT_OK;
}

/* Does an input have free dims behind the first? *image: one of rank 4 has. */
static bool has_free_dims(const struct pt_session *s, bool *image)
{
    bool free_dims = false;
    *image = false;
    for (size_t i = 0; i < pt_session_input_count(s); i++)
        for (int k = 1; k < pt_session_input(s, i)->rank; k++)
            if (pt_session_input(s, i)->dims[k] < 0) {
                free_dims = true;
                *image = *image || pt_session_input(s, i)->rank == 4;
            }
    return free_dims;
}

/* in: room for the inputs; their dims stay there, their data do not. err: of the first try. */
static int run_made_up(struct pt_tap *tap, int64_t batch, struct pt_tensor *in, struct pt_err *err)
{
    static const int64_t texts[] = {7, 32, 64, 224, 1024, 16384}, images[] = {224, 64, 32, 7, 512, 1024};
    struct pt_session *s = pt_tap_session(tap);
    size_t count = pt_session_input_count(s);
    bool image, tries = has_free_dims(s, &image);
    struct pt_err later;
    int rc = PT_EINVAL;
    for (size_t k = 0; rc < 0 && rc != PT_ENOMEM && k < (tries ? sizeof texts / sizeof *texts : 1); k++) {
        rc = make_inputs(s, batch, image ? images[k] : texts[k], in, k ? &later : err);
        if (rc == PT_OK)
            rc = pt_tap_run(tap, in, count, k ? &later : err);
        for (size_t i = 0; i < count; i++) {
            pt_free(in[i].data);
            in[i].data = NULL;
        }
    }
    if (rc == PT_ENOMEM)
        return no_memory(err);
    return rc < 0 ? (pt_wrap(err, "the model with inputs of zeros (give samples if it cannot take them)"), rc) : rc;
}

static int run_samples(struct pt_tap *tap, const struct pt_data *samples, int64_t batch, struct pt_tensor *in, struct pt_err *err)
{
    int rc = pt_data_check(samples, pt_tap_session(tap), "the samples", err);
    if (rc < 0)
        return rc;
    pt_data_slice(samples, 0, batch < samples->count ? batch : samples->count, in);
    if (pt_tap_run(tap, in, samples->input_count, err) == PT_OK)
        return PT_OK;
    for (size_t i = 0; i < samples->input_count; i++)
        in[i] = (struct pt_tensor){0};
    return run_made_up(tap, batch, in, err); /* a model for a fixed number of samples cannot take one */
}

static int keep(struct pt_shapes *s, struct pt_str name, const struct pt_tensor *t, struct pt_err *err)
{
    struct pt_tensor *copy = pt_malloc(sizeof *copy);
    void *old = NULL;
    if (!copy)
        return no_memory(err);
    *copy = *t;
    copy->data = NULL;
    int rc = pt_map_set(&s->values, name, copy, &old, err);
    pt_free(rc < 0 ? copy : old);
    return rc;
}

/* Names of all that nodes of the model's graph make. */
static size_t list_values(const struct pt_onnx_graph *g, struct pt_str *names)
{
    size_t n = 0;
    for (size_t i = 0; i < g->node_count; i++)
        for (size_t k = 0; k < g->nodes[i].output_count; k++)
            if (g->nodes[i].outputs[k].len) {
                if (names)
                    names[n] = g->nodes[i].outputs[k];
                n++;
            }
    return n;
}

int pt_shapes_find(struct pt_edit *e, const struct pt_data *samples, int64_t batch, struct pt_threads *threads, struct pt_shapes *out,
                   struct pt_err *err)
{
    const struct pt_onnx_graph *g = &e->model.graph;
    size_t count = list_values(g, NULL);
    pt_auto_free struct pt_str *names = pt_calloc(count + 1, sizeof *names);
    pt_auto_free struct pt_tensor *in = pt_calloc(g->input_count + 1, sizeof *in);
    struct pt_tap *tap = NULL;
    *out = (struct pt_shapes){0};
    if (!names || !in)
        return no_memory(err);
    list_values(g, names);
    int rc = pt_tap_open(e, names, count, threads, &tap, err);
    if (rc == PT_OK)
        rc = samples ? run_samples(tap, samples, batch, in, err) : run_made_up(tap, batch, in, err);
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        if (!pt_is_kind(pt_tap_value(tap, i)->dtype))
            rc = keep(out, names[i], pt_tap_value(tap, i), err);
    for (size_t i = 0; rc == PT_OK && i < g->input_count; i++)
        if (!pt_is_kind(in[i].dtype))
            rc = keep(out, g->inputs[i].name, &in[i], err);
    for (size_t i = 0; rc == PT_OK && i < g->initializer_count; i++)
        rc = keep(out, g->initializers[i].name, &g->initializers[i].t, err);
    pt_tap_close(tap);
    if (rc < 0)
        pt_shapes_finish(out);
    return rc;
}

const struct pt_tensor *pt_shape_of(const struct pt_shapes *s, struct pt_str name)
{
    return name.len ? pt_map_get(&s->values, name) : NULL;
}

void pt_shapes_finish(struct pt_shapes *s)
{
    struct pt_str name;
    void *t;
    for (size_t i = 0; pt_map_next(&s->values, &i, &name, &t);)
        pt_free(t);
    pt_map_finish(&s->values);
}

int64_t pt_node_macs(const struct pt_shapes *s, const struct pt_onnx_node *n)
{
    const struct pt_tensor *x = n->input_count > 1 ? pt_shape_of(s, n->inputs[0]) : NULL;
    const struct pt_tensor *w = n->input_count > 1 ? pt_shape_of(s, n->inputs[1]) : NULL;
    const struct pt_tensor *y = n->output_count > 0 ? pt_shape_of(s, n->outputs[0]) : NULL;
    if (!x || !w || !y)
        return 0;
    if (pt_node_is(n, "com.microsoft", "Attention") && w->rank == 2) /* the products of scores are not counted */
        return pt_tensor_count(x) * w->dims[1];
    if (n->domain.len)
        return 0;
    if (pt_str_eq(n->op_type, PT_STR("Conv")) && w->dims[0])
        return pt_tensor_count(y) * (pt_tensor_count(w) / w->dims[0]);
    if (pt_str_eq(n->op_type, PT_STR("ConvTranspose")) && w->dims[0])
        return pt_tensor_count(x) * (pt_tensor_count(w) / w->dims[0]);
    if (pt_str_eq(n->op_type, PT_STR("Gemm")))
        return pt_tensor_count(y) * x->dims[pt_edit_attr_int(n, "transA", 0) ? 0 : 1];
    if (pt_str_eq(n->op_type, PT_STR("MatMul")) && x->rank > 0)
        return pt_tensor_count(y) * x->dims[x->rank - 1];
    return 0;
}
