/* SPDX-License-Identifier: Apache-2.0
 *
 * status.c: the status of a ModelDeployment: what is true now, and nothing that changes without meaning, so that a quiet object is never written.
 */
#include "operator/model/view.h"
#include "base/num.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>

static const char *const cond_types[] = {
#define PT_X(name, text) text,
    PT_CONDITIONS(PT_X)
#undef PT_X
};

struct problem {
    const struct pt_pod *pod;
    const char *reason, *message;
    bool of_model; /* the model or its container; else the place to run */
};

struct summary {
    int loaded, failed, known, downloading;
    struct problem problem; /* of the first fresh pod by name that has one */
};

static bool is_trouble(const char *waiting)
{
    static const char *const list[] = {"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
                                       "CreateContainerConfigError", "CreateContainerError", "RunContainerError"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(waiting, list[i]))
            return true;
    return false;
}

static bool problem_of(struct pt_view *v, const struct pt_pod *pod, const struct pt_pod_model *m, struct problem *out)
{
    const struct pt_pod_trouble *t = pod->trouble;
    *out = (struct problem){.pod = pod, .of_model = true};
    if (m->failed) {
        out->reason = m->reason;
        out->message = m->message;
    } else if (!strcmp(t->waiting, "CrashLoopBackOff")) {
        out->reason = t->waiting;
        out->message = pt_view_text(v, "the container ends again and again; last with exit code %d%s%s%s", t->exit_code, *t->ended ? " (" : "", t->ended,
                                    *t->ended ? ")" : "");
    } else if (is_trouble(t->waiting)) {
        out->reason = t->waiting;
        out->message = pt_view_text(v, "%.900s", t->waiting_message);
    } else if (*t->unschedulable) {
        *out = (struct problem){.pod = pod, .reason = "Unschedulable", .message = pt_view_text(v, "%.900s", t->unschedulable)};
    } else {
        return false;
    }
    return true;
}

static struct summary summarise(struct pt_view *v)
{
    struct summary sum = {.loaded = 0};
    for (int i = 0; i < v->fresh.count; i++) {
        const struct pt_pod *pod = v->fresh.pod[i];
        struct pt_pod_model m = pt_view_model(v, pod);
        struct problem p;
        bool bad = problem_of(v, pod, &m, &p);
        sum.loaded += m.loaded;
        sum.known += m.known;
        sum.downloading += m.downloading;
        sum.failed += bad && p.of_model;
        if (bad && (!sum.problem.pod || strcmp(pod->o.name, sum.problem.pod->o.name) < 0))
            sum.problem = p;
    }
    return sum;
}

/* --- conditions ---------------------------------------------------------------------------------------------------------- */

struct condition {
    enum pt_truth truth;
    const char *reason, *message;
};

/* Trying again cannot help: the spec or what it points to must change. */
static bool is_final(const struct problem *p)
{
    static const char *const list[] = {"DigestMismatch", "ModelLoadFailed", "WarmupFailed"};
    for (size_t i = 0; p->pod && i < sizeof list / sizeof *list; i++)
        if (!strcmp(p->reason, list[i]))
            return true;
    return false;
}

static const char *compression_message(struct pt_view *v)
{
    return pt_view_text(v, "%s%s", v->update_revision ? "the last revision goes on serving: " : "", v->compression.message);
}

static struct condition judge_compression(const struct pt_view *v)
{
    const struct pt_compression *c = &v->compression;
    return (struct condition){c->phase == PT_COMPRESSION_SUCCEEDED ? PT_TRUE : c->phase == PT_COMPRESSION_FAILED ? PT_FALSE : PT_UNKNOWN, c->reason, c->message};
}

