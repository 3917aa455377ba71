/* SPDX-License-Identifier: Apache-2.0
 *
 * pintle/runtime.h: run ONNX models from C. The library's one public header; it needs nothing but libc, libm and threads.
 *
 *     struct pt_err err;
 *     struct pt_session *s; struct pt_run *r;
 *     if (pt_session_open("digits.onnx", NULL, &s, &err) < 0) { fprintf(stderr, "%s\n", err.msg); return 1; }
 *     if (pt_run_create(s, &r, &err) < 0) ...
 *     float x[64] = {...};
 *     struct pt_tensor in = {.dtype = PT_FLOAT, .rank = 4, .dims = {1, 1, 8, 8}, .data = x, .size_bytes = sizeof x};
 *     if (pt_run_set_input(r, 0, &in, &err) < 0 || pt_run_execute(r, &err) < 0) ...
 *     const struct pt_tensor *out = pt_run_output(r, 0);
 *
 * A session is a model made ready: immutable, safe to share between threads. A run is the state of one execution at a time
 * (arena, inputs, outputs); make one per thread that executes. The first execution with new input shapes compiles a program for
 * them (the session keeps a bounded number) and sizes the arena; later ones with the same shapes allocate nothing. The same holds where shapes
 * depend on values in the model: the program stops there and goes on with one for the shapes that came out.
 *
 * Every function that can fail returns 0 or a negative code and, if err is not NULL, a one-line message that names the node, the
 * attribute, the input and the value concerned. No input, model or data, ends the process.
 */
#ifndef PINTLE_RUNTIME_H
#define PINTLE_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PT_API __attribute__((visibility("default")))

#ifndef PT_ERR_STRUCT
#define PT_ERR_STRUCT
struct pt_err {
    int code;      /* 0 or a negative code */
    char msg[504]; /* one line, no newline, always terminated; cut with "..." when too long */
};
#endif

/* Element types, numbered as ONNX's TensorProto.DataType. */
enum pt_dtype {
    PT_UNDEFINED = 0, PT_FLOAT = 1, PT_UINT8 = 2, PT_INT8 = 3, PT_UINT16 = 4, PT_INT16 = 5, PT_INT32 = 6, PT_INT64 = 7, PT_STRING = 8,
    PT_BOOL = 9, PT_FLOAT16 = 10, PT_DOUBLE = 11, PT_UINT32 = 12, PT_UINT64 = 13, PT_COMPLEX64 = 14, PT_COMPLEX128 = 15, PT_BFLOAT16 = 16,
    PT_FLOAT8E4M3FN = 17, PT_FLOAT8E4M3FNUZ = 18, PT_FLOAT8E5M2 = 19, PT_FLOAT8E5M2FNUZ = 20, PT_UINT4 = 21, PT_INT4 = 22, PT_FLOAT4E2M1 = 23,
    PT_FLOAT8E8M0 = 24, PT_UINT2 = 25, PT_INT2 = 26,
    PT_DTYPE_COUNT,
    /* Not element types: what else a value can be. Its tensor has rank 0 and its data points to one struct pt_sequence, pt_optional or pt_map_value. */
    PT_SEQUENCE = 28, PT_OPTIONAL = 29, PT_MAP = 30
};
PT_API const char *pt_dtype_name(enum pt_dtype t);        /* "float32", "int64", ...; numpy's names where it has one */
PT_API unsigned pt_dtype_bits(enum pt_dtype t);           /* 32 for PT_FLOAT, 4 for PT_INT4; 0 for strings and undefined */

#define PT_MAX_RANK 16

/* A view of a dense row-major tensor. Who owns data is said by the function that takes or gives it.
 * Types under 8 bits are packed, low bits first, as ONNX does. */
struct pt_tensor {
    enum pt_dtype dtype;
    int rank;
    int64_t dims[PT_MAX_RANK];
    void *data;        /* PT_STRING: an array of struct pt_string */
    size_t size_bytes; /* of data; must equal what dtype and dims need */
};
struct pt_string {
    const char *p;
    size_t len;
};
/* PT_SEQUENCE, PT_OPTIONAL, PT_MAP: what the data of such a value point to. Values inside are tensors again, of any kind. They are read-only to
 * whoever gets one; a caller that gives one (pt_run_set_input) owns all of it and may leave `store` NULL. */
