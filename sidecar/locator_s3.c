/* SPDX-License-Identifier: Apache-2.0
 *
 * locator_s3.c: s3://BUCKET/KEY.
 *
 * Credentials, the first that is there: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN); a web identity
 * (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN: as EKS gives pods) by STS; the profile AWS_PROFILE of AWS_SHARED_CREDENTIALS_FILE; an address in
 * AWS_CONTAINER_CREDENTIALS_FULL_URI (as ECS and EKS Pod Identity give). Else the request is not signed: public buckets. The metadata service of
 * virtual machines is never asked. Place: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL (then with the bucket in the path), AWS_REGION or
 * AWS_DEFAULT_REGION; a bucket that lives in another region tells which, and is asked there.
 */
#include "base/contract.h"
#include "base/json.h"
#include "net/url.h"
#include "sidecar/locator_scheme.h"
#include "sidecar/sigv4.h"

#include <stdio.h>

struct keys {
    const char *access, *secret, *token;
};

static struct pt_str bucket_of(const struct pt_locator *l)
{
    struct pt_str s = pt_str(l->uri + sizeof "s3://" - 1), bucket = {0};
    pt_str_split(&s, '/', &bucket);
    return bucket;
}

static const char *key_of(const struct pt_locator *l)
{
    struct pt_str bucket = bucket_of(l);
    return bucket.p[bucket.len] ? bucket.p + bucket.len + 1 : "";
}

static int check(const struct pt_locator *l, struct pt_err *err)
{
    struct pt_str bucket = bucket_of(l);
    bool good = bucket.len >= 3 && bucket.len <= 63;
    for (size_t i = 0; i < bucket.len; i++)
        good = good && ((bucket.p[i] >= 'a' && bucket.p[i] <= 'z') || (bucket.p[i] >= '0' && bucket.p[i] <= '9') || strchr(".-_", bucket.p[i]) ||
                        (bucket.p[i] >= 'A' && bucket.p[i] <= 'Z'));
    if (!good)
        return pt_fail(err, PT_EINVAL, "%.200s: \"" PT_STR_FMT "\" is no name of a bucket", l->uri, PT_STR_ARG(bucket));
    if (!*key_of(l))
        return pt_fail(err, PT_EINVAL, "%.200s: no key after the bucket (s3://BUCKET/KEY)", l->uri);
    return PT_OK;
}

static const char *region_of(struct pt_locator *l)
{
    const char *region = l->region;
    if (!*region && !*(region = pt_locator_credential(l, "AWS_REGION")) && !*(region = pt_locator_credential(l, "AWS_DEFAULT_REGION")))
        region = "us-east-1";
    return region;
}

/* The URL without path, and the path within it. */
static bool place(struct pt_locator *l, const char **origin, const char **path)
{
    pt_auto_buf b = PT_BUF_INIT(8192);
    struct pt_str bucket = bucket_of(l);
    const char *endpoint = pt_locator_credential(l, "AWS_ENDPOINT_URL_S3");
    if (!*endpoint)
        endpoint = pt_locator_credential(l, "AWS_ENDPOINT_URL");
    bool dotted = memchr(bucket.p, '.', bucket.len) != NULL; /* no certificate covers such a host */
    size_t len = strlen(endpoint);
    while (len && endpoint[len - 1] == '/')
        len--;
    *origin = *endpoint ? pt_locator_printf(l, "%.*s", (int)len, endpoint)
              : dotted  ? pt_locator_printf(l, "https://s3.%s.amazonaws.com", region_of(l))
                        : pt_locator_printf(l, "https://" PT_STR_FMT ".s3.%s.amazonaws.com", PT_STR_ARG(bucket), region_of(l));
    if (!*origin)
        return false;
    pt_buf_putc(&b, '/');
    if (*endpoint || dotted)
        pt_buf_printf(&b, PT_STR_FMT "/", PT_STR_ARG(bucket));
    pt_percent_encode(&b, pt_str(key_of(l)), false);
    *path = pt_locator_printf(l, "%s", pt_buf_cstr(&b));
    return *path != NULL;
}

