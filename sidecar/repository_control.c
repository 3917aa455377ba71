/* SPDX-License-Identifier: Apache-2.0
 *
 * repository_control.c: models that clients load and unload. A control is answered when its outcome is known.
 */
#include "sidecar/repository_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* --- outcomes: PT_EAGAIN: not decided yet ---------------------------------------------------------------------------------------------- */

static int loaded(const struct pt_repository *r, struct pt_control *c)
{
    const struct pt_model *m = pt_repository_model(r, pt_str(c->name));
    int rc = PT_OK;
    if (!c->scanned)
        return PT_EAGAIN;
    if (!m)
        return pt_fail(&c->err, PT_ENOTFOUND, "load model \"%s\": the repository has no such model", c->name);
    if (m->err.code)
        return pt_fail(&c->err, m->err.code, "load model \"%s\": %s", c->name, m->err.msg);
    for (const struct pt_version *v = m->versions; v; v = v->next) {
        if (v->wanted && pt_version_failed(v))
            return pt_fail(&c->err, v->servable.error.code, "load model \"%s\" version %s: %s", c->name, v->text, v->servable.error.msg);
        rc = v->wanted && !pt_version_up(v) ? PT_EAGAIN : rc;
    }
    return rc;
}

static int unloaded(const struct pt_repository *r, const struct pt_control *c)
{
    for (const struct pt_version *v = r->retiring; v; v = v->next)
        if (strcmp(v->config.model.name, c->name) == 0)
            return PT_EAGAIN;
    return PT_OK;
}

static int model_listed(const struct pt_model *m, const struct pt_model_entry *e, struct pt_err *err)
{
    int rc = PT_OK;
    if (!m)
        return pt_fail(err, PT_ENOTFOUND, "model \"%s\": the repository has no such model", e->name);
    if (m->err.code)
        return pt_fail(err, m->err.code, "%s", m->err.msg);
    bool any = false;
    for (const struct pt_version *v = m->versions; v; v = v->next) {
        any |= v->wanted;
        if (v->wanted && pt_version_failed(v))
            return pt_fail(err, PT_EUNKNOWN, "1 servable(s) did not become available: {{name: %s version: %s} due to error: %s}", e->name, v->text,
                           v->servable.error.msg);
        rc = v->wanted && !pt_version_up(v) ? PT_EAGAIN : rc;
    }
    return any ? rc : pt_fail(err, PT_ENOTFOUND, "model \"%s\": no version that the policy wants is under %s", e->name, e->base_path);
}

static int labels_fit(const struct pt_model *m, struct pt_err *err)
{
    for (size_t i = 0; i < m->config.label_count; i++) {
        const struct pt_version *v = m->versions;
        while (v && (v->number != m->config.labels[i].version || !v->wanted))
            v = v->next;
        if (!v)
            return pt_fail(err, PT_EPRECONDITION, "Request to assign label to %lld of model %s, which is not currently available for inference",
                           (long long)m->config.labels[i].version, m->name);
    }
    return PT_OK;
}

static int list_holds(const struct pt_repository *r, struct pt_control *c)
{
    int rc = PT_OK;
    if (!c->scanned)
        return PT_EAGAIN;
    if (r->scan_err.code)
        return pt_fail(&c->err, r->scan_err.code, "%s", r->scan_err.msg);
    for (size_t i = 0; i < r->next.count; i++) {
        const struct pt_model_entry *e = &r->next.entries[i];
        const struct pt_model *m = pt_repository_model(r, pt_str(e->name));
        int one = model_listed(m, e, &c->err);
        if (one == PT_OK || one == PT_EAGAIN)
            one = labels_fit(m, &c->err) < 0 ? PT_EPRECONDITION : one;
        if (one != PT_OK && one != PT_EAGAIN)
            return one;
        rc = one == PT_EAGAIN ? one : rc;
    }
    return rc;
}

static void adopt_list(struct pt_repository *r)
{
    pt_model_list_finish(&r->list);
    r->list = r->next;
    r->next = (struct pt_model_list){0};
    r->reload = PT_RELOAD_NONE;
    pt_repository_drop_unwanted(r);
    for (struct pt_model *m = r->models; m; m = m->next) {
        pt_model_adopt_labels(m);
        for (struct pt_version *v = m->versions; v; v = v->next)
            v->candidate = false;
        pt_model_settle(m);
    }
    pt_log(PT_LOG_INFO, "list of models replaced", NULL);
    pt_repository_scan(r); /* begins to poll, if there are base paths */
    r->o.changed(r->o.arg, NULL);
}

