/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c: see request.h.
 */
#include "sidecar/request.h"

#include "base/mem.h"

#include <stdio.h>

/* Memory for several small things, or for a large one. */
struct pt_request_chunk {
    struct pt_request_chunk *next;
    char *free; /* aligned */
    size_t left;
};
enum { ALIGN = 64, CHUNK = 512 };

static int check_values(const char *what, const struct pt_value_info *const *values, size_t count, struct pt_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!pt_datatype_of(values[i]->dtype))
            return pt_fail(err, PT_EUNSUPPORTED, "%s \"%s\": type %s cannot be served", what, values[i]->name, pt_dtype_name(values[i]->dtype));
    return PT_OK;
}

int pt_model_info_check(const struct pt_model_info *m, struct pt_err *err)
{
    int rc = check_values("input", m->inputs, m->input_count, err);
    return rc < 0 ? rc : check_values("output", m->outputs, m->output_count, err);
}

/* malloc() has small blocks at hand, aligned_alloc() has not. */
void *pt_request_alloc(struct pt_request *q, size_t bytes)
{
    struct pt_request_chunk *c = q->chunks;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!c || bytes > c->left) {
        size_t room = bytes > CHUNK ? bytes : CHUNK;
        c = pt_malloc(sizeof *c + ALIGN - 1 + room);
        if (!c)
            return NULL;
        *c = (struct pt_request_chunk){.next = q->chunks, .free = (char *)(c + 1), .left = room};
        c->free += -(uintptr_t)c->free & (ALIGN - 1);
        q->chunks = c;
    }
    char *p = c->free;
    c->free += bytes;
    c->left -= bytes;
    return p;
}

int pt_request_init(struct pt_request *q, const struct pt_model_info *m, struct pt_err *err)
{
    *q = (struct pt_request){.model = m};
    size_t inputs = m->input_count * sizeof *q->inputs, outputs = m->output_count * sizeof *q->outputs;
    char *p = pt_request_alloc(q, inputs + outputs);
    if (!p)
        return pt_fail(err, PT_ENOMEM, "model \"%s\": out of memory", m->name);
    q->inputs = (struct pt_tensor *)(void *)p;
    q->outputs = (struct pt_output_wish *)(void *)(p + inputs);
    for (size_t i = 0; i < m->input_count; i++) {
        q->inputs[i].data = NULL;
        q->inputs[i].rank = 0;
        q->inputs[i].dtype = PT_UNDEFINED;
    }
    memset(q->outputs, 0, outputs);
    return PT_OK;
}

void pt_request_finish(struct pt_request *q)
{
    for (struct pt_request_chunk *c = q->chunks, *next; c; c = next) {
        next = c->next;
        pt_free(c);
    }
    *q = (struct pt_request){0};
}

/* --- decoding ------------------------------------------------------------------------------------------------------------------ */

static int index_of(const char *what, const struct pt_value_info *const *values, size_t count, struct pt_str name, struct pt_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (pt_str_eq(pt_str(values[i]->name), name))
            return (int)i;
    pt_auto_buf b = PT_BUF_INIT(400);
    for (size_t i = 0; i < count; i++)
        pt_buf_printf(&b, "%s\"%s\"", i ? ", " : "", values[i]->name);
    return pt_fail(err, PT_EINVAL, "%s \"" PT_STR_FMT "\": the model has no such %s; it has %s", what, (int)(name.len < 64 ? name.len : 64),
                   name.p ? name.p : "", what, pt_buf_cstr(&b));
}

int pt_request_input_index(const struct pt_request *q, struct pt_str name, struct pt_err *err)
{
    return index_of("input", q->model->inputs, q->model->input_count, name, err);
}

int pt_request_output_index(const struct pt_request *q, struct pt_str name, struct pt_err *err)
{
    return index_of("output", q->model->outputs, q->model->output_count, name, err);
}

