/* SPDX-License-Identifier: Apache-2.0
 *
 * lease.c: see lease.h. One attempt is one or two calls: a leader patches what it wrote last (the fast path); otherwise the Lease is read and, when it
 * is free, created or patched with the version that was read as precondition. Attempts come retry_ms apart, with jitter for who waits. Whoever has
 * lost it waits like everybody else; it may find its own name in it still, and then takes it again.
 */
#include "operator/ctrl/lease.h"
#include "operator/ctrl/obj.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdio.h>

#define RELEASE_MS 5000
#define JITTER 1.2

struct record { /* the Lease as we saw it last */
    char holder[128], version[48], acquired[40];
    int64_t duration_ms, transitions;
    int64_t seen_ms; /* when it last changed */
};

struct pt_lease {
    struct pt_lease_options o;
    char *ns, *name, *identity;
    struct pt_rand rand;
    struct pt_api_call *call;
    struct pt_timer timer;    /* the next attempt */
    struct pt_timer deadline; /* renewing, or releasing, must have worked by then */
    struct record seen;
    bool leading, over;
    bool slow;                /* this attempt has read the Lease */
    int64_t renewed_ms;       /* when the attempt that renewed it last began */
    int64_t attempt_ms;
    void (*released)(void *arg);
    void *released_arg;
    struct pt_metric *m_leader, *m_slow;
};

static const struct pt_metric_family
    f_leader = {"leader_election_master_status", "Whether this process leads: 1, or 0", PT_GAUGE, "name", NULL, 0},
    f_slow = {"leader_election_slowpath_total", "Renewals that had to read the Lease first", PT_COUNTER, "name", NULL, 0};

static void attempt(struct pt_lease *l);

int pt_lease_create(const struct pt_lease_options *o, struct pt_lease **out, struct pt_err *err)
{
    struct pt_lease *l = pt_calloc(1, sizeof *l);
    if (!l || !(l->ns = pt_strdup(o->ns)) || !(l->name = pt_strdup(o->name)) || !(l->identity = pt_strdup(o->identity))) {
        pt_lease_destroy(l);
        return pt_fail(err, PT_ENOMEM, "create lease %s: out of memory", o->name);
    }
    l->o = *o;
    l->o.duration_ms = o->duration_ms ? o->duration_ms : 15000;
    l->o.renew_ms = o->renew_ms ? o->renew_ms : 10000;
    l->o.retry_ms = o->retry_ms ? o->retry_ms : 2000;
    if (l->o.duration_ms <= l->o.renew_ms || (double)l->o.renew_ms <= JITTER * (double)l->o.retry_ms || strlen(o->identity) >= sizeof l->seen.holder) {
        pt_lease_destroy(l);
        return pt_fail(err, PT_EINVAL, "lease %s: the duration must be longer than the renew deadline, that than the retry period, and the identity short", o->name);
    }
    pt_rand_init(&l->rand, o->seed);
    if (o->metrics) {
        l->m_leader = pt_metrics_series(o->metrics, &f_leader, o->name, NULL);
        l->m_slow = pt_metrics_series(o->metrics, &f_slow, o->name, NULL);
    }
    *out = l;
    return PT_OK;
}

void pt_lease_destroy(struct pt_lease *l)
{
    if (!l)
        return;
    if (l->o.sched) {
        if (l->call)
            pt_api_cancel(l->o.api, l->call);
        pt_timer_stop(l->o.sched, &l->timer);
        pt_timer_stop(l->o.sched, &l->deadline);
    }
    pt_free(l->ns);
    pt_free(l->name);
    pt_free(l->identity);
    pt_free(l);
}

static struct pt_lease *of_timer(struct pt_timer *t)
{
    return (struct pt_lease *)((char *)t - offsetof(struct pt_lease, timer));
}
static struct pt_lease *of_deadline(struct pt_timer *t)
{
    return (struct pt_lease *)((char *)t - offsetof(struct pt_lease, deadline));
}

static bool is_ours(const struct pt_lease *l)
{
    return !strcmp(l->seen.holder, l->identity);
}

bool pt_lease_valid(const struct pt_lease *l)
{
    return l->leading && !l->over && pt_now_ms(l->o.sched) - l->renewed_ms < l->o.renew_ms;
}

bool pt_lease_healthy(const struct pt_lease *l, int64_t tolerance_ms)
{
    return !l->leading || pt_now_ms(l->o.sched) - l->renewed_ms <= l->o.duration_ms + tolerance_ms;
}

const char *pt_lease_holder(const struct pt_lease *l)
{
    return l->seen.holder;
}

/* --- outcomes ------------------------------------------------------------------------------------------------------------ */

