/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http_request.c: the bytes of a client of the HTTP server, without sockets, and what a handler reads from the request. The first two
 * bytes of an input say where it is cut.
 */
#include "fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_headers(struct pt_http_msg *m)
{
    struct fuzz_run *r = fuzz_run_of(m);
    const struct pt_http_request *req = &r->conn.req;
    struct pt_str parts[] = {pt_http_method(req), pt_http_path(req), pt_http_query(req), pt_http_header(req, "x")};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        pt_buf_printf(&r->trace, "[" PT_STR_FMT "]", PT_STR_ARG(parts[i]));
    if (parts[1].len == 0)
        abort(); /* every request has a path */
    char value[8];
    const char *v = pt_http_query_param(req, "a", value, sizeof value);
    pt_buf_printf(&r->trace, "[%s]%zu", v ? v : "-", m->header_count);
    return 0;
}

static const struct pt_http_msg_ops ops = {on_headers, fuzz_on_body};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_compare(false, &ops, data, size);
    return 0;
}
