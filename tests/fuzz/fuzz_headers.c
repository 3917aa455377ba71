/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_headers.c: any text as the value of each header that has a grammar, as a URL, as a body that is compressed, and as the body of a refusal.
 */
#include "base/mem.h"
#include "base/metrics.h"
#include "net/grpc.h"
#include "net/gzip.h"
#include "net/url.h"
#include "sidecar/locator.h"
#include "sidecar/metrics_alias.h"
#include "sidecar/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void urls(const char *text)
{
    static const char *const bases[] = {"https://host:8443/a/b?c", "http://[::1]"};
    struct pt_url base, to;
    struct pt_err err = {0};
    if (pt_url_parse(text, &to, &err) == PT_OK)
        check(to.host.len && to.port > 0 && to.port <= 65535 && pt_url_same_origin(&to, &to));
    else
        check(err.msg[0]);
    for (size_t i = 0; i < 2; i++) {
        pt_auto_buf out = PT_BUF_INIT(0);
        check(pt_url_parse(bases[i], &base, NULL) == PT_OK);
        pt_url_resolve(&base, pt_str(text), &out);
        pt_url_parse(pt_buf_cstr(&out), &to, &err);
    }
}

/* What is deflated inflates to the same; what is not ours is inflated within bounds. */
static void bodies(struct pt_str s)
{
    for (enum pt_encoding e = PT_ENC_GZIP; e <= PT_ENC_DEFLATE; e++) {
        pt_auto_buf packed = PT_BUF_INIT(0), plain = PT_BUF_INIT(0), other = PT_BUF_INIT(0);
        struct pt_err err = {0};
        check(pt_deflate(e, s, &packed, &err) == PT_OK);
        check(pt_inflate(e, (struct pt_str){packed.data, packed.len}, s.len + 1, &plain, &err) == PT_OK);
        check(plain.len == s.len && (s.len == 0 || memcmp(plain.data, s.p, s.len) == 0));
        if (pt_inflate(e, s, 65536, &other, &err) == PT_OK)
            check(other.len <= 65536);
    }
}

static void traces(struct pt_str s)
{
    struct pt_trace t, again;
    char id[33], parent[17], text[64];
    (void)pt_trace_state_valid(s);
    if (pt_trace_parse(s, &t) < 0) {
        check(!t.valid);
        return;
    }
    pt_trace_hex(t.trace_id, 16, id);
    pt_trace_hex(t.parent_id, 8, parent);
    snprintf(text, sizeof text, "00-%s-%s-0%d", id, parent, t.sampled);
    check(t.valid && pt_trace_parse(pt_str(text), &again) == PT_OK && again.sampled == t.sampled);
    check(memcmp(t.trace_id, again.trace_id, 16) == 0 && memcmp(t.parent_id, again.parent_id, 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_str s = {(const char *)data, size};
    struct pt_err err = {0};
    enum pt_encoding e;
    unsigned sets = 0;
    int64_t ms = -1;
    char why[320];
    char *text = strndup(s.p ? s.p : "", size);
    if (!text)
        return 0;
    if (pt_grpc_parse_timeout(s, &ms) == PT_OK)
        check(ms >= 0);
    if (pt_encoding_parse(s, &e, &err) == PT_OK)
        check(e == PT_ENC_IDENTITY || pt_str_eq_nocase(pt_str_trim(s), pt_str(pt_encoding_name(e))) || e == PT_ENC_GZIP);
    (void)pt_encoding_choose(s);
    (void)pt_metrics_choose(s);
    if (pt_metrics_alias_parse(text, &sets, &err) == PT_OK)
        check((sets & ~(unsigned)(PT_ALIAS_TRITON | PT_ALIAS_TENSORFLOW)) == 0);
    (void)pt_locator_check(text, &err);
    pt_refusal_text(s, why, sizeof why);
    check(memchr(why, 0, sizeof why) != NULL);
    traces(s);
    urls(text);
    bodies(s);
    free(text);
    return 0;
}
