/* SPDX-License-Identifier: Apache-2.0
 *
 * control.c: what If, Loop, Scan, SequenceMap and FlexAttention must look like. exec/control.c executes them.
 */
#include "runtime/ops/op.h"

static int own_inputs(const struct pt_node *n)
{
    return n->input_count - n->capture_count;
}

static int need_body(const struct pt_node *n, const char *name, struct pt_graph **body, struct pt_err *err)
{
    *body = pt_node_body(n, name);
    return *body ? PT_OK : pt_fail(err, PT_EINVAL, "%s: attribute '%s' is missing or no graph", pt_node_text(n).s, name);
}

static int check_if(const struct pt_node *n, struct pt_err *err)
{
    static const char *const names[] = {"then_branch", "else_branch"};
    for (int i = 0; i < 2; i++) {
        struct pt_graph *body;
        int rc = need_body(n, names[i], &body, err);
        if (rc < 0)
            return rc;
        if (body->own_input_count)
            return pt_fail(err, PT_EINVAL, "%s: %s has %d inputs, a branch has none", pt_node_text(n).s, names[i], body->own_input_count);
        if (body->output_count < n->output_count)
            return pt_fail(err, PT_EINVAL, "%s: %s has %d outputs, the node %d", pt_node_text(n).s, names[i], body->output_count, n->output_count);
    }
    return PT_OK;
}

static int check_loop(const struct pt_node *n, struct pt_err *err)
{
    struct pt_graph *body;
    int rc = need_body(n, "body", &body, err);
    if (rc < 0)
        return rc;
    int states = body->own_input_count - 2;
    if (states < 0 || (own_inputs(n) > 2 ? own_inputs(n) - 2 : 0) != states)
        return pt_fail(err, PT_EINVAL, "%s: the body has %d inputs, must have those for the iteration, the condition and %d states",
                       pt_node_text(n).s, body->own_input_count, own_inputs(n) > 2 ? own_inputs(n) - 2 : 0);
    if (body->output_count < 1 + states || body->output_count - 1 < n->output_count)
        return pt_fail(err, PT_EINVAL, "%s: the body has %d outputs for the condition, %d states and the stacked ones of %d outputs",
                       pt_node_text(n).s, body->output_count, states, n->output_count);
    return PT_OK;
}

static int check_scan(const struct pt_node *n, struct pt_err *err)
{
    const struct pt_onnx_attr *a = pt_node_attr(n, "num_scan_inputs");
    struct pt_graph *body;
    int inputs = own_inputs(n) - (n->version < 9 ? 1 : 0), rc = need_body(n, "body", &body, err);
    if (rc < 0)
        return rc;
    if (!a || a->type != PT_ATTR_INT || a->i < 1 || a->i > inputs)
        return pt_fail(err, PT_EINVAL, "%s: attribute 'num_scan_inputs' = %lld is missing or outside 1 to %d", pt_node_text(n).s,
                       a && a->type == PT_ATTR_INT ? (long long)a->i : 0, inputs);
    int states = inputs - (int)a->i;
    if (body->own_input_count != inputs || body->output_count < states || body->output_count < n->output_count)
        return pt_fail(err, PT_EINVAL, "%s: the body has %d inputs and %d outputs, for %d inputs, %d of them states, and %d outputs",
                       pt_node_text(n).s, body->own_input_count, body->output_count, inputs, states, n->output_count);
    return PT_OK;
}

static int check_sequence_map(const struct pt_node *n, struct pt_err *err)
{
    struct pt_graph *body;
    int rc = need_body(n, "body", &body, err);
    if (rc == PT_OK && (body->own_input_count != own_inputs(n) || body->output_count < n->output_count))
        rc = pt_fail(err, PT_EINVAL, "%s: the body has %d inputs and %d outputs, the node %d and %d", pt_node_text(n).s, body->own_input_count,
                     body->output_count, own_inputs(n), n->output_count);
    return rc;
}

/* Both graphs are optional, and then the operator is no more than attention. */
static int check_flex_attention(const struct pt_node *n, struct pt_err *err)
{
    static const char *const names[] = {"score_mod", "prob_mod"};
    for (int i = 0; i < 2; i++) {
        const struct pt_graph *body = pt_node_body(n, names[i]);
        if (body && (body->own_input_count != 1 || body->output_count != 1))
            return pt_fail(err, PT_EINVAL, "%s: %s has %d inputs and %d outputs, must have one each", pt_node_text(n).s, names[i],
                           body->own_input_count, body->output_count);
    }
    return PT_OK;
}

const struct pt_op pt_op_if = {.type = "If",
                               .since = {1, 11, 13, 16, 19, 21, 23, 24, 25},
                               .min_in = 1,
                               .max_in = 1,
                               .max_out = PT_OP_VARIADIC,
                               .flags = PT_OP_CONTROL,
                               .check = check_if};
const struct pt_op pt_op_loop = {.type = "Loop",
                                 .since = {1, 11, 13, 16, 19, 21, 23, 24, 25},
                                 .min_in = 0,
                                 .max_in = PT_OP_VARIADIC,
                                 .max_out = PT_OP_VARIADIC,
                                 .flags = PT_OP_CONTROL,
                                 .check = check_loop};
const struct pt_op pt_op_scan = {.type = "Scan",
                                 .since = {8, 9, 11, 16, 19, 21, 23, 24, 25},
                                 .min_in = 1,
                                 .max_in = PT_OP_VARIADIC,
                                 .max_out = PT_OP_VARIADIC,
                                 .flags = PT_OP_CONTROL | PT_OP_MAY_LACK,
                                 .check = check_scan};
const struct pt_op pt_op_sequence_map = {.type = "SequenceMap",
                                         .since = {17},
                                         .min_in = 1,
                                         .max_in = PT_OP_VARIADIC,
                                         .max_out = PT_OP_VARIADIC,
                                         .flags = PT_OP_CONTROL,
                                         .check = check_sequence_map};
const struct pt_op pt_op_flex_attention = {.domain = "ai.onnx.preview",
                                           .type = "FlexAttention",
                                           .since = {1},
                                           .min_in = 3,
                                           .max_in = 3,
                                           .max_out = 1,
                                           .flags = PT_OP_CONTROL,
                                           .check = check_flex_attention};