static void judge_ready(struct pt_view *v, const struct summary *sum, struct condition c[PT_COND_COUNT])
{
    const char *counts = pt_view_text(v, "%d of %d replicas are available", v->fresh.available, v->replicas);
    if (v->complete && v->replicas == 0)
        c[PT_COND_READY] = (struct condition){PT_TRUE, "ScaledToZero", "stopped: spec.replicas is 0"};
    else if (v->complete)
        c[PT_COND_READY] = (struct condition){PT_TRUE, "AllReplicasReady", counts};
    else if (v->trouble)
        c[PT_COND_READY] = (struct condition){PT_FALSE, v->trouble, v->trouble_message};
    else if (sum->problem.pod)
        c[PT_COND_READY] = (struct condition){PT_FALSE, sum->problem.reason,
                                              pt_view_text(v, "%s; pod %s: %.900s", counts, sum->problem.pod->o.name, sum->problem.message)};
    else if (v->held && v->compressing)
        c[PT_COND_READY] = (struct condition){PT_FALSE, v->compression.reason, compression_message(v)};
    else if (v->s->md->spec.paused)
        c[PT_COND_READY] = (struct condition){PT_FALSE, "Paused", v->held ? "what the spec asks for waits until spec.paused is false" : counts};
    else
        c[PT_COND_READY] = (struct condition){PT_FALSE, v->exceeded ? "ProgressDeadlineExceeded" : v->old.count ? "RollingOut" : "ReplicasNotReady", counts};
}

static void judge_model(struct pt_view *v, const struct summary *sum, struct condition *c)
{
    const char *counts = pt_view_text(v, "%d of %d pods of revision %s have loaded the model", sum->loaded, v->fresh.count, v->update);
    if (sum->problem.pod && sum->problem.of_model)
        *c = (struct condition){PT_FALSE, sum->problem.reason, pt_view_text(v, "pod %s: %.900s", sum->problem.pod->o.name, sum->problem.message)};
    else if (sum->loaded)
        *c = (struct condition){PT_TRUE, "ModelLoaded", counts};
    else if (sum->known)
        *c = (struct condition){PT_FALSE, sum->downloading ? "Downloading" : "Loading", counts};
    else
        *c = (struct condition){PT_UNKNOWN, v->fresh.count ? "NoReports" : "NoPods", v->fresh.count ? "no pod has reported yet" : "there is no pod of the newest revision"};
}

static void judge_rest(struct pt_view *v, const struct summary *sum, struct condition c[PT_COND_COUNT])
{
    int available = v->fresh.available + v->old.available;
    bool invalid = v->s->md->invalid != NULL,
         taken = v->blocked || (v->trouble && (!strcmp(v->trouble, "ServiceNameTaken") || !strcmp(v->trouble, "BudgetNameTaken")));
    bool paused = v->s->md->spec.paused && !v->complete;
    bool enough = !invalid && available >= v->min_available;
    const char *counts = pt_view_text(v, "%d available, at least %d wanted", available, v->min_available);
    c[PT_COND_AVAILABLE] = (struct condition){enough ? PT_TRUE : invalid ? PT_UNKNOWN : PT_FALSE,
                                              enough ? "MinimumReplicasAvailable" : invalid ? v->trouble : "MinimumReplicasUnavailable", invalid ? v->trouble_message : counts};
    if (v->complete)
        c[PT_COND_PROGRESSING] = (struct condition){PT_TRUE, "NewRevisionAvailable", pt_view_text(v, "revision %s is fully rolled out", v->update)};
    else if (v->exceeded)
        c[PT_COND_PROGRESSING] =
            (struct condition){PT_FALSE, "ProgressDeadlineExceeded",
                               pt_view_text(v, "revision %s has made no progress for %d s", v->update, v->s->md->spec.progress_deadline_s)};
    else if (v->held && v->compressing)
        c[PT_COND_PROGRESSING] = (struct condition){v->compression.phase == PT_COMPRESSION_FAILED ? PT_FALSE : PT_TRUE, v->compression.reason, v->compression.message};
    else if (paused)
        c[PT_COND_PROGRESSING] = (struct condition){PT_UNKNOWN, "Paused", "the rollout is paused"};
    else if (v->trouble)
        c[PT_COND_PROGRESSING] = (struct condition){PT_FALSE, v->trouble, v->trouble_message};
    else
        c[PT_COND_PROGRESSING] = (struct condition){PT_TRUE, "RollingOut", pt_view_text(v, "revision %s is being rolled out", v->update)};
    if (invalid || taken)
        c[PT_COND_STALLED] = (struct condition){PT_TRUE, v->trouble, v->trouble_message};
    else if (v->held && v->compression.phase == PT_COMPRESSION_FAILED)
        c[PT_COND_STALLED] = (struct condition){PT_TRUE, v->compression.reason, v->compression.message};
    else if (v->exceeded)
        c[PT_COND_STALLED] = (struct condition){PT_TRUE, c[PT_COND_PROGRESSING].reason, c[PT_COND_PROGRESSING].message};
    else if (!v->complete && is_final(&sum->problem))
        c[PT_COND_STALLED] = (struct condition){PT_TRUE, sum->problem.reason, c[PT_COND_MODEL_LOADED].message};
    else
        c[PT_COND_STALLED] = (struct condition){PT_FALSE, "NotStalled", ""};
    c[PT_COND_COMPRESSED] = judge_compression(v);
    const struct pt_scaling *a = &v->s->scaling;
    c[PT_COND_SCALING_ACTIVE] = (struct condition){a->on && a->known ? PT_TRUE : PT_FALSE,
                                                   !a->on      ? "ScalingDisabled"
                                                   : !a->known ? "NoReports"
                                                               : "ValidReportsFound",
                                                   !a->on      ? "spec.replicas is 0"
                                                   : !a->known ? "no pod has reported its load lately: the number of pods stays"
                                                               : ""};
    bool stalled = c[PT_COND_STALLED].truth == PT_TRUE, working = !v->complete && !stalled && !paused;
    c[PT_COND_RECONCILING] = (struct condition){working ? PT_TRUE : PT_FALSE,
                                                working       ? c[PT_COND_READY].reason
                                                : v->complete ? "Complete"
                                                : stalled     ? "Stalled"
                                                              : "Paused",
                                                ""};
}

