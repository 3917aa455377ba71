/* SPDX-License-Identifier: Apache-2.0
 *
 * scatter.c: ScatterElements (once named Scatter) and ScatterND: a copy of the data with updates written or combined into it, in the order in which
 * they stand, so that the last of several writes to one place wins.
 */
#include "runtime/ops/order.h"

#include <math.h>

/* --- combining: y <- y op u, elements of one type ------------------------------------------------------------------------------------ */

typedef void (*combine_fn)(void *y, const void *u);
enum reduction { NONE, ADD, MUL, MAX, MIN };
static const char *const reductions[] = {"none", "add", "mul", "max", "min", NULL};

#define COMBINE(name, T, expression)                                                                                                                 \
    static void name(void *py, const void *pu)                                                                                                       \
    {                                                                                                                                                \
        T y, u;                                                                                                                                      \
        memcpy(&y, py, sizeof y);                                                                                                                    \
        memcpy(&u, pu, sizeof u);                                                                                                                    \
        y = (expression);                                                                                                                            \
        memcpy(py, &y, sizeof y);                                                                                                                    \
    }

/* unsigned arithmetic wraps; int64 bits are right for any narrower result */
#define INT_ROW(id, T, U, s)                                                                                                                         \
    COMBINE(add_##s, T, (T)((uint64_t)y + (uint64_t)u))                                                                                              \
    COMBINE(mul_##s, T, (T)((uint64_t)y * (uint64_t)u))                                                                                              \
    COMBINE(max_##s, T, y > u ? y : u)                                                                                                               \
    COMBINE(min_##s, T, y < u ? y : u)
#define FLOAT_ROW(id, T, U, s)                                                                                                                       \
    COMBINE(add_##s, T, y + u)                                                                                                                       \
    COMBINE(mul_##s, T, y *u)                                                                                                                        \
    COMBINE(max_##s, T, y > u || isnan(y) ? y : u)                                                                                                   \
    COMBINE(min_##s, T, y < u || isnan(y) ? y : u)
PT_INT_ROWS(INT_ROW)
PT_FLOAT_ROWS(FLOAT_ROW)

#define HALF_ROW(s, get, put)                                                                                                                        \
    COMBINE(add_##s, uint16_t, put(get(y) + get(u)))                                                                                                 \
    COMBINE(mul_##s, uint16_t, put(get(y) * get(u)))                                                                                                 \
    COMBINE(max_##s, uint16_t, get(y) > get(u) || isnan(get(y)) ? y : u)                                                                             \
    COMBINE(min_##s, uint16_t, get(y) < get(u) || isnan(get(y)) ? y : u)
HALF_ROW(f16, pt_f16_to_f32, pt_f32_to_f16)
HALF_ROW(bf16, pt_bf16_to_f32, pt_f32_to_bf16)

COMBINE(or_b, uint8_t, y || u)
COMBINE(and_b, uint8_t, y &&u)

static combine_fn combine_of(enum pt_dtype t, enum reduction r)
{
#define ROW(id, T, U, s) [id] = {NULL, add_##s, mul_##s, max_##s, min_##s},
    static const combine_fn rows[PT_DTYPE_COUNT][5] = {
        PT_NUM_ROWS(ROW) ROW(PT_FLOAT16, , , f16) ROW(PT_BFLOAT16, , , bf16)[PT_BOOL] = {NULL, or_b, and_b, or_b, and_b},
    };
#undef ROW
    return rows[t][r];
}

struct scatter {
    int axis;
    combine_fn combine; /* NULL: write */
};

static int read_reduction(struct pt_op_ctx *c)
{
    struct scatter *p = c->params;
    enum pt_dtype t = c->in[0]->dtype;
    int r = NONE, rc;
    if (c->node->version < 16)
        return PT_OK;
    if ((rc = pt_attr_choice(c, "reduction", reductions, NONE, &r)) < 0)
        return rc;
    if (r > MUL && c->node->version < 18)
        return pt_op_fail(c, PT_EINVAL, "attribute 'reduction' = \"%s\" exists from opset 18 on, this is %d", reductions[r], c->node->version);
    p->combine = combine_of(t, r);
    if (r != NONE && !p->combine)
        return pt_op_fail(c, PT_EINVAL, "attribute 'reduction' = \"%s\" is not defined for %s", reductions[r], pt_dtype_name(t));
    return PT_OK;
}

/* --- ScatterElements ------------------------------------------------------------------------------------------------------------------- */

static int scatter_elements_infer(struct pt_op_ctx *c)
{
    struct scatter *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1], *u = c->in[2];
    int64_t axis;
    int rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis);
    if (rc < 0 || (rc = pt_op_axis(c, "attribute 'axis'", axis, x->rank, false, &p->axis)) < 0 || (rc = read_reduction(c)) < 0)
        return rc;
    bool fits = ix->rank == x->rank && pt_dims_equal(ix, u);
    for (int i = 0; fits && i < x->rank; i++)
        fits = i == p->axis || ix->dims[i] <= x->dims[i];
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "indices %s and updates %s do not fit data %s along axis %d", PT_SHAPE(ix), PT_SHAPE(u), PT_SHAPE(x),
                          p->axis);
    return pt_infer_same(c);
}

static int scatter_elements_run(struct pt_op_ctx *c)
{
    const struct scatter *p = c->params;
    const struct pt_tensor *x = c->in[0];
    size_t size = pt_dtype_size(x->dtype);
    const char *u = c->in[2]->data;
    char *y = c->out[0]->data;
    struct pt_walk_elements w;
    if (x->size_bytes)
        memcpy(y, x->data, x->size_bytes);
    for (pt_walk_elements_init(&w, c->in[1], x, p->axis); w.i < w.n; pt_walk_elements_next(&w), u += size) {
        int64_t k;
        int rc = pt_op_index(c, 1, w.i, x->dims[p->axis], p->axis, &k);
        if (rc < 0)
            return rc;
        char *to = y + (size_t)(w.at + k * w.stride) * size;
        if (p->combine)
            p->combine(to, u);
        else
            pt_move(to, u, size);
    }
    return PT_OK;
}

#define SCATTER_ELEMENTS_ROW                                                                                                                         \
    .min_in = 3, .max_in = 3, .max_out = 1, .types = {PT_TS_BYTES, PT_TS_INDEX, PT_TS_BYTES}, .flags = PT_OP_SAME_TYPE,                              \
    .params_size = sizeof(struct scatter), .infer = scatter_elements_infer, .run = scatter_elements_run
const struct pt_op pt_op_scatter = {.type = "Scatter", .since = {9, 11}, SCATTER_ELEMENTS_ROW};
const struct pt_op pt_op_scatter_elements = {.type = "ScatterElements", .since = {11, 13, 16, 18}, SCATTER_ELEMENTS_ROW};

/* --- ScatterND: rows of coordinates, each with a slice of updates ------------------------------------------------------------------------ */

static int scatter_nd_infer(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = c->in[0], *ix = c->in[1], *u = c->in[2];
    int64_t depth = ix->rank ? ix->dims[ix->rank - 1] : 0;
    int rc = read_reduction(c), lead = ix->rank - 1;
    if (rc < 0)
        return rc;
    bool fits = x->rank > 0 && ix->rank > 0 && depth <= x->rank && u->rank == lead + x->rank - (int)depth;
    for (int i = 0; fits && i < u->rank; i++)
        fits = u->dims[i] == (i < lead ? ix->dims[i] : x->dims[i - lead + depth]);
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "indices %s and updates %s do not fit data %s", PT_SHAPE(ix), PT_SHAPE(u), PT_SHAPE(x));
    return pt_infer_same(c);
}

static int scatter_nd_run(struct pt_op_ctx *c)
{
    const struct scatter *p = c->params;
    const struct pt_tensor *x = c->in[0], *ix = c->in[1];
    int depth = (int)ix->dims[ix->rank - 1];
    int64_t rows = pt_dims_product(ix->dims, ix->rank - 1), inner = pt_dims_product(x->dims + depth, x->rank - depth), at;
    size_t size = pt_dtype_size(x->dtype), bytes = (size_t)inner * size;
    const char *u = c->in[2]->data;
    char *y = c->out[0]->data;
    if (x->size_bytes)
        memcpy(y, x->data, x->size_bytes);
    for (int64_t r = 0; r < rows; r++, u += bytes) {
        int rc = pt_op_coordinates(c, 1, r, depth, x->dims, &at);
        if (rc < 0)
            return rc;
        char *to = y + (size_t)at * bytes;
        for (int64_t i = 0; p->combine && i < inner; i++)
            p->combine(to + (size_t)i * size, u + (size_t)i * size);
        if (!p->combine && bytes)
            pt_move(to, u, bytes);
    }
    return PT_OK;
}

const struct pt_op pt_op_scatter_nd = {.type = "ScatterND",
                                       .since = {11, 13, 16, 18},
                                       .min_in = 3,
                                       .max_in = 3,
                                       .max_out = 1,
                                       .types = {PT_TS_BYTES, PT_T(PT_INT64), PT_TS_BYTES},
                                       .flags = PT_OP_SAME_TYPE,
                                       .params_size = sizeof(struct scatter),
                                       .infer = scatter_nd_infer,
                                       .run = scatter_nd_run};