static void try_again(struct pt_timer *t)
{
    attempt(of_timer(t));
}

static void failed(struct pt_lease *l, const struct pt_err *err)
{
    if (err)
        pt_log(l->leading ? PT_LOG_WARN : PT_LOG_DEBUG, "lease not taken", "lease", l->name, "error", err->msg, NULL);
    double wait = (double)l->o.retry_ms;
    if (!l->leading)
        wait += pt_rand_unit(&l->rand) * JITTER * wait;
    pt_timer_start(l->o.sched, &l->timer, (int64_t)wait, try_again);
}

static void lose(struct pt_lease *l, const char *why)
{
    l->leading = false;
    pt_metric_set(l->m_leader, 0);
    pt_timer_stop(l->o.sched, &l->deadline);
    if (l->call)
        pt_api_cancel(l->o.api, pt_steal(l->call));
    failed(l, NULL);
    l->o.lost(l->o.arg, why);
}

static void too_late(struct pt_timer *t)
{
    lose(of_deadline(t), "the lease could not be renewed in time");
}

static void taken(struct pt_lease *l)
{
    bool first = !l->leading;
    l->renewed_ms = l->attempt_ms;
    l->leading = true;
    pt_metric_set(l->m_leader, 1);
    pt_timer_start(l->o.sched, &l->deadline, l->o.renew_ms - (pt_now_ms(l->o.sched) - l->attempt_ms), too_late);
    pt_timer_start(l->o.sched, &l->timer, l->o.retry_ms, try_again);
    if (first) {
        pt_log(PT_LOG_INFO, "leading", "lease", l->name, "identity", l->identity, NULL);
        l->o.leads(l->o.arg);
    }
}

/* --- the record ---------------------------------------------------------------------------------------------------------- */

static void keep(char *out, size_t size, const char *text)
{
    size_t n = strnlen(text, size - 1);
    memcpy(out, text, n);
    out[n] = 0;
}

static int note(struct pt_lease *l, struct pt_str body, struct pt_err *err)
{
    pt_auto_obj *o = NULL;
    if (pt_obj_parse(body, "Lease", &o, err) < 0)
        return err->code;
    const cJSON *spec = pt_obj_get(o, "spec");
    const char *version = pt_obj_text(o, "metadata.resourceVersion");
    int64_t seconds = pt_obj_int(spec, "leaseDurationSeconds", 0);
    if (!*version || strlen(version) >= sizeof l->seen.version) /* without one nothing would keep two from writing */
        return pt_fail(err, PT_EPARSE, "lease %s: no usable resourceVersion", l->name);
    if (strcmp(version, l->seen.version) != 0)
        l->seen.seen_ms = pt_now_ms(l->o.sched);
    keep(l->seen.holder, sizeof l->seen.holder, pt_obj_text(spec, "holderIdentity"));
    keep(l->seen.version, sizeof l->seen.version, version);
    keep(l->seen.acquired, sizeof l->seen.acquired, pt_obj_text(spec, "acquireTime"));
    l->seen.duration_ms = seconds > 0 && seconds < 86400 ? seconds * 1000 : l->o.duration_ms;
    l->seen.transitions = pt_obj_int(spec, "leaseTransitions", 0);
    return PT_OK;
}

static void micro_time(const struct pt_lease *l, char out[40])
{
    char seconds[24];
    int64_t now = pt_wall_ms(l->o.sched);
    pt_format_time(now, seconds);
    snprintf(out, 40, "%.19s.%03d000Z", seconds, (int)(now % 1000));
}

