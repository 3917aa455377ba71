/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http_response.c: the bytes of a server that the HTTP client talks to, without sockets, redirect targets included. The first two bytes
 * of an input say where it is cut.
 */
#include "fuzz_http.h"
#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_headers(struct pt_http_msg *m)
{
    struct fuzz_run *r = fuzz_run_of(m);
    struct pt_str location = pt_http_find_header(m->headers, m->header_count, PT_STR("Location"));
    pt_buf_printf(&r->trace, "[%d %zu]", m->parser.status_code, m->header_count);
    if (!location.p)
        return 0;
    struct pt_url base, to;
    struct pt_err e;
    pt_auto_buf text = PT_BUF_INIT(0);
    if (pt_url_parse("https://host:8443/a/b?c", &base, &e) < 0)
        abort();
    pt_url_resolve(&base, location, &text);
    if (pt_url_parse(pt_buf_cstr(&text), &to, &e) == PT_OK)
        pt_buf_printf(&r->trace, "[%d " PT_STR_FMT " %d " PT_STR_FMT " %d]", to.https, PT_STR_ARG(to.host), to.port, PT_STR_ARG(to.target),
                      pt_url_same_origin(&base, &to));
    return 0;
}

static const struct pt_http_msg_ops ops = {on_headers, fuzz_on_body};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_compare(true, &ops, data, size);
    return 0;
}
