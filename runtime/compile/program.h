/* SPDX-License-Identifier: Apache-2.0
 *
 * program.h: a graph compiled for one set of input shapes: an array of steps over numbered slots, with all memory planned.
 *
 * Where shapes depend on data a program ends: its frontier are the nodes that can only be looked at when everything before has been computed (infer
 * asked for data, or they are control flow), `rest` what depends on them. The executor evaluates the frontier node by node, each with infer and
 * the reference operator, and goes on with a program that is compiled for the rest and the shapes that came out: a child of this one. Only shapes
 * are keys, so another value that leads to the same shapes finds its program. Everything that does not depend on the frontier is in this program,
 * so a small operator that depends on data makes only what follows it compile again.
 *
 * A slot is a tensor: an input of the run, a constant, a place in the arena, or another slot seen with other dims. Slots below the
 * graph's value_count are the graph's values; the rest are made by lowering (other layouts, copies). A step is a function with its operands;
 * executing a program is calling them in order (exec/). Nothing in a program changes after it is compiled; runs share it.
 */
#ifndef PT_RUNTIME_PROGRAM_H
#define PT_RUNTIME_PROGRAM_H

#include "runtime/kernels/kernels.h"
#include "runtime/ops/op.h"

/* How the elements of a tensor lie. Dims are always in the model's order. */
enum pt_layout {
    PT_LAYOUT_PLAIN,        /* row-major */
    PT_LAYOUT_CHANNELS_LAST /* axis 1 innermost; rank >= 3 */
};

enum pt_place {
    PT_PLACE_NONE,  /* not known yet */
    PT_PLACE_CONST,
    PT_PLACE_INPUT, /* made before this program: an input of the graph, a result of an earlier program or its frontier */
    PT_PLACE_ARENA,
    PT_PLACE_ALIAS,
    PT_PLACE_LATER  /* a result of the frontier */
};

struct pt_slot {
    struct pt_tensor t; /* data: constants only */
    enum pt_place place;
    enum pt_layout layout;
    int index;          /* INPUT: which value of the graph; ALIAS: of which slot */
    bool kept;          /* ARENA: in the memory that outlives the program */
    int twin;           /* the same value in the other layout, or -1 */
    int wide;           /* while lowering: the same value in float32, of a half slot, or -1 */
    enum pt_dtype stored; /* while lowering, CONST of float32: its data still are of this half type; 0: they are not */
    bool shared;        /* CONST that belongs to the graph, not to this program */
    int reads;          /* while lowering: nodes and outputs that read it */
    int step;           /* while lowering: the step that makes it, or -1 */
    int first, last;    /* ARENA: steps between which it is alive */
    size_t offset;      /* ARENA */
};

/* What later nodes may add to a matrix product or a convolution while lowering: y = act(alpha * product + bias + residual). */
struct pt_fused {
    float alpha;
    bool scales;             /* alpha may change */
    enum pt_act act;
    float lo, hi;            /* PT_ACT_CLIP */
    int bias, residual;      /* which operands of the step they are; the slot is -1 while there is none */
    int64_t columns;         /* values of a bias */
    bool is_conv;            /* columns are axis 1 (channels), else the last axis */
};

struct pt_step {
    const struct pt_node *node;
    pt_op_fn run;            /* NULL: merged into another step, to be dropped */
    void *params;
    int operands;            /* index in program->operands: inputs, then outputs */
    int in_count, out_count;
    unsigned inplace;        /* bit i: output 0 may be written over input i, if that has its shape */
    bool view;               /* output 0 may share input 0's memory */
    struct pt_fused *fused;  /* or NULL */
    size_t scratch_bytes;
};

struct pt_program {
    struct pt_arena mem;
    struct pt_consts consts;
    struct pt_slot *slots;
    struct pt_step *steps;
    int *operands;            /* slot or -1 */
    int slot_count, slot_room, step_count, step_room, operand_count, operand_room;
    const struct pt_graph *graph;
    struct pt_program *parent; /* whose rest this is; held. NULL: the first */
    int depth;
    int *inputs;              /* values whose shapes it was compiled for: the graph's inputs, or the parent's later */
    int *outputs;             /* slots of what is read after it: by the frontier, the rest, or the caller */
    int *output_values;       /* the graph's values they are */
    int input_count, output_count;
    const struct pt_node **frontier, **rest;
    int *later;               /* values that the frontier makes */
    int frontier_count, rest_count, later_count;
    size_t arena_bytes, scratch_offset, keep_bytes;
    uint64_t macs;
    int refs;                 /* runs that hold it, plus one for the cache */
    uint64_t used;            /* for least recently used */
};