struct pt_sequence {
    size_t count;
    const struct pt_tensor *items;
    enum pt_dtype elem; /* what the items are; PT_UNDEFINED in an empty sequence that nobody gave a type */
    struct pt_sequence_store *store; /* the runtime's */
};
struct pt_optional {
    const struct pt_tensor *value; /* NULL: has no element */
};
struct pt_map_value {
    struct pt_tensor keys, values; /* of rank 1 and one length; keys are strings or integers, in no particular order */
};
/* Product of the dims; -1 on overflow or a negative dim. */
PT_API int64_t pt_tensor_count(const struct pt_tensor *t);

/* What a model says of one of its inputs or outputs. dtype may be PT_SEQUENCE, PT_OPTIONAL or PT_MAP. */
struct pt_value_info {
    const char *name;
    enum pt_dtype dtype;
    int rank;                            /* -1: unknown */
    int64_t dims[PT_MAX_RANK];           /* -1: not fixed */
    const char *dim_names[PT_MAX_RANK];  /* symbolic name, "batch"; NULL without one */
    const struct pt_value_info *elem;    /* PT_SEQUENCE, PT_OPTIONAL: what is inside; PT_MAP: its values; else NULL */
    enum pt_dtype key_dtype;             /* PT_MAP */
};

/* --- threads: one pool can serve many sessions --------------------------------------------------------------------- */
struct pt_threads;
/* threads >= 1 counts the calling thread too (1 = no workers); 0 = as many as the CPU limit of this cgroup allows. Idle workers sleep. */
PT_API int pt_threads_create(int threads, struct pt_threads **out, struct pt_err *err);
PT_API void pt_threads_destroy(struct pt_threads *t); /* after every session that uses it */
PT_API int pt_threads_count(const struct pt_threads *t);

/* --- session --------------------------------------------------------------------------------------------------------- */
struct pt_session;
/* Structures that a caller fills begin with their size, sizeof the structure: so that a program compiled with an older header keeps working. 0 means as the
 * structure was in the first version of this header (said where fields came later); a newer one is fine as long as what the library does not know
 * is zero, and an error else. */
struct pt_session_options {
    size_t size;
    struct pt_threads *threads; /* NULL: the session makes its own pool of thread_count */
    int thread_count;           /* 0 = from the CPU limit; ignored with threads set */
    int max_programs;           /* compiled programs kept, least recently used leave; 0 = 8 */
    uint64_t max_arena_bytes;   /* planned memory of one run; over it is an error; 0 = 64 GiB */
    bool no_opt;                /* run each node as its reference operator: no rewrites, no kernels; for comparisons */
    const char *folder;         /* of files with weights that the model names; NULL: the model file's own, none for a model in memory */
    /* Names of initializers, listed as inputs too, that shall be inputs of the session, to be set for every run; NULL-terminated; NULL: none. Else an
     * initializer is a constant, also one that the file lists as an input: what overrides a default decides how the model is compiled. */
    const char *const *overridable;
    /* Not in the first version: */
    const char *disable;        /* names of rewrites to leave out, "gelu,pad"; NULL: none. pintle-run(1) lists them; so does the error for an unknown one */
    /* Folder of files with weights made ready by earlier sessions (pt_session_save); NULL: none. Which file is this model's is told by a hash of all of its
     * bytes. It is fast and not proof against forgery: where models of several parties share the folder, give each a name besides. */
    const char *prepared;
    const char *prepared_name;  /* mixed into that hash: a digest, or what the file system says of the file; NULL: nothing */
    /* With pt_session_open_memory: the model lies in anonymous pages of the caller's, which nobody writes to any more: the session may map pages of that
     * file over those that have the same bytes. */
    bool adopt;
};
/* Maps the file (weights are not copied) and prepares it. opts may be NULL. The file must not change while the session lives. */
PT_API int pt_session_open(const char *path, const struct pt_session_options *opts, struct pt_session **out, struct pt_err *err);
/* The same from memory, which must outlive the session. */
PT_API int pt_session_open_memory(const void *model, size_t len, const struct pt_session_options *opts, struct pt_session **out, struct pt_err *err);
PT_API void pt_session_close(struct pt_session *s); /* after every run of it is destroyed */

PT_API size_t pt_session_input_count(const struct pt_session *s);  /* without initializers */
PT_API size_t pt_session_output_count(const struct pt_session *s);
PT_API const struct pt_value_info *pt_session_input(const struct pt_session *s, size_t i); /* owned by the session */
PT_API const struct pt_value_info *pt_session_output(const struct pt_session *s, size_t i);
PT_API int pt_session_input_index(const struct pt_session *s, const char *name);  /* or -1 */
PT_API int pt_session_output_index(const struct pt_session *s, const char *name); /* or -1 */

