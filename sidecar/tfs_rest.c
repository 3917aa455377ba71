/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_rest.c: TensorFlow Serving's REST paths, /v1/models/NAME[/versions/N|/labels/LABEL][:VERB|/metadata], taken as it takes them: letters of
 * either case, and what fits no pattern is a malformed request. KServe's v1 protocol has the same paths; its clients look for "ready" besides.
 */
#include "sidecar/rest.h"
#include "sidecar/tfs.h"

/* --- inference ------------------------------------------------------------------------------------------------------------------- */

enum { COLUMNS = 16 }; /* of pt_rest_call.form, besides the method */

static enum pt_tfs_method method_of(const struct pt_rest_call *c)
{
    return (enum pt_tfs_method)(c->form & (COLUMNS - 1));
}

static int decode(struct pt_rest_call *c, struct pt_str body, struct pt_err *err)
{
    bool columns = false;
    int rc = pt_tfs_json_decode(&c->call.request, body, method_of(c), &columns, err);
    c->form |= columns ? COLUMNS : 0;
    return rc;
}

static int encode(struct pt_rest_call *c, const struct pt_tensor *const *outputs, struct pt_err *err)
{
    return pt_tfs_json_encode(&c->call.request, outputs, method_of(c), c->form & COLUMNS, &c->reply, err);
}

static const struct pt_rest_protocol tfs = {decode, encode};

static void infer(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref, enum pt_tfs_method m)
{
    struct pt_model_view v;
    struct pt_err err;
    int rc = pt_tfs_find(r->frontend, ref, &v, &err);
    if (rc < 0 && rc != PT_EUNAVAILABLE)
        pt_http_reply_error(req, &err);
    else /* not ready: counted as a request that was refused */
        pt_rest_infer(r, req, ref, &tfs, SIZE_MAX, (int)m);
}

static void predict(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref)
{
    infer(r, req, ref, PT_TFS_PREDICT);
}

static void classify(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref)
{
    infer(r, req, ref, PT_TFS_CLASSIFY);
}

static void regress(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref)
{
    infer(r, req, ref, PT_TFS_REGRESS);
}

static void explain(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref)
{
    struct pt_err err;
    (void)r;
    pt_fail(&err, PT_EUNSUPPORTED, "explain: model \"" PT_STR_FMT "\" has no explainer: there are predict, classify and regress", (int)ref->name.len,
            ref->name.p);
    pt_http_reply_error(req, &err);
}

/* --- models ------------------------------------------------------------------------------------------------------------------------ */

struct status {
    struct pt_buf *out;
    struct pt_str version; /* only this; empty: all */
    size_t count;
    bool ready;
};

static void add_status(void *arg, const struct pt_model_view *v)
{
    struct status *s = arg;
    if (s->version.len && !pt_str_eq(s->version, pt_str(v->version)))
        return;
    if (s->count++)
        pt_buf_putc(s->out, ',');
    pt_tfs_write_status(v, s->out);
    s->ready |= v->state == PT_MODEL_READY;
}

static void status(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref)
{
    pt_auto_buf b = PT_BUF_INIT(PT_MAX_REPLY);
    struct pt_model_view v;
    struct pt_err err;
    int rc = pt_tfs_find(r->frontend, ref, &v, &err);
    if (rc < 0 && rc != PT_EUNAVAILABLE) {
        if (rc == PT_ENOTFOUND)
            pt_fail(&err, rc, "Could not find any versions of model " PT_STR_FMT, (int)ref->name.len, ref->name.p);
        pt_http_reply_error(req, &err);
        return;
    }
    struct status s = {.out = &b, .version = ref->label ? pt_str(v.version) : ref->version};
    pt_buf_puts(&b, "{\"model_version_status\":[");
    pt_frontend_each(r->frontend, ref->name, add_status, &s);
    pt_buf_puts(&b, "],\"name\":");
    pt_buf_json_string(&b, ref->name);
    pt_buf_printf(&b, ",\"ready\":%s}", s.ready ? "true" : "false");
    pt_rest_reply(req, 200, &b);
}

static void metadata(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref)
{
    pt_auto_buf b = PT_BUF_INIT(PT_MAX_REPLY);
    struct pt_model_view v;
    struct pt_err err;
    if (pt_tfs_find(r->frontend, ref, &v, &err) < 0) {
        pt_http_reply_error(req, &err);
        return;
    }
    pt_tfs_write_metadata(&v, &b);
    pt_rest_reply(req, 200, &b);
}

struct names {
    struct pt_buf *out;
    char last[256];
};

