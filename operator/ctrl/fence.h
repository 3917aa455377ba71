/* SPDX-License-Identifier: Apache-2.0
 *
 * fence.h: an API that is another one for whoever may write, and refuses to begin a write (PT_EUNAVAILABLE) for whoever may not: what a controller
 * that leads by a Lease writes through. A decision to write may be older than the loss of the Lease, when the process was stopped in between; so it is
 * asked at each write, not when work begins. Reads and watches pass. One thread.
 */
#ifndef PT_CTRL_FENCE_H
#define PT_CTRL_FENCE_H

#include "operator/ctrl/api.h"

struct pt_fence {
    struct pt_api api; /* first */
    struct pt_api *inner;
    bool (*may_write)(void *arg); /* NULL: always */
    void *arg;
};
void pt_fence_init(struct pt_fence *f, struct pt_api *inner, bool (*may_write)(void *arg), void *arg);
bool pt_fence_open(const struct pt_fence *f);

#endif
