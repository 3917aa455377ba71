/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_rest.c: the Open Inference Protocol over HTTP, with Triton's extensions of it: one table row per route.
 */
#include "sidecar/oip.h"
#include "sidecar/rest.h"

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
};
const size_t pt_oip_route_count = sizeof pt_oip_routes / sizeof pt_oip_routes[0];
