/* SPDX-License-Identifier: Apache-2.0
 *
 * servable.h: the life of the model this process serves: Downloading -> Verifying -> Loading -> Warming -> Ready, or Failed(reason) and
 * again after a pause, and Draining at the end. base/contract.h lists the states; servable.c has the one table of transitions and the one
 * place that takes them. Loop thread; slow steps run on the pool.
 */
#ifndef PT_SIDECAR_SERVABLE_H
#define PT_SIDECAR_SERVABLE_H

#include "base/contract.h"
#include "base/rand.h"
#include "sidecar/config.h"
#include "sidecar/keep.h"
#include "sidecar/loaded.h"
#include "sidecar/source.h"

struct pt_servable_options {
    struct pt_loop *loop;
    const struct pt_config *config; /* outlives the servable */
    const char *cache_dir;
    struct pt_tls *tls; /* for downloads; NULL: the system's roots */
    struct pt_threads *threads;
    int slots;                  /* runs to prepare */
    void (*changed)(void *arg); /* after each change of state; drains nothing itself */
    void *arg;
};

struct pt_servable {
    struct pt_servable_options o;
    enum pt_model_state state;
    enum pt_model_reason reason; /* with Failed, */
    struct pt_err error;         /* and its words */
    bool has_digest;
    uint8_t digest[32]; /* of the bytes that are or were being loaded */
    int64_t bytes_done, bytes_total;
    int64_t load_ms; /* from the file's presence to Ready; -1: not yet */
    struct pt_loaded loaded;
    bool serving; /* loaded takes requests: Ready, or Draining after it */
    /* its own */
    struct pt_source *source;
    int fd;      /* between fetching and mapping, and, of the cache, as long as it is used; -1 */
    bool cached; /* fd is of the cache */
    bool hashed, working;
    bool keeping;             /* `after` is under way */
    bool told, not_kept;      /* the log has what was wrong with the file that was there; weights cannot be kept */
    char *keep_folder, keep_name[PT_KEEP_NAME]; /* keep.h; NULL: none are kept */
    struct pt_work after;     /* what a model that serves does besides: weights are kept, memory is given back */
    struct pt_timer idle;
    uint64_t runs_seen;       /* when the timer was started */
    bool rested;              /* and has not run since */
    char path[512];
    struct pt_timer timer;
    struct pt_work work;
    struct pt_err work_err;
    size_t step;
    struct pt_rand jitter;
    unsigned failures; /* in a row */
    int64_t attempt_bytes, loading_since_ms;
    atomic_bool stop;
};

int pt_servable_start(struct pt_servable *s, const struct pt_servable_options *o, struct pt_err *err);
/* What serves requests now; NULL when nothing does. */
struct pt_loaded *pt_servable_serving(struct pt_servable *s);
/* Readiness is off from here on; requests are served until the end. */
void pt_servable_drain(struct pt_servable *s);
/* Is a step on the pool still under way? After pt_servable_drain() it ends soon, except that a load cannot be interrupted. */
bool pt_servable_busy(const struct pt_servable *s);
void pt_servable_finish(struct pt_servable *s); /* not while busy; zeroed memory is fine */

#endif