struct pt_packs;

struct pt_compile_options {
    uint64_t max_arena_bytes;
    int threads;            /* kernels size their workspaces by it */
    struct pt_threads *pool; /* packs weights; NULL: the calling thread does */
    struct pt_packs *packs; /* weights packed once for all programs of a session */
    bool no_opt;            /* reference operators only */
    uint32_t off;           /* rewrites left out, as bits */
};

/* inputs: dtype and dims of each input of the graph or, with a parent, of each value in parent->later. Holds the parent. */
int pt_program_create(const struct pt_graph *g, struct pt_program *parent, const struct pt_tensor *const *inputs, const struct pt_compile_options *o,
                      struct pt_program **out, struct pt_err *err);
/* Was p compiled for inputs like these? */
bool pt_program_is_for(const struct pt_program *p, const struct pt_tensor *const *inputs);
/* Not the parent: whoever counts references lets go of it. */
void pt_program_destroy(struct pt_program *p);

/* The slot whose memory this one has. */
static inline int pt_program_root(const struct pt_program *p, int slot)
{
    while (p->slots[slot].place == PT_PLACE_ALIAS)
        slot = p->slots[slot].index;
    return slot;
}
/* The same for the slot of a value that is read after the program; -1 when it makes no such value. */
static inline int pt_program_output_root(const struct pt_program *p, int value)
{
    for (int i = 0; i < p->output_count; i++)
        if (p->output_values[i] == value)
            return pt_program_root(p, p->outputs[i]);
    return -1;
}

/* Gives every arena slot its offset. steps and operands are final. */
int pt_program_plan(struct pt_program *p, uint64_t max_arena_bytes, struct pt_err *err);

/* --- evaluation of single nodes (folding and inference share it) --------------------------------------------------------------- */
/* Checks types, calls infer and computes the outputs' sizes. c->in, c->out, c->node, c->err are set; params come from mem. */
int pt_eval_infer(struct pt_op_ctx *c, struct pt_arena *mem);
/* Are the outputs known without running: every operand is, or only dims count? */
bool pt_eval_can_fold(const struct pt_op_ctx *c);
/* The same with params (op->params_size bytes, zeroed) set by the caller. */
int pt_eval_infer_in(struct pt_op_ctx *c);
/* What computes the node: its reference operator, behind a conversion where it wants one. */
pt_op_fn pt_eval_fn(const struct pt_op *op);
/* After pt_eval_infer: allocates the outputs in consts and runs the reference. Inputs may be unaligned. */
int pt_eval_run(struct pt_op_ctx *c, struct pt_consts *consts);

/* --- packed weights ------------------------------------------------------------------------------------------------------------------- */
/* Memory derived from constants of the graph, made on first use and kept for the session. */
struct pt_pack_key {
    const void *data;
    uint64_t kind; /* hash of what was made of it */
};
typedef int (*pt_pack_fn)(void *arg, void *out, struct pt_err *err);
struct pt_packs *pt_packs_create(void);
void pt_packs_destroy(struct pt_packs *p);
/* Packs that are made out of the model's weights are looked for there first, and kept there. */
void pt_packs_keep_in(struct pt_packs *p, struct pt_prepared *prepared);
/* The packed bytes for key; fill is called once to make them. NULL on failure. Not thread-safe: compilation is serialised. */
void *pt_packs_get(struct pt_packs *p, struct pt_pack_key key, size_t bytes, pt_pack_fn fill, void *arg, struct pt_err *err);
/* The same, but fill is called by pt_packs_fill, with a copy of arg and perhaps on another thread: until then the bytes are not to be read. */
void *pt_packs_later(struct pt_packs *p, struct pt_pack_key key, size_t bytes, pt_pack_fn fill, const void *arg, size_t arg_bytes, struct pt_err *err);
/* Just that for memory of the caller's, which is as long there. */
int pt_packs_queue(struct pt_packs *p, void *data, size_t bytes, pt_pack_fn fill, const void *arg, size_t arg_bytes, struct pt_err *err);
/* Calls what waits, on all threads of the pool (NULL: here). After a failure what waited is forgotten. */
int pt_packs_fill(struct pt_packs *p, struct pt_threads *pool, struct pt_err *err);
void pt_packs_forget(struct pt_packs *p); /* what waits, and the packs that it would have filled */

#endif
