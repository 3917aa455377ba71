/* SPDX-License-Identifier: Apache-2.0
 *
 * shape.c: Shape and Size: what is known of a value before it is computed.
 */
#include "runtime/ops/op.h"

struct range {
    int64_t start, end;
};

static int shape_infer(struct pt_op_ctx *c)
{
    struct range *p = c->params;
    int64_t rank = c->in[0]->rank;
    int rc = pt_attr_int(c, "start", 0, INT64_MIN, INT64_MAX, &p->start);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "end", rank, INT64_MIN, INT64_MAX, &p->end);
    if (rc < 0)
        return rc;
    if (c->node->version < 15)
        *p = (struct range){0, rank};
    p->start += p->start < 0 ? rank : 0;
    p->end += p->end < 0 ? rank : 0;
    p->start = p->start < 0 ? 0 : p->start > rank ? rank : p->start;
    p->end = p->end < 0 ? 0 : p->end > rank ? rank : p->end;
    pt_op_set_out(c, 0, PT_INT64, 1, (const int64_t[]){p->end > p->start ? p->end - p->start : 0});
    return PT_OK;
}

static int shape_run(struct pt_op_ctx *c)
{
    const struct range *p = c->params;
    int64_t *y = c->out[0]->data;
    for (int64_t i = p->start; i < p->end; i++)
        *y++ = c->in[0]->dims[i];
    return PT_OK;
}

const struct pt_op pt_op_shape = {.type = "Shape",
                                  .since = {1, 13, 15, 19, 21, 23, 24, 25},
                                  .min_in = 1,
                                  .max_in = 1,
                                  .max_out = 1,
                                  .types = {UINT32_MAX},
                                  .flags = PT_OP_SHAPE,
                                  .params_size = sizeof(struct range),
                                  .infer = shape_infer,
                                  .run = shape_run};

static int size_infer(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_INT64, 0, NULL);
    return PT_OK;
}

static int size_run(struct pt_op_ctx *c)
{
    *(int64_t *)c->out[0]->data = pt_tensor_count(c->in[0]);
    return PT_OK;
}

const struct pt_op pt_op_size = {.type = "Size",
                                 .since = {1, 13, 19, 21, 23, 24, 25},
                                 .min_in = 1,
                                 .max_in = 1,
                                 .max_out = 1,
                                 .types = {UINT32_MAX},
                                 .flags = PT_OP_SHAPE,
                                 .infer = size_infer,
                                 .run = size_run};