struct pt_opset {
    const char *domain; /* "" is ai.onnx */
    int64_t version;
};
struct pt_metadata {
    const char *key, *value;
};
/* What a model says of itself; texts are "" where it says nothing. */
struct pt_model_meta {
    const char *producer_name, *producer_version, *domain, *graph_name, *description;
    int64_t model_version, ir_version;
    const struct pt_opset *opsets;
    size_t opset_count;
    const struct pt_metadata *metadata; /* metadata_props, in the order of the file */
    size_t metadata_count;
};
/* Calls fn for each range of the model's bytes that no execution will read: weights out of which others were made when the session was opened. Whoever
 * owns the bytes may give their memory back. */
PT_API int pt_session_unneeded(const struct pt_session *s, void (*fn)(void *arg, const void *begin, size_t len), void *arg, struct pt_err *err);
/* Weights made ready: normalisations folded in, packed for the CPU. */
struct pt_prepared_info {
    size_t size;
    const char *path;            /* of the file; NULL: the session has none. Owned by the session */
    uint64_t found_bytes;        /* taken from the file that was there */
    uint64_t made_bytes;         /* made by this session, and not saved yet */
    uint64_t file_bytes;         /* about what the file has when it is saved */
    char note[504];              /* why a file that was there, or any, was not used; "" */
};
PT_API int pt_session_prepared(const struct pt_session *s, struct pt_prepared_info *out, struct pt_err *err);
/* Writes that file, if there is anything new since it was read: what executions so far asked for. It takes the place of an older one at once, whatever
 * else reads or writes it; afterwards its pages are the memory of those weights. May take as long as the disk does; executions go on. */
PT_API int pt_session_save(struct pt_session *s, struct pt_err *err);
/* Gives back the memory of weights that lie in files: executions read them again, from the page cache in general. */
PT_API void pt_session_rest(struct pt_session *s);
PT_API const struct pt_model_meta *pt_session_meta(const struct pt_session *s); /* owned by the session */

/* --- run --------------------------------------------------------------------------------------------------------------- */
struct pt_run;
PT_API int pt_run_create(struct pt_session *s, struct pt_run **out, struct pt_err *err);
PT_API void pt_run_destroy(struct pt_run *r);
/* Borrows t->data, and all that it points to, until execute returns; checks dtype, rank, fixed dims, size, and that data is aligned for its type. */
PT_API int pt_run_set_input(struct pt_run *r, size_t i, const struct pt_tensor *t, struct pt_err *err);
/* Output i of executions from now on is written to t->data, without a copy where that is possible; t (NULL: no longer) has the type, dims and
 * size that the output will have, else the execution fails and says what it is. Borrowed until it is bound anew or the run destroyed; must overlap
 * neither inputs nor another output. Not for strings, sequences, optionals and maps. */
PT_API int pt_run_bind_output(struct pt_run *r, size_t i, const struct pt_tensor *t, struct pt_err *err);
/* Runs the model on the calling thread and the pool. All inputs must be set. */
PT_API int pt_run_execute(struct pt_run *r, struct pt_err *err);

/* One step of an execution: usually a node, sometimes several merged into one, or a change of layout between two (no name, op_type "Reorder"). */
struct pt_profile_event {
    struct pt_string name, op_type, domain; /* not terminated */
    int64_t start_ns, end_ns;               /* monotonic clock */
    const struct pt_tensor *const *inputs;  /* NULL: not given, or merged weights */
    const struct pt_tensor *const *outputs; /* their data must not be read: they may be in another layout */
    size_t input_count, output_count;
    int depth;                              /* 0: the model's graph; more: inside If, Loop, ... */
};
typedef void (*pt_profile_fn)(void *arg, const struct pt_profile_event *event);
struct pt_run_options {
    size_t size;
    uint64_t deadline_ms;  /* the execution stops between two steps after so long, with PT_ETIMEDOUT; 0: never */
    pt_profile_fn profile; /* called behind every step, on the thread that executes; NULL: none */
    void *profile_arg;
};
/* The same with options (NULL: none). */
PT_API int pt_run_execute_with(struct pt_run *r, const struct pt_run_options *o, struct pt_err *err);
/* Valid until the next execute or destroy; NULL before the first successful one. Its dims may depend on the inputs' values. */
PT_API const struct pt_tensor *pt_run_output(const struct pt_run *r, size_t i);
/* Bytes of memory that the run holds between executions: it grows as shapes ask and shrinks when they have not for a while. */
PT_API uint64_t pt_run_memory(const struct pt_run *r);
/* From any thread: makes the current execution stop between two steps with PT_ECANCELED (a later one is not affected). */
PT_API void pt_run_cancel(struct pt_run *r);

