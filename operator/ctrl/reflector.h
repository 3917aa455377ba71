/* SPDX-License-Identifier: Apache-2.0
 *
 * reflector.h: keeps a store equal to what the API server has: list, then watch from there, for ever.
 *
 * The list is the beginning of the watch where the server can do that (WatchList), else one in pages of 500; bookmarks; a stream that ends is resumed from the last version seen; 410 lists again; 429 and refused connections wait and watch
 * again; anything else waits and lists again. Waits: 800 ms doubling to 30 s with jitter, or the server's Retry-After if longer. A stream
 * that outlives its own timeout is cut. One thread; callbacks come through the store.
 */
#ifndef PT_CTRL_REFLECTOR_H
#define PT_CTRL_REFLECTOR_H

#include "operator/ctrl/api.h"
#include "operator/ctrl/store.h"
#include "base/metrics.h"
#include "base/rand.h"

struct pt_reflector;
/* The last time in which the server could not be reached, try after try; until 0: never. */
struct pt_outage {
    int64_t since_ms, until_ms;
    bool lasts;
};
struct pt_reflector_options {
    struct pt_api *api;
    struct pt_sched *sched;
    struct pt_metrics *metrics; /* may be NULL */
    uint64_t seed;
    const struct pt_resource *resource;
    const char *ns, *label_selector, *field_selector; /* NULL: all; copied */
    struct pt_store *store;                           /* outlives the reflector */
    void (*synced)(void *arg);                        /* once, after the first list; may be NULL */
    void *arg;
};
int pt_reflector_create(const struct pt_reflector_options *o, struct pt_reflector **out, struct pt_err *err);
struct pt_outage pt_reflector_outage(const struct pt_reflector *r);
void pt_reflector_start(struct pt_reflector *r);
void pt_reflector_destroy(struct pt_reflector *r); /* no callback afterwards */

#endif
