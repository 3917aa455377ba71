/* SPDX-License-Identifier: Apache-2.0
 *
 * string_concat.c: StringConcat and StringSplit.
 */
#include "runtime/ops/unicode.h"

static int string_concat_run(struct pt_op_ctx *c)
{
    const struct pt_string *x = c->in[0]->data, *z = c->in[1]->data;
    struct pt_string *y = c->out[0]->data;
    struct pt_bcast w;
    size_t total = 0;
    int64_t off[PT_BCAST_MAX], at = 0;
    pt_bcast_init(&w, c->out[0], 2, c->in);
    for (int64_t r = 0; r < w.rows; r++) {
        pt_bcast_row(&w, r, off);
        for (int64_t i = 0; i < w.n; i++)
            if (__builtin_add_overflow(total, x[off[0] + i * w.step[0]].len + z[off[1] + i * w.step[1]].len, &total))
                return pt_op_fail(c, PT_ELIMIT, "the result would be too large");
    }
    char *p = pt_op_alloc(c, total);
    if (!p)
        return c->err->code;
    for (int64_t r = 0; r < w.rows; r++) {
        pt_bcast_row(&w, r, off);
        for (int64_t i = 0; i < w.n; i++) {
            struct pt_string a = x[off[0] + i * w.step[0]], b = z[off[1] + i * w.step[1]];
            y[at++] = (struct pt_string){p, a.len + b.len};
            if (a.len)
                memcpy(p, a.p, a.len);
            if (b.len)
                memcpy(p + a.len, b.p, b.len);
            p += a.len + b.len;
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_string_concat = {.type = "StringConcat",
                                          .since = {20},
                                          .min_in = 2,
                                          .max_in = 2,
                                          .max_out = 1,
                                          .types = {PT_TS_STRING},
                                          .infer = pt_infer_broadcast,
                                          .run = string_concat_run};

/* --- StringSplit: the parts share the bytes of what was split ----------------------------------------------------------------------- */

struct split {
    struct pt_str by; /* empty: runs of white space */
    int64_t most;     /* splits */
};

static const char *find(const char *p, size_t len, struct pt_str what)
{
    return len >= what.len ? memmem(p, len, what.p, what.len) : NULL;
}

/* Length of the white space at the front; 0 when there is none. */
static size_t skip_space(const char *p, size_t len)
{
    size_t at = 0, used;
    while (at < len && pt_unicode_is_space(pt_utf8_next(p + at, len - at, &used)))
        at += used;
    return at;
}

static size_t word_length(const char *p, size_t len)
{
    size_t at = 0, used;
    while (at < len && !pt_unicode_is_space(pt_utf8_next(p + at, len - at, &used)))
        at += used;
    return at;
}

static void add(struct pt_string *parts, int64_t *n, const char *p, size_t len)
{
    if (parts)
        parts[*n] = (struct pt_string){p, len};
    ++*n;
}

static int64_t split_words(const struct split *s, struct pt_string x, struct pt_string *parts)
{
    int64_t n = 0;
    for (size_t at = skip_space(x.p, x.len); at < x.len;) {
        size_t len = n == s->most ? x.len - at : word_length(x.p + at, x.len - at); /* the last part: the rest as it is */
        add(parts, &n, x.p + at, len);
        at += len;
        at += skip_space(x.p + at, x.len - at);
    }
    return n;
}

/* Parts of x; how many. */
static int64_t split_one(const struct split *s, struct pt_string x, struct pt_string *parts)
{
    int64_t n = 0;
    size_t at = 0;
    if (!s->by.len)
        return split_words(s, x, parts);
    for (const char *hit; n < s->most && x.len && (hit = find(x.p + at, x.len - at, s->by)); at = (size_t)(hit - x.p) + s->by.len)
        add(parts, &n, x.p + at, (size_t)(hit - x.p) - at);
    add(parts, &n, x.len ? x.p + at : "", x.len - at);
    return n;
}

static int string_split_infer(struct pt_op_ctx *c)
{
    struct split *s = c->params;
    const struct pt_tensor *x = c->in[0];
    const struct pt_onnx_attr *by = pt_node_attr(c->node, "delimiter");
    int64_t n = pt_tensor_count(x), dims[PT_MAX_RANK];
    int rc = pt_attr_int(c, "maxsplit", INT64_MAX, 0, INT64_MAX, &s->most);
    if (rc < 0)
        return rc;
    if (by && by->type != PT_ATTR_STRING)
        return pt_op_fail(c, PT_EINVAL, "attribute 'delimiter' is not a string");
    if (by)
        s->by = by->s;
    if (x->rank == PT_MAX_RANK)
        return pt_op_fail(c, PT_ELIMIT, "the result is over rank %d", PT_MAX_RANK);
    if (!x->data && n)
        return pt_op_needs_data(c, 0, "X");
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t parts = split_one(s, ((const struct pt_string *)x->data)[i], NULL);
        dims[x->rank] = parts > dims[x->rank] ? parts : dims[x->rank];
    }
    pt_op_set_out(c, 0, PT_STRING, x->rank + 1, dims);
    pt_op_set_out(c, 1, PT_INT64, x->rank, x->dims);
    return PT_OK;
}

static int string_split_run(struct pt_op_ctx *c)
{
    const struct split *s = c->params;
    const struct pt_tensor *x = c->in[0], *y = c->out[0], *z = c->out_count > 1 ? c->out[1] : NULL;
    int64_t n = pt_tensor_count(x), room = y ? y->dims[x->rank] : 0;
    for (int64_t i = 0; i < n; i++) {
        struct pt_string *to = y ? (struct pt_string *)y->data + i * room : NULL;
        int64_t parts = split_one(s, ((const struct pt_string *)x->data)[i], to);
        for (int64_t k = parts; to && k < room; k++)
            to[k] = (struct pt_string){"", 0};
        if (z)
            ((int64_t *)z->data)[i] = parts;
    }
    return PT_OK;
}

const struct pt_op pt_op_string_split = {.type = "StringSplit",
                                         .since = {20},
                                         .min_in = 1,
                                         .max_in = 1,
                                         .max_out = 2,
                                         .types = {PT_TS_STRING},
                                         .params_size = sizeof(struct split),
                                         .infer = string_split_infer,
                                         .run = string_split_run};
