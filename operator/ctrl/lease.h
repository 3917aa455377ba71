/* SPDX-License-Identifier: Apache-2.0
 *
 * lease.h: leader election by a Lease (coordination.k8s.io/v1), with client-go's algorithm and constants.
 *
 * Whoever writes its identity into the Lease leads, and must write it again. How long a record of somebody else is respected is measured from
 * the moment at which we saw it change, on our own monotonic clock; times that others wrote are never compared with ours. A leader that could not
 * renew for renew_ms has lost and must stop at once: lost() is called. From then on it waits for the Lease as before, and may lead again. Election does
 * not prevent two writers for a moment: each write needs its own precondition. One thread.
 */
#ifndef PT_CTRL_LEASE_H
#define PT_CTRL_LEASE_H

#include "operator/ctrl/api.h"
#include "base/metrics.h"

struct pt_lease;
struct pt_lease_options {
    struct pt_api *api;
    struct pt_sched *sched;
    struct pt_metrics *metrics; /* may be NULL */
    uint64_t seed;
    const char *ns, *name, *identity;         /* copied */
    int64_t duration_ms, renew_ms, retry_ms; /* 0: 15 s, 10 s, 2 s; duration > renew > 1.2 * retry */
    void (*leads)(void *arg);
    void (*lost)(void *arg, const char *why); /* after leads(), which may follow again; free nothing in it */
    void *arg;
};
int pt_lease_create(const struct pt_lease_options *o, struct pt_lease **out, struct pt_err *err);
void pt_lease_start(struct pt_lease *l);
/* Renewed recently enough that nobody else can lead. Before writing, ask this: a process may have been stopped for a while. */
bool pt_lease_valid(const struct pt_lease *l);
/* For a health check: not leading, or renewed within the duration and `tolerance_ms`. */
bool pt_lease_healthy(const struct pt_lease *l, int64_t tolerance_ms);
const char *pt_lease_holder(const struct pt_lease *l); /* as seen last; "" */
/* Gives the Lease back, so that the next one needs not wait; then done(arg), at the latest after 5 s. Neither leads() nor lost() is called any more. */
void pt_lease_release(struct pt_lease *l, void (*done)(void *arg), void *arg);
void pt_lease_destroy(struct pt_lease *l); /* no callback afterwards; NULL is fine */

#endif
