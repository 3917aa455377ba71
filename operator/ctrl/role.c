/* SPDX-License-Identifier: Apache-2.0
 *
 * role.c: see role.h. One call at a time: label ourselves; as leader then list who else has the label, and take it from each.
 */
#include "operator/ctrl/role.h"
#include "operator/ctrl/obj.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

#define RETRY_MS 2000

struct pt_role {
    struct pt_role_options o;
    char *ns, *pod;
    struct pt_api_call *call;
    struct pt_timer retry;
    bool leader, done;   /* what is wanted; our own label says so */
    cJSON *others;       /* names that are left to visit; NULL: not listed */
};

static void step(struct pt_role *r);

int pt_role_create(const struct pt_role_options *o, struct pt_role **out, struct pt_err *err)
{
    struct pt_role *r = pt_calloc(1, sizeof *r);
    if (!r || !(r->ns = pt_strdup(o->ns)) || !(r->pod = pt_strdup(o->pod))) {
        if (r)
            pt_free(r->ns);
        pt_free(r);
        return pt_fail(err, PT_ENOMEM, "create role of %s: out of memory", o->pod);
    }
    r->o = *o;
    *out = r;
    return PT_OK;
}

static void forget_call(struct pt_role *r)
{
    if (r->call)
        pt_api_cancel(r->o.api, pt_steal(r->call));
    pt_timer_stop(r->o.sched, &r->retry);
    pt_obj_delete_ptr(&r->others);
}

void pt_role_destroy(struct pt_role *r)
{
    if (!r)
        return;
    forget_call(r);
    pt_free(r->ns);
    pt_free(r->pod);
    pt_free(r);
}

static void again(struct pt_timer *t)
{
    step((struct pt_role *)((char *)t - offsetof(struct pt_role, retry)));
}

static void later(struct pt_role *r, const struct pt_err *err)
{
    pt_log(PT_LOG_WARN, "role of the pod not set", "pod", r->pod, "error", err->msg, NULL);
    pt_timer_start(r->o.sched, &r->retry, RETRY_MS, again);
}

static void call(struct pt_role *r, const struct pt_api_request *req, pt_api_done_fn done)
{
    struct pt_err err;
    if (pt_api_start(r->o.api, req, done, r, &r->call, &err) < 0)
        later(r, &err);
}

static void label(struct pt_role *r, const char *pod, bool leader, pt_api_done_fn done)
{
    char body[256];
    int n = snprintf(body, sizeof body, "{\"metadata\":{\"labels\":{\"%s\":\"%s\"}}}", r->o.label, leader ? "leader" : "standby");
    call(r, &(struct pt_api_request){.verb = PT_VERB_MERGE_PATCH, .resource = &pt_res_pods, .ns = r->ns, .name = pod, .body = {body, (size_t)n}, .grace_seconds = -1}, done);
}

static void labelled(void *arg, const struct pt_api_result *res)
{
    struct pt_role *r = arg;
    r->call = NULL;
    r->done = res->err.code == PT_OK;
    if (r->done)
        step(r);
    else
        later(r, &res->err);
}

static void took_from_other(void *arg, const struct pt_api_result *res)
{
    struct pt_role *r = arg;
    r->call = NULL;
    if (res->err.code != PT_OK && res->err.code != PT_ENOTFOUND) {
        later(r, &res->err);
        return;
    }
    cJSON_DeleteItemFromArray(r->others, 0);
    step(r);
}

static void listed(void *arg, const struct pt_api_result *res)
{
    struct pt_role *r = arg;
    struct pt_err err = res->err;
    pt_auto_obj *list = NULL;
    r->call = NULL;
    if (err.code != PT_OK || pt_obj_parse(res->body, "pods", &list, &err) < 0 || !(r->others = cJSON_CreateArray())) {
        later(r, err.code ? &err : &(struct pt_err){.msg = "out of memory"});
        return;
    }
    const cJSON *pod;
    cJSON_ArrayForEach(pod, pt_obj_get(list, "items")) if (strcmp(pt_obj_text(pod, "metadata.name"), r->pod) != 0)
        cJSON_AddItemToArray(r->others, cJSON_CreateString(pt_obj_text(pod, "metadata.name")));
    step(r);
}

static void step(struct pt_role *r)
{
    char selector[128];
    if (r->call)
        return;
    if (!r->done) {
        label(r, r->pod, r->leader, labelled);
    } else if (r->leader && !r->others) {
        snprintf(selector, sizeof selector, "%s=leader", r->o.label);
        call(r, &(struct pt_api_request){.verb = PT_VERB_LIST, .resource = &pt_res_pods, .ns = r->ns, .label_selector = selector, .grace_seconds = -1}, listed);
    } else if (r->leader && r->others->child) {
        label(r, r->others->child->valuestring, false, took_from_other);
    }
}

void pt_role_set(struct pt_role *r, bool leader)
{
    forget_call(r);
    r->leader = leader;
    r->done = false;
    step(r);
}
