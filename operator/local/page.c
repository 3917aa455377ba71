/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/local/page.h"

#include "base/contract.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_PAGE = 8 << 20, MAX_EVENTS = 50 };

struct pt_page {
    struct pt_loop *loop;
    struct pt_memapi *memapi;
    struct pt_proxy *proxy;
    struct pt_http_server *http;
};

/* One page being written; `of` is the ModelDeployment whose part it is. */
struct writer {
    struct pt_page *page;
    struct pt_buf *b;
    const cJSON *of;
    cJSON *owned[MAX_EVENTS]; /* events, newest first */
    size_t event_count;
};

/* --- text ---------------------------------------------------------------------------------------------------------------------- */

static void put_text(struct pt_buf *b, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<':
            pt_buf_puts(b, "&lt;");
            break;
        case '>':
            pt_buf_puts(b, "&gt;");
            break;
        case '&':
            pt_buf_puts(b, "&amp;");
            break;
        case '"':
            pt_buf_puts(b, "&quot;");
            break;
        default:
            pt_buf_putc(b, *s);
        }
    }
}

static void put_cell(struct pt_buf *b, const char *s)
{
    pt_buf_puts(b, "<td>");
    put_text(b, *s ? s : "-");
}

static void put_age(struct writer *w, const cJSON *o, const char *path)
{
    char text[32] = "-";
    int64_t t;
    if (pt_parse_time(pt_str(pt_obj_text(o, path)), &t, NULL) == PT_OK)
        pt_format_age((pt_wall_ms(pt_loop_sched(w->page->loop)) - t) / 1000, text, sizeof text);
    put_cell(w->b, text);
}

static bool is_of(const cJSON *o, const cJSON *deployment)
{
    const cJSON *owner;
    cJSON_ArrayForEach(owner, pt_obj_get(o, "metadata.ownerReferences")) if (!strcmp(pt_obj_text(owner, "uid"),
                                                                                     pt_obj_text(deployment, "metadata.uid"))) return true;
    return false;
}

/* --- parts of a ModelDeployment ------------------------------------------------------------------------------------------------ */

static void put_condition(struct writer *w, const cJSON *c)
{
    const char *type = pt_obj_text(c, "type"), *status = pt_obj_text(c, "status");
    bool good_when_false = !strcmp(type, "Stalled") || !strcmp(type, "Reconciling");
    bool good = !strcmp(status, good_when_false ? "False" : "True");
    pt_buf_puts(w->b, good ? "<tr>" : "<tr class=w>");
    put_cell(w->b, type);
    put_cell(w->b, status);
    put_cell(w->b, pt_obj_text(c, "reason"));
    put_cell(w->b, pt_obj_text(c, "message"));
    put_age(w, c, "lastTransitionTime");
}

static void put_pod(void *arg, const char *ns, const char *name, struct pt_str text)
{
    struct writer *w = arg;
    pt_auto_obj *o = NULL;
    char restarts[24];
    (void)ns;
    if (pt_obj_parse(text, "pod", &o, NULL) < 0 || !is_of(o, w->of))
        return;
    const cJSON *c = pt_obj_get(o, "status.containerStatuses.0");
    const char *waiting = pt_obj_text(c, "state.waiting.reason"), *phase = pt_obj_text(o, "status.phase");
    snprintf(restarts, sizeof restarts, "%lld", (long long)pt_obj_int(c, "restartCount", 0));
    pt_buf_puts(w->b, "<tr>");
    put_cell(w->b, name);
    put_cell(w->b, pt_obj_true(c, "ready") ? "ready" : "not ready");
    put_cell(w->b, pt_obj_get(o, "metadata.deletionTimestamp") ? "Terminating" : *waiting ? waiting : phase);
    put_cell(w->b, restarts);
    put_cell(w->b, pt_obj_text(o, "status.podIP"));
    put_cell(w->b, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(o, "metadata.labels"), PT_LABEL_REVISION)) ?: "");
    put_age(w, o, "metadata.creationTimestamp");
}

