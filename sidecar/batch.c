/* SPDX-License-Identifier: Apache-2.0
 *
 * batch.c: see batch.h.
 */
#include "sidecar/batch.h"

#include "base/mem.h"

int pt_batch_init(struct pt_batch *b, const struct pt_model_info *m, struct pt_err *err)
{
    *b = (struct pt_batch){.inputs = pt_calloc(m->input_count + 1, sizeof *b->inputs),
                           .room = pt_calloc(m->input_count + 1, sizeof *b->room),
                           .input_count = m->input_count};
    if (b->inputs && b->room)
        return PT_OK;
    pt_batch_finish(b);
    return pt_fail(err, PT_ENOMEM, "batch: out of memory");
}

void pt_batch_finish(struct pt_batch *b)
{
    for (size_t i = 0; b->inputs && i < b->input_count; i++)
        pt_free(b->inputs[i].data);
    pt_free(b->inputs);
    pt_free(b->room);
    *b = (struct pt_batch){0};
}

static int check_values(const char *what, const struct pt_value_info *const *values, size_t count, struct pt_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct pt_value_info *v = values[i];
        if (v->rank == 0)
            return pt_fail(err, PT_EINVAL, "%s \"%s\" is a scalar: its requests cannot be joined", what, v->name);
        if (v->rank > 0 && v->dims[0] >= 0)
            return pt_fail(err, PT_EINVAL, "%s \"%s\" has the fixed first dimension %lld: its requests cannot be joined", what, v->name,
                           (long long)v->dims[0]);
    }
    return PT_OK;
}

int pt_batch_check(const struct pt_model_info *m, struct pt_err *err)
{
    if (m->input_count == 0)
        return pt_fail(err, PT_EINVAL, "model \"%s\" has no inputs: its requests cannot be joined", m->name);
    int rc = check_values("input", m->inputs, m->input_count, err);
    return rc < 0 ? rc : check_values("output", m->outputs, m->output_count, err);
}

int64_t pt_batch_rows(const struct pt_request *q)
{
    int64_t rows = q->model->input_count && q->inputs[0].rank > 0 ? q->inputs[0].dims[0] : 0;
    for (size_t i = 1; i < q->model->input_count; i++)
        if (q->inputs[i].rank == 0 || q->inputs[i].dims[0] != rows)
            return 0;
    return rows;
}

bool pt_batch_joins(const struct pt_request *a, const struct pt_request *b)
{
    for (size_t i = 0; i < a->model->input_count; i++) {
        const struct pt_tensor *s = &a->inputs[i], *t = &b->inputs[i];
        if (s->rank != t->rank || memcmp(s->dims + 1, t->dims + 1, (size_t)(s->rank - 1) * sizeof s->dims[0]) != 0)
            return false;
    }
    return true;
}

int pt_batch_begin(struct pt_batch *b, const struct pt_request *q, int64_t rows, struct pt_err *err)
{
    for (size_t i = 0; i < b->input_count; i++) {
        const struct pt_tensor *t = &q->inputs[i];
        size_t row_bytes = t->size_bytes / (size_t)t->dims[0], bytes;
        void *data = b->inputs[i].data;
        if (__builtin_mul_overflow(row_bytes, (size_t)rows, &bytes))
            return pt_fail(err, PT_ELIMIT, "batch of %lld rows: too large", (long long)rows);
        if (bytes > b->room[i] || !data) {
            pt_free(data);
            b->room[i] = 0;
            if (!(data = b->inputs[i].data = pt_alloc_aligned(bytes ? bytes : 1)))
                return pt_fail(err, PT_ENOMEM, "batch of %lld rows: out of memory for %zu bytes", (long long)rows, bytes);
            b->room[i] = bytes;
        }
        b->inputs[i] = *t;
        b->inputs[i].data = data;
        b->inputs[i].dims[0] = rows;
        b->inputs[i].size_bytes = bytes;
    }
    b->rows = rows;
    b->filled = 0;
    return PT_OK;
}

void pt_batch_add(struct pt_batch *b, const struct pt_request *q)
{
    for (size_t i = 0; i < b->input_count; i++) {
        size_t row_bytes = b->inputs[i].size_bytes / (size_t)b->rows;
        if (q->inputs[i].size_bytes)
            memcpy((char *)b->inputs[i].data + (size_t)b->filled * row_bytes, q->inputs[i].data, q->inputs[i].size_bytes);
    }
    b->filled += q->inputs[0].dims[0];
}

void pt_batch_pad(struct pt_batch *b)
{
    for (; b->filled < b->rows; b->filled++)
        for (size_t i = 0; i < b->input_count; i++) {
            size_t row_bytes = b->inputs[i].size_bytes / (size_t)b->rows;
            char *to = (char *)b->inputs[i].data + (size_t)b->filled * row_bytes;
            memcpy(to, to - row_bytes, row_bytes);
        }
}

bool pt_batch_part(const struct pt_batch *b, const struct pt_tensor *whole, int64_t first, int64_t count, struct pt_tensor *part)
{
    if (whole->rank == 0 || whole->dims[0] != b->rows)
        return false;
    size_t row_bytes = whole->size_bytes / (size_t)b->rows;
    *part = *whole;
    part->dims[0] = count;
    part->size_bytes = (size_t)count * row_bytes;
    part->data = (char *)whole->data + (size_t)first * row_bytes;
    return true;
}
