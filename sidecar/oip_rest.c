/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_rest.c: the Open Inference Protocol over HTTP, with Triton's extensions of it: one table row per route.
 */
#include "base/mem.h"
#include "sidecar/oip.h"
#include "sidecar/rest.h"
#include "sidecar/settings.h"

/* --- inference ----------------------------------------------------------------------------------------------------------------- */

static int decode(struct pt_rest_call *c, struct pt_str body, struct pt_err *err)
{
    return pt_oip_decode(&c->call.request, body, c->json_in, err);
}

static int encode(struct pt_rest_call *c, const struct pt_tensor *const *outputs, struct pt_err *err)
{
    return pt_oip_encode(&c->call.request, outputs, &c->reply, &c->json_out, err);
}

static const struct pt_rest_protocol oip = {decode, encode};

static void post_infer(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    struct pt_err err;
    struct pt_str length = pt_http_header(req, "Inference-Header-Content-Length");
    int64_t json_bytes = 0;
    if (length.p && pt_parse_i64(length, 0, INT64_MAX, "Inference-Header-Content-Length", &json_bytes, &err) < 0)
        pt_http_reply_error(req, &err);
    else {
        struct pt_model_ref ref = pt_rest_ref(p);
        pt_rest_infer(r, req, &ref, &oip, length.p ? (size_t)json_bytes : PT_OIP_ALL_JSON, 0);
    }
}

/* --- server and models --------------------------------------------------------------------------------------------------------- */

static void get_server(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    (void)r;
    (void)p;
    pt_http_reply(req, 200, PT_JSON, NULL, 0,
                  PT_STR("{\"name\":\"pintle\",\"version\":\"" PT_VERSION "\",\"extensions\":[\"binary_tensor_data\",\"classification\","
                         "\"model_configuration\",\"model_repository\",\"parameters\",\"schedule_policy\",\"statistics\"]}"));
}

static void get_live(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    (void)r;
    (void)p;
    pt_http_reply(req, 200, PT_JSON, NULL, 0, PT_STR("{\"live\":true}"));
}

static void get_ready(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    bool ready = pt_frontend_ready(r->frontend);
    (void)p;
    pt_http_reply(req, ready ? 200 : 503, PT_JSON, NULL, 0, ready ? PT_STR("{\"ready\":true}") : PT_STR("{\"ready\":false}"));
}

static void get_model_ready(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    pt_auto_buf b = PT_BUF_INIT(4096);
    struct pt_model_ref ref = pt_rest_ref(p);
    struct pt_model_view v;
    struct pt_err err;
    if (pt_frontend_find(r->frontend, &ref, &v, &err) < 0) {
        pt_http_reply_error(req, &err);
        return;
    }
    bool ready = v.state == PT_MODEL_READY;
    pt_buf_puts(&b, "{\"name\":");
    pt_buf_json_string(&b, pt_str(v.name));
    pt_buf_printf(&b, ",\"ready\":%s}", ready ? "true" : "false");
    pt_rest_reply(req, ready ? 200 : 503, &b);
}

/* Finds a model that serves, or answers. */
static bool find(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p, struct pt_model_view *v)
{
    struct pt_model_ref ref = pt_rest_ref(p);
    struct pt_err err;
    if (pt_frontend_find_serving(r->frontend, &ref, v, &err) == PT_OK)
        return true;
    pt_http_reply_error(req, &err);
    return false;
}

enum { MAX_VERSIONS = 64 };
struct versions {
    const char *text[MAX_VERSIONS];
    size_t count;
};

static void add_version(void *arg, const struct pt_model_view *v)
{
    struct versions *all = arg;
    if (v->serving && all->count < MAX_VERSIONS)
        all->text[all->count++] = v->version;
}

static void get_model(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    pt_auto_buf b = PT_BUF_INIT(PT_MAX_REPLY);
    struct pt_model_view v;
    struct versions versions = {.count = 0};
    if (!find(r, req, p, &v))
        return;
    if (p->version[0])
        add_version(&versions, &v);
    else
        pt_frontend_each(r->frontend, pt_str(v.name), add_version, &versions);
    pt_oip_write_metadata(v.info, versions.text, versions.count, &b);
    pt_rest_reply(req, 200, &b);
}

static void get_config(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    pt_auto_buf b = PT_BUF_INIT(PT_MAX_REPLY);
    struct pt_model_view v;
    if (!find(r, req, p, &v))
        return;
    pt_oip_write_config(&v, &b);
    pt_rest_reply(req, 200, &b);
}