/* What the operator did by itself about this revision, or would have. */
static const char *with_trace(struct pt_view *v, const char *message)
{
    const struct pt_md *md = v->s->md;
    const char *why = "";
    char other[64];
    switch (pt_retreat_trace(md, v->update, other, &why)) {
    case PT_TRACE_CAME:
        return pt_view_text(v, "%s; the operator went back to this revision from %s, of which: %s", message, other, why);
    case PT_TRACE_LEFT:
        return pt_view_text(v, "%s; the operator left this revision for %s once, and it was asked for again: it stays", message, other);
    default:
        break;
    }
    if (v->s->verdict && v->s->verdict->retreat && !*md->healthy)
        return pt_view_text(v, "%s; no revision is known that was healthy, to go back to", message);
    return message;
}

static void judge_health(struct pt_view *v, struct condition *c)
{
    const struct pt_md *md = v->s->md;
    const struct pt_verdict *d = v->s->verdict && !strcmp(v->s->verdict->revision, v->update) && v->s->verdict->reason ? v->s->verdict : NULL;
    enum pt_truth stored = md->conds[PT_COND_MODEL_HEALTHY].truth;
    static const enum pt_truth truths[] = {[PT_HEALTH_UNKNOWN] = PT_UNKNOWN, [PT_HEALTH_GOOD] = PT_TRUE, [PT_HEALTH_BAD] = PT_FALSE};
    if (!md->spec.monitoring)
        return;
    if (!md->spec.monitoring->count)
        *c = (struct condition){PT_UNKNOWN, "NoThresholds", "spec.monitoring has no thresholds"};
    else if (d && d->health != PT_HEALTH_UNKNOWN)
        *c = (struct condition){truths[d->health], d->reason, with_trace(v, d->message)};
    else if (stored != PT_UNKNOWN && md->health_reason && md->health_message && !strcmp(md->update_revision, v->update)) /* said by the operator before us */
        *c = (struct condition){stored, md->health_reason, md->health_message};
    else
        *c = (struct condition){PT_UNKNOWN, d ? d->reason : "NoReports", with_trace(v, d ? d->message : "no pod has reported figures yet")};
}

/* --- writing -------------------------------------------------------------------------------------------------------------
 * Members are written in the order of the canonical text (obj.h), so that the hash of this text can be compared with that of the stored status.
 * A member that is not set is left out of that text; in the patch it is null, so that it goes. */

/* Inline, so that the lengths of names are known. */
#define PUT static inline __attribute__((always_inline))
PUT void put_name(struct pt_buf *b, const char *name)
{
    size_t n = strlen(name);
    char *to = pt_buf_reserve(b, n + 3);
    if (!to)
        return;
    to[0] = '"';
    memcpy(to + 1, name, n);
    memcpy(to + 1 + n, "\":", 2);
    b->len += n + 3;
}

PUT void put_text(struct pt_buf *b, const char *name, const char *value)
{
    put_name(b, name);
    pt_buf_json_string(b, pt_str(value));
}

