/* SPDX-License-Identifier: Apache-2.0
 *
 * where.c: Where(condition, x, y): elements of x or y of any type.
 */
#include "runtime/ops/types.h"

static int where_infer(struct pt_op_ctx *c)
{
    int rc = pt_infer_broadcast(c);
    if (c->in[1]->dtype != c->in[2]->dtype)
        return pt_op_fail(c, PT_EINVAL, "inputs 1 and 2 are %s and %s, must have one type", PT_SHAPE(c->in[1]), PT_SHAPE(c->in[2]));
    c->out[0]->dtype = c->in[1]->dtype;
    return rc;
}

/* One row: out[i] = cond[i * step[0]] ? x[i * step[1]] : y[i * step[2]] */
#define SELECT(T, s)                                                                                                                                 \
    static void select_##s(const uint8_t *cond, const T *x, const T *y, T *out, int64_t n, const int64_t *step)                                      \
    {                                                                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                                                                              \
            out[i] = cond[i * step[0]] ? x[i * step[1]] : y[i * step[2]];                                                                            \
    }
struct pair {
    uint64_t a, b;
};
#define SIZES(X) X(uint8_t, 1) X(uint16_t, 2) X(uint32_t, 4) X(uint64_t, 8) X(struct pair, 16)
SIZES(SELECT)

static int where_run(struct pt_op_ctx *c)
{
    struct pt_bcast w;
    pt_bcast_init(&w, c->out[0], 3, c->in);
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        const uint8_t *cond = (const uint8_t *)c->in[0]->data + off[0];
        switch (pt_dtype_size(c->out[0]->dtype)) {
#define CASE(T, s)                                                                                                                                   \
    case s:                                                                                                                                          \
        select_##s(cond, (const T *)c->in[1]->data + off[1], (const T *)c->in[2]->data + off[2], (T *)c->out[0]->data + r * w.n, w.n, w.step);       \
        break;
            SIZES(CASE)
        default:
            break;
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_where = {.type = "Where",
                                  .since = {9, 16},
                                  .min_in = 3,
                                  .max_in = 3,
                                  .max_out = 1,
                                  .types = {PT_TS_BOOL, PT_TS_BYTES},
                                  .infer = where_infer,
                                  .run = where_run};