/* --- statistics and repository --------------------------------------------------------------------------------------------------- */

struct list {
    struct pt_buf *out;
    const char *version; /* only this one; "": all */
    bool ready_only;
    void (*write)(const struct pt_model_view *v, struct pt_buf *out);
    size_t count;
};

static void add_to_list(void *arg, const struct pt_model_view *v)
{
    struct list *l = arg;
    if ((l->version[0] && strcmp(l->version, v->version) != 0) || (l->ready_only && v->state != PT_MODEL_READY))
        return;
    if (l->count++)
        pt_buf_putc(l->out, ',');
    l->write(v, l->out);
}

static void get_stats(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    pt_auto_buf b = PT_BUF_INIT(PT_MAX_REPLY);
    struct list l = {.out = &b, .version = p->version, .write = pt_oip_write_stats};
    struct pt_model_ref ref = pt_rest_ref(p);
    struct pt_model_view v;
    struct pt_err err;
    if (p->model[0] && pt_frontend_find(r->frontend, &ref, &v, &err) < 0) {
        pt_http_reply_error(req, &err);
        return;
    }
    pt_buf_puts(&b, "{\"model_stats\":[");
    pt_frontend_each(r->frontend, pt_str(p->model), add_to_list, &l);
    pt_buf_puts(&b, "]}");
    pt_rest_reply(req, 200, &b);
}

static int read_index_request(struct pt_http_request *req, bool *ready_only, struct pt_err *err)
{
    pt_auto_buf body = PT_BUF_INIT(0);
    struct pt_json j;
    struct pt_str key;
    int rc = pt_rest_plain_body(req, &body, err);
    *ready_only = false;
    if (rc < 0 || body.len == 0)
        return rc;
    pt_json_init(&j, body.data, body.len);
    rc = pt_json_object(&j, err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, err)) == 1)
        rc = pt_json_key_is(&key, "ready") ? pt_json_bool(&j, ready_only, err) : pt_json_skip(&j, err);
    return rc < 0 ? rc : pt_json_end(&j, err);
}

static void post_index(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    pt_auto_buf b = PT_BUF_INIT(PT_MAX_REPLY);
    struct list l = {.out = &b, .version = "", .write = pt_oip_write_index};
    struct pt_err err;
    (void)p;
    if (read_index_request(req, &l.ready_only, &err) < 0) {
        pt_http_reply_error(req, &err);
        return;
    }
    pt_buf_putc(&b, '[');
    pt_frontend_each(r->frontend, PT_STR(""), add_to_list, &l);
    pt_buf_putc(&b, ']');
    pt_rest_reply(req, 200, &b);
}

/* --- control --------------------------------------------------------------------------------------------------------------------- */

struct control {
    struct pt_control control;   /* first member */
    struct pt_http_request *req; /* NULL once the client is gone: the work goes on */
};

static void control_answer(struct pt_http_request *req, int rc, const struct pt_err *err)
{
    if (rc < 0)
        pt_http_reply_error(req, err);
    else
        pt_http_reply(req, 200, PT_JSON, NULL, 0, PT_STR("{}"));
}

static void control_done(struct pt_control *control)
{
    struct control *c = (struct control *)control;
    if (c->req) {
        pt_http_on_close(c->req, NULL, NULL);
        control_answer(c->req, control->rc, &control->err);
    }
    pt_free(c);
}

static void control_gone(void *arg)
{
    ((struct control *)arg)->req = NULL;
}

static void control(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p,
                    int (*fn)(struct pt_frontend *f, struct pt_str name, struct pt_control *c, struct pt_err *err))
{
    struct pt_err err;
    struct control *c = pt_calloc(1, sizeof *c);
    int rc = c ? PT_OK : pt_fail(&err, PT_ENOMEM, "out of memory");
    if (c) {
        c->control.done = control_done;
        c->req = req;
        rc = fn(r->frontend, pt_str(p->model), &c->control, &err);
    }
    if (rc == PT_EAGAIN) {
        pt_http_on_close(req, control_gone, c);
        return;
    }
    control_answer(req, rc, &err);
    pt_free(c);
}