PUT void put_whole(struct pt_buf *b, const char *name, int64_t n)
{
    char text[PT_NUM_MAX];
    put_name(b, name);
    pt_buf_append(b, text, pt_num_put_i64(text, n));
}

/* With the comma behind it. */
PUT void put_count(struct pt_buf *b, const char *name, int64_t n)
{
    put_whole(b, name, n);
    pt_buf_putc(b, ',');
}

/* value: JSON, or NULL when not set. */
static void put_optional(struct pt_buf *b, bool patch, const char *name, const char *value)
{
    if (!value && !patch)
        return;
    put_name(b, name);
    pt_buf_puts(b, value ? value : "null");
    pt_buf_putc(b, ',');
}

/* Some are only where somebody asks for what they are about. */
static bool is_shown(const struct pt_md *md, int cond)
{
    return cond == PT_COND_SCALING_ACTIVE   ? md->spec.autoscaling.on
           : cond == PT_COND_MODEL_HEALTHY ? md->spec.monitoring != NULL
           : cond == PT_COND_COMPRESSED    ? md->spec.compression.json != NULL
                                           : true;
}

static void put_conditions(struct pt_view *v, struct pt_buf *b, const struct condition c[PT_COND_COUNT])
{
    static const char *const truths[] = {"Unknown", "True", "False"};
    const struct pt_md *md = v->s->md;
    for (int i = 0; i < PT_COND_COUNT; i++) {
        char since[24];
        if (!is_shown(md, i))
            continue;
        bool same = md->conds[i].since_ms && md->conds[i].truth == c[i].truth;
        pt_format_time(same ? md->conds[i].since_ms : v->s->wall_ms, since);
        pt_buf_puts(b, i ? ",{\"lastTransitionTime\":\"" : "{\"lastTransitionTime\":\""); /* the first one is always there */
        pt_buf_puts(b, since);
        pt_buf_puts(b, "\",");
        put_text(b, "message", c[i].message);
        pt_buf_putc(b, ',');
        put_count(b, "observedGeneration", md->generation);
        put_text(b, "reason", c[i].reason);
        pt_buf_puts(b, ",\"status\":\"");
        pt_buf_puts(b, truths[c[i].truth]);
        pt_buf_puts(b, "\",\"type\":\"");
        pt_buf_puts(b, cond_types[i]);
        pt_buf_puts(b, "\"}");
    }
}

/* The same failure keeps its time; a new one gets now; when all is well again there is none. NULL: none. */
static const char *last_failure(struct pt_view *v, const struct summary *sum, struct pt_buf *b)
{
    const struct problem *p = &sum->problem;
    const char *stored = v->complete ? NULL : v->s->md->last_failure;
    pt_auto_obj *old = NULL;
    if (v->s->md->last_failure && pt_obj_parse(pt_str(v->s->md->last_failure), "lastFailure", &old, NULL) < 0)
        stored = NULL;
    const char *pod = pt_obj_str(old, "pod"), *reason = pt_obj_str(old, "reason");
    if (!p->pod || !p->of_model || (pod && reason && !strcmp(pod, p->pod->o.name) && !strcmp(reason, p->reason)))
        return stored;
    char now[24];
    pt_format_time(v->s->wall_ms, now);
    pt_buf_printf(b, "{\"exitCode\":%d,", p->pod->trouble->exit_code);
    put_text(b, "message", p->message);
    pt_buf_putc(b, ',');
    put_text(b, "pod", p->pod->o.name);
    pt_buf_putc(b, ',');
    put_text(b, "reason", p->reason);
    pt_buf_printf(b, ",\"time\":\"%s\"}", now);
    return pt_buf_cstr(b);
}

static const char *loaded_digest(const struct pt_view *v, char text[72])
{
    for (int i = 0; i < v->fresh.count; i++) {
        const struct pt_pod_told *st = v->fresh.pod[i]->state.told;
        if (st && st->has_digest && st->model == PT_MODEL_READY) {
            pt_format_digest(st->digest, text);
            return text;
        }
    }
    return v->update_revision && !strcmp(v->s->md->update_revision, v->update) ? v->s->md->digest : "";
}

