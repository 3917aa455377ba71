/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics_text.c: a registry as text, in one of two formats that differ in details. OpenMetrics has exemplars, units and an end mark, counters are
 * families named without the _total of their sample, and bounds are floats ("1.0"). A counter of another server's name that does not end in _total
 * cannot be one there: its type is unknown. _created samples are left out: scrapers that do not know them store each as one more series.
 */
#include "base/metrics_impl.h"
#include "base/num.h"

#include <math.h>

static const char *const content_types[] = {"text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"};

const char *pt_metrics_content_type(enum pt_metrics_format f)
{
    return content_types[f];
}

/* --- what the client prefers ------------------------------------------------------------------------------------------------------ */

/* "0.75" -> 750; 1000 for what is no quality. */
static int quality(struct pt_str s)
{
    struct pt_num n;
    const char *end = pt_num_scan(s.p, s.p + s.len, &n);
    double q = end == s.p + s.len && !n.negative ? pt_num_to_f64(&n) : 1;
    return q >= 1 ? 1000 : (int)(q * 1000 + 0.5);
}

struct offer {
    struct pt_str type;
    bool known; /* of a version that is written here */
    int q;
};

static struct offer read_offer(struct pt_str part)
{
    struct offer o = {.known = true, .q = 1000};
    struct pt_str param, name;
    pt_str_split(&part, ';', &o.type);
    o.type = pt_str_trim(o.type);
    while (pt_str_split(&part, ';', &param)) {
        pt_str_split(&param, '=', &name);
        name = pt_str_trim(name);
        param = pt_str_trim(param.p ? param : PT_STR(""));
        if (pt_str_eq_nocase(name, PT_STR("q")))
            o.q = quality(param);
        else if (pt_str_eq_nocase(name, PT_STR("version")) && pt_str_eq_nocase(o.type, PT_STR("application/openmetrics-text")))
            o.known = pt_str_eq(param, PT_STR("1.0.0")) || pt_str_eq(param, PT_STR("0.0.1"));
    }
    return o;
}

enum pt_metrics_format pt_metrics_choose(struct pt_str accept)
{
    int text = 0, open = 0;
    struct pt_str part;
    while (accept.len && pt_str_split(&accept, ',', &part)) {
        struct offer o = read_offer(part);
        if (pt_str_eq_nocase(o.type, PT_STR("application/openmetrics-text"))) {
            if (o.known && o.q > open)
                open = o.q;
        } else if (pt_str_eq_nocase(o.type, PT_STR("text/plain")) || pt_str_eq_nocase(o.type, PT_STR("text/*")) || pt_str_eq(o.type, PT_STR("*/*"))) {
            text = o.q > text ? o.q : text;
        }
    }
    return open > text ? PT_METRICS_OPEN : PT_METRICS_TEXT;
}

/* --- samples ------------------------------------------------------------------------------------------------------------------------ */

struct writer {
    struct pt_buf *out;
    bool open; /* OpenMetrics */
};

static void put_number(struct pt_buf *out, double v)
{
    char text[PT_NUM_MAX];
    pt_buf_append(out, text, pt_num_put_f64(text, v));
}

/* A bound is a label: its text must be the same in every program, so OpenMetrics lays down how whole numbers look. */
static void put_bound(const struct writer *w, double v)
{
    put_number(w->out, v);
    if (w->open && isfinite(v) && v == floor(v) && fabs(v) < 1e15)
        pt_buf_puts(w->out, ".0");
}

static void put_exemplar(struct pt_buf *out, const struct pt_exemplar *e)
{
    pt_buf_puts(out, " # {trace_id=\"");
    for (size_t i = 0; i < sizeof e->trace_id; i++)
        pt_buf_printf(out, "%02x", e->trace_id[i]);
    pt_buf_puts(out, "\"} ");
    put_number(out, e->value);
    pt_buf_printf(out, " %lld.%03d", (long long)(e->wall_ms / 1000), (int)(e->wall_ms % 1000));
}