/* PT_EUNSUPPORTED when a load brings a configuration or files with it. */
static int check_parameters(struct pt_http_request *req, struct pt_err *err)
{
    pt_auto_buf body = PT_BUF_INIT(0);
    struct pt_json j;
    struct pt_str key, name, value;
    int rc = pt_rest_plain_body(req, &body, err);
    if (rc < 0 || body.len == 0)
        return rc;
    pt_json_init(&j, body.data, body.len);
    rc = pt_json_object(&j, err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, err)) == 1) {
        if (!pt_json_key_is(&key, "parameters")) {
            rc = pt_json_skip(&j, err);
            continue;
        }
        rc = pt_json_object(&j, err);
        while (rc >= 0 && (rc = pt_json_member(&j, &name, err)) == 1) {
            bool known = pt_json_key_is(&name, "unload_dependents"); /* models have none */
            rc = pt_json_value(&j, &value, err);
            if (rc == PT_OK && !known)
                return pt_fail(err, PT_EUNSUPPORTED, "parameter \"" PT_STR_FMT "\": a configuration or files in the request are not supported",
                               (int)(name.len < 64 ? name.len : 64), name.p);
        }
    }
    return rc < 0 ? rc : pt_json_end(&j, err);
}

static void post_load(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    struct pt_err err;
    if (check_parameters(req, &err) < 0)
        pt_http_reply_error(req, &err);
    else
        control(r, req, p, pt_frontend_load);
}

static void post_unload(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    struct pt_err err;
    if (check_parameters(req, &err) < 0)
        pt_http_reply_error(req, &err);
    else
        control(r, req, p, pt_frontend_unload);
}

/* --- settings --------------------------------------------------------------------------------------------------------------------- */

static void put_setting(void *arg, const struct pt_setting *s, bool log)
{
    struct pt_buf *b = arg;
    if (b->len > 1)
        pt_buf_putc(b, ',');
    pt_buf_printf(b, "\"%s\":", s->name);
    if (!log && strcmp(s->name, "trace_level") == 0)
        pt_buf_printf(b, "[\"%s\"]", s->text);
    else if (s->kind == PT_SETTING_STRING)
        pt_buf_json_string(b, pt_str(s->text));
    else
        pt_buf_puts(b, s->kind == PT_SETTING_BOOL ? (s->number ? "true" : "false") : s->number ? "1" : "0");
}

static void reply_settings(struct pt_http_request *req, bool log)
{
    pt_auto_buf b = PT_BUF_INIT(4096);
    pt_buf_putc(&b, '{');
    pt_settings_each(log, put_setting, &b);
    pt_buf_putc(&b, '}');
    pt_rest_reply(req, 200, &b);
}

/* A value as text: of a list its one element, null asks for the default. */
static int read_setting(struct pt_json *j, struct pt_buf *text, struct pt_err *err)
{
    struct pt_str raw;
    int kind = pt_json_kind(j, err), rc = kind;
    if (kind == PT_JSON_ARRAY) {
        rc = pt_json_array(j, err);
        while (rc >= 0 && (rc = pt_json_element(j, err)) == 1) {
            if (text->len)
                pt_buf_putc(text, ',');
            rc = pt_json_string(j, text, err);
        }
        return rc;
    }
    if (kind == PT_JSON_STRING)
        return pt_json_string(j, text, err);
    if (kind >= 0)
        rc = pt_json_value(j, &raw, err);
    if (rc == PT_OK && kind != PT_JSON_NULL)
        pt_buf_append(text, raw.p, raw.len);
    return rc;
}

static void set_settings(struct pt_http_request *req, bool log)
{
    pt_auto_buf body = PT_BUF_INIT(0), text = PT_BUF_INIT(4096);
    struct pt_json j;
    struct pt_str key;
    struct pt_err err;
    int rc = pt_rest_plain_body(req, &body, &err);
    pt_json_init(&j, body.data, body.len);
    if (rc == PT_OK)
        rc = pt_json_object(&j, &err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, &err)) == 1) {
        pt_buf_reset(&text);
        rc = read_setting(&j, &text, &err);
        if (rc >= 0)
            rc = pt_settings_set(log, key, (struct pt_str){text.data, text.len}, &err);
    }
    if (rc < 0)
        pt_http_reply_error(req, &err);
    else
        reply_settings(req, log);
}

static void get_logging(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    (void)r;
    (void)p;
    reply_settings(req, true);
}

static void post_logging(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    (void)r;
    (void)p;
    set_settings(req, true);
}