static void put_model(struct pt_view *v, struct pt_buf *b, const struct summary *sum, const char *failure, bool patch)
{
    char digest[72], quoted[80];
    const char *state = sum->failed ? "\"Failed\"" : v->fresh.count && sum->loaded == v->fresh.count ? "\"Loaded\"" : sum->downloading ? "\"Downloading\"" : "\"Loading\"";
    snprintf(quoted, sizeof quoted, "\"%.71s\"", loaded_digest(v, digest));
    put_optional(b, patch, "digest", quoted[1] != '"' ? quoted : NULL);
    put_count(b, "failedReplicas", sum->failed);
    put_optional(b, patch, "lastFailure", failure);
    put_whole(b, "loadedReplicas", sum->loaded);
    if (v->fresh.count || patch) {
        pt_buf_puts(b, ",\"state\":");
        pt_buf_puts(b, v->fresh.count ? state : "null");
    }
}

static void put_time(struct pt_buf *b, bool patch, const char *name, int64_t wall_ms)
{
    char time[24], quoted[32];
    pt_format_time(wall_ms, time);
    snprintf(quoted, sizeof quoted, "\"%.23s\"", time);
    put_optional(b, patch, name, wall_ms ? quoted : NULL);
}

static void put_known(struct pt_buf *b, bool patch, const char *name, bool known, int64_t n)
{
    char text[PT_NUM_MAX + 1];
    text[pt_num_put_i64(text, n)] = '\0';
    put_optional(b, patch, name, known ? text : NULL);
}

/* "2/3 prune, 47 %": for a column, and for an event without the last part. */
static const char *where_it_is(struct pt_view *v, const struct pt_run_progress *p, bool exactly)
{
    const char *share = exactly && p->percent >= 0 ? pt_view_text(v, ", %d %%", p->percent) : "";
    return pt_view_text(v, "%d/%d %s%s", p->number, p->stages, p->stage, share);
}

static void put_progress(struct pt_view *v, struct pt_buf *b, bool patch)
{
    const struct pt_run_progress *p = &v->compression.progress;
    if (!*p->stage) {
        put_optional(b, patch, "progress", NULL);
        return;
    }
    pt_buf_puts(b, "\"progress\":{");
    put_known(b, patch, "epoch", p->epochs > 0, p->epoch);
    put_known(b, patch, "epochs", p->epochs > 0, p->epochs);
    put_known(b, patch, "etaSeconds", p->eta_s >= 0, p->eta_s);
    put_known(b, patch, "percent", p->percent >= 0, p->percent);
    put_text(b, "stage", p->stage);
    pt_buf_putc(b, ',');
    put_count(b, "stageNumber", p->number);
    put_count(b, "stages", p->stages);
    put_text(b, "summary", where_it_is(v, p, true));
    pt_buf_putc(b, ',');
    put_time(b, patch, "time", p->time_ms);
    b->len--; /* the comma */
    pt_buf_puts(b, "},");
}

static void put_compression(struct pt_view *v, struct pt_buf *b, bool patch)
{
    const struct pt_compression *c = &v->compression;
    char digest[80];
    if (c->phase == PT_COMPRESSION_NONE) {
        put_optional(b, patch, "compression", NULL);
        return;
    }
    pt_buf_puts(b, "\"compression\":{");
    put_count(b, "attempts", c->attempts);
    snprintf(digest, sizeof digest, "\"%.71s\"", c->digest);
    put_optional(b, patch, "digest", *c->digest ? digest : NULL);
    put_text(b, "key", c->key);
    pt_buf_putc(b, ',');
    put_text(b, "message", c->message);
    pt_buf_putc(b, ',');
    put_text(b, "phase", pt_compression_phase_text(c->phase));
    pt_buf_putc(b, ',');
    put_progress(v, b, patch);
    put_text(b, "reason", c->reason);
    pt_buf_putc(b, ',');
    put_time(b, patch, "retryTime", c->phase == PT_COMPRESSION_PENDING ? c->retry_ms : 0);
    put_time(b, patch, "startTime", c->start_ms);
    if (v->made.uri)
        put_text(b, "uri", v->made.uri);
    else
        pt_buf_puts(b, patch ? "\"uri\":null" : "");
    if (!v->made.uri && !patch)
        b->len--; /* the comma */
    pt_buf_puts(b, "},");
}

