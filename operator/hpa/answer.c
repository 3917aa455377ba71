/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c: see answer.h.
 */
#include "operator/hpa/answer.h"
#include "base/contract.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

/* A metric: its name, what it is of one pod, and what pods make together: a sum, or the largest of them. */
static const struct metric {
    const char *name;
    size_t at;
    bool sum;
} metrics[] = {
    {"inference_concurrency", offsetof(struct pt_load, in_flight), true},
    {"requests_per_second", offsetof(struct pt_load, rps), true},
    {"queue_delay", offsetof(struct pt_load, queue_delay_s), false}, /* seconds */
    {"latency", offsetof(struct pt_load, latency_s), false},
};
enum { METRIC_COUNT = sizeof metrics / sizeof *metrics };

/* What a metric can be asked of. */
static const struct target {
    const char *resource, *kind, *api_version;
} targets[] = {
    {"pods", "Pod", "v1"},
    {PT_PLURAL "." PT_GROUP, PT_KIND, PT_GROUP_VERSION},
};
enum { PODS, DEPLOYMENTS, TARGET_COUNT };

/* The labels of our pods that a selector can name. */
static const struct {
    const char *key;
    size_t at; /* of the value in struct pt_load; 0: PT_MANAGER, always */
} labels[] = {
    {PT_LABEL_NAME, offsetof(struct pt_load, deployment)},
    {PT_LABEL_INSTANCE, offsetof(struct pt_load, deployment)},
    {PT_LABEL_REVISION, offsetof(struct pt_load, revision)},
    {PT_LABEL_MANAGED_BY, 0},
};

