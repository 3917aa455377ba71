/* SPDX-License-Identifier: Apache-2.0
 *
 * batch.c: see batch.h.
 */
#include "sidecar/batch.h"

#include "base/mem.h"
#include "sidecar/padding.h"

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
        bool same = s->rank == t->rank && memcmp(s->dims + 1, t->dims + 1, (size_t)(s->rank - 1) * sizeof s->dims[0]) == 0;
        if (!same && !pt_padding_joins(a->model, i, s, t))
            return false;
    }
    return true;
}

void pt_batch_begin(struct pt_batch *b, const struct pt_request *q)
{
    for (size_t i = 0; i < b->input_count; i++) {
        void *data = b->inputs[i].data;
        b->inputs[i] = q->inputs[i];
        b->inputs[i].data = data;
    }
    b->model = q->model;
    b->filled = 0;
    b->widened = false;
}

void pt_batch_widen(struct pt_batch *b, const struct pt_request *q)
{
    for (size_t i = 0; i < b->input_count; i++)
        for (int k = 1; k < b->inputs[i].rank; k++) {
            int64_t *length = &b->inputs[i].dims[k], more = q->inputs[i].dims[k];
            b->widened |= *length != more;
            *length = more > *length ? more : *length;
        }
}

static size_t width_of(const struct pt_tensor *t)
{
    return t->dtype == PT_STRING ? sizeof(struct pt_string) : pt_dtype_bits(t->dtype) / 8;
}

int pt_batch_make_room(struct pt_batch *b, int64_t rows, struct pt_err *err)
{
    for (size_t i = 0; i < b->input_count; i++) {
        struct pt_tensor *t = &b->inputs[i];
        size_t bytes = width_of(t);
        t->dims[0] = rows;
        for (int k = 0; k < t->rank; k++)
            if (__builtin_mul_overflow(bytes, (size_t)t->dims[k], &bytes))
                return pt_fail(err, PT_ELIMIT, "batch of %lld rows: too large", (long long)rows);
        t->size_bytes = bytes;
        if (bytes <= b->room[i] && t->data)
            continue;
        pt_free(t->data);
        b->room[i] = 0;
        if (!(t->data = pt_alloc_aligned(bytes ? bytes : 1)))
            return pt_fail(err, PT_ENOMEM, "batch of %lld rows: out of memory for %zu bytes", (long long)rows, bytes);
        b->room[i] = bytes;
    }
    b->rows = rows;
    return PT_OK;
}

void pt_batch_add(struct pt_batch *b, const struct pt_request *q)
{
    for (size_t i = 0; i < b->input_count; i++) {
        const struct pt_tensor *t = &q->inputs[i];
        int64_t dims[PT_MAX_RANK];
        size_t row_bytes = b->inputs[i].size_bytes / (size_t)b->rows;
        char *to = (char *)b->inputs[i].data + (size_t)b->filled * row_bytes;
        if (!b->widened) {
            if (t->size_bytes)
                memcpy(to, t->data, t->size_bytes);
            continue;
        }
        memcpy(dims, b->inputs[i].dims, sizeof dims);
        dims[0] = t->dims[0];
        pt_padding_place(to, dims, t->data, t->dims, t->rank, width_of(t), b->model->pads[i].element);
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

/* The longest length by which the batch was padded, of this dimension's name: what the run must have given it. */
static int64_t padded_length(const struct pt_batch *b, size_t i, int k)
{
    const struct pt_request whole = {.model = b->model, .inputs = b->inputs};
    return pt_padding_length(&whole, i, k);
}

int pt_batch_part(const struct pt_batch *b, const struct pt_tensor *whole, size_t i, struct pt_request *q, int64_t first, struct pt_tensor *part,
                  struct pt_err *err)
{
    const char *name = b->model->outputs[i]->name;
    if (!whole || whole->rank == 0 || whole->dims[0] != b->rows)
        return pt_fail(err, PT_EUNSUPPORTED, "output \"%s\" has other rows than the inputs", name);
    size_t row_bytes = whole->size_bytes / (size_t)b->rows, bytes = width_of(whole);
    const char *from = (char *)whole->data + (size_t)first * row_bytes;
    bool cut = false;
    *part = *whole;
    part->dims[0] = q->inputs[0].dims[0];
    for (int k = 1; b->widened && k < whole->rank; k++) {
        int64_t own = pt_padding_length(q, i, k);
        if (own >= 0 && (whole->rank != b->model->outputs[i]->rank || whole->dims[k] != padded_length(b, i, k)))
            return pt_fail(err, PT_EUNSUPPORTED, "output \"%s\" has another length than the inputs", name);
        part->dims[k] = own >= 0 ? own : whole->dims[k];
        cut |= part->dims[k] != whole->dims[k];
    }
    for (int k = 0; k < part->rank; k++)
        bytes *= (size_t)part->dims[k];
    part->size_bytes = bytes;
    part->data = (void *)(uintptr_t)from;
    if (!cut)
        return PT_OK;
    if (!(part->data = pt_request_alloc(q, bytes)))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    pt_padding_cut(part->data, part->dims, from, whole->dims, whole->rank, width_of(whole));
    return PT_OK;
}
