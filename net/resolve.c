/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve.c: getaddrinfo() on libuv's thread pool. A lookup that runs cannot be stopped; a cancelled one is left to end by itself and frees
 * its memory then.
 */
#include "net/resolve.h"
#include "base/mem.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

struct pt_resolve {
    uv_getaddrinfo_t req;
    pt_resolve_fn fn; /* NULL: cancelled */
    void *arg;
};

bool pt_address_parse(const char *host, int port, struct pt_address *out)
{
    *out = (struct pt_address){0};
    if (port < 0) {
        struct sockaddr_un *un = (struct sockaddr_un *)&out->a;
        if (strlen(host) >= sizeof un->sun_path)
            return false;
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, host);
        out->len = sizeof *un;
        return true;
    }
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&out->a) == 0)
        out->len = sizeof(struct sockaddr_in);
    else if (uv_ip6_addr(host, port, (struct sockaddr_in6 *)&out->a) == 0)
        out->len = sizeof(struct sockaddr_in6);
    return out->len > 0;
}

void pt_address_format(const struct pt_address *a, char out[128])
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (a->a.ss_family == AF_UNIX) {
        snprintf(out, 128, "unix:%s", ((const struct sockaddr_un *)&a->a)->sun_path);
    } else if (a->a.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->a;
        uv_ip4_name(v4, ip, sizeof ip);
        snprintf(out, 128, "%s:%u", ip, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->a;
        uv_ip6_name(v6, ip, sizeof ip);
        snprintf(out, 128, "[%s]:%u", ip, ntohs(v6->sin6_port));
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct pt_resolve *r = req->data;
    struct pt_address found[PT_RESOLVE_MAX];
    size_t count = 0;
    for (const struct addrinfo *a = list; a && count < PT_RESOLVE_MAX; a = a->ai_next) {
        if (a->ai_addrlen > sizeof found->a)
            continue;
        memcpy(&found[count].a, a->ai_addr, a->ai_addrlen);
        found[count++].len = a->ai_addrlen;
    }
    uv_freeaddrinfo(list);
    struct pt_err e;
    if (count == 0)
        pt_fail(&e, PT_EUNAVAILABLE, "%s", status < 0 ? uv_strerror(status) : "no address");
    pt_resolve_fn fn = r->fn;
    void *arg = r->arg;
    pt_free(r);
    if (fn)
        fn(arg, found, count, count ? NULL : &e);
}

int pt_resolve_start(struct pt_loop *l, const char *host, int port, pt_resolve_fn fn, void *arg, struct pt_resolve **out, struct pt_err *err)
{
    struct pt_resolve *r = pt_calloc(1, sizeof *r);
    if (!r)
        return pt_fail(err, PT_ENOMEM, "look up %s: out of memory", host);
    r->req.data = r;
    r->fn = fn;
    r->arg = arg;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int rc = uv_getaddrinfo(pt_loop_uv(l), &r->req, on_resolved, host, service, &hints);
    if (rc < 0) {
        pt_free(r);
        return pt_fail(err, pt_uv_code(rc), "look up %s: %s", host, uv_strerror(rc));
    }
    *out = r;
    return PT_OK;
}

void pt_resolve_cancel(struct pt_resolve *r)
{
    if (!r)
        return;
    r->fn = NULL;
    uv_cancel((uv_req_t *)&r->req);
}