/* In a patch what is gone is null. */
static void put_autoscaling(struct pt_view *v, struct pt_buf *b, bool patch)
{
    const struct pt_md *md = v->s->md;
    const struct pt_scaling *a = &v->s->scaling;
    char time[24];
    if (!md->spec.autoscaling.on || md->invalid) {
        if (patch)
            pt_buf_puts(b, "\"autoscaling\":null,");
        return;
    }
    pt_format_time(a->scaled_wall_ms, time);
    const char *last = a->scaled_wall_ms ? time : md->last_scale;
    pt_buf_printf(b, "\"autoscaling\":{\"desiredReplicas\":%d,", a->on ? a->desired : md->spec.replicas);
    if (*last) {
        put_text(b, "lastScaleTime", last);
        pt_buf_putc(b, ',');
    }
    pt_buf_printf(b, "\"mode\":\"%s\"},", a->panic ? "Panic" : "Stable");
}

/* The revision that was healthy last, and where the operator went by itself. */
static void put_monitoring(struct pt_view *v, struct pt_buf *b, bool patch)
{
    const struct pt_md *md = v->s->md;
    const struct pt_verdict *d = v->s->verdict;
    char other[64], quoted[72];
    if (!md->spec.monitoring) {
        if (patch)
            pt_buf_puts(b, "\"monitoring\":null,");
        return;
    }
    bool good = d && d->proven && v->complete && !strcmp(d->revision, v->update);
    bool came = pt_retreat_trace(md, v->update, other, NULL) == PT_TRACE_CAME;
    const char *healthy = good ? v->update : md->healthy;
    pt_buf_puts(b, "\"monitoring\":{");
    snprintf(quoted, sizeof quoted, "\"%.63s\"", healthy);
    put_optional(b, patch, "healthyRevision", *healthy ? quoted : NULL);
    snprintf(quoted, sizeof quoted, "\"%.63s\"", other);
    put_optional(b, patch, "rolledBackFrom", came ? quoted : NULL);
    if (b->len && b->data[b->len - 1] == ',')
        b->len--;
    pt_buf_puts(b, "},");
}

static void put_status(struct pt_view *v, struct pt_buf *b, const struct summary *sum, const struct condition c[PT_COND_COUNT], const char *failure, bool patch)
{
    const struct pt_md *md = v->s->md;
    pt_buf_putc(b, '{');
    put_autoscaling(v, b, patch);
    put_count(b, "availableReplicas", v->fresh.available + v->old.available);
    put_count(b, "collisionCount", v->collisions);
    put_compression(v, b, patch);
    pt_buf_puts(b, "\"conditions\":[");
    put_conditions(v, b, c);
    pt_buf_puts(b, "],");
    put_text(b, "currentRevision", v->complete ? v->update : md->current_revision);
    pt_buf_putc(b, ',');
    if (!md->invalid)
        pt_buf_printf(b, "\"endpoint\":\"http%s://%s.%s.svc:%d\",", md->spec.tls ? "s" : "", md->o.name, md->o.ns, md->spec.port);
    pt_buf_puts(b, "\"model\":{");
    put_model(v, b, sum, failure, patch);
    pt_buf_puts(b, "},");
    put_monitoring(v, b, patch);
    put_count(b, "observedGeneration", md->generation);
    put_count(b, "readyReplicas", v->fresh.ready + v->old.ready);
    put_count(b, "replicas", v->fresh.count + v->old.count);
    pt_buf_puts(b, "\"selector\":\"" PT_LABEL_NAME "=");
    pt_buf_puts(b, md->o.name);
    pt_buf_puts(b, "\",");
    put_count(b, "terminatingReplicas", v->leaving);
    put_text(b, "updateRevision", v->update);
    pt_buf_putc(b, ',');
    put_whole(b, "updatedReplicas", v->fresh.count);
    pt_buf_putc(b, '}');
}

/* Counts that move while pods come and go are written at most twice a second; what a condition says is written at once. */
#define COUNTS_MS 500

/* Since what is stored: another phase, or one more attempt. */
static bool compression_moved(const struct pt_view *v)
{
    const struct pt_compression *c = &v->compression, *was = v->s->md->compression;
    return c->phase != (was ? was->phase : PT_COMPRESSION_NONE) || (was && (strcmp(was->key, c->key) != 0 || was->attempts != c->attempts));
}