void pt_shape_put(struct pt_buf *b, const int64_t *dims, int rank)
{
    pt_buf_putc(b, '[');
    pt_json_put_numbers(b, PT_JE_I64, dims, rank < 0 ? 0 : (size_t)rank);
    pt_buf_putc(b, ']');
}

static int wrong_shape(const struct pt_value_info *v, const int64_t *dims, int rank, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(2048);
    pt_buf_puts(&b, "want ");
    pt_shape_put(&b, v->dims, v->rank);
    pt_buf_puts(&b, ", got ");
    pt_shape_put(&b, dims, rank);
    return pt_fail(err, PT_EINVAL, "input \"%s\": shape: %s", v->name, pt_buf_cstr(&b));
}

int pt_request_set_shape(struct pt_request *q, size_t i, const struct pt_datatype *type, const int64_t *dims, int rank, int64_t *count,
                         struct pt_err *err)
{
    const struct pt_value_info *v = q->model->inputs[i];
    struct pt_tensor *t = &q->inputs[i];
    if (type->dtype != v->dtype) {
        const struct pt_datatype *want = pt_datatype_of(v->dtype);
        return pt_fail(err, PT_EINVAL, "input \"%s\": datatype: want %s, got %s", v->name, want ? want->name : pt_dtype_name(v->dtype), type->name);
    }
    if (rank > PT_MAX_RANK || (v->rank >= 0 && v->rank != rank))
        return wrong_shape(v, dims, rank < PT_MAX_RANK ? rank : PT_MAX_RANK, err);
    for (int k = 0; k < rank; k++)
        if (dims[k] < 0)
            return pt_fail(err, PT_EINVAL, "input \"%s\": shape: dimension %lld is negative", v->name, (long long)dims[k]);
        else if (v->rank >= 0 && v->dims[k] >= 0 && v->dims[k] != dims[k])
            return wrong_shape(v, dims, rank, err);
    t->dtype = v->dtype;
    t->rank = rank;
    memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    int64_t n = pt_tensor_count(t);
    size_t width = type->width ? type->width : sizeof(struct pt_string);
    if (n < 0 || (uint64_t)n > (SIZE_MAX >> 2) / width)
        return pt_fail(err, PT_EINVAL, "input \"%s\": shape: too many elements", v->name);
    t->size_bytes = (size_t)n * width;
    *count = n;
    return PT_OK;
}

static int set_raw_strings(struct pt_request *q, size_t i, struct pt_str bytes, struct pt_err *err)
{
    struct pt_tensor *t = &q->inputs[i];
    const char *name = q->model->inputs[i]->name;
    size_t count = t->size_bytes / sizeof(struct pt_string), n = 0, at = 0;
    if (count > bytes.len / 4)
        return pt_fail(err, PT_EINVAL, "input \"%s\": data: %zu bytes are too few for %zu elements with a length each", name, bytes.len, count);
    struct pt_string *s = pt_request_alloc(q, t->size_bytes);
    if (!s)
        return pt_fail(err, PT_ENOMEM, "input \"%s\": out of memory for %zu bytes", name, t->size_bytes);
    for (; n < count && bytes.len - at >= 4; n++) {
        uint32_t len;
        memcpy(&len, bytes.p + at, 4);
        if (len > bytes.len - at - 4)
            return pt_fail(err, PT_EINVAL, "input \"%s\": data: element %zu has %u bytes, %zu are left", name, n, len, bytes.len - at - 4);
        s[n] = (struct pt_string){bytes.p + at + 4, len};
        at += 4 + (size_t)len;
    }
    if (n < count || at < bytes.len)
        return pt_fail(err, PT_EINVAL, "input \"%s\": data: want %zu elements, got %zu and %zu more bytes", name, count, n, bytes.len - at);
    t->data = s;
    return PT_OK;
}

