/* SPDX-License-Identifier: Apache-2.0
 *
 * warmup.c: see warmup.h.
 */
#include "sidecar/warmup.h"

#include "base/mem.h"

#include <string.h>

struct shape {
    int rank; /* -1: not given */
    int64_t dims[PT_MAX_RANK];
};

/* Lengths of free dimensions that are tried in turn: models with windows refuse short ones, and what a model takes it does not say. Dimensions that
 * are called like the first one of an input are as long as that. */
static const struct lengths {
    int64_t first, others; /* the first dimension is usually one of rows */
    bool last;             /* others: only last dimensions */
} lengths[] = {{1, 1, false}, {1, 32, false}, {1, 224, false}, {1, 512, false}, {1, 512, true}, {32, 32, false}, {512, 512, false}};

static int64_t length_of(const struct pt_model_info *m, const struct pt_value_info *v, int k, const struct lengths *free)
{
    const char *name = v->dim_names[k];
    if (v->dims[k] >= 0)
        return v->dims[k];
    for (size_t i = 0; k > 0 && name && *name && i < m->input_count; i++) {
        const struct pt_value_info *other = m->inputs[i];
        if (other->rank > 0 && other->dim_names[0] && strcmp(other->dim_names[0], name) == 0)
            return free->first;
    }
    return k == 0 || (free->last && k + 1 < v->rank) ? free->first : free->others;
}

/* A tensor of input i's declared shape with every byte 0, or every element 1. */
static int make_input(const struct pt_model_info *m, size_t index, const struct shape *shapes, const struct lengths *free, bool ones,
                      struct pt_tensor *t, struct pt_err *err)
{
    const struct pt_value_info *v = m->inputs[index];
    const bool given = shapes && shapes[index].rank >= 0;
    *t = (struct pt_tensor){.dtype = v->dtype, .rank = given ? shapes[index].rank : v->rank < 0 ? 1 : v->rank};
    for (int i = 0; i < t->rank; i++)
        t->dims[i] = given ? shapes[index].dims[i] : v->rank < 0 ? free->first : length_of(m, v, i, free);
    int64_t count = pt_tensor_count(t);
    const struct pt_string strings[2] = {{"", 0}, {"1", 1}};
    bool text = v->dtype == PT_STRING;
    size_t width = text ? sizeof strings[0] : pt_dtype_bits(v->dtype) / 8;
    if (count < 0 || (uint64_t)count > SIZE_MAX / 16)
        return pt_fail(err, PT_EINVAL, "input \"%s\": its declared shape has too many elements", v->name);
    t->size_bytes = (size_t)count * width;
    char *p = pt_calloc(t->size_bytes ? t->size_bytes : 1, 1);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "input \"%s\": out of memory for %zu bytes", v->name, t->size_bytes);
    t->data = p;
    const float f = 1;
    const double d = 1;
    const uint64_t one = v->dtype == PT_FLOAT16 ? 0x3c00 : v->dtype == PT_BFLOAT16 ? 0x3f80 : 1; /* little-endian, as everything here */
    const void *src = text                    ? (const void *)&strings[ones]
                      : v->dtype == PT_FLOAT  ? (const void *)&f
                      : v->dtype == PT_DOUBLE ? (const void *)&d
                                              : (const void *)&one;
    for (int64_t i = 0; (ones || text) && i < count; i++)
        memcpy(p + (size_t)i * width, src, width);
    return PT_OK;
}

static int run_with(const struct pt_model_info *m, struct pt_run *run, const struct shape *shapes, const struct lengths *free, bool ones,
                    struct pt_err *err)
{
    size_t n = m->input_count;
    struct pt_tensor *inputs = pt_calloc(n + 1, sizeof *inputs);
    int rc = inputs ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; rc == PT_OK && i < n; i++) {
        rc = make_input(m, i, shapes, free, ones, &inputs[i], err);
        if (rc == PT_OK)
            rc = pt_run_set_input(run, i, &inputs[i], err);
    }
    if (rc == PT_OK)
        rc = pt_run_execute(run, err);
    for (size_t i = 0; inputs && i < n; i++)
        pt_free(inputs[i].data);
    pt_free(inputs);
    return rc;
}

static bool has_free(const struct pt_model_info *m)
{
    for (size_t i = 0; i < m->input_count; i++)
        for (int k = 0; k < m->inputs[i]->rank; k++)
            if (m->inputs[i]->dims[k] < 0)
                return true;
    return false;
}

/* The first error is told: it is that of the plainest attempt. */
static int try_lengths(const struct pt_model_info *m, struct pt_run *run, const struct shape *shapes, struct pt_err *err)
{
    size_t count = !shapes && has_free(m) ? sizeof lengths / sizeof lengths[0] : 1;
    struct pt_err first = {0}, other;
    for (size_t i = 0; i < count; i++)
        for (int ones = 0; ones < 2; ones++)
            if (run_with(m, run, shapes, &lengths[i], ones, first.code ? &other : &first) == PT_OK)
                return PT_OK;
    return pt_fail(err, first.code, "warm-up with zeros%s: %s",
                   count > 1 ? " and free dimensions of 1 (of 32, 224 and 512 it fails too; model.warmup can say what fits)" : "", first.msg);
}

/* --- shapes that are given --------------------------------------------------------------------------------------------------------- */

/* "1x256" */
static int parse_shape(struct pt_str text, const struct pt_value_info *v, struct shape *out)
{
    struct pt_str part;
    out->rank = 0;
    while (text.len && pt_str_split(&text, 'x', &part)) {
        int k = out->rank++;
        if (k == PT_MAX_RANK || pt_parse_i64(part, 0, INT32_MAX, "length", &out->dims[k], NULL) < 0 ||
            (v->rank > k && v->dims[k] >= 0 && v->dims[k] != out->dims[k]))
            return PT_EINVAL;
    }
    return v->rank < 0 || v->rank == out->rank ? PT_OK : PT_EINVAL;
}

static int read_shapes(const struct pt_model_info *m, struct pt_str text, struct shape *shapes, struct pt_err *err)
{
    struct pt_str part;
    for (size_t i = 0; i < m->input_count; i++)
        shapes[i].rank = -1;
    while (pt_str_split(&text, ',', &part)) {
        struct pt_str item = pt_str_trim(part);
        const char *equals = memrchr(item.p, '=', item.len);
        size_t len = equals ? (size_t)(equals - item.p) : item.len, i = 0;
        while (i < m->input_count && !pt_str_eq((struct pt_str){item.p, len}, pt_str(m->inputs[i]->name)))
            i++;
        int width = (int)(item.len < 80 ? item.len : 80);
        if (i == m->input_count)
            return pt_fail(err, PT_EINVAL, "model.warmup: \"%.*s\": the model has no such input", width, item.p);
        if (!equals || shapes[i].rank >= 0 || parse_shape((struct pt_str){equals + 1, item.len - len - 1}, m->inputs[i], &shapes[i]) < 0)
            return pt_fail(err, PT_EINVAL, "model.warmup: \"%.*s\": want INPUT=LENGTHxLENGTH, once, with lengths that the input may have", width,
                           item.p);
    }
    return PT_OK;
}

int pt_warmup_run(const struct pt_model_info *m, struct pt_run *run, const char *text, struct pt_err *err)
{
    if (!text)
        return try_lengths(m, run, NULL, err);
    pt_auto_free struct shape *shapes = pt_calloc(m->input_count + 1, sizeof *shapes);
    if (!shapes)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = read_shapes(m, pt_str(text), shapes, err);
    return rc < 0 ? rc : try_lengths(m, run, shapes, err);
}