/* --- operators of the program's own -------------------------------------------------------------------------------------------------------- */
struct pt_custom_call {
    const struct pt_tensor *const *inputs; /* NULL: not given */
    struct pt_tensor *const *outputs;      /* NULL: not wanted */
    size_t input_count, output_count;
    void *user;
    const void *node; /* for the functions below */
};
#define PT_CUSTOM_NEEDS_DATA 1
struct pt_custom_op {
    size_t size;
    const char *domain, *name;  /* not of ai.onnx; copied */
    int since_version;          /* of the domain's operator set from which on this definition holds, 1 to 255; the newest up to the model's counts */
    int min_inputs, max_inputs, max_outputs;
    /* Sets dtype, rank and dims of every output. An input's data is NULL when they are not known before the run: where shapes depend on them,
     * PT_CUSTOM_NEEDS_DATA has it called again, in every run, with all data. */
    int (*infer)(const struct pt_custom_call *c, struct pt_err *err);
    /* Computes outputs from inputs; all data are there. Both return 0, or a negative code with err->msg written. Called from any thread that executes. */
    int (*run)(const struct pt_custom_call *c, struct pt_err *err);
    void *user;
};
/* For the whole process and for sessions opened later. There is no way to take it back. */
PT_API int pt_register_operator(const struct pt_custom_op *op, struct pt_err *err);
/* Attributes of the node; the default, or NULL, where it has none of that name and type. */
PT_API int64_t pt_custom_int(const struct pt_custom_call *c, const char *name, int64_t def);
PT_API float pt_custom_float(const struct pt_custom_call *c, const char *name, float def);
PT_API struct pt_string pt_custom_text(const struct pt_custom_call *c, const char *name);
PT_API const int64_t *pt_custom_ints(const struct pt_custom_call *c, const char *name, size_t *count);
PT_API const struct pt_tensor *pt_custom_tensor(const struct pt_custom_call *c, const char *name); /* its data may lie unaligned */

/* --- memory ---------------------------------------------------------------------------------------------------------------------------------- */
/* What all of the library's memory comes from, with the meaning that C gives these functions. To be set before any other call; PT_EBUSY behind one that
 * allocated. */
struct pt_allocator {
    size_t size;
    void *(*malloc)(size_t bytes);
    void *(*realloc)(void *p, size_t bytes);
    void (*free)(void *p); /* also of what aligned_alloc gave */
    void *(*aligned_alloc)(size_t alignment, size_t bytes);
};
PT_API int pt_set_allocator(const struct pt_allocator *a, struct pt_err *err);

/* --- inspection ---------------------------------------------------------------------------------------------------------- */
struct pt_op_count {
    const char *domain, *op_type; /* "" is ai.onnx */
    int since_version;            /* of the operator's definition in force; 0 when Pintle lacks it */
    size_t count;
    bool supported;
};
struct pt_model_summary {
    const struct pt_value_info *inputs, *outputs;
    size_t input_count, output_count;
    const struct pt_opset *opsets;
    size_t opset_count;
    const struct pt_op_count *ops; /* sorted by count, then name */
    size_t op_count;
    int64_t ir_version;
    const char *producer;          /* "" if the file does not say */
    uint64_t parameters;           /* elements of all initializers, those of graphs in attributes included */
    uint64_t weight_bytes;
    uint64_t macs;                 /* multiply-accumulates of one run with free dims set to 1; 0 if it cannot be planned */
    uint64_t peak_bytes;           /* planned arena for the same; 0 if it cannot be planned */
    char plan_error[504];          /* why it cannot be planned, or "" */
    size_t dynamic_nodes;          /* nodes whose shapes depend on data: planned while running, not in macs and peak_bytes */
};
/* Reads a model without needing it to be runnable: unsupported operators are listed, not an error. */
PT_API int pt_model_inspect(const char *path, struct pt_model_summary **out, struct pt_err *err);
/* The same with operators counted after rewriting, as a session would run them (`disable` as in the session's options). A model that cannot be
 * rewritten, for what plan_error says, has its operators counted as they are. */
PT_API int pt_model_inspect_optimized(const char *path, const char *disable, struct pt_model_summary **out, struct pt_err *err);
PT_API void pt_model_summary_free(struct pt_model_summary *m);

/* "0.1.0" */
PT_API const char *pt_runtime_version(void);
/* Instruction set in use: "ref", "avx2", "avx512". */
PT_API const char *pt_runtime_isa(void);

#ifdef __cplusplus
}
#endif
#endif
