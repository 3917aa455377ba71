/* SPDX-License-Identifier: Apache-2.0
 *
 * repository_want.c: which versions there should be: the folder is looked at on the pool, and what is found becomes models and versions.
 */
#include "sidecar/repository_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* --- what should be -------------------------------------------------------------------------------------------------------------- */

static bool policy_wants(const struct pt_model_config *c, int64_t number, size_t rank)
{
    if (c->policy == PT_VERSIONS_ALL)
        return true;
    if (c->policy == PT_VERSIONS_LATEST)
        return (int64_t)rank < c->latest;
    for (size_t i = 0; i < c->version_count; i++)
        if (c->versions[i] == number)
            return true;
    return false;
}

static struct pt_version *find_print(const struct pt_model *m, int64_t number, uint64_t print)
{
    for (struct pt_version *v = m->versions; v; v = v->next)
        if (v->number == number && v->print == print)
            return v;
    return NULL;
}

static int want_versions(struct pt_repository *r, struct pt_model *m, const struct pt_scan_model *s, struct pt_err *err)
{
    for (struct pt_version *v = m->versions; v; v = v->next)
        v->wanted = false;
    for (size_t i = 0; i < s->version_count; i++) {
        const struct pt_scan_version *found = &s->versions[i];
        char text[24];
        if (!policy_wants(&m->config, found->number, i))
            continue;
        uint64_t print = found->print ^ m->config_print; /* another configuration is another version, too */
        struct pt_version *v = find_print(m, found->number, print);
        if (v) {
            v->wanted = true;
            v->candidate &= r->reload == PT_RELOAD_TRYING;
            continue;
        }
        snprintf(text, sizeof text, "%lld", (long long)found->number);
        int rc = pt_repository_add_version(r, m, text, found->number, found->path, print, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static bool is_wanted(const struct pt_repository *r, const char *name)
{
    return strcmp(r->o.config->repository.control, "explicit") != 0 || pt_model_list_find(&r->list, name) ||
           (r->reload == PT_RELOAD_TRYING && pt_model_list_find(&r->next, name));
}

static const struct pt_scan_model *scanned(const struct pt_repository *r, const char *name)
{
    for (size_t i = 0; i < r->scan.count; i++)
        if (!strcmp(r->scan.models[i].name, name))
            return &r->scan.models[i];
    return NULL;
}

static void apply_model(struct pt_repository *r, const struct pt_scan_model *s)
{
    struct pt_err err;
    struct pt_model *m = pt_repository_model(r, pt_str(s->name));
    if (!m && !(m = pt_repository_add_model(r, s->name, &err))) {
        pt_log(PT_LOG_ERROR, "repository", "error", err.msg, NULL);
        return;
    }
    bool held = r->reload == PT_RELOAD_TRYING && m->versions && !m->versions->candidate, news = s->err.code && strcmp(s->err.msg, m->err.msg) != 0;
    m->err = s->err;
    if (s->err.code) { /* what serves goes on as it was */
        if (news)
            pt_log(PT_LOG_ERROR, "model cannot be used", "model", m->name, "error", s->err.msg, NULL);
        return;
    }
    m->config = s->config;
    m->config_print = s->config_print;
    if (!held)
        pt_model_adopt_labels(m);
    if (want_versions(r, m, s, &err) < 0)
        m->err = err;
    else if (!m->versions)
        pt_fail(&m->err, PT_ENOTFOUND, "no version that the policy wants has a file \"%s\"", m->config.file);
}

void pt_model_adopt_labels(struct pt_model *m)
{
    memcpy(m->labels, m->config.labels, sizeof m->labels);
    m->label_count = m->config.label_count;
}

void pt_repository_drop_unwanted(struct pt_repository *r)
{
    for (struct pt_model *m = r->models, *next; m; m = next) {
        next = m->next;
        if (!is_wanted(r, m->name))
            pt_repository_remove_model(r, m);
    }
}

static void apply(struct pt_repository *r)
{
    for (struct pt_model *m = r->models, *next; m; m = next) {
        next = m->next;
        if (!scanned(r, m->name) || !is_wanted(r, m->name))
            pt_repository_remove_model(r, m);
    }
    for (size_t i = 0; i < r->scan.count; i++)
        if (is_wanted(r, r->scan.models[i].name))
            apply_model(r, &r->scan.models[i]);
}

/* --- scanning -------------------------------------------------------------------------------------------------------------------- */

void pt_repository_scan(struct pt_repository *r);

static void on_poll(struct pt_timer *t)
{
    pt_repository_scan((struct pt_repository *)(void *)((char *)t - offsetof(struct pt_repository, poll)));
}

static void run_scan(struct pt_work *w)
{
    struct pt_repository *r = (struct pt_repository *)(void *)((char *)w - offsetof(struct pt_repository, work));
    r->scan_err.code = PT_OK;
    const char *root = r->o.config->repository.path;
    if (pt_scan_run(root, r->base_name, &r->defaults, &r->scan, &r->scan_err) == PT_OK)
        (void)pt_scan_list(root, &r->looking, &r->defaults, &r->scan, &r->scan_err);
}

/* With a base path, new versions of it are looked for, as TensorFlow Serving does. */
static bool polls(const struct pt_repository *r)
{
    bool poll = !strcmp(r->o.config->repository.control, "poll");
    for (size_t i = 0; i < r->list.count; i++)
        poll |= r->list.entries[i].base_path != NULL;
    return poll;
}

static void end_scan(struct pt_work *w)
{
    struct pt_repository *r = (struct pt_repository *)(void *)((char *)w - offsetof(struct pt_repository, work));
    r->scanning = false;
    if (r->scan_err.code)
        pt_log(PT_LOG_ERROR, "repository cannot be read", "error", r->scan_err.msg, NULL);
    else if (!r->draining)
        apply(r);
    bool again = polls(r) || (r->reload == PT_RELOAD_UNDOING && r->scan_err.code);
    if (r->reload == PT_RELOAD_UNDOING && !r->scan_err.code && !r->scan_again)
        r->reload = PT_RELOAD_NONE;
    r->scanned_once |= !r->scan_err.code;
    pt_scan_finish(&r->scan);
    if (r->draining) {
        r->o.changed(r->o.arg, NULL); /* whoever waits for the end of this looks again */
        return;
    }
    for (struct pt_control *c = r->controls; c && !r->scan_again; c = c->next)
        c->scanned = true;
    if (r->scan_again)
        pt_repository_scan(r);
    else if (again)
        pt_timer_start(pt_repository_clock(r), &r->poll, r->o.config->repository.poll_ms, on_poll);
    r->o.changed(r->o.arg, NULL);
    pt_repository_sweep_soon(r);
}

void pt_repository_scan(struct pt_repository *r)
{
    struct pt_err err;
    r->scan_again = r->scanning;
    if (r->scanning)
        return;
    r->work = (struct pt_work){.run = run_scan, .done = end_scan};
    pt_model_list_finish(&r->looking);
    int rc = r->reload == PT_RELOAD_TRYING ? pt_model_list_merge(&r->looking, &r->next, &err) : PT_OK;
    if (rc == PT_OK)
        rc = pt_model_list_merge(&r->looking, &r->list, &err);
    r->scanning = rc == PT_OK && pt_loop_work(r->o.loop, &r->work, &err) == PT_OK;
    if (!r->scanning) {
        pt_log(PT_LOG_ERROR, "repository cannot be read", "error", err.msg, NULL);
        pt_timer_start(pt_repository_clock(r), &r->poll, r->o.config->repository.poll_ms, on_poll);
    }
}
