/* SPDX-License-Identifier: Apache-2.0
 *
 * events.c: see events.h. What is remembered between events sits in one bounded table (least recently used goes first) under three kinds
 * of key: an object's bucket "b", a reason's recent number "s", and an event already written "e". One write is under way at a time; what waits for
 * its turn waits as its few texts, of which the body is made then: when everything is rolled out at once, both are full, and are to be small.
 */
#include "operator/ctrl/events.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"

#include <stdio.h>

#define TABLE_MAX 4096
#define QUEUE_MAX 1000
#define BURST 25
#define REFILL_MS 300000
#define SIMILAR_MAX 10
#define SIMILAR_MS 600000
#define MESSAGE_MAX 1000
#define TRIES 12
#define RETRY_MS 10000

struct memory {
    struct memory *prev, *next;
    uint64_t key;
    double tokens;    /* b */
    int64_t since_ms; /* b: tokens counted at; s: window began; e: wall time of the first */
    unsigned count;   /* s, e */
    uint32_t name[2]; /* e: what makes the Event's name unique */
    bool written;     /* e: there is such an Event */
};

struct post {
    struct post *next;
    struct pt_event about; /* its texts are behind the struct */
    uint32_t name[2];
    unsigned count, tries;
    int64_t first_ms, now_ms; /* wall */
    bool create, combined;
    char texts[];
};

struct pt_events {
    struct pt_api *api;
    struct pt_sched *sched;
    struct pt_rand rand;
    char *component;
    struct pt_map table;
    struct memory lru;
    struct post *first, **last;
    size_t queued;
    struct pt_api_call *call; /* of *first */
    struct pt_timer retry;
    struct pt_metric *m_sent, *m_dropped;
};

static const struct pt_metric_family f_sent = {"pintle_events_total", "Kubernetes Events written", PT_COUNTER, "", NULL, 0},
                                     f_dropped = {"pintle_events_dropped_total",
                                                  "Kubernetes Events not written: over the rate, the queue full, or refused",
                                                  PT_COUNTER,
                                                  "",
                                                  NULL,
                                                  0};

int pt_events_create(struct pt_api *api, struct pt_sched *sched, struct pt_metrics *metrics, uint64_t seed, const char *component,
                     struct pt_events **out, struct pt_err *err)
{
    struct pt_events *e = pt_calloc(1, sizeof *e);
    if (!e || !(e->component = pt_strdup(component))) {
        pt_free(e);
        return pt_fail(err, PT_ENOMEM, "create events recorder: out of memory");
    }
    e->api = api;
    e->sched = sched;
    pt_rand_init(&e->rand, seed);
    e->lru.prev = e->lru.next = &e->lru;
    e->last = &e->first;
    if (metrics) {
        e->m_sent = pt_metrics_series(metrics, &f_sent, NULL);
        e->m_dropped = pt_metrics_series(metrics, &f_dropped, NULL);
    }
    *out = e;
    return PT_OK;
}

static void drop_first(struct pt_events *e)
{
    struct post *p = e->first;
    e->first = p->next;
    if (!e->first)
        e->last = &e->first;
    e->queued--;
    pt_free(p);
}

void pt_events_drop(struct pt_events *e)
{
    if (e->call)
        pt_api_cancel(e->api, pt_steal(e->call));
    pt_timer_stop(e->sched, &e->retry);
    while (e->first)
        drop_first(e);
}

void pt_events_destroy(struct pt_events *e)
{
    if (!e)
        return;
    pt_events_drop(e);
    void *v;
    for (size_t i = 0; pt_map_next(&e->table, &i, NULL, &v);)
        pt_free(v);
    pt_map_finish(&e->table);
    pt_free(e->component);
    pt_free(e);
}

static void unlink_memory(struct memory *m)
{
    m->prev->next = m->next;
    m->next->prev = m->prev;
}

/* Of what is remembered: 64 bits in place of a hundred characters. Two that share them share a bucket or a count: nothing that matters. */
static uint64_t key_of(char kind, const struct pt_event *ev, const char *reason, uint64_t series)
{
    return pt_hash64(reason, strlen(reason), pt_hash64(ev->uid, strlen(ev->uid), (uint64_t)(unsigned char)kind ^ series));
}

static struct pt_str text_of_key(const uint64_t *key)
{
    return (struct pt_str){(const char *)key, sizeof *key};
}

