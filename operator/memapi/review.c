/* SPDX-License-Identifier: Apache-2.0
 *
 * review.c: questions that are asked by creating an object that is not stored: whose token is this, who am I, what may I do. There is one user here
 * and it may do everything that there is.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

struct token {
    int64_t expires_ms;
    char audience[64], ns[64], pod[254], pod_uid[64];
};

int pt_memapi_add_token(struct pt_memapi *m, const char *token, const char *audience, const char *ns, const char *pod_name, const char *pod_uid,
                        int64_t expires_ms, struct pt_err *err)
{
    struct token *t = pt_calloc(1, sizeof *t);
    void *old = NULL;
    if (!t)
        return pt_fail(err, PT_ENOMEM, "add token: out of memory");
    t->expires_ms = expires_ms;
    snprintf(t->audience, sizeof t->audience, "%s", audience);
    snprintf(t->ns, sizeof t->ns, "%s", ns);
    snprintf(t->pod, sizeof t->pod, "%s", pod_name);
    snprintf(t->pod_uid, sizeof t->pod_uid, "%s", pod_uid);
    if (pt_map_set(&m->tokens, pt_str(token), t, &old, err) < 0) {
        pt_free(t);
        return PT_ENOMEM;
    }
    pt_free(old);
    return PT_OK;
}

void pt_memapi_remove_token(struct pt_memapi *m, const char *token)
{
    pt_free(pt_map_remove(&m->tokens, pt_str(token)));
}

static bool wants_audience(const cJSON *review, const char *audience)
{
    const cJSON *list = pt_obj_get(review, "spec.audiences"), *e;
    if (!list || !list->child)
        return true;
    cJSON_ArrayForEach(e, list) if (cJSON_IsString(e) && !strcmp(e->valuestring, audience)) return true;
    return false;
}

static int token_review(struct pt_memapi *m, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    pt_auto_obj *review = NULL;
    const char *text = NULL;
    if (pt_obj_parse(req->body, "request body", &review, &err) < 0 || !(text = pt_obj_str(review, "spec.token"))) {
        pt_mem_fail(a, 400, "BadRequest", "%s", err.code ? err.msg : "spec.token: required");
        return a->err.code;
    }
    const struct token *t = pt_map_get(&m->tokens, pt_str(text));
    const char *why = !t                                        ? "unknown token"
                      : t->expires_ms <= pt_wall_ms(m->o.sched) ? "token expired"
                      : !wants_audience(review, t->audience)    ? "wrong audience"
                                                                : NULL;
    a->http = 201;
    pt_buf_puts(&a->body, "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"metadata\":{},\"status\":");
    if (why)
        pt_buf_printf(&a->body, "{\"authenticated\":false,\"error\":\"%s\"}}", why);
    else
        pt_buf_printf(&a->body,
                      "{\"authenticated\":true,\"user\":{\"username\":\"system:serviceaccount:%s:default\",\"groups\":[\"system:serviceaccounts\"],"
                      "\"extra\":{\"authentication.kubernetes.io/pod-name\":[\"%s\"],\"authentication.kubernetes.io/pod-uid\":[\"%s\"]}},"
                      "\"audiences\":[\"%s\"]}}",
                      t->ns, t->pod, t->pod_uid, t->audience);
    return PT_OK;
}

static int who_am_i(struct pt_memapi *m, const cJSON *spec, struct pt_buf *b)
{
    (void)m;
    (void)spec;
    return pt_buf_puts(b, "{\"userInfo\":{\"username\":\"pintle\",\"groups\":[\"system:masters\",\"system:authenticated\"]}}") ? PT_OK : PT_ENOMEM;
}

static int may_i(struct pt_memapi *m, const cJSON *spec, struct pt_buf *b)
{
    const cJSON *what = pt_obj_get(spec, "resourceAttributes");
    const char *group = pt_obj_text(what, "group"), *plural = pt_obj_text(what, "resource"), *verb = pt_obj_text(what, "verb");
    bool yes = !what || !strcmp(plural, "*");
    for (struct pt_mem_type *t = m->types; t && !yes; t = t->next)
        yes = !strcmp(t->res->plural, plural) && (!strcmp(t->res->group, group) || !strcmp(group, "*")) &&
              (!pt_mem_is_review(t) || !strcmp(verb, "create"));
    pt_buf_printf(b, "{\"allowed\":%s,\"reason\":\"%s\"}", yes ? "true" : "false",
                  yes ? "the one user of this server may do everything" : "there is no such thing here");
    return pt_buf_check(b, "review", NULL);
}

static int what_may_i(struct pt_memapi *m, const cJSON *spec, struct pt_buf *b)
{
    (void)m;
    (void)spec;
    return pt_buf_puts(b, "{\"incomplete\":false,\"resourceRules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}],"
                          "\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]}")
               ? PT_OK
               : PT_ENOMEM;
}

static const struct {
    const char *kind;
    int (*answer)(struct pt_memapi *m, const cJSON *spec, struct pt_buf *status);
} reviews[] = {{"SelfSubjectReview", who_am_i}, {"SelfSubjectAccessReview", may_i}, {"SelfSubjectRulesReview", what_may_i}};

void pt_mem_review(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a)
{
    struct pt_err err = {0};
    pt_auto_obj *review = NULL;
    size_t i = 0;
    if (req->verb != PT_VERB_CREATE) {
        pt_mem_fail(a, 405, "MethodNotAllowed", "%s can only be created", t->res->plural);
        return;
    }
    if (t->res == &pt_res_tokenreviews) {
        (void)token_review(m, req, a);
        return;
    }
    if (pt_obj_parse(req->body, "request body", &review, &err) < 0) {
        pt_mem_fail(a, 400, "BadRequest", "%s", err.msg);
        return;
    }
    while (i < sizeof reviews / sizeof *reviews && strcmp(reviews[i].kind, t->res->kind) != 0)
        i++;
    if (i == sizeof reviews / sizeof *reviews) {
        pt_mem_fail(a, 405, "MethodNotAllowed", "%s are not answered here", t->res->plural);
        return;
    }
    a->http = 201;
    pt_buf_printf(&a->body, "{\"kind\":\"%s\",\"apiVersion\":\"%s/%s\",\"metadata\":{},\"spec\":", t->res->kind, t->res->group, t->res->version);
    const cJSON *spec = pt_obj_get(review, "spec");
    if (!spec)
        pt_buf_puts(&a->body, "{}");
    else
        (void)pt_obj_print(spec, &a->body, NULL);
    pt_buf_puts(&a->body, ",\"status\":");
    if (reviews[i].answer(m, spec, &a->body) < 0 || !pt_buf_putc(&a->body, '}'))
        pt_mem_fail(a, 500, "InternalError", "out of memory");
}