int pt_request_set_raw(struct pt_request *q, size_t i, struct pt_str bytes, struct pt_err *err)
{
    struct pt_tensor *t = &q->inputs[i];
    if (t->dtype == PT_STRING)
        return set_raw_strings(q, i, bytes, err);
    unsigned width = pt_dtype_bits(t->dtype) / 8;
    if (bytes.len != t->size_bytes)
        return pt_fail(err, PT_EINVAL, "input \"%s\": data: its shape needs %zu bytes, got %zu", q->model->inputs[i]->name, t->size_bytes, bytes.len);
    if (bytes.len == 0) {
        static const uint64_t nothing;
        t->data = (void *)(uintptr_t)&nothing;
        return PT_OK;
    }
    t->data = (void *)(uintptr_t)bytes.p;
    bool tidy = t->dtype == PT_BOOL; /* any byte but 0 is true, which the runtime wants as 1 */
    if ((uintptr_t)bytes.p % width == 0 && !tidy)
        return PT_OK;
    t->data = pt_request_alloc(q, bytes.len);
    if (!t->data)
        return pt_fail(err, PT_ENOMEM, "input \"%s\": out of memory for %zu bytes", q->model->inputs[i]->name, bytes.len);
    memcpy(t->data, bytes.p, bytes.len);
    for (size_t k = 0; tidy && k < bytes.len; k++)
        ((uint8_t *)t->data)[k] = bytes.p[k] != 0;
    return PT_OK;
}

int pt_request_json_string(struct pt_request *q, struct pt_json *j, struct pt_str *out, struct pt_err *err)
{
    struct pt_str raw;
    if (pt_json_kind(j, err) != PT_JSON_STRING)
        return pt_fail(err, PT_EINVAL, "want a string");
    int rc = pt_json_value(j, &raw, err);
    if (rc < 0)
        return rc;
    *out = (struct pt_str){raw.p + 1, raw.len - 2};
    if (!memchr(raw.p, '\\', raw.len))
        return PT_OK;
    struct pt_buf text = {.data = pt_request_alloc(q, raw.len), .room = raw.len, .cap = raw.len}; /* decoded it is shorter */
    if (!text.data)
        return pt_fail(err, PT_ENOMEM, "out of memory for a string of %zu bytes", raw.len);
    struct pt_json one;
    pt_json_init(&one, raw.p, raw.len);
    rc = pt_json_string(&one, &text, err);
    *out = (struct pt_str){text.data, text.len};
    return rc;
}

int pt_request_check(struct pt_request *q, struct pt_err *err)
{
    const struct pt_model_info *m = q->model;
    for (size_t i = 0; i < m->input_count; i++)
        if (!q->inputs[i].data)
            return pt_fail(err, PT_EINVAL, "input \"%s\" is missing", m->inputs[i]->name);
    bool any = false;
    for (size_t i = 0; i < m->output_count; i++)
        any |= q->outputs[i].wanted;
    for (size_t i = 0; !any && i < m->output_count; i++)
        q->outputs[i].wanted = true;
    return PT_OK;
}

/* --- answers -------------------------------------------------------------------------------------------------------------------- */

size_t pt_tensor_raw_size(const struct pt_tensor *t)
{
    if (t->dtype != PT_STRING)
        return t->size_bytes;
    const struct pt_string *s = t->data;
    size_t n = t->size_bytes / sizeof *s, size = 4 * n;
    for (size_t i = 0; i < n; i++)
        size += s[i].len;
    return size;
}

void pt_tensor_put_raw(const struct pt_tensor *t, struct pt_buf *b)
{
    if (t->dtype != PT_STRING) {
        pt_buf_append(b, t->data, t->size_bytes);
        return;
    }
    const struct pt_string *s = t->data;
    for (size_t i = 0; i < t->size_bytes / sizeof *s; i++) {
        uint32_t len = (uint32_t)s[i].len;
        pt_buf_append(b, &len, sizeof len);
        pt_buf_append(b, s[i].p, s[i].len);
    }
}