/* name_suffix{labels,le="bound"} value */
static void put_sample(const struct writer *w, const struct pt_metric *s, const char *suffix, const double *bound, double value,
                       const struct pt_exemplar *exemplar)
{
    struct pt_buf *out = w->out;
    pt_buf_puts(out, s->family->name);
    pt_buf_puts(out, suffix);
    if (*s->labels || bound) {
        pt_buf_putc(out, '{');
        pt_buf_puts(out, s->labels);
        if (bound) {
            pt_buf_puts(out, *s->labels ? ",le=\"" : "le=\"");
            put_bound(w, *bound);
            pt_buf_putc(out, '"');
        }
        pt_buf_putc(out, '}');
    }
    pt_buf_putc(out, ' ');
    put_number(out, value);
    if (exemplar && exemplar->wall_ms)
        put_exemplar(out, exemplar);
    pt_buf_putc(out, '\n');
}

static void put_histogram(const struct writer *w, const struct pt_metric *s)
{
    const double infinity = INFINITY;
    uint64_t total = 0; /* the count is that of the buckets, so a scrape never contradicts itself */
    pthread_mutex_lock(&pt_exemplar_lock);
    for (size_t i = 0; i <= s->family->bound_count; i++) {
        total += atomic_load_explicit(&s->counts[i], memory_order_relaxed);
        put_sample(w, s, "_bucket", i < s->family->bound_count ? &s->family->bounds[i] : &infinity, (double)total,
                   w->open && s->exemplars ? &s->exemplars[i] : NULL);
    }
    pthread_mutex_unlock(&pt_exemplar_lock);
    if (w->open) { /* there the count comes first */
        put_sample(w, s, "_count", NULL, (double)total, NULL);
        put_sample(w, s, "_sum", NULL, pt_metric_value(s), NULL);
    } else {
        put_sample(w, s, "_sum", NULL, pt_metric_value(s), NULL);
        put_sample(w, s, "_count", NULL, (double)total, NULL);
    }
}

/* --- families ------------------------------------------------------------------------------------------------------------------------ */

static bool cut_end(struct pt_str *s, struct pt_str end)
{
    if (s->len <= end.len || memcmp(s->p + s->len - end.len, end.p, end.len) != 0)
        return false;
    s->len -= end.len;
    return true;
}

static void put_head(const struct writer *w, const struct pt_metric_family *row)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    static const struct pt_str units[] = {{"seconds", 7}, {"bytes", 5}};
    struct pt_str name = pt_str(row->name);
    const char *type = types[row->type];
    if (w->open && row->type == PT_COUNTER && !cut_end(&name, PT_STR("_total")))
        type = "unknown";
    pt_buf_printf(w->out, "# HELP " PT_STR_FMT " %s\n# TYPE " PT_STR_FMT " %s\n", PT_STR_ARG(name), row->help, PT_STR_ARG(name), type);
    for (size_t i = 0; w->open && i < sizeof units / sizeof units[0]; i++) {
        struct pt_str rest = name;
        if (cut_end(&rest, units[i]) && rest.p[rest.len - 1] == '_')
            pt_buf_printf(w->out, "# UNIT " PT_STR_FMT " %s\n", PT_STR_ARG(name), units[i].p);
    }
}

static void collect(struct pt_metrics *m)
{
    __typeof__(m->collectors) collectors;
    pthread_mutex_lock(&m->lock);
    size_t count = m->collector_count;
    memcpy(collectors, m->collectors, sizeof collectors);
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; i < count; i++) /* unlocked: they may add series */
        collectors[i].fn(collectors[i].arg);
}

void pt_metrics_write(struct pt_metrics *m, enum pt_metrics_format format, struct pt_buf *out)
{
    struct writer w = {.out = out, .open = format == PT_METRICS_OPEN};
    collect(m);
    pthread_mutex_lock(&m->lock);
    for (struct pt_metrics_family *f = m->first; f; f = f->next) {
        if (f->first)
            put_head(&w, f->row);
        for (const struct pt_metric *s = f->first; s; s = s->next)
            if (f->row->type == PT_HISTOGRAM)
                put_histogram(&w, s);
            else
                put_sample(&w, s, "", NULL, pt_metric_value(s), NULL);
    }
    pthread_mutex_unlock(&m->lock);
    if (w.open)
        pt_buf_puts(out, "# EOF\n");
}
