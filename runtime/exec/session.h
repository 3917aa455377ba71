/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h: what the files of exec/ share about a session.
 *
 * Threads: a session is used by many; its graph is read-only once it is open, its programs are guarded by `lock` (compilation happens under
 * it, so two runs that need the same new program make it once). A run belongs to one thread at a time, except for cancelling.
 */
#ifndef PT_RUNTIME_SESSION_H
#define PT_RUNTIME_SESSION_H

#include "runtime/compile/program.h"

#define PT_DEFAULT_PROGRAMS 8
#define PT_DEFAULT_ARENA (64ull << 30)

/* The programs compiled from one graph: at most max_programs of each depth, least recently used out first. */
struct pt_unit {
    struct pt_program **programs;
    int count, room;
};

struct pt_session {
    struct pt_map_file file;
    const void *model; /* its bytes: the file's, or the caller's */
    size_t model_len;
    char *folder; /* where external data is looked for, or NULL */
    struct pt_graph graph;
    struct pt_threads *threads;
    bool owns_threads, no_opt;
    uint32_t off; /* rewrites left out, as bits */
    struct pt_model_meta meta;
    uint64_t max_arena_bytes;
    pthread_mutex_t lock;
    struct pt_packs *packs;
    struct pt_prepared *prepared; /* or NULL */
    char prepared_note[504];      /* why there is none although it was asked for */
    struct pt_unit *units; /* by the graph's index: the model's graph first, then bodies */
    int unit_count, max_programs;
    uint64_t clock;
};

/* The program of g for these inputs, or for these results of the parent's frontier (compiled if need be), held for the caller until pt_session_put. */
int pt_session_get(struct pt_session *s, const struct pt_graph *g, struct pt_program *parent, const struct pt_tensor *const *inputs,
                   struct pt_program **out, struct pt_err *err);
void pt_session_put(struct pt_session *s, struct pt_program *p);
/* Makes terminated texts of what the model says of itself. */
int pt_meta_read(const struct pt_onnx_model *m, struct pt_arena *mem, struct pt_model_meta *out, struct pt_err *err);
/* Where the graph's constants and packed weights are kept (option `prepared`). Behind pt_graph_init. */
int pt_session_open_prepared(struct pt_session *s, const struct pt_session_options *o, struct pt_err *err);
/* With the option `adopt`: what of the model's bytes is read from now on. */
int pt_session_adopt(struct pt_session *s, struct pt_err *err);
int pt_session_init_units(struct pt_session *s, struct pt_err *err);
void pt_session_finish_units(struct pt_session *s);

#endif
