/* SPDX-License-Identifier: Apache-2.0
 *
 * op.h: one row per operator. A new operator is one row, one file (close relatives may share one), one case in the tests.
 *
 * `infer` reads the attributes and whatever operands are already known, fills c->params, and sets dtype, rank and dims of each output. `run` is
 * the reference implementation: it computes outputs from inputs, for every version and type that the row lists, and is the definition
 * that kernels are tested against. Neither allocates. In `infer` an operand's data is NULL unless it is a constant; in `run` every given operand
 * has data. Errors are reported with pt_op_fail(), which names the node.
 *
 * Shapes that depend on data: `infer` that needs the value of an operand calls pt_op_const_ints(), pt_op_const_float() or pt_op_needs_data() when
 * the operand's data is NULL. If the value is not known when the program is compiled, the program is split there: everything before runs, then
 * infer is called again, on every run, with all data present, and gives the exact shapes (NonZero's infer counts, Unique's infer sorts and may
 * leave what it found in params); then run. So an operator has no other interface for outputs of unknown size. infer never writes to operands.
 *
 * Strings: a PT_STRING tensor's data is an array of struct pt_string; run fills the views it is given for output and gets room for new bytes
 * from pt_op_alloc(); bytes of an input (or of an attribute) may be shared by an output, they live long enough. Sequences, optionals, maps: the
 * output's data is one struct pt_sequence, pt_optional or pt_map_value (pintle/runtime.h) that run fills; infer says pt_op_set_out(c, i,
 * PT_SEQUENCE, 0, NULL). Items and whatever they point to come from pt_op_alloc(). Tensors that come from another sequence, optional or map
 * may be shared as they are (descriptor copied); operands that are tensors must be copied in (pt_op_keep()), because their memory is reused.
 * A map's keys and values are two tensors of rank 1. E.g. ZipMap: a sequence of count N of items {.dtype = PT_MAP, .data = &map[i],
 * .size_bytes = sizeof(struct pt_map_value)}.
 *
 * What can be made of the attributes alone (trees, dictionaries, a pattern) is made once, when the session is opened: `prepare` takes memory from
 * pt_op_alloc(), which then lives as long as the graph, and infer and run find it in c->node->prepared.
 *
 * Versions: `since` lists the opset versions at which the operator's definition changed; node->version is the model's opset and the code
 * asks `c->node->version < 13`.
 */
#ifndef PT_RUNTIME_OP_H
#define PT_RUNTIME_OP_H

#include "runtime/exec/heap.h"
#include "runtime/exec/threads.h"
#include "runtime/graph/graph.h"

#define PT_MAX_OPSET 28
#define PT_OP_VARIADIC 0x7fffffff

enum pt_op_flags {
    PT_OP_INPLACE = 1,   /* out 0 may use the memory of an input of the same size: elements are computed one by one */
    PT_OP_VIEW = 2,      /* out 0 is input 0 with other dims */
    PT_OP_SHAPE = 4,     /* outputs depend on the dims of the input only */
    PT_OP_SAME_TYPE = 8, /* all given inputs have one element type */
    PT_OP_WIDEN = 16,    /* run sees half-precision operands as float32: widen.h */
    PT_OP_RANDOM = 32,   /* another result every time: never folded or computed once for two */
    PT_OP_DYNAMIC = 256, /* always needs data: infer would call pt_op_needs_data() for any operand (SequenceAt): saves compiling in between */
    PT_OP_CONTROL = 512, /* runs its bodies: exec/control.c has it, infer and run are NULL */
    PT_OP_MAY_LACK = 2048, /* inputs below min_in may be left empty */
};

struct pt_op_ctx {
    const struct pt_node *node;
    const struct pt_tensor *const *in; /* in_count; NULL: not given */
    struct pt_tensor *const *out;      /* out_count; NULL: not wanted */
    int in_count, out_count;
    void *params;               /* op->params_size bytes, zeroed before infer */
    size_t scratch_bytes;       /* infer: what run needs */
    void *scratch;              /* run: 64-byte aligned */
    struct pt_threads *threads; /* run */
    struct pt_heap *heap;       /* run: where pt_op_alloc() takes from; NULL while folding */
    struct pt_consts *consts;   /* run: the same while folding */
    struct pt_err *err;
    bool needs_data; /* infer failed because an operand that decides shapes is not known yet */
};
typedef int (*pt_op_fn)(struct pt_op_ctx *c);
typedef int (*pt_op_prepare_fn)(struct pt_op_ctx *c, void **prepared);

struct pt_op {
    const char *domain, *type;
    uint8_t since[16]; /* ascending, 0 after the last */
    int min_in, max_in, max_out;
    uint32_t types[4]; /* allowed element types of input i; the last non-zero one goes on for the rest */
    unsigned flags;    /* pt_op_flags */
    size_t params_size;
    pt_op_fn infer, run;
    pt_op_prepare_fn prepare;                    /* NULL: nothing to prepare */
    int (*check)(const struct pt_node *n, struct pt_err *err); /* when a model is opened, before types are known; NULL: nothing to check */
    uint64_t (*macs)(const struct pt_op_ctx *c); /* NULL: none worth counting */
};

/* The row, or NULL. *since (may be NULL): the version in force; 0 with NULL. */
const struct pt_op *pt_op_find(struct pt_str domain, struct pt_str type, int64_t version, int *since);
/* What a node's version is to the row that was found: `version`, or for another domain's name of a standard operator the standard's. */
int pt_op_version(struct pt_str domain, struct pt_str type, int version);

/* Writes "node 'x' (Conv): ..." and returns code. */
int pt_op_fail(const struct pt_op_ctx *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4), cold));

