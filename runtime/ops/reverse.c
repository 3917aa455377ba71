/* SPDX-License-Identifier: Apache-2.0
 *
 * reverse.c: ReverseSequence: the first sequence_lens[b] steps of batch item b in reverse order, the rest as they are.
 */
#include "runtime/ops/order.h"

struct reverse {
    int64_t time_axis, batch_axis;
};

static int reverse_sequence_infer(struct pt_op_ctx *c)
{
    struct reverse *p = c->params;
    const struct pt_tensor *x = c->in[0], *lens = c->in[1];
    int rc = pt_attr_int(c, "time_axis", 0, 0, 1, &p->time_axis);
    if (rc < 0 || (rc = pt_attr_int(c, "batch_axis", 1, 0, 1, &p->batch_axis)) < 0)
        return rc;
    if (p->time_axis == p->batch_axis)
        return pt_op_fail(c, PT_EINVAL, "attributes 'time_axis' and 'batch_axis' are both %lld", (long long)p->time_axis);
    if (x->rank < 2 || lens->rank != 1 || lens->dims[0] != x->dims[p->batch_axis])
        return pt_op_fail(c, PT_EINVAL, "input %s needs a length for each of its batch items, input 1 (sequence_lens) is %s", PT_SHAPE(x),
                          PT_SHAPE(lens));
    return pt_infer_same(c);
}

static int reverse_sequence_run(struct pt_op_ctx *c)
{
    const struct reverse *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t steps = x->dims[p->time_axis], batches = x->dims[p->batch_axis];
    size_t inner = (size_t)pt_dims_product(x->dims + 2, x->rank - 2) * pt_dtype_size(x->dtype);
    size_t step = p->time_axis == 0 ? (size_t)batches * inner : inner, batch = p->time_axis == 0 ? inner : (size_t)steps * inner;
    for (int64_t b = 0; b < batches; b++) {
        int64_t len = ((const int64_t *)c->in[1]->data)[b];
        if (len < 0 || len > steps)
            return pt_op_fail(c, PT_EINVAL, "input 1 (sequence_lens): length %lld of batch item %lld is outside 0 to %lld", (long long)len,
                              (long long)b, (long long)steps);
        for (int64_t t = 0; inner && t < steps; t++)
            pt_move((char *)c->out[0]->data + (size_t)b * batch + (size_t)t * step,
                    (const char *)x->data + (size_t)b * batch + (size_t)(t < len ? len - 1 - t : t) * step, inner);
    }
    return PT_OK;
}

const struct pt_op pt_op_reverse_sequence = {.type = "ReverseSequence",
                                             .since = {10},
                                             .min_in = 2,
                                             .max_in = 2,
                                             .max_out = 1,
                                             .types = {PT_TS_BYTES, PT_T(PT_INT64)},
                                             .params_size = sizeof(struct reverse),
                                             .infer = reverse_sequence_infer,
                                             .run = reverse_sequence_run};
