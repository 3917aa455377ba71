/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.c: see compare.h.
 */
#include "tests/graphs/compare.h"

#include "base/mem.h"
#include "tests/graphs/noise.h"
#include "tests/graphs/types.h"
#include "runtime/ops/op.h"

struct both {
    struct pt_session *s[2];
    struct pt_run *r[2];
};

static double bound_of(enum pt_dtype t)
{
    return t == PT_FLOAT ? 3e-4 : t == PT_DOUBLE ? 1e-9 : t == PT_FLOAT16 ? 2e-2 : 0;
}

/* moves: what may be forgiven element by element, or NULL. */
static int compare(const struct pt_tensor *a, const struct pt_tensor *b, const double *moves, const char *name, struct pt_err *err)
{
    if (a->dtype != b->dtype || !pt_dims_equal(a, b))
        return pt_fail(err, PT_EINTERNAL, "output %s: optimised %s, reference %s", name, PT_SHAPE(a), PT_SHAPE(b));
    for (int64_t i = 0; i < pt_tensor_count(a); i++) {
        double x = pt_elem_f64(a, i), y = pt_elem_f64(b, i), bound = bound_of(a->dtype) * (1 + fabs(y)) + (moves ? 2 * moves[i] : 0);
        if (!(x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= bound))
            return pt_fail(err, PT_EINTERNAL, "output %s, element %lld: optimised %.9g, reference %.9g", name, (long long)i, x, y);
    }
    return PT_OK;
}

static int compare_all(const struct both *b, const struct noise *n, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < pt_session_output_count(b->s[0]); i++)
        rc = compare(pt_run_output(b->r[0], i), pt_run_output(b->r[1], i), n ? n->moves[i] : NULL, pt_session_output(b->s[0], i)->name, err);
    return rc;
}

/* 1 when the difference that err tells of is rounding, else what was. */
static int forgive(const struct both *b, const struct gen *g, const struct pt_buf *model, struct pt_err *err)
{
    struct noise n;
    int rc = noise_measure(&n, g, model, b->s[1], b->r[1]) && compare_all(b, &n, err) == PT_OK ? 1 : PT_EINTERNAL;
    noise_finish(&n);
    return rc;
}

static int run(struct both *b, int k, const struct gen *g, const struct pt_buf *model, struct pt_err *err)
{
    struct pt_session_options o = {.thread_count = 1, .no_opt = k, .max_arena_bytes = 16 << 20};
    int rc = pt_session_open_memory(model->data, model->len, &o, &b->s[k], err);
    if (rc == PT_OK)
        rc = pt_run_create(b->s[k], &b->r[k], err);
    for (size_t i = 0; rc == PT_OK && i < pt_session_input_count(b->s[k]); i++)
        rc = pt_run_set_input(b->r[k], i, &g->values[i].t, err);
    if (rc == PT_OK)
        rc = pt_run_execute(b->r[k], err);
    if (rc == PT_OK && k == 0) /* once more, with everything in place */
        rc = pt_run_execute(b->r[k], err);
    return rc < 0 ? pt_wrap(err, "%s", k ? "reference" : "optimised") : rc;
}

/* What is inferred of the values for any inputs must hold for these. */
static int check_types(const struct gen *g, struct pt_session *s, struct pt_err *err)
{
    struct pt_rewriter types;
    int rc = types_infer(&types, s, err);
    for (int i = 0; rc == PT_OK && i < s->graph.value_count; i++) {
        struct pt_str name = s->graph.values[i].name;
        for (int k = 0; rc == PT_OK && k < g->value_count; k++)
            if (g->values[k].t.data && pt_str_eq(name, pt_str(g->values[k].name)))
                rc = types_check(&types, i, &g->values[k].t, err);
    }
    types_finish(&types);
    return rc;
}

int compare_graph(struct choices *c, int max_nodes, bool hostile, bool verbose, struct pt_err *err)
{
    struct gen *g = calloc(1, sizeof *g);
    struct pt_buf text = PT_BUF_INIT(0);
    struct both b = {0};
    if (!g)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    generate(g, c, max_nodes, hostile, &text);
    struct pt_buf model = test_model(pt_buf_cstr(&text));
    int rc = run(&b, 1, g, &model, err);
    if (rc == PT_OK)
        rc = run(&b, 0, g, &model, err);
    if (rc == PT_OK)
        rc = check_types(g, b.s[1], err);
    if (rc == PT_OK && (rc = compare_all(&b, NULL, err)) < 0)
        rc = forgive(&b, g, &model, err);
    if (rc >= 0 && g->mistake[0])
        rc = pt_fail(err, PT_EINTERNAL, "%s", g->mistake);
    if (verbose || (rc < 0 && !hostile))
        printf("%s", pt_buf_cstr(&text));
    for (int k = 0; k < 2; k++) {
        pt_run_destroy(b.r[k]);
        pt_session_close(b.s[k]);
    }
    pt_buf_finish(&model);
    pt_buf_finish(&text);
    gen_finish(g);
    free(g);
    return rc;
}

static int open_and_run(const struct gen *g, const struct pt_buf *model, struct pt_err *err)
{
    struct both b = {0};
    int rc = run(&b, 0, g, model, err);
    pt_run_destroy(b.r[0]);
    pt_session_close(b.s[0]);
    return rc;
}

static int fail_each(const struct gen *g, const struct pt_buf *model, struct pt_err *err)
{
    int rc = open_and_run(g, model, err);
    uint64_t before = pt_mem_count();
    if (rc < 0 || (rc = open_and_run(g, model, err)) < 0)
        return rc;
    for (int64_t i = 1, n = (int64_t)(pt_mem_count() - before); i <= n; i++) {
        struct pt_err e = {0};
        pt_mem_fail_at(i, 0);
        rc = open_and_run(g, model, &e);
        pt_mem_fail_at(0, 0);
        if ((rc != PT_ENOMEM && rc != PT_ELIMIT) || !e.msg[0])
            return pt_fail(err, PT_EINTERNAL, "allocation %lld of %lld failed, the result was %d: %s", (long long)i, (long long)n, rc, e.msg);
    }
    return PT_OK;
}

int fail_graph(struct choices *c, int max_nodes, struct pt_err *err)
{
    struct gen *g = calloc(1, sizeof *g);
    struct pt_buf text = PT_BUF_INIT(0);
    if (!g)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    generate(g, c, max_nodes, false, &text);
    struct pt_buf model = test_model(pt_buf_cstr(&text));
    int rc = fail_each(g, &model, err);
    if (rc < 0)
        printf("%s", pt_buf_cstr(&text));
    pt_buf_finish(&model);
    pt_buf_finish(&text);
    gen_finish(g);
    free(g);
    return rc;
}