static void put_record(const struct pt_lease *l, bool create, bool release, struct pt_buf *b)
{
    char now[40];
    micro_time(l, now);
    if (create)
        pt_buf_puts(b, "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",");
    else
        pt_buf_putc(b, '{');
    pt_buf_printf(b, "\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"", l->name, l->ns);
    if (!create)
        pt_buf_printf(b, ",\"resourceVersion\":\"%s\"", l->seen.version);
    pt_buf_puts(b, "},\"spec\":{\"holderIdentity\":");
    pt_buf_json_string(b, pt_str(release ? "" : l->identity));
    pt_buf_printf(b, ",\"leaseDurationSeconds\":%lld,\"acquireTime\":\"%s\",\"renewTime\":\"%s\",\"leaseTransitions\":%lld}}",
                  (long long)(release ? 1 : l->o.duration_ms / 1000), is_ours(l) && *l->seen.acquired ? l->seen.acquired : now, now,
                  (long long)l->seen.transitions + (!create && !is_ours(l)));
}

/* --- an attempt ---------------------------------------------------------------------------------------------------------- */

static void read_lease(struct pt_lease *l);

static void wrote(void *arg, const struct pt_api_result *res)
{
    struct pt_lease *l = arg;
    struct pt_err err = res->err;
    l->call = NULL;
    if (err.code == PT_OK && note(l, res->body, &err) == PT_OK) {
        taken(l);
    } else if (l->leading && !l->slow && (err.code == PT_ECONFLICT || err.code == PT_ENOTFOUND)) {
        /* written by another, or by us and the answer was lost; or deleted */
        pt_metric_add(l->m_slow, 1);
        read_lease(l);
    } else {
        failed(l, &err);
    }
}

static void start_call(struct pt_lease *l, enum pt_verb verb, bool release, pt_api_done_fn done)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_err err;
    if (verb != PT_VERB_GET)
        put_record(l, verb == PT_VERB_CREATE, release, &b);
    struct pt_api_request req = {.verb = verb, .resource = &pt_res_leases, .ns = l->ns, .name = verb == PT_VERB_CREATE ? NULL : l->name, .body = {b.data, b.len},
                                 .grace_seconds = -1, .timeout_ms = l->o.renew_ms / 2};
    int rc = pt_buf_check(&b, "lease", &err);
    if (rc == PT_OK)
        rc = pt_api_start(l->o.api, &req, done, l, &l->call, &err);
    if (rc < 0)
        failed(l, &err);
}

static void was_read(void *arg, const struct pt_api_result *res)
{
    struct pt_lease *l = arg;
    struct pt_err err = res->err;
    l->call = NULL;
    if (err.code == PT_ENOTFOUND && !l->leading) {
        l->seen = (struct record){.seen_ms = pt_now_ms(l->o.sched)};
        start_call(l, PT_VERB_CREATE, false, wrote);
        return;
    }
    if (err.code == PT_ENOTFOUND) {
        lose(l, "the lease was deleted");
        return;
    }
    if (err.code != PT_OK || note(l, res->body, &err) < 0) {
        failed(l, &err);
        return;
    }
    if (l->leading && !is_ours(l)) {
        lose(l, "somebody else has taken the lease");
        return;
    }
    bool respected = *l->seen.holder && !is_ours(l) && pt_now_ms(l->o.sched) - l->seen.seen_ms < l->seen.duration_ms;
    if (respected)
        failed(l, NULL);
    else
        start_call(l, PT_VERB_MERGE_PATCH, false, wrote);
}

static void read_lease(struct pt_lease *l)
{
    l->slow = true;
    start_call(l, PT_VERB_GET, false, was_read);
}

static void attempt(struct pt_lease *l)
{
    if (l->over || l->call)
        return;
    l->attempt_ms = pt_now_ms(l->o.sched);
    l->slow = false;
    if (l->leading)
        start_call(l, PT_VERB_MERGE_PATCH, false, wrote);
    else
        read_lease(l);
}

void pt_lease_start(struct pt_lease *l)
{
    pt_timer_start(l->o.sched, &l->timer, 0, try_again);
}

/* --- release ------------------------------------------------------------------------------------------------------------- */

static void finish_release(struct pt_lease *l)
{
    pt_timer_stop(l->o.sched, &l->deadline);
    if (l->call)
        pt_api_cancel(l->o.api, pt_steal(l->call));
    l->released(l->released_arg);
}

static void release_read(void *arg, const struct pt_api_result *res);

static void release_wrote(void *arg, const struct pt_api_result *res)
{
    struct pt_lease *l = arg;
    l->call = NULL;
    if (res->err.code == PT_ECONFLICT) /* a renewal was under way */
        start_call(l, PT_VERB_GET, false, release_read);
    else
        finish_release(l);
}

static void release_read(void *arg, const struct pt_api_result *res)
{
    struct pt_lease *l = arg;
    struct pt_err err;
    l->call = NULL;
    if (res->err.code == PT_OK && note(l, res->body, &err) == PT_OK && is_ours(l))
        start_call(l, PT_VERB_MERGE_PATCH, true, release_wrote);
    else
        finish_release(l);
}

static void release_late(struct pt_timer *t)
{
    finish_release(of_deadline(t));
}

void pt_lease_release(struct pt_lease *l, void (*done)(void *arg), void *arg)
{
    bool held = l->leading && !l->over;
    l->over = true;
    l->released = done;
    l->released_arg = arg;
    pt_metric_set(l->m_leader, 0);
    pt_timer_stop(l->o.sched, &l->timer);
    if (l->call)
        pt_api_cancel(l->o.api, pt_steal(l->call));
    pt_timer_start(l->o.sched, &l->deadline, held ? RELEASE_MS : 0, release_late);
    if (held)
        start_call(l, PT_VERB_MERGE_PATCH, true, release_wrote);
}
