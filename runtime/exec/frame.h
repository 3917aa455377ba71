/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.h: one graph being executed: the model's, or a body of a control-flow node.
 *
 * A frame walks a chain of programs (compile/program.h), one level each: the steps of a program, then its frontier node by node, then the program
 * for the rest. It keeps the memory of every level for the next execution: executing shapes seen before allocates nothing.
 *
 * Memory. The arena holds what only one program needs; all levels of a frame share it. What is read later lies in the level's `keep`, results of
 * the frontier in rooms of their own, strings and items of sequences in the run's heap. So a value, once made, stays until the frame is executed
 * again, and a body's results are handed on without copying: a loop alternates between two frames of its body, reading the results of one while
 * the other runs. A frame's outputs never lie in the memory of its inputs.
 */
#ifndef PT_RUNTIME_EXEC_FRAME_H
#define PT_RUNTIME_EXEC_FRAME_H

#include "runtime/exec/session.h"

#include <stdatomic.h>

/* What all frames of a run share. */
struct pt_exec {
    struct pt_session *session;
    struct pt_heap heap;
    uint64_t room_bytes; /* of all rooms together, at most the session's max_arena_bytes */
    atomic_bool cancelled;
    int64_t deadline_ns;           /* monotonic; 0: none */
    struct pt_run_options options; /* of the current execution */
    const struct pt_tensor *bound; /* by output of the model's graph: the caller's memory; data NULL: none */
    int depth;                     /* of bodies being executed */
};
/* Fails when the execution was cancelled or its time is up. */
int pt_exec_check(const struct pt_exec *x, struct pt_err *err);

/* Memory that grows when it must and shrinks when it has been far too large for a while. */
struct pt_room {
    void *p;
    size_t bytes, peak; /* peak: asked for since age was 0 */
    int age;
};
/* At least `bytes` (never NULL for 0), 64-byte aligned; what was in it is lost when it grows, unless kept_bytes says how much to keep. */
int pt_room_get(struct pt_exec *x, struct pt_room *r, size_t bytes, size_t kept_bytes, struct pt_err *err);
/* Once per execution: gives back what was not needed for long. */
void pt_room_age(struct pt_exec *x, struct pt_room *r);
void pt_room_finish(struct pt_exec *x, struct pt_room *r);

struct pt_level {
    struct pt_program *program;  /* held, or NULL */
    struct pt_tensor *tensors;   /* one per slot */
    struct pt_tensor **operands; /* as program->operands */
    struct pt_room keep;
    struct pt_tensor *later;     /* as program->later */
    const struct pt_tensor **later_list;
    struct pt_room *later_rooms;
    size_t tensor_room, operand_room, later_room;
};

struct pt_frame;
struct pt_kid {
    const struct pt_node *node;
    int which;
    struct pt_frame *frame;
};

struct pt_frame {
    struct pt_exec *x;
    const struct pt_graph *graph;
    const struct pt_tensor **values; /* by the graph's value: what has been made and is still read */
    struct pt_level *levels;
    struct pt_room arena, params;
    struct pt_room lists;            /* for whoever executes the frame: what it must remember between executions */
    struct pt_tensor *copies;        /* of outputs that would lie in an input's memory */
    struct pt_room *copy_rooms;
    const struct pt_tensor **in;     /* operands of one node of the frontier */
    struct pt_tensor **out;
    const struct pt_tensor **args;   /* for whoever executes the frame: as many as the graph has inputs, */
    struct pt_room *arg_rooms;       /* and memory for those that it must make first */
    struct pt_kid *kids;
    int level_count, kid_count;
};

int pt_frame_create(struct pt_exec *x, const struct pt_graph *g, struct pt_frame **out, struct pt_err *err);
void pt_frame_destroy(struct pt_frame *f);
/* inputs: as many as the graph has; borrowed until the frame is executed again or its outputs are not read any more. */
int pt_frame_execute(struct pt_frame *f, const struct pt_tensor *const *inputs, struct pt_err *err);
static inline const struct pt_tensor *pt_frame_output(const struct pt_frame *f, int i)
{
    return f->values[f->graph->outputs[i]];
}
/* The frame number `which` of a body of a node of f's graph, made when first asked for. */
int pt_frame_kid(struct pt_frame *f, const struct pt_node *n, const struct pt_graph *body, int which, struct pt_frame **out, struct pt_err *err);

#endif