static void put_revision(void *arg, const char *ns, const char *name, struct pt_str text)
{
    struct writer *w = arg;
    pt_auto_obj *o = NULL;
    char number[24];
    (void)ns;
    if (pt_obj_parse(text, "revision", &o, NULL) < 0 || !is_of(o, w->of))
        return;
    snprintf(number, sizeof number, "%lld", (long long)pt_obj_int(o, "revision", 0));
    pt_buf_puts(w->b, "<tr>");
    put_cell(w->b, number);
    put_cell(w->b, name);
    put_cell(w->b, !strcmp(name, pt_obj_text(w->of, "status.updateRevision"))    ? "newest"
                   : !strcmp(name, pt_obj_text(w->of, "status.currentRevision")) ? "before"
                                                                                 : "");
    put_age(w, o, "metadata.creationTimestamp");
}

static void begin_table(struct pt_buf *b, const char *title, const char *const *columns)
{
    pt_buf_printf(b, "<h3>%s</h3><table><tr>", title);
    for (; *columns; columns++)
        pt_buf_printf(b, "<th>%s", *columns);
}

static void put_traffic(struct writer *w, const char *ns, const char *name)
{
    struct pt_proxy_traffic t;
    int port = pt_proxy_port(w->page->proxy, ns, name, "http"), grpc_port = pt_proxy_port(w->page->proxy, ns, name, "grpc");
    pt_proxy_traffic_of(w->page->proxy, ns, name, &t);
    pt_buf_puts(w->b, "<p>");
    if (port)
        pt_buf_printf(w->b, "<b>http://127.0.0.1:%d</b>, ", port);
    if (grpc_port)
        pt_buf_printf(w->b, "<b>grpc://127.0.0.1:%d</b>, ", grpc_port);
    pt_buf_printf(w->b, "%.1f requests a second, ", t.requests_per_second);
    if (t.p50_ms >= 0)
        pt_buf_printf(w->b, "p50 %.2f ms, p99 %.2f ms, ", t.p50_ms, t.p99_ms);
    pt_buf_printf(w->b, "%llu answered, %llu failed, %u under way</p>", (unsigned long long)t.answered, (unsigned long long)t.failed, t.under_way);
}

static void put_deployment(void *arg, const char *ns, const char *name, struct pt_str text)
{
    struct writer *w = arg;
    pt_auto_obj *o = NULL;
    const cJSON *c;
    if (pt_obj_parse(text, "ModelDeployment", &o, NULL) < 0)
        return;
    w->of = o;
    pt_buf_puts(w->b, "<section><h2>");
    put_text(w->b, ns);
    pt_buf_putc(w->b, '/');
    put_text(w->b, name);
    pt_buf_printf(w->b, "</h2><p>%lld of %lld ready, %lld of the newest revision; model ", (long long)pt_obj_int(o, "status.readyReplicas", 0),
                  (long long)pt_obj_int(o, "spec.replicas", 1), (long long)pt_obj_int(o, "status.updatedReplicas", 0));
    put_text(w->b, pt_obj_text(o, "status.model.state"));
    pt_buf_puts(w->b, ", ");
    put_text(w->b, pt_obj_text(o, "spec.model.uri"));
    pt_buf_puts(w->b, "</p>");
    put_traffic(w, ns, name);
    begin_table(w->b, "Conditions", (const char *const[]){"", "", "Reason", "Message", "Since", NULL});
    cJSON_ArrayForEach(c, pt_obj_get(o, "status.conditions")) put_condition(w, c);
    pt_buf_puts(w->b, "</table>");
    begin_table(w->b, "Pods", (const char *const[]){"Name", "", "State", "Restarts", "Address", "Revision", "Age", NULL});
    pt_memapi_each(w->page->memapi, &pt_res_pods, put_pod, w);
    pt_buf_puts(w->b, "</table>");
    begin_table(w->b, "Revisions", (const char *const[]){"Number", "Name", "", "Age", NULL});
    pt_memapi_each(w->page->memapi, &pt_res_controllerrevisions, put_revision, w);
    pt_buf_puts(w->b, "</table></section>");
    w->of = NULL;
}

/* --- events ------------------------------------------------------------------------------------------------------------------------ */

/* Keeps the newest, by insertion from the end. */
static void keep_event(void *arg, const char *ns, const char *name, struct pt_str text)
{
    struct writer *w = arg;
    cJSON *o = NULL;
    (void)ns;
    (void)name;
    if (pt_obj_parse(text, "event", &o, NULL) < 0)
        return;
    size_t at = w->event_count;
    while (at > 0 && strcmp(pt_obj_text(w->owned[at - 1], "lastTimestamp"), pt_obj_text(o, "lastTimestamp")) < 0)
        at--;
    if (at == MAX_EVENTS) {
        cJSON_Delete(o);
        return;
    }
    if (w->event_count == MAX_EVENTS)
        cJSON_Delete(w->owned[--w->event_count]);
    memmove(w->owned + at + 1, w->owned + at, (w->event_count - at) * sizeof *w->owned);
    w->owned[at] = o;
    w->event_count++;
}