/* The scan finds what the old list wants; what only the new one does goes. */
static void undo_list(struct pt_repository *r, const struct pt_err *why)
{
    pt_model_list_finish(&r->next);
    r->reload = PT_RELOAD_UNDOING;
    pt_log(PT_LOG_ERROR, "list of models refused", "error", why->msg, NULL);
    pt_repository_scan(r);
}

static int outcome(struct pt_repository *r, struct pt_control *c)
{
    if (r->draining)
        return pt_fail(&c->err, PT_EUNAVAILABLE, "the server is ending");
    if (c->kind != PT_CONTROL_RELOAD)
        return c->kind == PT_CONTROL_LOAD ? loaded(r, c) : unloaded(r, c);
    if (c->undoing)
        return r->reload ? PT_EAGAIN : c->rc;
    int rc = list_holds(r, c);
    if (rc == PT_OK)
        adopt_list(r);
    if (rc == PT_OK || rc == PT_EAGAIN)
        return rc;
    undo_list(r, &c->err);
    c->rc = rc;
    c->undoing = true;
    return PT_EAGAIN;
}

void pt_repository_end_controls(struct pt_repository *r)
{
    for (struct pt_control **at = &r->controls, *c; (c = *at);) {
        int rc = outcome(r, c);
        if (rc == PT_EAGAIN) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->rc = rc;
        c->done(c);
    }
}

/* --- control ----------------------------------------------------------------------------------------------------------------------- */

static int controlled(const struct pt_repository *r, const char *what, struct pt_str name, struct pt_err *err)
{
    int width = (int)(name.len < 256 ? name.len : 256);
    const char *p = name.p ? name.p : "";
    if (!r->o.config->repository.path || strcmp(r->o.config->repository.control, "explicit") != 0)
        return pt_fail(err, PT_EUNSUPPORTED, "%s \"%.*s\": models are loaded and unloaded by clients only with --model-control explicit", what, width,
                       p);
    if (r->reload)
        return pt_fail(err, PT_ECONFLICT, "%s \"%.*s\": a list of models is being loaded", what, width, p);
    return PT_OK;
}

static int begin_control(struct pt_repository *r, struct pt_str name, int kind, struct pt_control *c)
{
    c->rc = PT_OK;
    c->kind = kind;
    c->scanned = c->undoing = false;
    snprintf(c->name, sizeof c->name, PT_STR_FMT, (int)(name.len < sizeof c->name ? name.len : sizeof c->name - 1), name.p ? name.p : "");
    c->next = r->controls;
    r->controls = c;
    if (kind != PT_CONTROL_UNLOAD)
        pt_repository_scan(r);
    pt_repository_sweep_soon(r);
    return PT_EAGAIN;
}

int pt_repository_load(struct pt_repository *r, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    pt_auto_free char *text = pt_strndup(name.p ? name.p : "", name.len);
    int rc = controlled(r, "load model", name, err);
    if (rc == PT_OK && !text)
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK && !pt_model_list_find(&r->list, text) && !pt_model_list_add(&r->list, name, (struct pt_str){0}, err))
        rc = PT_ENOMEM;
    return rc < 0 ? rc : begin_control(r, name, PT_CONTROL_LOAD, c);
}

int pt_repository_unload(struct pt_repository *r, struct pt_str name, struct pt_control *c, struct pt_err *err)
{
    struct pt_model *m;
    int rc = controlled(r, "unload model", name, err);
    if (rc < 0)
        return rc;
    if (!(m = pt_repository_model(r, name)))
        return pt_fail(err, PT_ENOTFOUND, "unload model \"" PT_STR_FMT "\": it is not loaded", (int)(name.len < 256 ? name.len : 256),
                       name.p ? name.p : "");
    pt_model_list_remove(&r->list, m->name);
    pt_repository_remove_model(r, m);
    r->o.changed(r->o.arg, NULL);
    return begin_control(r, name, PT_CONTROL_UNLOAD, c);
}

int pt_repository_reload(struct pt_repository *r, struct pt_model_list *list, struct pt_control *c, struct pt_err *err)
{
    int rc = controlled(r, "load", PT_STR("model_config_list"), err);
    if (rc < 0)
        return rc;
    r->next = *list;
    *list = (struct pt_model_list){0};
    r->reload = PT_RELOAD_TRYING;
    return begin_control(r, PT_STR(""), PT_CONTROL_RELOAD, c);
}
