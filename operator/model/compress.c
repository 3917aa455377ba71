/* SPDX-License-Identifier: Apache-2.0
 *
 * compress.c: see compress.h. Each plan reads where the work stands from the status and the pod, and says what follows.
 */
#include "operator/model/compress.h"
#include "operator/model/view.h"

#include <stdio.h>

enum {
    DELETE_AGAIN_MS = 30000 /* when the answer to a deletion was lost */,
    RETRY_FIRST_MS = 10000,
    RETRY_MAX_MS = 360000,
    PROGRESS_MS = 10000 /* between two writes of how far it is within a stage */,
    EXIT_USAGE = 64,
    EXIT_BAD_DATA = 65
};

static const char *const phases[] = {"", "Pending", "Running", "Succeeded", "Failed"};

const char *pt_compression_phase_text(enum pt_compression_phase phase)
{
    return phases[phase];
}

enum pt_compression_phase pt_compression_phase_parse(const char *text)
{
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (!strcmp(phases[i], text))
            return (enum pt_compression_phase)i;
    return PT_COMPRESSION_NONE;
}

__attribute__((format(printf, 4, 5))) static void say(struct pt_compression *c, enum pt_compression_phase phase, const char *reason, const char *fmt,
                                                      ...)
{
    va_list ap;
    va_start(ap, fmt);
    c->phase = phase;
    if (phase != PT_COMPRESSION_RUNNING)
        c->progress = (struct pt_run_progress){.number = 0};
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    vsnprintf(c->message, sizeof c->message, fmt, ap);
    va_end(ap);
}

static void delete_work(struct pt_view *v, const struct pt_work_pod *pod)
{
    if (pod->terminating)
        return;
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_DELETE_WORK);
    e->name = pod->o.name;
    e->uid = pod->o.uid;
    pt_view_look_again(v, DELETE_AGAIN_MS);
}

/* An attempt that came to nothing. It may do better the next time, unless that was tried often enough. */
static void count_failure(struct pt_view *v, struct pt_compression *c, const char *why)
{
    const struct pt_compression_spec *spec = &v->s->md->spec.compression;
    int64_t delay = RETRY_FIRST_MS;
    for (int i = 0; i < c->attempts && delay < RETRY_MAX_MS; i++)
        delay *= 2;
    c->attempts++;
    if (c->attempts > spec->backoff_limit) {
        say(c, PT_COMPRESSION_FAILED, "Failed", "attempt %d of %d: %.800s", c->attempts, spec->backoff_limit + 1, why);
        return;
    }
    c->retry_ms = v->s->wall_ms + (delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS);
    say(c, PT_COMPRESSION_PENDING, "Compressing", "attempt %d of %d: %.800s; it is tried again", c->attempts, spec->backoff_limit + 1, why);
}

/* A pod that has ended: with a result, with a refusal for good, or with something that may pass. */
static void judge_end(struct pt_view *v, struct pt_compression *c, const struct pt_work_pod *pod)
{
    struct pt_compression_result r;
    if (pt_compression_result_read(pod->result, &r, v->err) < 0) {
        v->rc = v->err->code;
        return;
    }
    const char *why = *r.message      ? r.message
                      : *pod->message ? pt_view_text(v, "%s: %.600s", *pod->reason ? pod->reason : "the pod failed", pod->message)
                      : pod->exit_code < 0
                          ? pt_view_text(v, "the pod ended%s%s", *pod->reason ? ": " : "", pod->reason)
                          : pt_view_text(v, "the container ended with exit code %d%s%s", pod->exit_code, *pod->reason ? ": " : "", pod->reason);
    if (pod->exit_code == 0 && *r.digest) {
        memcpy(c->digest, r.digest, sizeof c->digest);
        say(c, PT_COMPRESSION_SUCCEEDED, "Succeeded", "%s", r.message);
    } else if (pod->exit_code == 0) {
        count_failure(v, c, "it ended without saying what it made");
    } else if (pod->exit_code == PT_EXIT_GATE) {
        say(c, PT_COMPRESSION_FAILED, "GateFailed", "%s", why);
    } else if (pod->exit_code == EXIT_USAGE || pod->exit_code == EXIT_BAD_DATA) {
        say(c, PT_COMPRESSION_FAILED, "Failed", "%s", why);
    } else {
        count_failure(v, c, why);
    }
}

/* A stage that begins, and that it has steps to count, at once; how far it is now and then. A pod that has told nothing, or nothing since this operator began, changes nothing. */
static void take_progress(struct pt_view *v, struct pt_compression *c, const struct pt_work_pod *pod)
{
    const struct pt_run_progress *is = &pod->progress;
    struct pt_run_progress *was = &c->progress;
    bool begins = is->number != was->number || strcmp(is->stage, was->stage) != 0 || (is->percent >= 0 && was->percent < 0);
    bool same = !begins && is->epoch == was->epoch && is->percent == was->percent && is->eta_s == was->eta_s;
    int64_t left = was->time_ms + PROGRESS_MS - v->s->wall_ms;
    if (!*is->stage || same)
        return;
    if (!begins && left > 0 && left <= PROGRESS_MS) {
        pt_view_look_again(v, left);
        return;
    }
    *was = *is;
    was->time_ms = v->s->wall_ms;
}

static void follow(struct pt_view *v, struct pt_compression *c, const struct pt_work_pod *pod)
{
    if (pod->ended)
        judge_end(v, c, pod);
    else if (*pod->reason && strcmp(pod->reason, "ContainerCreating") != 0)
        say(c, PT_COMPRESSION_RUNNING, "Compressing", "pod %s: %s%s%.600s", pod->o.name, pod->reason, *pod->message ? ": " : "", pod->message);
    else
        say(c, PT_COMPRESSION_RUNNING, "Compressing", "pod %s runs the recipe, attempt %d of %d", pod->o.name, c->attempts + 1,
            v->s->md->spec.compression.backoff_limit + 1);
    if (c->phase == PT_COMPRESSION_RUNNING)
        take_progress(v, c, pod);
}

