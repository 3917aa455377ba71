/* SPDX-License-Identifier: Apache-2.0
 *
 * config_env.c: each member's environment variable, by one rule: PINTLE_, then section and key in capitals, "_" before each capital
 * and for each dot. A variable PINTLE_... that is none of these, nor one of those that other parts read, is refused, as an unknown
 * member of the file is: a misspelt setting would be passed over in silence.
 */
#include "base/contract.h"
#include "base/nearest.h"
#include "sidecar/config_member.h"

#include <ctype.h>
#include <stdio.h>

#define PREFIX "PINTLE_"
enum { PREFIX_LEN = sizeof PREFIX - 1 };

/* Those that mean something to other parts: the pod, `pintle up`, the binding, this repository's scripts. */
static const char *const others[] = {PT_ENV_POD_NAME,        PT_ENV_POD_NAMESPACE, PT_ENV_POD_UID, PT_ENV_POD_IP,
                                     PT_ENV_CREDENTIALS_DIR, PT_ENV_MOUNTS,        "PINTLE_ISA",   "PINTLE_OCI_PLAIN_HTTP",
                                     "PINTLE_SOCKET",        "PINTLE_LIBRARY",     "PINTLE_CACHE"};
enum { OTHERS = sizeof others / sizeof others[0] };

static size_t put_name(char *out, size_t n, const char *s)
{
    for (; *s; s++) {
        if (isupper((unsigned char)*s))
            out[n++] = '_';
        out[n++] = *s == '.' ? '_' : (char)toupper((unsigned char)*s);
    }
    return n;
}

void pt_member_env(const struct pt_member *m, char name[96])
{
    size_t n = (size_t)snprintf(name, 96, PREFIX);
    n = put_name(name, n, m->section);
    name[n++] = '_';
    name[put_name(name, n, m->key)] = 0;
}

static const struct pt_member *find(struct pt_str name)
{
    char own[96];
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++) {
        pt_member_env(m, own);
        if (m->kind != PT_MEMBER_GROUP && pt_str_eq(name, pt_str(own)))
            return m;
    }
    return NULL;
}

static bool contains(struct pt_str s, const char *part)
{
    return memmem(s.p, s.len, part, strlen(part)) != NULL;
}

/* What Kubernetes puts into a container for each Service of the namespace; one may be called pintle-something. */
static bool is_service_link(struct pt_str name, struct pt_str value)
{
    bool url = pt_str_starts(value, PT_STR("tcp://")) || pt_str_starts(value, PT_STR("udp://")) || pt_str_starts(value, PT_STR("sctp://"));
    return contains(name, "_SERVICE_HOST") || contains(name, "_SERVICE_PORT") || contains(name, "_TCP") || contains(name, "_UDP") ||
           contains(name, "_SCTP") || (url && contains(name, "_PORT"));
}

static bool is_other(struct pt_str name)
{
    size_t i = 0;
    while (i < OTHERS && !pt_str_eq(name, pt_str(others[i])))
        i++;
    return i < OTHERS;
}

static int unknown(struct pt_str name, struct pt_err *err)
{
    char own[PT_MEMBERS_MOST][96];
    const char *names[PT_MEMBERS_MOST + OTHERS];
    size_t count = 0;
    for (const struct pt_member *m = pt_members; m < pt_members + pt_member_count; m++)
        if (m->kind != PT_MEMBER_GROUP) {
            pt_member_env(m, own[count]);
            names[count] = own[count] + PREFIX_LEN;
            count++;
        }
    for (size_t i = 0; i < OTHERS; i++)
        names[count++] = others[i] + PREFIX_LEN;
    const char *near = pt_nearest((struct pt_str){name.p + PREFIX_LEN, name.len - PREFIX_LEN}, names, count);
    return pt_fail(err, PT_EINVAL, "environment: %.*s: no such setting%s%s%s", (int)(name.len < 80 ? name.len : 80), name.p,
                   near ? "; is " PREFIX : "", near ? near : "", near ? " meant?" : "");
}

static int apply(struct pt_config *c, struct pt_str name, struct pt_str value, struct pt_err *err)
{
    char want[96];
    const struct pt_member *m = find(name);
    if (is_service_link(name, value) || (!m && is_other(name)))
        return PT_OK;
    if (!m)
        return unknown(name, err);
    int rc = pt_member_set(c, m, value, want);
    if (rc == PT_EINVAL)
        return pt_fail(err, rc, "environment: " PT_STR_FMT ": want %s, got \"%.80s\"", PT_STR_ARG(name), want, value.p);
    c->report.wanted |= strcmp(m->section, PT_CONFIG_REPORT) == 0;
    return rc < 0 ? pt_fail(err, rc, "environment: " PT_STR_FMT ": %s", PT_STR_ARG(name), pt_err_text(rc)) : PT_OK;
}

int pt_config_env(struct pt_config *c, char *const *env, struct pt_err *err)
{
    for (; *env; env++) {
        const char *equals = strchr(*env, '=');
        struct pt_str name = {*env, equals ? (size_t)(equals - *env) : 0};
        if (!pt_str_starts(name, PT_STR(PREFIX)))
            continue;
        int rc = apply(c, name, pt_str(equals + 1), err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}
