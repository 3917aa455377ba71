/* SPDX-License-Identifier: Apache-2.0
 *
 * writes.c: what each write of an operator must be like.
 *
 *   named     a deletion says by uid what it means, and so does a patch: what has the name now may be another object
 *   version   what is decided upon one version of an object is written only on top of that: status, gates, the spec, adoption
 *   revision  a pod is asked for only when the ControllerRevision it is made of is there, or was
 *   once      nobody is asked again within half a minute to delete the same version of a pod, or to take it out of service, unless it was refused
 *   status    it tells of the spec that is stored when it is written, never of an earlier one
 */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define REPEAT_MS 30000
enum { DELETION, REMOVAL };

/* The text behind a member's name in a body that is small and ours; its end is the next quote. */
static struct pt_str text_of(const struct pt_api_request *req, const char *member)
{
    const char *at = req->body.len ? memmem(req->body.p, req->body.len, member, strlen(member)) : NULL;
    at += at ? strlen(member) : 0;
    const char *end = at ? memchr(at, '"', (size_t)(req->body.p + req->body.len - at)) : NULL;
    return (struct pt_str){end ? at : NULL, end ? (size_t)(end - at) : 0};
}

static void check_preconditions(struct world *w, const struct pt_api_request *req)
{
    bool patch = req->verb != PT_VERB_CREATE && req->verb != PT_VERB_DELETE, decided = req->subresource || req->resource == &pt_res_modeldeployments;
    decided |= req->verb == PT_VERB_STRATEGIC; /* an owner is given or taken */
    if (req->verb == PT_VERB_DELETE ? !req->uid || !*req->uid : patch && !text_of(req, "\"uid\":\"").len)
        world_break(w, "%s/%s is to be changed or deleted, whatever uid it has", req->resource->plural, req->name);
    if (patch && decided && !text_of(req, "\"resourceVersion\":\"").len)
        world_break(w, "%s/%s is to be changed, whatever version it has", req->resource->plural, req->name);
}

static void check_revision(struct world *w, const struct pt_api_request *req)
{
    struct pt_str name = text_of(req, "\"" PT_LABEL_REVISION "\":\"");
    if (req->verb == PT_VERB_CREATE && req->resource == &pt_res_pods && name.len && !pt_map_get(&w->revisions, name))
        world_break(w, "a pod of revision " PT_STR_FMT " is asked for, and there never was one", PT_STR_ARG(name));
}

static void check_once(struct world *w, const struct pt_api_request *req, const struct pt_memapi_fault *f)
{
    static const char *const what[] = {"deleted", "taken out of service"};
    bool deletion = req->verb == PT_VERB_DELETE,
         removal = req->verb == PT_VERB_STRATEGIC && req->subresource && text_of(req, "\"reason\":\"PodRemoval").p;
    struct kubelet_pod *p = req->resource == &pt_res_pods && (deletion || removal) ? pt_map_get(&w->pods, pt_str(req->name)) : NULL;
    struct pt_str version = text_of(req, "\"resourceVersion\":\"");
    const char *rv_text = deletion ? req->resource_version : version.p;
    uint64_t rv = rv_text ? strtoull(rv_text, NULL, 10) : 0;
    if (!p || (f->http && !f->carried_out) || !w->asking || (deletion && (!req->uid || strcmp(req->uid, p->uid) != 0)))
        return;
    int i = deletion ? DELETION : REMOVAL;
    if (p->asked[i].term == w->asking->term && p->asked[i].rv == rv && w->clock.now - p->asked[i].ms < REPEAT_MS)
        world_break(w, "pod %s is to be %s, as it was %lld ms ago", p->name, what[i], (long long)(w->clock.now - p->asked[i].ms));
    p->asked[i].term = w->asking->term;
    p->asked[i].rv = rv;
    p->asked[i].ms = w->clock.now;
}

void writes_asked(struct world *w, const struct pt_api_request *req, const struct pt_memapi_fault *f)
{
    check_preconditions(w, req);
    check_revision(w, req);
    check_once(w, req, f);
}

static void note_revision(struct world *w, const char *name)
{
    struct pt_err err;
    if (pt_map_set(&w->revisions, pt_str(name), w, NULL, &err) < 0)
        world_break(w, "writes: out of memory");
}

void writes_done(struct world *w, const struct pt_api_request *req)
{
    struct pt_str name =
        req->resource == &pt_res_controllerrevisions && req->verb == PT_VERB_CREATE ? text_of(req, "\"name\":\"") : (struct pt_str){NULL, 0};
    bool status = req->resource == &pt_res_modeldeployments && req->subresource && !strcmp(req->subresource, "status");
    const cJSON *md = status ? pt_memapi_tree(w->api, req->resource, req->ns, req->name) : NULL;
    if (name.len) {
        pt_auto_free char *copy = pt_strndup(name.p, name.len);
        note_revision(w, copy ? copy : "");
    }
    if (md && pt_obj_int(md, "status.observedGeneration", 0) != pt_obj_int(md, "metadata.generation", 0))
        world_break(w, "%s: the status that was written is of generation %lld, the spec is of %lld", req->name,
                    (long long)pt_obj_int(md, "status.observedGeneration", 0), (long long)pt_obj_int(md, "metadata.generation", 0));
}
