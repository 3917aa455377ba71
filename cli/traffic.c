/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic.c: see traffic.h.
 */
#include "cli/traffic.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static int put_rate(struct pt_traffic *t, size_t upto, double rate, struct pt_err *err)
{
    double *more = pt_reallocarray(t->rps, upto, sizeof *more);
    if (!more)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    t->rps = more;
    while (t->seconds < upto)
        more[t->seconds++] = rate;
    return PT_OK;
}

/* How many bytes of s are a number, *v. */
static size_t leading_number(struct pt_str s, double *v)
{
    char text[64], *end;
    snprintf(text, sizeof text, PT_STR_FMT, s.len < sizeof text ? (int)s.len : 0, s.len ? s.p : "");
    *v = strtod(text, &end);
    return (size_t)(end - text);
}

static bool number(struct pt_str s, double most, double *v)
{
    s = pt_str_trim(s);
    return leading_number(s, v) == s.len && s.len && *v >= 0 && *v <= most;
}

/* Of the first line. A number that is out of bounds is a mistake, not a title. */
static bool is_title(struct pt_str s)
{
    double v;
    return leading_number(pt_str_trim(s), &v) == 0;
}

static void skip_byte_order_mark(struct pt_str *text)
{
    if (text->len >= 3 && !memcmp(text->p, "\xef\xbb\xbf", 3))
        *text = (struct pt_str){text->p + 3, text->len - 3};
}

int pt_traffic_read(struct pt_traffic *t, const char *file, struct pt_str text, struct pt_err *err)
{
    struct pt_str line;
    double at, rate, last_rate = 0, last_at = 0;
    size_t n = 0;
    bool were_timed = false;
    skip_byte_order_mark(&text);
    for (int k = 1; pt_str_split(&text, '\n', &line); k++) {
        struct pt_str rest = pt_str_trim(line), first = {0};
        if (!rest.len || rest.p[0] == '#')
            continue;
        pt_str_split(&rest, ',', &first);
        bool timed = rest.p != NULL,
             good = timed ? number(first, PT_TRAFFIC_MAX_SECONDS - 1, &at) && number(rest, 1e9, &rate) : number(first, 1e9, &rate);
        if (!good && k == 1 && is_title(first) && is_title(rest))
            continue;
        good &= n == 0 || timed == were_timed;
        were_timed = timed;
        at = timed ? at : (double)n;
        if (!good || (n && at <= last_at) || at >= PT_TRAFFIC_MAX_SECONDS)
            return pt_fail(err, PT_EPARSE, "%s: line %d: want SECONDS,RATE with growing seconds up to %d, or a RATE: \"" PT_STR_FMT "\"", file, k,
                           PT_TRAFFIC_MAX_SECONDS, (int)(line.len < 80 ? line.len : 80), line.p);
        if (n && put_rate(t, (size_t)at > t->seconds ? (size_t)at : t->seconds, last_rate, err) < 0)
            return err->code;
        if (!n && put_rate(t, (size_t)at ? (size_t)at : 1, rate, err) < 0)
            return err->code;
        last_at = at;
        last_rate = rate;
        n++;
    }
    if (n < 2)
        return pt_fail(err, PT_EPARSE, "%s: a trace has at least two lines, this one has %zu", file, n);
    return put_rate(t, t->seconds + 1, last_rate, err);
}
