/* SPDX-License-Identifier: Apache-2.0
 *
 * control.h: nodes that execute graphs (PT_OP_CONTROL), and what they share.
 *
 * A body gets its own inputs from the operator's code and its captures from the node's additional operands. Iterations alternate between two frames
 * of the body, so that one iteration can read what the one before made.
 */
#ifndef PT_RUNTIME_EXEC_CONTROL_H
#define PT_RUNTIME_EXEC_CONTROL_H

#include "runtime/exec/frame.h"

struct pt_control {
    struct pt_frame *frame;
    const struct pt_node *node;
    const struct pt_tensor *const *in; /* operands, captures included */
    struct pt_tensor *const *out;      /* to be filled; NULL: not wanted */
    struct pt_room *const *rooms;      /* memory for each output */
    struct pt_err *err;
};
int pt_control_run(struct pt_control *c);
int pt_control_if(struct pt_control *c);
int pt_control_loop(struct pt_control *c);
int pt_control_scan(struct pt_control *c);
int pt_control_sequence_map(struct pt_control *c);
int pt_control_flex_attention(struct pt_control *c);

/* --- for operators ---------------------------------------------------------------------------------------------------------------- */
/* Writes "node 'x' (Loop): ..." and returns code. */
int pt_control_fail(const struct pt_control *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4), cold));
/* Operand i, captures not counted; NULL when not given. */
const struct pt_tensor *pt_control_in(const struct pt_control *c, int i);
/* Frame `which` of a body, with its captures set. */
int pt_control_kid(struct pt_control *c, const struct pt_graph *body, int which, struct pt_frame **kid);
/* Executes it on kid->args. */
int pt_control_execute(struct pt_control *c, struct pt_frame *kid);
/* Cleared memory that stays until the node is executed again; once per execution of the node. kid: any frame of a body of it. */
void *pt_control_lists(struct pt_control *c, struct pt_frame *kid, size_t bytes);

/* --- stack.c: an output made of slices, one per iteration -------------------------------------------------------------------------------- */
/* Its memory is taken at the first slice, because only then the shape is known. */
struct pt_stack {
    struct pt_tensor *out; /* NULL: not wanted */
    struct pt_room *room;
    int axis;              /* of the slices in the output */
    bool started;
};
void pt_stack_init(struct pt_stack *s, struct pt_control *c, int output);
/* One more slice behind `at` others, along axis 0. */
int pt_stack_append(struct pt_control *c, struct pt_stack *s, const struct pt_tensor *slice, int64_t at);
/* Slice `at` of `length`, anywhere along the axis. batch, batches: the stack is one of several behind each other; 0, 0: it is not. */
int pt_stack_place(struct pt_control *c, struct pt_stack *s, const struct pt_tensor *slice, int64_t at, int64_t length, int64_t batch, int64_t batches);
/* At the end: when no slice came, the shape is what the body says of it; dims that it does not say are 0. */
int pt_stack_finish(struct pt_control *c, struct pt_stack *s, const struct pt_value_info *info, int64_t length, int64_t batches);

#endif