static void add_name(void *arg, const struct pt_model_view *v)
{
    struct names *n = arg;
    if (strcmp(n->last, v->name) == 0) /* another version of it */
        return;
    if (n->last[0])
        pt_buf_putc(n->out, ',');
    pt_buf_json_string(n->out, pt_str(v->name));
    memcpy(n->last, v->name, strnlen(v->name, sizeof n->last - 1) + 1);
    n->last[sizeof n->last - 1] = 0;
}

/* KServe's list of models. */
static void models(struct pt_rest *r, struct pt_http_request *req)
{
    pt_auto_buf b = PT_BUF_INIT(PT_MAX_REPLY);
    struct names n = {.out = &b};
    pt_buf_puts(&b, "{\"models\":[");
    pt_frontend_each(r->frontend, PT_STR(""), add_name, &n);
    pt_buf_puts(&b, "]}");
    pt_rest_reply(req, 200, &b);
}

/* --- paths --------------------------------------------------------------------------------------------------------------------------- */

static const struct verb {
    const char *method, *name; /* after the model: ":predict", "/metadata" or nothing */
    void (*handle)(struct pt_rest *r, struct pt_http_request *req, struct pt_model_ref *ref);
} verbs[] = {
    {"POST", ":predict", predict}, {"POST", ":classify", classify}, {"POST", ":regress", regress},
    {"POST", ":explain", explain}, {"GET", "/metadata", metadata},  {"GET", "", status},
};

struct place {
    struct pt_rest_params params;
    bool label;
    const struct verb *verb;
};

static bool cut_end(struct pt_str *path, struct pt_str end)
{
    if (path->len < end.len || !pt_str_eq_nocase((struct pt_str){path->p + path->len - end.len, end.len}, end))
        return false;
    path->len -= end.len;
    return true;
}

/* path: what follows /v1/models/ */
static bool parse(struct pt_str path, struct place *p)
{
    struct pt_str name, kind, version, more;
    p->verb = verbs;
    while (!cut_end(&path, pt_str(p->verb->name)))
        p->verb++;
    if (!pt_str_split(&path, '/', &name) || !pt_rest_decode(name, p->params.model, sizeof p->params.model))
        return false;
    p->params.version[0] = 0;
    p->label = false;
    if (!pt_str_split(&path, '/', &kind))
        return memchr(name.p, ':', name.len) == NULL;
    p->label = pt_str_eq_nocase(kind, PT_STR("labels"));
    int64_t number;
    return (p->label || pt_str_eq_nocase(kind, PT_STR("versions"))) && pt_str_split(&path, '/', &version) && !pt_str_split(&path, '/', &more) &&
           pt_rest_decode(version, p->params.version, sizeof p->params.version) &&
           (p->label || pt_parse_i64(version, 0, INT64_MAX, "version", &number, NULL) == PT_OK);
}

static const char prefix[] = "/v1/models";
enum { PREFIX = sizeof prefix - 1 };

static struct pt_str without_end_slash(struct pt_str path)
{
    path.len -= path.len > 1 && path.p[path.len - 1] == '/';
    return path;
}

static bool below_models(struct pt_str path)
{
    return path.len >= PREFIX && pt_str_eq_nocase((struct pt_str){path.p, PREFIX}, pt_str(prefix));
}

/* A path below /v1/models/. */
static bool locate(struct pt_str path, struct place *p)
{
    path = without_end_slash(path);
    return below_models(path) && path.len > PREFIX + 1 && path.p[PREFIX] == '/' &&
           parse((struct pt_str){path.p + PREFIX + 1, path.len - PREFIX - 1}, p);
}

bool pt_tfs_infers(struct pt_str path, struct pt_rest_params *params, bool *label)
{
    struct place p;
    if (!locate(path, &p) || p.verb->name[0] != ':')
        return false;
    *params = p.params;
    *label = p.label && p.params.version[0];
    return true;
}

void pt_tfs_handle(struct pt_rest *r, struct pt_http_request *req)
{
    struct pt_str whole = pt_http_path(req), path = without_end_slash(whole), method = pt_http_method(req);
    struct place p;
    struct pt_err err;
    if (pt_str_eq(method, PT_STR("HEAD")))
        method = PT_STR("GET");
    if (below_models(path) && path.len == PREFIX && pt_str_eq(method, PT_STR("GET"))) {
        models(r, req);
        return;
    }
    if (!locate(whole, &p) || !pt_str_eq(method, pt_str(p.verb->method))) {
        pt_fail(&err, PT_EINVAL, "Malformed request: " PT_STR_FMT " " PT_STR_FMT, PT_STR_ARG(method), (int)(whole.len < 256 ? whole.len : 256),
                whole.p);
        pt_http_reply_error(req, &err);
        return;
    }
    struct pt_model_ref ref = pt_rest_ref(&p.params);
    ref.label = p.label && ref.version.len > 0;
    p.verb->handle(r, req, &ref);
}
