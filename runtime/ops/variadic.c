/* SPDX-License-Identifier: Apache-2.0
 *
 * variadic.c: Max, Min, Sum and Mean of any number of inputs. Before opset 8 all shapes must be equal; broadcasting covers that case.
 * The first input is spread over the output, the others are combined into it one by one.
 */
#include "runtime/ops/op.h"

/* y[i] = f(y[i], b[i * sb]); with `first`, y[i] = b[i * sb] */
typedef void (*loop_fn)(void *y, const void *b, int64_t n, int64_t sb, bool first);

#define LOOP(f, T, s, expr) \
    static void f##_##s(void *vy, const void *vb, int64_t n, int64_t sb, bool first) \
    { \
        T *y = vy; \
        const T *pb = vb; \
        for (int64_t i = 0; i < n; i++) { \
            T b = pb[i * sb], a = first ? b : y[i]; \
            y[i] = first ? b : (T)(expr); \
        } \
    }
#define MAX(id, T, U, s) LOOP(max, T, s, a > b || a != a ? a : b)
#define MIN(id, T, U, s) LOOP(min, T, s, a < b || a != a ? a : b)
PT_NUM_ROWS(MAX)
PT_NUM_ROWS(MIN)
LOOP(sum, float, f32, a + b)
LOOP(sum, double, f64, a + b)

#define AT(id, T, U, s) [id] = FAMILY(s),
#define FAMILY(s) max_##s
static const loop_fn max_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
#define FAMILY(s) min_##s
static const loop_fn min_fns[PT_DTYPE_COUNT] = {PT_NUM_ROWS(AT)};
#undef FAMILY
static const loop_fn sum_fns[PT_DTYPE_COUNT] = {[PT_FLOAT] = sum_f32, [PT_DOUBLE] = sum_f64};

static int variadic_infer(struct pt_op_ctx *c)
{
    for (int i = 1; i < c->in_count; i++)
        if (c->node->version < 8 && c->in[i] && !pt_dims_equal(c->in[0], c->in[i]))
            return pt_op_fail(c, PT_EINVAL, "inputs %s and %s differ (opset %d)", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[i]), c->node->version);
    return pt_infer_broadcast(c);
}

static void combine(struct pt_op_ctx *c, const loop_fn *fns)
{
    struct pt_tensor *y = c->out[0];
    size_t size = pt_dtype_size(y->dtype);
    bool first = true;
    for (int k = 0; k < c->in_count; k++) {
        if (!c->in[k])
            continue;
        struct pt_bcast w;
        pt_bcast_init(&w, y, 1, &c->in[k]);
        for (int64_t r = 0; r < w.rows; r++) {
            int64_t off[PT_BCAST_MAX];
            pt_bcast_row(&w, r, off);
            fns[y->dtype]((char *)y->data + (size_t)(r * w.n) * size, (const char *)c->in[k]->data + (size_t)off[0] * size, w.n, w.step[0], first);
        }
        first = false;
    }
}

static int max_run(struct pt_op_ctx *c)
{
    combine(c, max_fns);
    return PT_OK;
}

static int min_run(struct pt_op_ctx *c)
{
    combine(c, min_fns);
    return PT_OK;
}

static int sum_run(struct pt_op_ctx *c)
{
    combine(c, sum_fns);
    return PT_OK;
}

static int mean_run(struct pt_op_ctx *c)
{
    combine(c, sum_fns);
    int64_t n = pt_tensor_count(c->out[0]);
    if (c->out[0]->dtype == PT_FLOAT)
        for (int64_t i = 0; i < n; i++)
            ((float *)c->out[0]->data)[i] /= (float)c->in_count;
    else
        for (int64_t i = 0; i < n; i++)
            ((double *)c->out[0]->data)[i] /= c->in_count;
    return PT_OK;
}

#define NUM_ROW(sym, op_name) \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = {1, 6, 8, 12, 13}, .min_in = 1, .max_in = PT_OP_VARIADIC, .max_out = 1, .types = {PT_TS_NUM | PT_TS_HALF}, \
                                      .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN, .infer = variadic_infer, .run = sym##_run};
NUM_ROW(max, "Max")
NUM_ROW(min, "Min")
#define FLOAT_ROW(sym, op_name) \
    const struct pt_op pt_op_##sym = {.type = op_name, .since = {1, 6, 8, 13}, .min_in = 1, .max_in = PT_OP_VARIADIC, .max_out = 1, \
                                      .types = {PT_TS_REAL}, .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN, .infer = variadic_infer, .run = sym##_run};
FLOAT_ROW(sum, "Sum")
FLOAT_ROW(mean, "Mean")