/* For run: memory that lives as long as the outputs (64-byte aligned, so ask once for the bytes of all strings; not cleared): until the next
 * execution of the run, or with the graph when constants are folded. Bounded by the memory limit of a run; NULL with the error written. Only from the
 * thread that called run. */
void *pt_op_alloc(struct pt_op_ctx *c, size_t bytes);
/* *out <- a copy of tensor t that lives as long (strings' bytes and what sequences hold are shared, they do already). */
int pt_op_keep(struct pt_op_ctx *c, const struct pt_tensor *t, struct pt_tensor *out);

/* --- attributes ------------------------------------------------------------------------------------------------------------- */
const struct pt_onnx_attr *pt_node_attr(const struct pt_node *n, const char *name); /* or NULL */
/* The attribute or the default; PT_EINVAL when it has another type or lies outside [min, max]. */
int pt_attr_int(struct pt_op_ctx *c, const char *name, int64_t def, int64_t min, int64_t max, int64_t *out);
int pt_attr_float(struct pt_op_ctx *c, const char *name, float def, float *out);
/* *count is -1 when absent (out untouched); more than room values or one outside [min, max] is an error. */
int pt_attr_ints(struct pt_op_ctx *c, const char *name, int64_t min, int64_t max, int64_t *out, int room, int *count);
/* Index of the attribute's string in choices (NULL-terminated), or def when absent. */
int pt_attr_choice(struct pt_op_ctx *c, const char *name, const char *const *choices, int def, int *out);

/* --- operands ----------------------------------------------------------------------------------------------------------------- */
static inline const struct pt_tensor *pt_op_in(const struct pt_op_ctx *c, int i)
{
    return i < c->in_count ? c->in[i] : NULL;
}
/* Axis attribute or value in [-rank, rank) (or [-rank, rank] with `end_ok`), made non-negative. */
int pt_op_axis(struct pt_op_ctx *c, const char *what, int64_t axis, int rank, bool end_ok, int *out);
/* Fails because input i decides shapes and is not known before the run. */
int pt_op_needs_data(struct pt_op_ctx *c, int i, const char *what);
/* The type that run will see for an operand of type t, of an operator with PT_OP_WIDEN: what infer picks loops by. */
static inline enum pt_dtype pt_widened(enum pt_dtype t)
{
    return PT_TS_HALF & PT_T(t) ? PT_FLOAT : t;
}
/* Integers of a constant input (int32 or int64, rank <= 1). *count -1 when not given; pt_op_needs_data() when it is not known. */
int pt_op_const_ints(struct pt_op_ctx *c, int i, const char *what, int64_t *out, int room, int *count);
/* Same for any length: a single scalar. */
int pt_op_const_float(struct pt_op_ctx *c, int i, const char *what, double *out);
bool pt_op_set_out(struct pt_op_ctx *c, int i, enum pt_dtype dtype, int rank, const int64_t *dims); /* false: output not wanted */
void pt_op_like(struct pt_op_ctx *c, int i, const struct pt_tensor *t);
/* Scalar element as a number; index must be in range. */
int64_t pt_elem_i64(const struct pt_tensor *t, int64_t index);
double pt_elem_f64(const struct pt_tensor *t, int64_t index);

/* --- broadcasting (multidirectional, as numpy) --------------------------------------------------------------------------------- */
/* dims (rank in *rank) <- dims with t's dims; false when they do not fit. Start with *rank = 0. */
bool pt_bcast_dims(int64_t *dims, int *rank, const struct pt_tensor *t);

#define PT_BCAST_MAX 4
/* A walk over the output in rows of `n` elements; operand k of a row starts at element off[k] and steps by step[k]. Neighbouring axes are merged. */
struct pt_bcast {
    int operands, rank; /* outer axes */
    int64_t dims[PT_MAX_RANK], stride[PT_BCAST_MAX][PT_MAX_RANK];
    int64_t n, step[PT_BCAST_MAX];
    int64_t rows;
};
/* out and `operands` inputs that broadcast to it. */
void pt_bcast_init(struct pt_bcast *b, const struct pt_tensor *out, int operands, const struct pt_tensor *const *in);
/* The same with explicit element strides: stride[k] has out->rank entries. */
void pt_bcast_init_strided(struct pt_bcast *b, const struct pt_tensor *out, int operands, const int64_t *const *stride);
/* Offsets of row r. */
void pt_bcast_row(const struct pt_bcast *b, int64_t r, int64_t off[PT_BCAST_MAX]);

/* --- generic elementwise ops ---------------------------------------------------------------------------------------------------- */
int pt_infer_same(struct pt_op_ctx *c);      /* out 0 is like in 0 */
int pt_infer_broadcast(struct pt_op_ctx *c); /* out 0: in 0's type, all inputs broadcast */

/* X(enum, C type, unsigned type of the same width, suffix) per arithmetic type. */
#define PT_INT_ROWS(X)                                                                                                                               \
    X(PT_INT8, int8_t, uint8_t, i8)                                                                                                                  \
    X(PT_INT16, int16_t, uint16_t, i16)                                                                                                              \
    X(PT_INT32, int32_t, uint32_t, i32)                                                                                                              \
    X(PT_INT64, int64_t, uint64_t, i64)                                                                                                              \
    X(PT_UINT8, uint8_t, uint8_t, u8)                                                                                                                \
    X(PT_UINT16, uint16_t, uint16_t, u16)                                                                                                            \
    X(PT_UINT32, uint32_t, uint32_t, u32)                                                                                                            \
    X(PT_UINT64, uint64_t, uint64_t, u64)
#define PT_FLOAT_ROWS(X)                                                                                                                             \
    X(PT_FLOAT, float, float, f32)                                                                                                                   \
    X(PT_DOUBLE, double, double, f64)
#define PT_NUM_ROWS(X) PT_INT_ROWS(X) PT_FLOAT_ROWS(X)

#endif