int pt_hpa_status(int http, const char *reason, const char *message, struct pt_buf *out)
{
    pt_buf_reset(out);
    pt_buf_puts(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
    pt_buf_json_string(out, pt_str(message));
    pt_buf_printf(out, ",\"reason\":\"%s\",\"code\":%d}", reason, http);
    return http;
}

static int __attribute__((format(printf, 4, 5))) refuse(struct pt_buf *out, int http, const char *reason, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return pt_hpa_status(http, reason, message, out);
}

static int list_resources(struct pt_buf *out)
{
    pt_buf_puts(out, "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"" PT_HPA_GROUP "/" PT_HPA_VERSION "\",\"resources\":[");
    for (int t = 0; t < TARGET_COUNT; t++)
        for (int m = 0; m < METRIC_COUNT; m++)
            pt_buf_printf(out, "%s{\"name\":\"%s/%s\",\"singularName\":\"\",\"namespaced\":true,\"kind\":\"MetricValueList\",\"verbs\":[\"get\"]}",
                          t + m ? "," : "", targets[t].resource, metrics[m].name);
    pt_buf_puts(out, "]}");
    return 200;
}

/* --- selectors ----------------------------------------------------------------------------------------------------------- */

static const char *label_of(const struct pt_load *l, size_t at)
{
    const char *value;
    if (!at)
        return PT_MANAGER;
    memcpy(&value, (const char *)l + at, sizeof value);
    return value;
}

/* Takes a requirement "key=value" apart; false: it is none of a label that we know. */
static bool requirement(struct pt_str part, size_t *label, struct pt_str *value)
{
    const char *eq = memchr(part.p, '=', part.len);
    if (!eq || eq == part.p || eq[-1] == '!')
        return false;
    struct pt_str key = pt_str_trim((struct pt_str){part.p, (size_t)(eq - part.p)});
    size_t skip = (size_t)(eq - part.p) + 1;
    skip += skip < part.len && part.p[skip] == '=';
    *value = pt_str_trim((struct pt_str){part.p + skip, part.len - skip});
    for (*label = 0; *label < sizeof labels / sizeof *labels; ++*label)
        if (pt_str_eq(key, pt_str(labels[*label].key)))
            return true;
    return false;
}

static bool selected(const struct pt_load *l, const char *selector)
{
    struct pt_str rest = pt_str(selector), part, value;
    size_t label;
    while (rest.len && pt_str_split(&rest, ',', &part))
        if (!requirement(part, &label, &value) || !pt_str_eq(pt_str(label_of(l, labels[label].at)), value))
            return false;
    return true;
}

static bool is_understood(const char *selector, struct pt_str *wrong)
{
    struct pt_str rest = pt_str(selector), value;
    size_t label;
    while (rest.len && pt_str_split(&rest, ',', wrong))
        if (!requirement(*wrong, &label, &value))
            return false;
    return true;
}

/* --- values -------------------------------------------------------------------------------------------------------------- */

struct collect {
    struct pt_str name; /* "*": all */
    const char *selector, *ns, *time;
    const struct metric *metric;
    const struct target *target;
    struct pt_buf *out;
    size_t count;
    double total; /* of one ModelDeployment */
};

/* As a Quantity, in thousandths. */
static void put_item(struct collect *c, const char *name, double value)
{
    if (!isfinite(value) || value > 1e15)
        value = 1e15;
    pt_buf_printf(c->out,
                  "%s{\"describedObject\":{\"kind\":\"%s\",\"namespace\":\"%s\",\"name\":\"%s\",\"apiVersion\":\"%s\"},\"metric\":{\"name\":\"%s\","
                  "\"selector\":null},"
                  "\"timestamp\":\"%s\",\"value\":\"%lldm\"}",
                  c->count ? "," : "", c->target->kind, c->ns, name, c->target->api_version, c->metric->name, c->time, llround(value * 1000));
    c->count++;
}

static double value_of(const struct metric *m, const struct pt_load *l)
{
    double v;
    memcpy(&v, (const char *)l + m->at, sizeof v);
    return v;
}

static void take_pod(void *arg, const struct pt_load *l)
{
    struct collect *c = arg;
    if ((pt_str_eq(c->name, PT_STR("*")) || pt_str_eq(c->name, pt_str(l->pod))) && !isnan(value_of(c->metric, l)) && selected(l, c->selector))
        put_item(c, l->pod, value_of(c->metric, l));
}

static void take_deployment(void *arg, const struct pt_load *l)
{
    struct collect *c = arg;
    if (!pt_str_eq(c->name, pt_str(l->deployment)))
        return;
    double v = value_of(c->metric, l);
    if (isnan(v))
        return;
    c->total = c->metric->sum ? c->total + v : fmax(c->total, v);
    c->count++;
}

static int list_values(struct collect *c, pt_hpa_loads_fn loads, void *source, bool pods)
{
    pt_buf_puts(c->out, "{\"kind\":\"MetricValueList\",\"apiVersion\":\"" PT_HPA_GROUP "/" PT_HPA_VERSION "\",\"metadata\":{},\"items\":[");
    loads(source, c->ns, pods ? take_pod : take_deployment, c);
    if (!c->count && !pt_str_eq(c->name, PT_STR("*")))
        return refuse(c->out, 404, "NotFound", "%s %s/" PT_STR_FMT ": no pod of it has reported %s lately", c->target->kind, c->ns,
                      PT_STR_ARG(c->name), c->metric->name);
    if (!pods) {
        char name[256];
        snprintf(name, sizeof name, PT_STR_FMT, PT_STR_ARG(c->name));
        c->count = 0;
        put_item(c, name, c->total);
    }
    pt_buf_puts(c->out, "]}");
    return 200;
}

/* --- paths --------------------------------------------------------------------------------------------------------------- */

static int find_metric(struct pt_str name)
{
    for (int m = 0; m < METRIC_COUNT; m++)
        if (pt_str_eq(name, pt_str(metrics[m].name)))
            return m;
    return -1;
}

static int find_target(struct pt_str resource)
{
    for (int t = 0; t < TARGET_COUNT; t++)
        if (pt_str_eq(resource, pt_str(targets[t].resource)))
            return t;
    return -1;
}

int pt_hpa_answer(const struct pt_hpa_request *r, pt_hpa_loads_fn loads, void *source, int64_t wall_ms, struct pt_buf *out)
{
    struct pt_str rest = r->path, part[5], wrong;
    char ns[64], time[24];
    size_t n = 0;
    if (!pt_str_starts(rest, PT_STR(PT_HPA_PATH)))
        return refuse(out, 404, "NotFound", "no such path: metrics are under " PT_HPA_PATH);
    rest = (struct pt_str){rest.p + sizeof PT_HPA_PATH - 1, rest.len - sizeof PT_HPA_PATH + 1};
    if (rest.len <= 1)
        return rest.len == 0 || *rest.p == '/' ? list_resources(out) : refuse(out, 404, "NotFound", "no such path: metrics are under " PT_HPA_PATH);
    rest = (struct pt_str){rest.p + 1, rest.len - 1};
    while (n < 5 && pt_str_split(&rest, '/', &part[n]))
        n++;
    if (n != 5 || rest.p || !pt_str_eq(part[0], PT_STR("namespaces")) || !pt_is_dns_label(part[1]))
        return refuse(out, 404, "NotFound",
                      "no such path: it is " PT_HPA_PATH "/namespaces/NAMESPACE/pods or " PT_PLURAL "." PT_GROUP "/NAME/METRIC");
    if (pt_str_eq_nocase(part[3], PT_STR("%2A"))) /* Go's clients escape it */
        part[3] = PT_STR("*");
    int target = find_target(part[2]), metric = find_metric(part[4]);
    if (target < 0)
        return refuse(out, 404, "NotFound", "no metrics of \"" PT_STR_FMT "\", only of pods and of " PT_PLURAL "." PT_GROUP, PT_STR_ARG(part[2]));
    if (metric < 0)
        return refuse(out, 404, "NotFound", "no metric \"" PT_STR_FMT "\"; " PT_HPA_PATH " lists what there is", PT_STR_ARG(part[4]));
    if (!(target == PODS && pt_str_eq(part[3], PT_STR("*"))) && !pt_is_dns_subdomain(part[3]))
        return refuse(out, 400, "BadRequest", "\"" PT_STR_FMT "\" is not the name of one %s", PT_STR_ARG(part[3]), targets[target].kind);
    if (r->metric_selector && *r->metric_selector)
        return refuse(out, 400, "BadRequest", "metricLabelSelector \"%s\": %s has no labels", r->metric_selector, metrics[metric].name);
    const char *selector = r->label_selector ? r->label_selector : "";
    if (target == DEPLOYMENTS && *selector)
        return refuse(out, 400, "BadRequest", "labelSelector \"%s\": a ModelDeployment is asked for by name", selector);
    if (!is_understood(selector, &wrong))
        return refuse(out, 400, "BadRequest", "labelSelector \"" PT_STR_FMT "\": only equality of %s, %s and %s is understood", PT_STR_ARG(wrong),
                      labels[0].key, labels[1].key, labels[2].key);
    snprintf(ns, sizeof ns, PT_STR_FMT, PT_STR_ARG(part[1]));
    pt_format_time(wall_ms, time);
    struct collect c = {
        .name = part[3], .selector = selector, .ns = ns, .time = time, .metric = &metrics[metric], .target = &targets[target], .out = out};
    return list_values(&c, loads, source, target == PODS);
}
