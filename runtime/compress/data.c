/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/compress/data.h"

#include "runtime/tensor.h"

#include <string.h>

static int check_input(const struct pt_tensor *t, const struct pt_value_info *vi, int64_t count, const char *what, struct pt_err *err)
{
    if (t->dtype != vi->dtype)
        return pt_fail(err, PT_EINVAL, "%s: input '%s' is %s, the model takes %s", what, vi->name, pt_dtype_name(t->dtype), pt_dtype_name(vi->dtype));
    if (t->rank < 1 || t->dims[0] != count)
        return pt_fail(err, PT_EINVAL, "%s: input '%s' has %lld samples, others have %lld", what, vi->name, t->rank < 1 ? 0LL : (long long)t->dims[0],
                       (long long)count);
    if (vi->rank >= 0 && vi->rank != t->rank)
        return pt_fail(err, PT_EINVAL, "%s: input '%s' is %s; the model takes rank %d, the first dim counts samples", what, vi->name, PT_SHAPE(t),
                       vi->rank);
    for (int i = 1; i < t->rank && vi->rank >= 0; i++)
        if (vi->dims[i] >= 0 && vi->dims[i] != t->dims[i])
            return pt_fail(err, PT_EINVAL, "%s: input '%s' is %s; dim %d of the model's is %lld", what, vi->name, PT_SHAPE(t), i,
                           (long long)vi->dims[i]);
    return PT_OK;
}

int pt_data_check(const struct pt_data *d, const struct pt_session *s, const char *what, struct pt_err *err)
{
    size_t wanted = pt_session_input_count(s);
    if (d->input_count != wanted)
        return pt_fail(err, PT_EINVAL, "%s: %zu inputs, the model takes %zu", what, d->input_count, wanted);
    if (d->count < 1)
        return pt_fail(err, PT_EINVAL, "%s: no samples", what);
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < wanted; i++)
        rc = check_input(&d->inputs[i], pt_session_input(s, i), d->count, what, err);
    if (rc == PT_OK && d->labels.dtype && (d->labels.rank < 1 || d->labels.dims[0] != d->count))
        rc = pt_fail(err, PT_EINVAL, "%s: labels are %s for %lld samples", what, PT_SHAPE(&d->labels), (long long)d->count);
    return rc;
}

static struct pt_tensor slice(const struct pt_tensor *t, int64_t first, int64_t n)
{
    struct pt_tensor out = *t;
    size_t each = t->dims[0] ? t->size_bytes / (size_t)t->dims[0] : 0;
    out.dims[0] = n;
    out.data = (char *)t->data + (size_t)first * each;
    out.size_bytes = (size_t)n * each;
    return out;
}

struct pt_data pt_data_slice(const struct pt_data *d, int64_t first, int64_t n, struct pt_tensor *inputs)
{
    struct pt_data out = {.inputs = inputs, .input_count = d->input_count, .count = n};
    for (size_t i = 0; i < d->input_count; i++)
        inputs[i] = slice(&d->inputs[i], first, n);
    if (d->labels.dtype)
        out.labels = slice(&d->labels, first, n);
    return out;
}

void pt_data_gather(const struct pt_tensor *from, const int64_t *at, int64_t n, struct pt_tensor *out)
{
    size_t each = from->dims[0] ? from->size_bytes / (size_t)from->dims[0] : 0;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + (size_t)i * each, (const char *)from->data + (size_t)at[i] * each, each);
}
