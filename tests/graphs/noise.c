/* SPDX-License-Identifier: Apache-2.0
 *
 * noise.c: see noise.h. The nudges are given behind each step, by what is called for profiling.
 */
#include "tests/graphs/noise.h"

#include "runtime/ops/op.h"

#define TRIALS 12

struct trial {
    const struct gen *g;
    struct pt_rand rand;
};

/* Of a number near 1: some times what one rounding does. */
static double nudge_of(enum pt_dtype t)
{
    return t == PT_FLOAT ? 3e-6 : t == PT_DOUBLE ? 1e-11 : t == PT_FLOAT16 ? 1e-3 : 0;
}

static void set_real(const struct pt_tensor *t, int64_t i, double v)
{
    if (t->dtype == PT_FLOAT)
        ((float *)t->data)[i] = (float)v;
    else if (t->dtype == PT_DOUBLE)
        ((double *)t->data)[i] = v;
    else if (t->dtype == PT_FLOAT16)
        ((uint16_t *)t->data)[i] = pt_f32_to_f16((float)v);
}

static void nudge(struct trial *n, const struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++) {
        double v = pt_elem_f64(t, i), by = nudge_of(t->dtype) * (1 + fabs(v));
        set_real(t, i, pt_rand_below(&n->rand, 2) ? v + by : v - by);
    }
}

/* Which scale element i of x has. */
static int64_t scale_index(const struct pt_tensor *x, const struct pt_tensor *scale, int64_t i)
{
    int axis = x->rank > 1 && x->dims[1] == pt_tensor_count(scale) ? 1 : 0;
    int64_t inner = 1;
    for (int k = axis + 1; k < x->rank; k++)
        inner *= x->dims[k];
    return pt_tensor_count(scale) > 1 && x->rank > axis ? i / inner % x->dims[axis] : 0;
}

/* What lies between two integers may have become either. */
static void toss(struct trial *n, const struct pt_profile_event *e, const struct pt_tensor *y)
{
    const struct pt_tensor *x = e->inputs[0], *scale = e->inputs[1], *zero = e->input_count > 2 ? e->inputs[2] : NULL;
    int64_t least = y->dtype == PT_INT8 ? -128 : 0, most = y->dtype == PT_INT8 ? 127 : 255;
    if (y->dtype != PT_INT8 && y->dtype != PT_UINT8)
        return;
    for (int64_t i = 0; i < pt_tensor_count(y); i++) {
        int64_t k = scale_index(x, scale, i);
        double v = pt_elem_f64(x, i) / pt_elem_f64(scale, k);
        if (fabs(v - floor(v) - 0.5) > 1e-5 * (1 + fabs(v)))
            continue;
        int64_t q = (int64_t)floor(v) + pt_rand_below(&n->rand, 2) + (zero ? pt_elem_i64(zero, pt_tensor_count(zero) > 1 ? k : 0) : 0);
        ((uint8_t *)y->data)[i] = (uint8_t)(q < least ? least : q > most ? most : q);
    }
}

/* A node has the name of its first output; of one that is no longer in sight too. NULL: the model was not made of it. */
static const struct gen_value *value_of(const struct gen *g, const struct pt_string *name)
{
    for (int i = 0; i < g->value_count; i++)
        if (strlen(g->values[i].name) == name->len && memcmp(g->values[i].name, name->p, name->len) == 0)
            return &g->values[i];
    return NULL;
}

static void behind_step(void *arg, const struct pt_profile_event *e)
{
    struct trial *n = arg;
    const struct gen_value *v = value_of(n->g, &e->name);
    for (size_t i = 0; i < e->output_count; i++) {
        const struct pt_tensor *t = e->outputs[i];
        bool inexact = v ? v[i].inexact : e->op_type.len && !gen_only_moves(e->op_type.p, e->op_type.len);
        if (!t || !inexact || (e->op_type.len == 8 && memcmp(e->op_type.p, "Identity", 8) == 0))
            continue;
        if (gen_is_real(t) && !gen_only_moves(e->op_type.p, e->op_type.len))
            nudge(n, t);
        else if (e->op_type.len == 14 && memcmp(e->op_type.p, "QuantizeLinear", 14) == 0)
            toss(n, e, t);
    }
}

static bool make_room(struct noise *n, const struct pt_session *s, const struct pt_run *reference)
{
    n->outputs = pt_session_output_count(s);
    if (!(n->moves = calloc(n->outputs + 1, sizeof *n->moves)))
        return false;
    for (size_t i = 0; i < n->outputs; i++)
        if (!(n->moves[i] = calloc((size_t)pt_tensor_count(pt_run_output(reference, i)) + 1, sizeof **n->moves)))
            return false;
    return true;
}

static void record(struct noise *n, const struct pt_run *noisy, const struct pt_run *reference)
{
    for (size_t k = 0; k < n->outputs; k++) {
        const struct pt_tensor *a = pt_run_output(noisy, k), *b = pt_run_output(reference, k);
        for (int64_t i = 0; pt_dims_equal(a, b) && i < pt_tensor_count(b); i++) {
            double d = fabs(pt_elem_f64(a, i) - pt_elem_f64(b, i));
            n->moves[k][i] = d > n->moves[k][i] ? d : n->moves[k][i];
        }
    }
}

bool noise_measure(struct noise *n, const struct gen *g, const struct pt_buf *model, const struct pt_session *reference_session,
                   const struct pt_run *reference)
{
    struct pt_session_options o = {.thread_count = 1, .no_opt = true, .max_arena_bytes = 16 << 20};
    struct trial t = {.g = g};
    struct pt_run_options ro = {.size = sizeof ro, .profile = behind_step, .profile_arg = &t};
    struct pt_session *s = NULL;
    struct pt_run *r = NULL;
    *n = (struct noise){0};
    bool ok = make_room(n, reference_session, reference) && pt_session_open_memory(model->data, model->len, &o, &s, NULL) == 0 &&
              pt_run_create(s, &r, NULL) == 0;
    for (size_t i = 0; ok && i < pt_session_input_count(s); i++)
        ok = pt_run_set_input(r, i, &g->values[i].t, NULL) == 0;
    for (uint64_t i = 0; ok && i < TRIALS; i++) {
        pt_rand_init(&t.rand, i);
        if (pt_run_execute_with(r, &ro, NULL) == 0)
            record(n, r, reference);
    }
    pt_run_destroy(r);
    pt_session_close(s);
    return ok;
}

void noise_finish(struct noise *n)
{
    for (size_t i = 0; n->moves && i < n->outputs; i++)
        free(n->moves[i]);
    free(n->moves);
}
