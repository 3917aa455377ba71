/* SPDX-License-Identifier: Apache-2.0
 *
 * teller.c: see teller.h. The thread owns the loop and the sender; what is told passes under the lock.
 */
#include "cli/teller.h"

#include "base/contract.h"
#include "base/mem.h"
#include "sidecar/sender.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct pt_teller {
    cJSON *config;
    struct pt_loop *loop;
    struct pt_sender *sender;
    pthread_t thread;
    bool running;
    uint64_t sequence;
    int64_t started_ms;
    struct pt_post news, end;
    pthread_mutex_t lock; /* for what follows */
    bool posted;          /* the news are on their way to the thread */
    char stage[32];       /* "": nothing was told yet */
    struct pt_progress_now now;
};

static const char *environment(const char *name)
{
    const char *v = getenv(name);
    return v ? v : "";
}

static void put_text(struct pt_buf *b, const char *name, const char *value)
{
    pt_buf_printf(b, ",\"%s\":", name);
    pt_buf_json_string(b, pt_str(value));
}

static void put_number(struct pt_buf *b, const char *name, int64_t n)
{
    pt_buf_printf(b, ",\"%s\":%lld", name, (long long)n);
}

static void put_progress(struct pt_buf *b, const struct pt_progress_now *n)
{
    pt_buf_puts(b, ",\"" PT_REPORT_COMPRESSION "\":{\"stage\":");
    pt_buf_json_string(b, pt_str(n->stage));
    put_number(b, "stageNumber", n->number);
    put_number(b, "stages", n->stages);
    if (n->epochs > 0) {
        put_number(b, "epoch", n->epoch);
        put_number(b, "epochs", n->epochs);
    }
    if (n->total > 0)
        put_number(b, "percent", n->done < n->total ? (int64_t)(100.0 * (double)n->done / (double)n->total) : 100);
    if (n->left_s >= 0 && n->left_s < 1e9)
        put_number(b, "etaSeconds", (int64_t)ceil(n->left_s));
    pt_buf_putc(b, '}');
}

/* Before the first stage there is a report as well: that the run lives, with a stage without a name. */
static void write_report(void *arg, struct pt_buf *b)
{
    struct pt_teller *t = arg;
    char stage[sizeof t->stage];
    pthread_mutex_lock(&t->lock);
    struct pt_progress_now now = t->now;
    memcpy(stage, t->stage, sizeof stage);
    pthread_mutex_unlock(&t->lock);
    now.stage = stage;
    pt_buf_printf(b, "{\"" PT_REPORT_SEQUENCE "\":%llu", (unsigned long long)++t->sequence);
    put_text(b, PT_REPORT_POD_UID, environment(PT_ENV_POD_UID));
    put_text(b, PT_REPORT_POD_NAME, environment(PT_ENV_POD_NAME));
    put_text(b, PT_REPORT_NAMESPACE, environment(PT_ENV_POD_NAMESPACE));
    put_number(b, PT_REPORT_STARTED_MS, t->started_ms);
    put_progress(b, &now);
    pt_buf_putc(b, '}');
}

static void take_news(struct pt_post *p)
{
    struct pt_teller *t = (struct pt_teller *)((char *)p - offsetof(struct pt_teller, news));
    pthread_mutex_lock(&t->lock);
    t->posted = false;
    pthread_mutex_unlock(&t->lock);
    pt_sender_now(t->sender);
}

void pt_teller_tell(void *arg, const struct pt_progress_now *now)
{
    struct pt_teller *t = arg;
    pthread_mutex_lock(&t->lock);
    bool begins = t->now.number != now->number || strcmp(t->stage, now->stage) != 0;
    snprintf(t->stage, sizeof t->stage, "%s", now->stage);
    t->now = *now;
    if (begins && !t->posted) {
        t->posted = true;
        pt_loop_post(t->loop, &t->news);
    }
    pthread_mutex_unlock(&t->lock);
}

static void end(struct pt_post *p)
{
    struct pt_teller *t = (struct pt_teller *)((char *)p - offsetof(struct pt_teller, end));
    pt_loop_stop(t->loop);
}

static void *work(void *arg)
{
    pt_loop_run(((struct pt_teller *)arg)->loop);
    return NULL;
}

static int read_config(struct pt_teller *t, const char *file, struct pt_sender_options *o, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(1 << 20);
    if (pt_buf_read_file(&text, file, err) < 0)
        return err->code;
    t->config = cJSON_ParseWithLength(text.data, text.len);
    o->url = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(t->config, "url"));
    o->ca = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(t->config, "ca"));
    o->token_file = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(t->config, "tokenFile"));
    if (!o->url || !o->token_file)
        return pt_fail(err, PT_EINVAL, "%s: needs url and tokenFile", file);
    return PT_OK;
}

/* Signals are the main thread's: they ask it to end (progress.c). */
static int start_thread(struct pt_teller *t, struct pt_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&t->thread, NULL, work, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->running = !failed;
    return failed ? pt_fail(err, pt_err_from_errno(failed), "thread: %s", strerror(failed)) : PT_OK;
}

int pt_teller_create(const char *file, struct pt_teller **out, struct pt_err *err)
{
    struct pt_teller *t = pt_calloc(1, sizeof *t);
    if (!t)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    *t = (struct pt_teller){.news = {.fn = take_news}, .end = {.fn = end}, .now = {.left_s = -1}};
    pthread_mutex_init(&t->lock, NULL);
    struct pt_sender_options o = {.interval_ms = PT_REPORT_INTERVAL_MS, .write = write_report, .arg = t};
    int rc = read_config(t, file, &o, err);
    if (rc == PT_OK)
        rc = pt_loop_create(&t->loop, err);
    if (rc == PT_OK) {
        t->started_ms = pt_wall_ms(pt_loop_sched(t->loop));
        o.loop = t->loop;
        rc = pt_sender_create(&o, &t->sender, err);
    }
    if (rc == PT_OK)
        rc = start_thread(t, err);
    if (rc < 0) {
        pt_teller_destroy(t);
        return pt_wrap(err, "--operator");
    }
    *out = t;
    return PT_OK;
}

void pt_teller_destroy(struct pt_teller *t)
{
    if (!t)
        return;
    if (t->running) {
        pt_loop_post(t->loop, &t->end);
        pthread_join(t->thread, NULL);
    }
    pt_sender_destroy(t->sender);
    if (t->loop)
        pt_loop_destroy(t->loop);
    pthread_mutex_destroy(&t->lock);
    cJSON_Delete(t->config);
    pt_free(t);
}