static void get_trace(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    struct pt_model_ref ref = pt_rest_ref(p);
    struct pt_model_view v;
    struct pt_err err;
    if (p->model[0] && pt_frontend_find(r->frontend, &ref, &v, &err) < 0)
        pt_http_reply_error(req, &err);
    else
        reply_settings(req, false);
}

static void post_trace(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    (void)r;
    (void)p;
    set_settings(req, false);
}

/* --- shared memory ------------------------------------------------------------------------------------------------------------------ */

static void get_regions(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    (void)r;
    (void)p;
    pt_http_reply(req, 200, PT_JSON, NULL, 0, PT_STR("[]"));
}

static void no_shared_memory(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    struct pt_err err;
    (void)r;
    (void)p;
    pt_fail(&err, PT_EUNSUPPORTED, "shared memory is not supported: send the data in the request");
    pt_http_reply_error(req, &err);
}

static void no_generate(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    struct pt_err err;
    (void)r;
    pt_fail(&err, PT_EUNSUPPORTED, "generate: model \"%s\" is no text generator: use infer", p->model);
    pt_http_reply_error(req, &err);
}

const struct pt_rest_route pt_oip_routes[] = {
    {"POST", "/v2/models/{model}/infer", post_infer},
    {"POST", "/v2/models/{model}/versions/{version}/infer", post_infer},
    {"GET", "/v2/health/ready", get_ready},
    {"GET", "/v2/health/live", get_live},
    {"GET", "/v2/models/stats", get_stats}, /* before what would take it for a name */
    {"GET", "/v2/models/{model}", get_model},
    {"GET", "/v2/models/{model}/ready", get_model_ready},
    {"GET", "/v2/models/{model}/versions/{version}", get_model},
    {"GET", "/v2/models/{model}/versions/{version}/ready", get_model_ready},
    {"GET", "/v2", get_server},
    {"GET", "/v2/models/{model}/config", get_config},
    {"GET", "/v2/models/{model}/versions/{version}/config", get_config},
    {"GET", "/v2/models/{model}/stats", get_stats},
    {"GET", "/v2/models/{model}/versions/{version}/stats", get_stats},
    {"POST", "/v2/repository/index", post_index},
    {"POST", "/v2/repository/models/{model}/load", post_load},
    {"POST", "/v2/repository/models/{model}/unload", post_unload},
    {"POST", "/v2/repository/{version}/index", post_index}, /* a repository may be named; there is one */
    {"POST", "/v2/repository/{version}/models/{model}/load", post_load},
    {"POST", "/v2/repository/{version}/models/{model}/unload", post_unload},
    {"GET", "/v2/logging", get_logging},
    {"POST", "/v2/logging", post_logging},
    {"GET", "/v2/trace/setting", get_trace},
    {"POST", "/v2/trace/setting", post_trace},
    {"GET", "/v2/models/{model}/trace/setting", get_trace},
    {"POST", "/v2/models/{model}/trace/setting", post_trace},
    {"GET", "/v2/systemsharedmemory/status", get_regions},
    {"GET", "/v2/cudasharedmemory/status", get_regions},
    {"GET", "/v2/systemsharedmemory/region/{model}/status", no_shared_memory},
    {"GET", "/v2/cudasharedmemory/region/{model}/status", no_shared_memory},
    {"POST", "/v2/systemsharedmemory/region/{model}/register", no_shared_memory},
    {"POST", "/v2/cudasharedmemory/region/{model}/register", no_shared_memory},
    {"POST", "/v2/systemsharedmemory/unregister", no_shared_memory},
    {"POST", "/v2/cudasharedmemory/unregister", no_shared_memory},
    {"POST", "/v2/systemsharedmemory/region/{model}/unregister", no_shared_memory},
    {"POST", "/v2/cudasharedmemory/region/{model}/unregister", no_shared_memory},
    {"POST", "/v2/models/{model}/generate", no_generate},
    {"POST", "/v2/models/{model}/generate_stream", no_generate},
    {"POST", "/v2/models/{model}/versions/{version}/generate", no_generate},
    {"POST", "/v2/models/{model}/versions/{version}/generate_stream", no_generate},
};
const size_t pt_oip_route_count = sizeof pt_oip_routes / sizeof pt_oip_routes[0];

bool pt_oip_infers(struct pt_str path, struct pt_rest_params *p)
{
    for (size_t i = 0; i < pt_oip_route_count; i++)
        if (pt_oip_routes[i].handle == post_infer && pt_rest_match(pt_oip_routes[i].path, path, p))
            return true;
    return false;
}
