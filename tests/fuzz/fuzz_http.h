/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http.h: shared by the two HTTP fuzzers: feeds the same bytes whole, cut in two and one by one, and demands that the owner of the
 * parser sees the same thing each time.
 */
#ifndef PT_TESTS_FUZZ_HTTP_H
#define PT_TESTS_FUZZ_HTTP_H

#include "net/http_conn.h"

#include <stdio.h>
#include <stdlib.h>

#define FUZZ_HEADER_BYTES 4096

struct fuzz_run {
    struct pt_http_conn conn; /* only the parts that do no I/O are used */
    struct pt_buf trace;
    int rc; /* messages, or the code of the failure */
};

static struct fuzz_run *fuzz_run_of(struct pt_http_msg *m)
{
    return (struct fuzz_run *)((char *)m - offsetof(struct pt_http_conn, msg));
}

static int fuzz_on_body(struct pt_http_msg *m, const char *p, size_t len)
{
    pt_buf_append(&fuzz_run_of(m)->trace, p, len);
    return 0;
}

/* step 0: whole; 1: byte by byte; else cut there once. */
static void fuzz_feed(struct fuzz_run *r, bool is_response, const struct pt_http_msg_ops *ops, const char *p, size_t len, size_t step)
{
    *r = (struct fuzz_run){.conn.req.ops = &pt_http1_ops};
    pt_http_msg_init(&r->conn.msg, is_response, ops, FUZZ_HEADER_BYTES);
    for (size_t at = 0; at < len;) {
        size_t end = step == 1 ? at + 1 : step > at && step < len ? step : len, used;
        int rc = pt_http_msg_feed(&r->conn.msg, p + at, end - at, &used);
        if (used > end - at || (rc == 0 && used < end - at))
            abort(); /* more than there is, or asking for more without having taken all */
        if (rc < 0) {
            if (!r->conn.msg.fail_reason || r->conn.msg.fail_code != rc)
                abort();
            r->rc = rc;
            break;
        }
        at += used;
        if (rc == 1) {
            pt_buf_printf(&r->trace, "<%d>", r->conn.msg.keep_alive);
            pt_http_msg_reset(&r->conn.msg);
            r->rc++;
        }
    }
    if (r->rc >= 0)
        pt_buf_printf(&r->trace, "eof %d", pt_http_msg_eof(&r->conn.msg));
    pt_http_msg_finish(&r->conn.msg);
}

static void fuzz_compare(bool is_response, const struct pt_http_msg_ops *ops, const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    size_t cut = (size_t)data[0] << 8 | data[1];
    const char *p = (const char *)data + 2;
    struct fuzz_run whole, other;
    fuzz_feed(&whole, is_response, ops, p, size - 2, 0);
    for (size_t step = 1; step <= 2; step++) {
        fuzz_feed(&other, is_response, ops, p, size - 2, step == 1 ? 1 : cut);
        if (other.rc != whole.rc || other.trace.len != whole.trace.len ||
            (whole.trace.len && memcmp(other.trace.data, whole.trace.data, whole.trace.len) != 0)) {
            fprintf(stderr, "split changes what is seen: %d, %d\n%s\n---\n%s\n", whole.rc, other.rc, pt_buf_cstr(&whole.trace),
                    pt_buf_cstr(&other.trace));
            abort();
        }
        pt_buf_finish(&other.trace);
    }
    pt_buf_finish(&whole.trace);
}

#endif
