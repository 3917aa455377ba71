/* SPDX-License-Identifier: Apache-2.0
 *
 * reporter.c: see reporter.h. The members of a report are named by PT_REPORT_* of base/contract.h.
 */
#include "sidecar/reporter.h"

#include "base/json.h"
#include "base/mem.h"
#include "sidecar/monitor_rest.h"
#include "sidecar/sender.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct pt_reporter {
    struct pt_loop *loop;
    const struct pt_config *config;
    const struct pt_servable *servable;
    struct pt_scheduler *scheduler;
    struct pt_serving_metrics *metrics;
    struct pt_monitor *monitor;
    struct pt_sender *sender;
    int64_t started_ms;
    uint64_t sequence;
};

/* --- the report --------------------------------------------------------------------------------------------------------------- */

static void put_text(struct pt_buf *b, const char *key, const char *value)
{
    pt_buf_printf(b, ",\"%s\":", key);
    pt_buf_json_string(b, pt_str(value));
}

static void put_number(struct pt_buf *b, const char *key, int64_t value)
{
    pt_buf_printf(b, ",\"%s\":%lld", key, (long long)value);
}

static const char *environment(const char *name)
{
    const char *v = getenv(name);
    return v ? v : "";
}

static void put_latency(struct pt_buf *b, const struct pt_serving_metrics *m)
{
    size_t n;
    const double *bounds = pt_serving_latency_bounds(&n);
    uint64_t counts[64] = {0};
    double sum = 0;
    pt_metric_histogram(m->duration, counts, &sum);
    pt_buf_puts(b, ",\"" PT_REPORT_LATENCY "\":{\"boundsSeconds\":[");
    pt_json_put_numbers(b, PT_JE_F64, bounds, n);
    pt_buf_puts(b, "],\"counts\":[");
    pt_json_put_numbers(b, PT_JE_U64, counts, n + 1);
    pt_buf_puts(b, "],\"sumSeconds\":");
    pt_json_put_double(b, sum);
    pt_buf_putc(b, '}');
}

/* As of the last time that figures were made; news are made in the background, for the next report. */
static void put_monitoring(struct pt_buf *b, struct pt_monitor *m, struct pt_loop *loop)
{
    struct pt_monitor_figures f;
    const char *sep = "";
    pt_monitor_refresh(m, loop);
    pt_monitor_figures(m, &f);
    pt_buf_puts(b, ",\"" PT_REPORT_MONITORING "\":{\"rows\":");
    pt_json_put_double(b, f.rows);
    pt_buf_puts(b, ",\"labelled\":");
    pt_json_put_double(b, f.labelled);
    pt_buf_puts(b, ",\"figures\":{");
    for (int i = 0; i < PT_FIGURE_COUNT; i++) {
        if (!isfinite(f.values[i]))
            continue;
        pt_buf_printf(b, "%s\"%s\":", sep, pt_figure_text((enum pt_figure)i));
        pt_json_put_double(b, f.values[i]);
        sep = ",";
    }
    pt_buf_puts(b, "}}");
}

static void write_report(void *arg, struct pt_buf *b)
{
    struct pt_reporter *r = arg;
    const struct pt_servable *s = r->servable;
    struct pt_queue_stats stats;
    int64_t rss = 0;
    double cpu = 0;
    char digest[72];
    pt_scheduler_stats(r->scheduler, &stats);
    pt_process_usage(&rss, &cpu);
    pt_buf_printf(b, "{\"" PT_REPORT_SEQUENCE "\":%llu", (unsigned long long)++r->sequence);
    put_text(b, PT_REPORT_POD_UID, environment(PT_ENV_POD_UID));
    put_text(b, PT_REPORT_POD_NAME, environment(PT_ENV_POD_NAME));
    put_text(b, PT_REPORT_NAMESPACE, environment(PT_ENV_POD_NAMESPACE));
    put_number(b, PT_REPORT_STARTED_MS, r->started_ms);
    put_text(b, PT_REPORT_STATE, pt_model_state_text(s->state));
    if (s->state == PT_MODEL_FAILED) {
        put_text(b, PT_REPORT_REASON, pt_model_reason_text(s->reason));
        put_text(b, PT_REPORT_MESSAGE, s->error.msg);
    }
    if (s->has_digest) {
        pt_format_digest(s->digest, digest);
        put_text(b, PT_REPORT_DIGEST, digest);
    }
    put_text(b, PT_REPORT_VERSION, r->config->model.version);
    put_number(b, PT_REPORT_BYTES_DONE, s->bytes_done);
    if (s->bytes_total >= 0)
        put_number(b, PT_REPORT_BYTES_TOTAL, s->bytes_total);
    put_number(b, PT_REPORT_IN_FLIGHT, stats.running);
    put_number(b, PT_REPORT_QUEUED, stats.queued);
    put_number(b, PT_REPORT_REQUESTS, (int64_t)r->metrics->requests);
    put_number(b, PT_REPORT_ERRORS, (int64_t)r->metrics->errors);
    put_number(b, PT_REPORT_REJECTED, (int64_t)r->metrics->rejected);
    put_latency(b, r->metrics);
    put_number(b, PT_REPORT_MEMORY, rss);
    pt_buf_puts(b, ",\"" PT_REPORT_CPU "\":");
    pt_json_put_double(b, cpu);
    if (r->monitor)
        put_monitoring(b, r->monitor, r->loop);
    pt_buf_putc(b, '}');
}

void pt_reporter_now(struct pt_reporter *r)
{
    pt_sender_now(r->sender);
}

bool pt_reporter_idle(const struct pt_reporter *r)
{
    return pt_sender_idle(r->sender);
}

int pt_reporter_create(struct pt_loop *l, const struct pt_config *config, const struct pt_servable *servable, struct pt_scheduler *scheduler,
                       struct pt_serving_metrics *metrics, struct pt_monitor *monitor, struct pt_reporter **out, struct pt_err *err)
{
    struct pt_reporter *r = pt_calloc(1, sizeof *r);
    if (!r)
        return pt_fail(err, PT_ENOMEM, "reporter: out of memory");
    *r = (struct pt_reporter){.loop = l, .config = config, .servable = servable, .scheduler = scheduler, .metrics = metrics, .monitor = monitor,
                              .started_ms = pt_wall_ms(pt_loop_sched(l))};
    const struct pt_sender_options o = {l, config->report.url, config->report.ca, config->report.token_file, config->report.interval_ms, write_report, r};
    int rc = pt_sender_create(&o, &r->sender, err);
    if (rc < 0) {
        pt_reporter_destroy(r);
        return rc;
    }
    *out = r;
    return PT_OK;
}

void pt_reporter_destroy(struct pt_reporter *r)
{
    if (!r)
        return;
    pt_sender_destroy(r->sender);
    pt_free(r);
}