/* The memory under this key, new (count 0, since_ms -1) or found, now the most recently used; NULL out of memory. */
static struct memory *recall(struct pt_events *e, uint64_t key)
{
    struct memory *m = pt_map_get(&e->table, text_of_key(&key));
    if (m) {
        unlink_memory(m);
    } else {
        if (e->table.count >= TABLE_MAX) {
            struct memory *oldest = e->lru.next;
            unlink_memory(oldest);
            pt_map_remove(&e->table, text_of_key(&oldest->key));
            pt_free(oldest);
        }
        m = pt_calloc(1, sizeof *m);
        if (!m)
            return NULL;
        m->key = key;
        m->since_ms = -1;
        if (pt_map_set(&e->table, text_of_key(&key), m, NULL, NULL) < 0) {
            pt_free(m);
            return NULL;
        }
    }
    m->prev = e->lru.prev;
    m->next = &e->lru;
    e->lru.prev->next = m;
    e->lru.prev = m;
    return m;
}

static bool within_rate(struct pt_events *e, const struct pt_event *ev)
{
    struct memory *m = recall(e, key_of('b', ev, ev->milestone ? ev->reason : "", 0));
    int64_t now = pt_now_ms(e->sched);
    if (!m)
        return false;
    if (m->since_ms < 0)
        m->tokens = BURST;
    else
        m->tokens += (double)(now - m->since_ms) / REFILL_MS;
    if (m->tokens > BURST)
        m->tokens = BURST;
    m->since_ms = now;
    if (m->tokens < 1)
        return false;
    m->tokens -= 1;
    return true;
}

static bool many_similar(struct pt_events *e, const struct pt_event *ev)
{
    struct memory *m = recall(e, key_of('s', ev, ev->reason, 0));
    int64_t now = pt_now_ms(e->sched);
    if (!m)
        return false;
    if (m->since_ms < 0 || now - m->since_ms > SIMILAR_MS) {
        m->since_ms = now;
        m->count = 0;
    }
    return ++m->count > SIMILAR_MAX;
}

static struct pt_str message_of(const struct pt_event *ev)
{
    return (struct pt_str){ev->message, strnlen(ev->message, MESSAGE_MAX)};
}

#define NAME_MAX_BYTES 300
static void put_event_name(const struct post *p, char name[NAME_MAX_BYTES])
{
    snprintf(name, NAME_MAX_BYTES, "%.253s.%08x%08x", p->about.name, p->name[0], p->name[1]);
}

static void write_body(const struct pt_events *e, const struct post *p, struct pt_buf *b)
{
    const struct pt_event *ev = &p->about;
    const struct pt_resource *r = ev->resource;
    char name[NAME_MAX_BYTES], first[24], now[24], count[PT_NUM_MAX + 1];
    put_event_name(p, name);
    pt_format_time(p->first_ms, first);
    pt_format_time(p->now_ms, now);
    count[pt_num_put_u64(count, p->count)] = 0;
    pt_buf_cat(b, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"", name, "\",\"namespace\":\"", ev->ns,
               "\"},\"involvedObject\":{\"apiVersion\":\"", r->group, *r->group ? "/" : "", r->version, "\",\"kind\":\"", r->kind,
               "\",\"namespace\":\"", ev->ns, "\",\"name\":\"", ev->name, "\",\"uid\":\"", ev->uid, "\"},\"type\":\"",
               ev->warning ? "Warning" : "Normal", "\",\"reason\":\"", ev->reason, "\",\"count\":", count, ",\"firstTimestamp\":\"", first,
               "\",\"lastTimestamp\":\"", now, "\",\"source\":{\"component\":\"", e->component, "\"},\"reportingComponent\":\"", e->component,
               "\",\"reportingInstance\":\"\",\"message\":", NULL);
    pt_auto_buf text = PT_BUF_INIT(0);
    pt_buf_cat(&text, p->combined ? "(combined from similar events): " : "", ev->message, NULL);
    pt_buf_json_string(b, (struct pt_str){text.data, text.len});
    pt_buf_putc(b, '}');
    if (text.failed)
        b->failed = text.failed;
}

static void send_first(struct pt_events *e);

static void retry_now(struct pt_timer *t)
{
    send_first((struct pt_events *)((char *)t - offsetof(struct pt_events, retry)));
}

static void refused(struct pt_events *e, const struct pt_err *err)
{
    char name[NAME_MAX_BYTES];
    put_event_name(e->first, name);
    pt_log(PT_LOG_WARN, "event not written", "namespace", e->first->about.ns, "event", name, "error", err->msg, NULL);
    pt_metric_add(e->m_dropped, 1);
    drop_first(e);
    send_first(e);
}