static bool can_wait(struct pt_view *v, const struct condition c[PT_COND_COUNT])
{
    const struct pt_md *md = v->s->md;
    int64_t age = v->s->now_ms - v->s->status_ms;
    if (v->s->status_ms < 0 || age >= COUNTS_MS || md->observed_generation != md->generation || strcmp(md->update_revision, v->update) != 0)
        return false;
    if (compression_moved(v))
        return false;
    for (int i = 0; i < PT_COND_COUNT; i++)
        if (is_shown(md, i) && md->conds[i].truth != c[i].truth)
            return false;
    pt_view_look_again(v, COUNTS_MS - age);
    return true;
}

/* A stage has begun since what is stored. */
static bool stage_began(const struct pt_view *v)
{
    const struct pt_compression *was = v->s->md->compression;
    const struct pt_run_progress *is = &v->compression.progress;
    return *is->stage && (!was || was->progress.number != is->number || strcmp(was->progress.stage, is->stage) != 0);
}

/* What became of a run: another stage, a result, a failure for good, or another attempt. */
static bool tell_compression(struct pt_view *v, struct pt_effect *e)
{
    const struct pt_compression *c = &v->compression, *was = v->s->md->compression;
    bool again = c->attempts > (was ? was->attempts : 0);
    if (stage_began(v)) {
        e->reason = "CompressionStage";
        e->message = pt_view_text(v, "Stage %s begins", where_it_is(v, &c->progress, false));
        return true;
    }
    if (!compression_moved(v) || (c->phase <= PT_COMPRESSION_RUNNING && !again))
        return false;
    e->warning = c->phase != PT_COMPRESSION_SUCCEEDED;
    e->message = c->message;
    if (c->phase == PT_COMPRESSION_SUCCEEDED)
        e->reason = "CompressionSucceeded";
    else if (c->phase != PT_COMPRESSION_FAILED)
        e->reason = "CompressionRetrying";
    else if (!strcmp(c->reason, "GateFailed"))
        e->reason = c->reason;
    else
        e->reason = pt_view_text(v, "Compression%s", c->reason);
    return true;
}

void pt_plan_status(struct pt_view *v)
{
    const struct pt_md *md = v->s->md;
    struct summary sum = summarise(v);
    struct condition c[PT_COND_COUNT] = {{PT_UNKNOWN, "", ""}};
    pt_auto_buf status = PT_BUF_INIT(0), body = PT_BUF_INIT(0), failed = PT_BUF_INIT(0);
    judge_ready(v, &sum, c);
    judge_model(v, &sum, &c[PT_COND_MODEL_LOADED]);
    judge_rest(v, &sum, c);
    judge_health(v, &c[PT_COND_MODEL_HEALTHY]);
    const char *failure = last_failure(v, &sum, &failed);
    (void)pt_buf_reserve(&status, 3000); /* most fit */
    put_status(v, &status, &sum, c, failure, false);
    if (v->rc == PT_OK && (v->rc = pt_buf_check(&status, "plan: status", v->err)) == PT_OK)
        v->rc = pt_buf_check(&failed, "plan: status", v->err);
    if (v->rc < 0 || pt_hash_words(status.data, status.len) == md->status_hash || can_wait(v, c))
        return;
    (void)pt_buf_reserve(&body, 3000);
    pt_buf_printf(&body, "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%llu\"},\"status\":", md->o.uid, (unsigned long long)md->o.rv);
    put_status(v, &body, &sum, c, failure, true);
    pt_buf_putc(&body, '}');
    struct pt_effect *e = pt_view_effect(v, PT_EFFECT_PATCH_STATUS);
    e->name = md->o.name;
    e->uid = md->o.uid;
    char *text = body.failed ? NULL : pt_arena_strndup(&v->plan->arena, body.data, body.len);
    if (!text) {
        v->rc = pt_fail(v->err, PT_ENOMEM, "plan: out of memory");
        return;
    }
    e->body = (struct pt_str){text, body.len};
    if (tell_compression(v, e))
        return;
    if (c[PT_COND_STALLED].truth == PT_TRUE && md->conds[PT_COND_STALLED].truth != PT_TRUE) {
        e->warning = true;
        e->reason = c[PT_COND_STALLED].reason;
        e->message = c[PT_COND_STALLED].message;
    } else if (c[PT_COND_READY].truth == PT_TRUE && md->conds[PT_COND_READY].truth != PT_TRUE) {
        e->reason = "Ready";
        e->message = c[PT_COND_READY].message;
    }
}
