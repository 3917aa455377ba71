/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h: what session.c and run.c share.
 *
 * Threads: a session is used by many; its graph is read-only once it is open, its programs are guarded by `lock` (compilation happens under
 * it, so two runs that need the same new program make it once). A run belongs to one thread at a time, except for cancelling.
 */
#ifndef PT_RUNTIME_SESSION_H
#define PT_RUNTIME_SESSION_H

#include "runtime/compile/program.h"

#define PT_DEFAULT_PROGRAMS 8
#define PT_DEFAULT_ARENA (64ull << 30)

struct pt_session {
    struct pt_map_file file;
    struct pt_graph graph;
    struct pt_threads *threads;
    bool owns_threads, no_opt;
    bool by_value; /* some input's value decides shapes: programs hold for values, not only for shapes; under lock */
    uint64_t max_arena_bytes;
    pthread_mutex_t lock;
    struct pt_packs *packs;
    struct pt_program **programs; /* max_programs places */
    int max_programs, program_count;
    uint64_t clock;
};

/* The program for these inputs (compiled if need be), held for the caller until pt_session_put. */
int pt_session_get(struct pt_session *s, const struct pt_tensor *inputs, struct pt_program **out, struct pt_err *err);
void pt_session_put(struct pt_session *s, struct pt_program *p);

/* Was p compiled for inputs like these? */
bool pt_program_is_for(const struct pt_program *p, const struct pt_tensor *inputs);

#endif
