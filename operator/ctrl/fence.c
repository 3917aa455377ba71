/* SPDX-License-Identifier: Apache-2.0
 *
 * fence.c: see fence.h.
 */
#include "operator/ctrl/fence.h"

static int start(struct pt_api *api, const struct pt_api_request *req, pt_api_done_fn done, void *arg, struct pt_api_call **out, struct pt_err *err)
{
    struct pt_fence *f = (struct pt_fence *)api;
    bool reads = req->verb == PT_VERB_GET || req->verb == PT_VERB_LIST;
    if (!reads && !pt_fence_open(f))
        return pt_fail(err, PT_EUNAVAILABLE, "%s %s: not written, another may lead by now", req->resource->plural, req->name ? req->name : "(new)");
    return pt_api_start(f->inner, req, done, arg, out, err);
}

static int watch(struct pt_api *api, const struct pt_api_request *req, pt_watch_event_fn event, pt_api_done_fn done, void *arg, struct pt_api_call **out,
                 struct pt_err *err)
{
    return pt_api_watch(((struct pt_fence *)api)->inner, req, event, done, arg, out, err);
}

static void cancel(struct pt_api *api, struct pt_api_call *call)
{
    pt_api_cancel(((struct pt_fence *)api)->inner, call);
}

static const struct pt_api_ops ops = {start, watch, cancel};

void pt_fence_init(struct pt_fence *f, struct pt_api *inner, bool (*may_write)(void *arg), void *arg)
{
    *f = (struct pt_fence){.api = {&ops}, .inner = inner, .may_write = may_write, .arg = arg};
}

bool pt_fence_open(const struct pt_fence *f)
{
    return !f->may_write || f->may_write(f->arg);
}