static void put_events(struct writer *w)
{
    pt_memapi_each(w->page->memapi, &pt_res_events, keep_event, w);
    pt_buf_puts(w->b, "<section>");
    begin_table(w->b, "Events", (const char *const[]){"Last seen", "Count", "Type", "Reason", "Object", "Message", NULL});
    for (size_t i = 0; i < w->event_count; i++) {
        const cJSON *e = w->owned[i];
        char count[24];
        snprintf(count, sizeof count, "%lld", (long long)pt_obj_int(e, "count", 1));
        pt_buf_puts(w->b, strcmp(pt_obj_text(e, "type"), "Warning") ? "<tr>" : "<tr class=w>");
        put_age(w, e, "lastTimestamp");
        put_cell(w->b, count);
        put_cell(w->b, pt_obj_text(e, "type"));
        put_cell(w->b, pt_obj_text(e, "reason"));
        put_cell(w->b, pt_obj_text(e, "involvedObject.name"));
        put_cell(w->b, pt_obj_text(e, "message"));
        cJSON_Delete(w->owned[i]);
    }
    pt_buf_puts(w->b, "</table></section>");
}

/* --- the page ------------------------------------------------------------------------------------------------------------------------- */

static void handle(void *arg, struct pt_http_request *req)
{
    static const char head[] = "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2><title>pintle up</title><style>"
                               "body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}section{margin-bottom:2em}"
                               "h2{margin:0 0 .2em}h3{margin:.8em 0 .2em;font-size:1em}p{margin:.2em 0}table{border-collapse:collapse}"
                               "th,td{text-align:left;padding:.15em 1em .15em 0;vertical-align:top}th{font-weight:600;color:#666}.w td{color:#b00}"
                               "@media(prefers-color-scheme:dark){body{color:#ddd;background:#111}th{color:#999}.w td{color:#f77}}"
                               "</style><h1>pintle up</h1>";
    struct pt_page *p = arg;
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(MAX_PAGE);
    struct writer w = {.page = p, .b = &b};
    if (!pt_str_eq(pt_http_path(req), PT_STR("/")) || !pt_str_eq(pt_http_method(req), PT_STR("GET"))) {
        pt_fail(&err, PT_ENOTFOUND, "there is only GET /");
        pt_http_reply_error(req, &err);
        return;
    }
    pt_buf_puts(&b, head);
    pt_memapi_each(p->memapi, &pt_res_modeldeployments, put_deployment, &w);
    put_events(&w);
    static const struct pt_http_header safe[] = {{{"Content-Security-Policy", 23}, {"default-src 'none'; style-src 'unsafe-inline'", 45}},
                                                 {{"Cache-Control", 13}, {"no-store", 8}}};
    if (pt_buf_check(&b, "status page", &err) < 0)
        pt_http_reply_error(req, &err);
    else
        pt_http_reply(req, 200, "text/html; charset=utf-8", safe, 2, (struct pt_str){b.data, b.len});
}

int pt_page_create(struct pt_loop *loop, int port, struct pt_memapi *memapi, struct pt_proxy *proxy, struct pt_page **out, struct pt_err *err)
{
    char address[32];
    struct pt_page *p = pt_calloc(1, sizeof *p);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "status page: out of memory");
    *p = (struct pt_page){.loop = loop, .memapi = memapi, .proxy = proxy};
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    int rc = pt_http_server_start(loop, &(struct pt_http_server_options){.address = address, .max_body_bytes = 1024, .handler = handle, .arg = p},
                                  &p->http, err);
    if (rc < 0) {
        pt_free(p);
        return pt_wrap(err, "status page");
    }
    *out = p;
    return PT_OK;
}

void pt_page_destroy(struct pt_page *p)
{
    if (!p)
        return;
    pt_http_server_destroy(p->http);
    pt_free(p);
}

int pt_page_port(const struct pt_page *p)
{
    return pt_http_server_port(p->http);
}