static double element(const struct pt_tensor *t, size_t i)
{
    switch (t->dtype) {
    case PT_FLOAT:
        return (double)((const float *)t->data)[i];
    case PT_DOUBLE:
        return ((const double *)t->data)[i];
    case PT_INT8:
        return ((const int8_t *)t->data)[i];
    case PT_UINT8:
    case PT_BOOL:
        return ((const uint8_t *)t->data)[i];
    case PT_INT16:
        return ((const int16_t *)t->data)[i];
    case PT_UINT16:
        return ((const uint16_t *)t->data)[i];
    case PT_INT32:
        return ((const int32_t *)t->data)[i];
    case PT_UINT32:
        return ((const uint32_t *)t->data)[i];
    case PT_INT64:
        return (double)((const int64_t *)t->data)[i];
    case PT_UINT64:
        return (double)((const uint64_t *)t->data)[i];
    default:
        return 0;
    }
}

/* The most that classes can be worth: each class is found by one look over the row. */
enum { MAX_CLASSES = 1000, MAX_LABEL = 48 };

/* The `classes` highest of a row, highest first, equals in order of their index; NaN comes last. */
static void classify_row(const struct pt_tensor *t, size_t row, size_t width, struct pt_string *out, size_t classes, char *text)
{
    double last = 0;
    size_t last_index = 0;
    for (size_t k = 0; k < classes; k++) {
        double best = 0;
        size_t best_index = width;
        for (size_t i = 0; i < width; i++) {
            double v = element(t, row * width + i);
            v = v != v ? -__builtin_inf() : v;
            bool after = k == 0 || v < last || (v == last && i > last_index);
            if (after && (best_index == width || v > best)) {
                best = v;
                best_index = i;
            }
        }
        last = best;
        last_index = best_index;
        bool real = t->dtype == PT_FLOAT || t->dtype == PT_DOUBLE;
        int len = snprintf(text, MAX_LABEL, real ? "%f:%zu" : "%.0f:%zu", element(t, row * width + best_index), best_index);
        if (len >= MAX_LABEL) /* a number of hundreds of digits */
            len = snprintf(text, MAX_LABEL, "%g:%zu", element(t, row * width + best_index), best_index);
        out[k] = (struct pt_string){text, (size_t)len};
        text += MAX_LABEL;
    }
}

int pt_request_classify(struct pt_request *q, size_t output, const struct pt_tensor *t, struct pt_tensor *out, struct pt_err *err)
{
    const char *name = q->model->outputs[output]->name;
    if (t->dtype == PT_STRING || t->dtype == PT_FLOAT16 || t->dtype == PT_BFLOAT16)
        return pt_fail(err, PT_EINVAL, "output \"%s\": parameter \"classification\": elements of type %s are not ranked", name,
                       pt_datatype_of(t->dtype)->name);
    size_t width = t->rank > 0 ? (size_t)t->dims[t->rank - 1] : 1, bytes = pt_dtype_bits(t->dtype) / 8;
    size_t rows = width ? t->size_bytes / bytes / width : 0, classes = q->outputs[output].classes;
    if (classes > MAX_CLASSES)
        return pt_fail(err, PT_EINVAL, "output \"%s\": parameter \"classification\": want at most %d, got %zu", name, MAX_CLASSES, classes);
    if (classes > width)
        classes = width;
    *out = *t;
    out->dtype = PT_STRING;
    if (t->rank == 0)
        out->rank = 1;
    out->dims[out->rank - 1] = (int64_t)classes;
    if (rows && classes && rows > (SIZE_MAX >> 1) / classes / MAX_LABEL)
        return pt_fail(err, PT_ELIMIT, "output \"%s\": too many elements to classify", name);
    out->size_bytes = rows * classes * sizeof(struct pt_string);
    out->data = pt_request_alloc(q, out->size_bytes);
    char *text = pt_request_alloc(q, rows * classes * MAX_LABEL);
    if (!out->data || !text)
        return pt_fail(err, PT_ENOMEM, "output \"%s\": out of memory", name);
    for (size_t r = 0; r < rows; r++)
        classify_row(t, r, width, (struct pt_string *)out->data + r * classes, classes, text + r * classes * MAX_LABEL);
    return PT_OK;
}
