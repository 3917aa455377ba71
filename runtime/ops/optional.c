/* SPDX-License-Identifier: Apache-2.0
 *
 * optional.c: Optional, OptionalHasElement and OptionalGetElement. From version 18 on the last two also take a tensor or sequence as it is.
 */
#include "runtime/ops/types.h"

static int optional_infer(struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *type = pt_node_attr(c->node, "type");
    if (!pt_op_in(c, 0) && (!type || type->type != PT_ATTR_TYPE_PROTO))
        return pt_op_fail(c, PT_EINVAL, "neither an input nor attribute 'type' says what it would hold");
    pt_op_set_out(c, 0, PT_OPTIONAL, 0, NULL);
    return PT_OK;
}

static int optional_run(struct pt_op_ctx *c)
{
    struct pt_optional *y = c->out[0]->data;
    *y = (struct pt_optional){0};
    if (!pt_op_in(c, 0))
        return PT_OK;
    struct pt_tensor *value = pt_op_alloc(c, sizeof *value);
    y->value = value;
    return value ? pt_op_keep(c, c->in[0], value) : c->err ? c->err->code : PT_ENOMEM;
}

static int has_infer(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_BOOL, 0, NULL);
    return PT_OK;
}

static int has_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *x = pt_op_in(c, 0);
    *(uint8_t *)c->out[0]->data = x && (x->dtype != PT_OPTIONAL || ((const struct pt_optional *)x->data)->value);
    return PT_OK;
}

/* What is inside; NULL without. */
static const struct pt_tensor *inside(const struct pt_tensor *x)
{
    return x->dtype == PT_OPTIONAL ? ((const struct pt_optional *)x->data)->value : x;
}

static int get_infer(struct pt_op_ctx *c)
{
    if (c->in[0]->dtype == PT_OPTIONAL && !c->in[0]->data)
        return pt_op_needs_data(c, 0, "optional");
    const struct pt_tensor *t = inside(c->in[0]);
    if (!t)
        return pt_op_fail(c, PT_EINVAL, "the optional is empty");
    pt_op_like(c, 0, t);
    return PT_OK;
}

static int get_run(struct pt_op_ctx *c)
{
    const struct pt_tensor *t = inside(c->in[0]);
    if (t->size_bytes)
        memcpy(c->out[0]->data, t->data, t->size_bytes);
    return PT_OK;
}

const struct pt_op pt_op_optional = {.type = "Optional",
                                     .since = {15},
                                     .min_in = 0,
                                     .max_in = 1,
                                     .max_out = 1,
                                     .types = {PT_TS_ANY | PT_T(PT_SEQUENCE)},
                                     .infer = optional_infer,
                                     .run = optional_run};
const struct pt_op pt_op_optional_has_element = {.type = "OptionalHasElement",
                                                 .since = {15, 18},
                                                 .min_in = 0,
                                                 .max_in = 1,
                                                 .max_out = 1,
                                                 .types = {UINT32_MAX},
                                                 .infer = has_infer,
                                                 .run = has_run};
const struct pt_op pt_op_optional_get_element = {.type = "OptionalGetElement",
                                                 .since = {15, 18},
                                                 .min_in = 1,
                                                 .max_in = 1,
                                                 .max_out = 1,
                                                 .types = {UINT32_MAX},
                                                 .flags = PT_OP_DYNAMIC,
                                                 .infer = get_infer,
                                                 .run = get_run};
