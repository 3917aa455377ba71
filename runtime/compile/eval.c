/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.c: one node at a time: checking, inference, and running the reference when every input is known.
 */
#include "runtime/compile/program.h"
#include "runtime/ops/widen.h"

#include <stdio.h>

static uint32_t allowed_types(const struct pt_op *op, int i)
{
    int last = 0;
    while (last + 1 < 4 && op->types[last + 1])
        last++;
    return op->types[i < last ? i : last];
}

/* "float32, float64" */
static const char *names_of(uint32_t types, char *s, size_t size)
{
    *s = 0;
    for (int t = 1; t < PT_DTYPE_COUNT; t++)
        if (types & PT_T(t))
            snprintf(s + strlen(s), size - strlen(s), "%s%s", *s ? ", " : "", pt_dtype_name((enum pt_dtype)t));
    return s;
}

static int check_types(struct pt_op_ctx *c)
{
    const struct pt_op *op = c->node->op;
    const struct pt_tensor *first = NULL;
    char names[320];
    for (int i = 0; i < c->in_count; i++) {
        const struct pt_tensor *t = c->in[i];
        if (!t)
            continue;
        if (op->types[0] && !(allowed_types(op, i) & PT_T(t->dtype)))
            return pt_op_fail(c, PT_EUNSUPPORTED, "input %d has type %s, which is not supported here, only %s", i, pt_dtype_name(t->dtype),
                              names_of(allowed_types(op, i), names, sizeof names));
        if ((op->flags & PT_OP_SAME_TYPE) && (allowed_types(op, i) == allowed_types(op, 0))) {
            if (first && first->dtype != t->dtype)
                return pt_op_fail(c, PT_EINVAL, "input %d has type %s, but an earlier one has %s", i, pt_dtype_name(t->dtype),
                                  pt_dtype_name(first->dtype));
            first = t;
        }
    }
    return PT_OK;
}

int pt_eval_infer(struct pt_op_ctx *c, struct pt_arena *mem)
{
    const struct pt_op *op = c->node->op;
    c->params = op->params_size ? pt_arena_alloc(mem, op->params_size) : NULL;
    if (op->params_size && !c->params)
        return pt_op_fail(c, PT_ENOMEM, "out of memory");
    return pt_eval_infer_in(c);
}

pt_op_fn pt_eval_fn(const struct pt_op *op)
{
    return op->flags & PT_OP_WIDEN ? pt_widen_run : op->run;
}

int pt_eval_infer_in(struct pt_op_ctx *c)
{
    const struct pt_op *op = c->node->op;
    int rc = check_types(c);
    if (rc < 0)
        return rc;
    for (int i = 0; i < c->out_count; i++)
        if (c->out[i])
            *c->out[i] = (struct pt_tensor){0};
    if ((rc = op->infer(c)) < 0)
        return rc;
    for (int i = 0; i < c->out_count; i++) {
        struct pt_tensor *t = c->out[i];
        if (t && !pt_tensor_need(t->dtype, t->rank, t->dims, &t->size_bytes))
            return pt_op_fail(c, PT_ELIMIT, "output %d would be %s: too large", i, PT_SHAPE(t));
    }
    if ((op->flags & PT_OP_WIDEN) && __builtin_add_overflow(c->scratch_bytes, pt_widen_bytes(c), &c->scratch_bytes))
        return pt_op_fail(c, PT_ELIMIT, "the working memory would be too large");
    return PT_OK;
}

bool pt_eval_can_fold(const struct pt_op_ctx *c)
{
    if (c->node->op->flags & (PT_OP_SHAPE | PT_OP_RANDOM))
        return c->node->op->flags & PT_OP_SHAPE;
    for (int i = 0; i < c->in_count; i++)
        if (c->in[i] && !c->in[i]->data)
            return false;
    return true;
}

/* Views of a file lie anywhere; operators want elements where C wants them. */
static int align_inputs(struct pt_op_ctx *c, struct pt_tensor *copies, const struct pt_tensor **in)
{
    for (int i = 0; i < c->in_count; i++) {
        in[i] = c->in[i];
        size_t size = c->in[i] ? pt_dtype_size(c->in[i]->dtype) : 0;
        if (!size || !c->in[i]->data || (uintptr_t)c->in[i]->data % (size > 16 ? 8 : size) == 0)
            continue;
        copies[i] = *c->in[i];
        if (!(copies[i].data = pt_alloc_aligned(c->in[i]->size_bytes)))
            return pt_op_fail(c, PT_ENOMEM, "out of memory");
        memcpy(copies[i].data, c->in[i]->data, c->in[i]->size_bytes);
        in[i] = &copies[i];
    }
    return PT_OK;
}

static uint64_t origin_of(const struct pt_op_ctx *c, const struct pt_consts *consts)
{
    uint64_t h = pt_hash64(c->node->op_type.p, c->node->op_type.len, 0);
    for (int i = 0; i < c->in_count; i++)
        h = pt_consts_origin(consts, h, c->in[i] ? c->in[i]->data : NULL);
    return h;
}

/* A single result may be there already: *ready. */
static int alloc_outputs(struct pt_op_ctx *c, struct pt_consts *consts, bool *ready)
{
    bool single = c->out_count == 1 && c->out[0] && c->out[0]->dtype < PT_DTYPE_COUNT && c->out[0]->dtype != PT_STRING;
    uint64_t origin = single && consts->prepared ? origin_of(c, consts) : 0;
    *ready = false;
    for (int i = 0; i < c->out_count; i++) {
        struct pt_tensor *t = c->out[i];
        if (t && !(t->data = pt_consts_make(consts, t->size_bytes, origin, single ? ready : NULL, c->err)))
            return pt_wrap(c->err, "%s", pt_node_text(c->node).s);
    }
    return PT_OK;
}

static int run_aligned(struct pt_op_ctx *c, struct pt_consts *consts, struct pt_tensor *copies, const struct pt_tensor **in)
{
    bool ready;
    int rc = alloc_outputs(c, consts, &ready);
    if (rc < 0 || ready)
        return rc;
    rc = align_inputs(c, copies, in);
    pt_auto_free void *scratch = rc == PT_OK && c->scratch_bytes ? pt_alloc_aligned(c->scratch_bytes) : NULL;
    if (rc == PT_OK && c->scratch_bytes && !scratch)
        rc = pt_op_fail(c, PT_ENOMEM, "out of memory");
    if (rc == PT_OK) {
        const struct pt_tensor *const *given = c->in;
        c->in = in;
        c->scratch = scratch;
        c->consts = consts;
        rc = pt_eval_fn(c->node->op)(c);
        c->in = given;
        c->scratch = NULL;
    }
    if (rc == PT_OK && c->out_count == 1 && c->out[0])
        pt_consts_made(consts, c->out[0]->data);
    for (int i = 0; i < c->in_count; i++)
        pt_free(copies[i].data);
    return rc;
}

int pt_eval_run(struct pt_op_ctx *c, struct pt_consts *consts)
{
    size_t n = (size_t)c->in_count + 1;
    pt_auto_free struct pt_tensor *copies = pt_calloc(n, sizeof *copies);
    pt_auto_free const struct pt_tensor **in = pt_calloc(n, sizeof *in);
    struct pt_err local = {0};
    if (!c->err)
        c->err = &local;
    if (!copies || !in)
        return pt_op_fail(c, PT_ENOMEM, "out of memory");
    return run_aligned(c, consts, copies, in);
}