static void found(struct pt_locator *l, const struct keys *k)
{
    const char *origin, *path;
    struct pt_url u;
    struct pt_err err;
    char date[20];
    pt_auto_buf authorization = PT_BUF_INIT(0);
    if (!place(l, &origin, &path))
        return;
    const char *query = l->o.query;
    const char *url = pt_locator_printf(l, "%s%s%s%s", origin, path, query ? "?" : "", query ? query : "");
    if (!url)
        return;
    if (!*k->access) {
        pt_locator_found(l, url);
        return;
    }
    int rc = pt_url_parse(url, &u, &err);
    struct pt_sigv4 s = {.access_key = pt_str(k->access),
                         .secret_key = pt_str(k->secret),
                         .session_token = pt_str(k->token),
                         .region = pt_str(region_of(l)),
                         .service = PT_STR("s3"),
                         .host = u.authority,
                         .path = {u.target.p, u.target.len - (query ? strlen(query) + 1 : 0)},
                         .method = l->o.method,
                         .query = query,
                         .payload = l->payload,
                         .wall_ms = pt_wall_ms(pt_loop_sched(l->o.loop))};
    if (rc == PT_OK)
        rc = pt_sigv4_sign(&s, date, &authorization, &err);
    if (rc < 0) {
        pt_wrap(&err, "%s", l->uri);
        pt_locator_failed(l, &err);
        return;
    }
    const char *date_copy = pt_locator_printf(l, "%s", date), *text = date_copy ? pt_locator_printf(l, "%s", pt_buf_cstr(&authorization)) : NULL;
    if (!text)
        return;
    pt_locator_header(l, "x-amz-date", date_copy);
    pt_locator_header(l, "x-amz-content-sha256", l->payload ? l->payload : PT_SIGV4_EMPTY);
    if (*k->token)
        pt_locator_header(l, "x-amz-security-token", k->token);
    pt_locator_header(l, "Authorization", text);
    pt_locator_found(l, url);
}

/* --- temporary credentials ----------------------------------------------------------------------------------------------------- */

static void refused(struct pt_locator *l, const char *who, const struct pt_http_response *r)
{
    struct pt_err err;
    char why[320];
    pt_refusal_text(r->body, why, sizeof why);
    pt_fail(&err, PT_EDENIED, "%s: credentials: %s answered %d%s%s", l->uri, who, r->status, *why ? " " : "", why);
    pt_locator_failed(l, &err);
}

static const char *xml_text(struct pt_locator *l, struct pt_str xml, const char *name)
{
    const char *open = pt_locator_printf(l, "<%s>", name);
    const char *from = open && xml.len ? memmem(xml.p, xml.len, open, strlen(open)) : NULL;
    if (!from)
        return "";
    from += strlen(open);
    const char *to = memchr(from, '<', (size_t)(xml.p + xml.len - from));
    const char *copy = to ? pt_arena_strndup(&l->mem, from, (size_t)(to - from)) : NULL;
    return copy ? copy : "";
}

static void on_sts(struct pt_locator *l, const struct pt_http_response *r)
{
    struct keys k = {xml_text(l, r->body, "AccessKeyId"), xml_text(l, r->body, "SecretAccessKey"), xml_text(l, r->body, "SessionToken")};
    if (r->status != 200 || !*k.access || !*k.secret)
        refused(l, "AssumeRoleWithWebIdentity", r);
    else
        found(l, &k);
}