static void sent(void *arg, const struct pt_api_result *res)
{
    struct pt_events *e = arg;
    struct post *p = e->first;
    e->call = NULL;
    switch (res->err.code) {
    case PT_OK:
        pt_metric_add(e->m_sent, 1);
        drop_first(e);
        send_first(e);
        return;
    case PT_ENOTFOUND: /* it outlived its time to live on the server, or its namespace is gone */
    case PT_EEXIST:    /* written, though the answer was lost */
        if (p->create == (res->err.code == PT_EEXIST) && ++p->tries < TRIES) {
            p->create = !p->create;
            send_first(e);
            return;
        }
        break;
    case PT_EBUSY:
    case PT_EUNAVAILABLE:
    case PT_ETIMEDOUT:
    case PT_EIO:
        if (++p->tries < TRIES) {
            int64_t delay = p->tries == 1 ? (int64_t)(pt_rand_unit(&e->rand) * RETRY_MS) : RETRY_MS;
            pt_timer_start(e->sched, &e->retry, delay > res->retry_after_ms ? delay : res->retry_after_ms, retry_now);
            return;
        }
        break;
    default:
        break;
    }
    refused(e, &res->err);
}

static void send_first(struct pt_events *e)
{
    struct post *p = e->first;
    if (!p || e->call || pt_timer_running(&e->retry))
        return;
    pt_auto_buf body = PT_BUF_INIT(0);
    char name[NAME_MAX_BYTES];
    put_event_name(p, name);
    write_body(e, p, &body);
    struct pt_api_request req = {.verb = p->create ? PT_VERB_CREATE : PT_VERB_MERGE_PATCH,
                                 .resource = &pt_res_events,
                                 .ns = p->about.ns,
                                 .name = p->create ? NULL : name,
                                 .body = {body.data, body.len},
                                 .grace_seconds = -1};
    struct pt_err err;
    if (pt_buf_check(&body, "event", &err) < 0 || pt_api_start(e->api, &req, sent, e, &e->call, &err) < 0)
        pt_timer_start(e->sched, &e->retry, RETRY_MS, retry_now);
}

bool pt_events_idle(const struct pt_events *e)
{
    return !e->first || pt_timer_running(&e->retry);
}

/* Finds or names the Event this one counts in. */
static struct memory *series_of(struct pt_events *e, const struct pt_event *ev, bool combined)
{
    struct pt_str message = message_of(ev);
    uint64_t series = combined ? 0 : pt_hash64(message.p, message.len, 0);
    struct memory *m = recall(e, key_of(combined ? 'c' : 'e', ev, ev->reason, series << 8));
    if (m && m->count++ == 0) {
        m->since_ms = pt_wall_ms(e->sched);
        m->name[1] = pt_rand_u32(&e->rand);
        m->name[0] = pt_rand_u32(&e->rand);
    }
    return m;
}

static void copy_text(const char **text, size_t len, char **to)
{
    memcpy(*to, *text, len);
    (*to)[len] = '\0';
    *text = *to;
    *to += len + 1;
}

/* NULL: out of memory. */
static struct post *post_of(struct pt_events *e, const struct pt_event *ev, const struct memory *m, bool combined)
{
    size_t lens[] = {strlen(ev->ns), strlen(ev->name), strlen(ev->uid), strlen(ev->reason), message_of(ev).len}, all = 0;
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        all += lens[i] + 1;
    struct post *p = pt_malloc(sizeof *p + all);
    if (!p)
        return NULL;
    *p = (struct post){.about = *ev,
                       .name = {m->name[0], m->name[1]},
                       .count = m->count,
                       .first_ms = m->since_ms,
                       .now_ms = pt_wall_ms(e->sched),
                       .create = !m->written,
                       .combined = combined};
    const char **const texts[] = {&p->about.ns, &p->about.name, &p->about.uid, &p->about.reason, &p->about.message};
    char *to = p->texts;
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        copy_text(texts[i], lens[i], &to);
    return p;
}

void pt_events_emit(struct pt_events *e, const struct pt_event *ev)
{
    bool allowed = within_rate(e, ev) && e->queued < QUEUE_MAX, combined = many_similar(e, ev);
    struct memory *m = series_of(e, ev, combined); /* what is not written is counted: the next that is says so */
    struct post *p = m && allowed ? post_of(e, ev, m, combined) : NULL;
    if (!p) {
        pt_metric_add(e->m_dropped, 1);
        return;
    }
    m->written = true;
    *e->last = p;
    e->last = &p->next;
    e->queued++;
    send_first(e);
}