static void create(struct pt_view *v, struct pt_compression *c)
{
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    char name[80];
    int rc = pt_build_compression_pod(v->s->md, &v->s->settings, c->attempts, &b, &err);
    if (rc < 0) {
        v->rc = pt_fail(v->err, err.code, "plan: %s", err.msg);
        return;
    }
    pt_compression_pod_name(v->s->md, name);
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_CREATE_WORK);
    e->name = pt_view_text(v, "%s", name);
    e->body = pt_view_keep(v, &b);
    e->reason = "CompressionStarted";
    e->message =
        pt_view_text(v, "Compressing the model in pod %s, attempt %d of %d", name, c->attempts + 1, v->s->md->spec.compression.backoff_limit + 1);
    if (!c->start_ms)
        c->start_ms = v->s->wall_ms;
    say(c, PT_COMPRESSION_PENDING, "Compressing", "pod %s is being created", name);
}

/* There is no pod of this attempt. taken: another one still has its name. */
static void begin(struct pt_view *v, struct pt_compression *c, bool taken)
{
    if (c->phase == PT_COMPRESSION_RUNNING)
        count_failure(v, c, "its pod was deleted, or went with its node");
    int64_t wait = c->retry_ms - v->s->wall_ms;
    if (c->phase == PT_COMPRESSION_FAILED || taken)
        return;
    if (v->s->md->spec.paused)
        say(c, PT_COMPRESSION_PENDING, "Compressing", "waits until spec.paused is false");
    else if (wait > 0)
        pt_view_look_again(v, wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
    else
        create(v, c);
}

/* Over all attempts, by the time of the API's objects: an operator that is started anew has no other. */
static bool is_late(struct pt_view *v, struct pt_compression *c)
{
    int64_t left = c->start_ms + v->s->md->spec.compression.timeout_ms - v->s->wall_ms;
    if (!c->start_ms || left > 0) {
        if (c->start_ms)
            pt_view_look_again(v, left);
        return false;
    }
    say(c, PT_COMPRESSION_FAILED, "DeadlineExceeded", "no result within %lld s", (long long)(v->s->md->spec.compression.timeout_ms / 1000));
    return true;
}

static bool is_over(const struct pt_compression *c)
{
    return c->phase == PT_COMPRESSION_SUCCEEDED || c->phase == PT_COMPRESSION_FAILED;
}

static void work(struct pt_view *v, struct pt_compression *c)
{
    const struct pt_work_pod *pod, *now = NULL;
    char name[80];
    bool stored_end = is_over(c), taken = false;
    pt_compression_pod_name(v->s->md, name);
    for (pod = v->s->work_pods; pod; pod = (const struct pt_work_pod *)pod->o.next) {
        if (!stored_end && !strcmp(pod->key, c->key) && pod->attempt == c->attempts) {
            now = pod;
        } else {
            delete_work(v, pod);
            taken |= !strcmp(pod->o.name, name);
        }
    }
    if (stored_end)
        return;
    if (now && now->ended)
        judge_end(v, c, now);
    else if (is_late(v, c)) /* the next plan, with this in the status, deletes it */
        return;
    else if (now)
        follow(v, c, now);
    else
        begin(v, c, taken);
}

static bool is_digest(const char *text)
{
    uint8_t bytes[32];
    return pt_parse_digest(pt_str(text), "digest", bytes, NULL) == PT_OK;
}

/* What a revision was made of that has this key. */
static const struct pt_revision *revision_of(const struct pt_view *v, const char *key)
{
    for (const struct pt_revision *r = v->s->revisions; r; r = (const struct pt_revision *)r->o.next)
        if (r->compressed_key && !strcmp(r->compressed_key, key))
            return r;
    return NULL;
}

void pt_plan_compression(struct pt_view *v)
{
    const struct pt_md *md = v->s->md;
    const struct pt_compression_spec *spec = &md->spec.compression;
    struct pt_compression *c = &v->compression;
    if (!spec->json) {
        for (const struct pt_work_pod *pod = v->s->work_pods; pod; pod = (const struct pt_work_pod *)pod->o.next)
            delete_work(v, pod);
        return;
    }
    if (md->compression && !strcmp(md->compression->key, spec->key) &&
        (md->compression->phase != PT_COMPRESSION_SUCCEEDED || is_digest(md->compression->digest)))
        *c = *md->compression;
    snprintf(c->key, sizeof c->key, "%s", spec->key);
    const struct pt_revision *r = revision_of(v, spec->key);
    if (r && c->phase != PT_COMPRESSION_SUCCEEDED) {
        snprintf(c->digest, sizeof c->digest, "%s", r->digest);
        say(c, PT_COMPRESSION_SUCCEEDED, "Succeeded", "the result is kept with revision %s", r->o.name);
    }
    if (c->phase == PT_COMPRESSION_NONE)
        say(c, PT_COMPRESSION_PENDING, "Compressing", "is about to begin");
    work(v, c);
    v->compressing = c->phase != PT_COMPRESSION_SUCCEEDED;
    if (v->compressing)
        return;
    pt_auto_buf uri = PT_BUF_INIT(0);
    if (pt_compression_uri(&md->spec, c->digest, &uri, v->err) < 0)
        v->rc = v->err->code;
    v->made = (struct pt_made_model){spec->key, pt_view_keep(v, &uri).p, c->digest};
}