static void ask_sts(struct pt_locator *l, const char *token_file, const char *role)
{
    static const struct pt_http_header headers[] = {{PT_STR("Content-Type"), PT_STR("application/x-www-form-urlencoded")}};
    struct pt_err err;
    const char *token = pt_locator_file(l, token_file), *endpoint = pt_locator_credential(l, "AWS_ENDPOINT_URL_STS"), *session;
    pt_auto_buf body = PT_BUF_INIT(1 << 20);
    if (!*token) {
        pt_fail(&err, PT_EDENIED, "%s: credentials: no token in AWS_WEB_IDENTITY_TOKEN_FILE %.200s", l->uri, token_file);
        pt_locator_failed(l, &err);
        return;
    }
    if (!*endpoint)
        endpoint = pt_locator_credential(l, "AWS_ENDPOINT_URL");
    if (!*endpoint && !(endpoint = pt_locator_printf(l, "https://sts.%s.amazonaws.com/", region_of(l))))
        return;
    session = pt_locator_credential(l, "AWS_ROLE_SESSION_NAME");
    pt_buf_puts(&body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=");
    pt_percent_encode(&body, pt_str(*session ? session : "pintle"), true);
    pt_buf_puts(&body, "&RoleArn=");
    pt_percent_encode(&body, pt_str(role), true);
    pt_buf_puts(&body, "&WebIdentityToken=");
    pt_percent_encode(&body, pt_str(token), true);
    pt_locator_call(l, endpoint, headers, 1, pt_buf_cstr(&body), on_sts);
}

static const char *json_text(struct pt_locator *l, struct pt_str text, const char *name)
{
    struct pt_json j;
    struct pt_str key;
    pt_json_init(&j, text.p, text.len);
    if (pt_json_object(&j, NULL) < 0)
        return "";
    while (pt_json_member(&j, &key, NULL) == 1) {
        pt_auto_buf value = PT_BUF_INIT(16384);
        if (!pt_json_key_is(&key, name)) {
            if (pt_json_skip(&j, NULL) < 0)
                return "";
            continue;
        }
        if (pt_json_string(&j, &value, NULL) < 0)
            return "";
        const char *copy = pt_arena_strndup(&l->mem, pt_buf_cstr(&value), value.len);
        return copy ? copy : "";
    }
    return "";
}

static void on_container(struct pt_locator *l, const struct pt_http_response *r)
{
    struct keys k = {json_text(l, r->body, "AccessKeyId"), json_text(l, r->body, "SecretAccessKey"), json_text(l, r->body, "Token")};
    if (r->status != 200 || !*k.access || !*k.secret)
        refused(l, "AWS_CONTAINER_CREDENTIALS_FULL_URI", r);
    else
        found(l, &k);
}

static void ask_container(struct pt_locator *l, const char *url)
{
    const char *token = pt_locator_credential(l, "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
               *file = pt_locator_credential(l, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (!*token && *file)
        token = pt_locator_file(l, file);
    struct pt_http_header h = {PT_STR("Authorization"), {token, strlen(token)}};
    pt_locator_call(l, url, &h, h.value.len ? 1 : 0, NULL, on_container);
}

/* [profile] then "name = value" lines. */
static const char *profile_value(struct pt_locator *l, const char *text, const char *profile, const char *name)
{
    struct pt_str rest = pt_str(text), line;
    bool inside = false;
    while (pt_str_split(&rest, '\n', &line)) {
        struct pt_str value = pt_str_trim(line), key;
        if (value.len > 1 && value.p[0] == '[')
            inside = value.p[value.len - 1] == ']' && pt_str_eq(pt_str_trim((struct pt_str){value.p + 1, value.len - 2}), pt_str(profile));
        if (!inside || !pt_str_split(&value, '=', &key) || !pt_str_eq(pt_str_trim(key), pt_str(name)) || !value.p)
            continue;
        value = pt_str_trim(value);
        const char *copy = pt_arena_strndup(&l->mem, value.p, value.len);
        return copy ? copy : "";
    }
    return "";
}

static struct keys shared_file(struct pt_locator *l)
{
    const char *file = pt_locator_credential(l, "AWS_SHARED_CREDENTIALS_FILE"), *home = pt_locator_credential(l, "HOME"),
               *profile = pt_locator_credential(l, "AWS_PROFILE");
    char path[512];
    snprintf(path, sizeof path, "%s%s", *file ? file : home, *file ? "" : "/.aws/credentials");
    const char *text = *path == '/' ? pt_locator_file(l, path) : "";
    if (!*profile)
        profile = "default";
    return (struct keys){profile_value(l, text, profile, "aws_access_key_id"), profile_value(l, text, profile, "aws_secret_access_key"),
                         profile_value(l, text, profile, "aws_session_token")};
}

static void locate(struct pt_locator *l)
{
    struct keys k = {pt_locator_credential(l, "AWS_ACCESS_KEY_ID"), pt_locator_credential(l, "AWS_SECRET_ACCESS_KEY"),
                     pt_locator_credential(l, "AWS_SESSION_TOKEN")};
    const char *token_file = pt_locator_credential(l, "AWS_WEB_IDENTITY_TOKEN_FILE"), *role = pt_locator_credential(l, "AWS_ROLE_ARN");
    if (*k.access && *k.secret) {
        found(l, &k);
        return;
    }
    if (*token_file && *role) {
        ask_sts(l, token_file, role);
        return;
    }
    k = shared_file(l);
    const char *container = pt_locator_credential(l, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!*k.access && *container)
        ask_container(l, container);
    else
        found(l, &k);
}

/* A bucket of another region says where it is, by 301, 307 or 400. */
static bool again(struct pt_locator *l, const struct pt_http_response *r)
{
    struct pt_str region = pt_http_response_header(r, "x-amz-bucket-region");
    if (!region.p || region.len == 0 || region.len >= sizeof l->region || pt_str_eq(region, pt_str(region_of(l))))
        return false;
    snprintf(l->region, sizeof l->region, PT_STR_FMT, PT_STR_ARG(region));
    return true;
}

const struct pt_locator_scheme pt_scheme_s3 = {"s3://", check, locate, again};
