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

static int where_run(struct pt_op_ctx *c)
{
    struct pt_bcast w;
    size_t size = pt_dtype_size(c->out[0]->dtype);
    char *y = c->out[0]->data;
    const uint8_t *cond = c->in[0]->data;
    const char *src[2] = {c->in[2]->data, c->in[1]->data};
    pt_bcast_init(&w, c->out[0], 3, c->in);
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        for (int64_t i = 0; i < w.n; i++, y += size) {
            bool yes = cond[off[0] + i * w.step[0]] != 0;
            int k = yes ? 1 : 2;
            memcpy(y, src[yes] + (size_t)(off[k] + i * w.step[k]) * size, size);
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
