/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.h: what a rule of differentiation sees and builds with. To add the derivative of an operator: a row in one of the rules_*.c, a case in
 * tests/unit/runtime/gradients.c, which holds it against difference quotients.
 *
 * A rule gives the contribution to the adjoint of input k of a node, as a value that it builds: a value id, PT_GRAD_NONE when the output does not
 * depend on that input (or in steps only), or a negative code with the error written. A value id that is negative or PT_GRAD_NONE may be handed to
 * the functions that build: the first goes through, the second is an operand that is not given. So rules are written as formulas.
 */
#ifndef PT_RUNTIME_TRAIN_RULES_H
#define PT_RUNTIME_TRAIN_RULES_H

#include "runtime/train/gradient.h"
#include "runtime/train/ops.h"

#define PT_GRAD_NONE 0x7fffffff

struct pt_grad {
    struct pt_graph *g;
    struct pt_err *err;
    struct pt_str name; /* of the Gradient node, for the names of what it becomes */
    int *adjoint;       /* per value that was there before: value id or -1 */
    uint8_t *depends;   /* per the same: on one of xs */
    int known;          /* how many were there */
};

struct pt_grad_site {
    struct pt_node n; /* a copy: the array moves while nodes are added */
    int k;            /* which input */
    int y, dy;        /* output 0, and its adjoint or PT_GRAD_NONE */
    int shared;       /* what the rule made for all inputs of the node at once, -1: nothing yet */
};

typedef int (*pt_grad_fn)(struct pt_grad *d, struct pt_grad_site *s);

enum pt_grad_flags {
    PT_GRAD_SHAPED = 1, /* what the rule gives has the shape of the input: nothing is to be summed over what broadcasting repeated */
    PT_GRAD_ALL = 2     /* the rule looks at the adjoints of all outputs; others are called only when output 0 has one, and refuse further ones */
};
struct pt_grad_rule {
    const struct pt_op *op;
    pt_grad_fn rule;
    unsigned flags;
};
extern const struct pt_grad_rule pt_grad_rules_math[], pt_grad_rules_shape[], pt_grad_rules_nn[],
    pt_grad_rules_composed[]; /* each ends with a row without op */

/* Operand i of the node, or PT_GRAD_NONE. */
static inline int pt_grad_in(const struct pt_grad_site *s, int i)
{
    return i < s->n.input_count && s->n.inputs[i] >= 0 ? s->n.inputs[i] : PT_GRAD_NONE;
}
/* The adjoint of output i, or PT_GRAD_NONE. */
static inline int pt_grad_dy(const struct pt_grad *d, const struct pt_grad_site *s, int i)
{
    int y = i < s->n.output_count ? s->n.outputs[i] : -1;
    return y >= 0 && d->adjoint[y] >= 0 ? d->adjoint[y] : PT_GRAD_NONE;
}

/* A node op(in...) with `outputs` outputs, ids one after the other; the first, or a negative code. `of` (or NULL) gives its attributes and version.
 */
int pt_grad_node(struct pt_grad *d, const struct pt_op *op, const struct pt_node *of, const int *in, int in_count, int outputs);
#define PT_GRAD_IN(...) (const int[]){__VA_ARGS__}, (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int))
#define pt_grad_emit(d, op, ...) pt_grad_node(d, op, NULL, PT_GRAD_IN(__VA_ARGS__), 1)
/* The same with the attributes of the node that is differentiated. */
#define pt_grad_emit_like(d, op, s, ...) pt_grad_node(d, op, &(s)->n, PT_GRAD_IN(__VA_ARGS__), 1)
/* Gives the node that makes `value` another attribute; value may be a negative code. Returns value, or a negative code. */
int pt_grad_set_int(struct pt_grad *d, int value, const char *name, int64_t v);
int pt_grad_set_ints(struct pt_grad *d, int value, const char *name, const int64_t *v, size_t count);
int pt_grad_set_text(struct pt_grad *d, int value, const char *name, struct pt_str v); /* of the graph's memory */
int pt_grad_set_float(struct pt_grad *d, int value, const char *name, float v);
/* What the node's attribute says, or `def`. */
float pt_grad_attr_float(const struct pt_grad_site *s, const char *name, float def);
int64_t pt_grad_attr_int(const struct pt_grad_site *s, const char *name, int64_t def);
/* A constant of int64, a list of them; a number of the element type of `like`. */
int pt_grad_int64(struct pt_grad *d, int64_t v);
int pt_grad_int64s(struct pt_grad *d, const int64_t *v, size_t count);
#define pt_grad_list(d, ...) pt_grad_int64s(d, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
int pt_grad_number(struct pt_grad *d, float v, int like);

#endif
