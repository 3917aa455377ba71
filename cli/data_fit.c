/* SPDX-License-Identifier: Apache-2.0
 *
 * data_fit.c: see data_fit.h.
 */
#include "cli/data_fit.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>

double pt_data_value(const struct pt_tensor *t, int64_t i)
{
    switch (t->dtype) {
#define PT_X(code, type)                                                                                                                             \
    case code:                                                                                                                                       \
        return (double)((const type *)t->data)[i];
        PT_X(PT_BOOL, uint8_t)
        PT_X(PT_UINT8, uint8_t)
        PT_X(PT_INT8, int8_t)
        PT_X(PT_UINT16, uint16_t)
        PT_X(PT_INT16, int16_t)
        PT_X(PT_UINT32, uint32_t)
        PT_X(PT_INT32, int32_t)
        PT_X(PT_UINT64, uint64_t)
        PT_X(PT_INT64, int64_t)
        PT_X(PT_FLOAT, float)
        PT_X(PT_DOUBLE, double)
#undef PT_X
    case PT_FLOAT16:
        return pt_num_f16_value(((const uint16_t *)t->data)[i]);
    default:
        return NAN;
    }
}

static void shape_text(const int64_t *dims, int rank, char out[160])
{
    int n = snprintf(out, 160, "[");
    for (int i = 0; i < rank && n < 130; i++)
        n += dims[i] < 0 ? snprintf(out + n, 160 - (size_t)n, "%s?", i ? ", " : "")
                         : snprintf(out + n, 160 - (size_t)n, "%s%lld", i ? ", " : "", (long long)dims[i]);
    snprintf(out + n, 160 - (size_t)n, "]");
}

static bool is_channels(int64_t n)
{
    return n == 1 || n == 3;
}

static bool is_nhwc(const struct pt_onnx_type *t)
{
    return t->rank == 4 && is_channels(t->dims[3]) && !is_channels(t->dims[1]);
}

int pt_data_image_shape(const struct pt_edit *model, struct pt_image_shape *out, bool *nhwc, struct pt_err *err)
{
    const struct pt_onnx_graph *g = &model->model.graph;
    char shape[160];
    if (g->input_count != 1)
        return pt_fail(err, PT_EINVAL, "the model has %zu inputs; images are for a model with one", g->input_count);
    const struct pt_onnx_type *t = &g->inputs[0].type;
    bool last = is_nhwc(t);
    int64_t c = t->rank == 4 ? t->dims[last ? 3 : 1] : 1, h = t->rank == 4 ? t->dims[last ? 1 : 2] : t->rank == 3 ? t->dims[1] : -1;
    int64_t w = t->rank == 4 ? t->dims[last ? 2 : 3] : t->rank == 3 ? t->dims[2] : -1;
    shape_text(t->dims, t->rank, shape);
    if (!is_channels(c) || h < 1 || w < 1 || h > 4096 || w > 4096)
        return pt_fail(err, PT_EINVAL, "the model's input '" PT_STR_FMT "' is %s, no image: [samples, 1 or 3, height, width] is",
                       PT_STR_ARG(g->inputs[0].name), shape);
    *out = (struct pt_image_shape){h, w, c};
    if (nhwc)
        *nhwc = last;
    return PT_OK;
}

/* --- shapes ------------------------------------------------------------------------------------------------------------------------------------ */

/* The dims of a sample without those of 1. */
static int plain_dims(const int64_t *dims, int rank, int64_t *out)
{
    int n = 0;
    for (int i = 1; i < rank; i++)
        if (dims[i] != 1)
            out[n++] = dims[i];
    return n;
}

/* The shape that `from` has as the input `type`: free dims become those of the file. */
static int fit_shape(const struct pt_tensor *from, const struct pt_onnx_type *type, bool transpose, int64_t dims[PT_MAX_RANK], struct pt_err *err)
{
    int64_t have[PT_MAX_RANK], want[PT_MAX_RANK], given = 1, fixed = 1, at[] = {0, 3, 1, 2};
    char a[160], b[160];
    bool free = false, same = type->rank == from->rank;
    dims[0] = from->dims[0];
    for (int i = 1; i < from->rank; i++)
        given *= from->dims[i];
    for (int i = 1; i < type->rank; i++) {
        int64_t d = same ? from->dims[transpose ? at[i] : i] : -1;
        free |= type->dims[i] < 0;
        dims[i] = type->dims[i] < 0 ? d : type->dims[i];
        fixed = dims[i] < 0 || __builtin_mul_overflow(fixed, dims[i], &fixed) ? -1 : fixed;
    }
    int h = plain_dims(from->dims, from->rank, have), w = plain_dims(dims, type->rank, want);
    bool fits = fixed == given && (transpose || h <= 1 || w <= 1 || (h == w && memcmp(have, want, (size_t)h * sizeof *have) == 0));
    if (fits)
        return PT_OK;
    shape_text(from->dims, from->rank, a);
    shape_text(type->dims, type->rank, b);
    return pt_fail(err, PT_EINVAL, "samples are %s, the model takes %s%s", a, b, free && !same ? "; with free dims the ranks must agree" : "");
}

/* --- values ------------------------------------------------------------------------------------------------------------------------------------ */

struct scaling {
    double scale, mean[256], std[256];
    int64_t means, stds, channels, inner; /* the channel of element e of a sample is e / inner % channels */
};

static int read_list(const struct pt_cmd_list *list, const char *what, bool positive, double out[256], struct pt_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct pt_json j;
        pt_json_init(&j, list->items[i].p, list->items[i].len);
        if (pt_json_double(&j, &out[i], NULL) < 0 || pt_json_end(&j, NULL) < 0 || (positive && !(out[i] > 0)))
            return pt_fail(err, PT_EINVAL, "%s: \"" PT_STR_FMT "\" is no%s number", what, PT_STR_ARG(list->items[i]), positive ? " positive" : "");
    }
    return PT_OK;
}

static int make_scaling(const struct pt_data_options *o, bool pixels, const struct pt_onnx_type *type, const int64_t *dims, struct scaling *s,
                        struct pt_err *err)
{
    *s = (struct scaling){.scale = o->scale > 0 ? o->scale
                                   : pixels     ? 1.0 / 255
                                                : 1,
                          .means = (int64_t)o->mean.count,
                          .stds = (int64_t)o->std.count,
                          .channels = 1,
                          .inner = 1};
    int channel = type->rank == 2 || is_nhwc(type) ? type->rank - 1 : 1;
    if (type->rank >= 2) {
        s->channels = dims[channel];
        for (int i = channel + 1; i < type->rank; i++)
            s->inner *= dims[i];
    }
    int rc = read_list(&o->mean, "mean", false, s->mean, err);
    if (rc == PT_OK)
        rc = read_list(&o->std, "std", true, s->std, err);
    if (rc == PT_OK && ((s->means > 1 && s->means != s->channels) || (s->stds > 1 && s->stds != s->channels)))
        rc = pt_fail(err, PT_EINVAL, "mean and std: %lld and %lld numbers, must be one or %lld, as many as channels", (long long)s->means,
                     (long long)s->stds, (long long)s->channels);
    return rc;
}

static double scaled(const struct scaling *s, double v, int64_t element)
{
    int64_t c = s->channels > 1 ? element / s->inner % s->channels : 0;
    v = v * s->scale - (s->means ? s->mean[s->means > 1 ? c : 0] : 0);
    return s->stds ? v / s->std[s->stds > 1 ? c : 0] : v;
}

static bool put_value(struct pt_tensor *t, int64_t i, double v)
{
    switch (t->dtype) {
    case PT_FLOAT:
        ((float *)t->data)[i] = (float)v;
        return isfinite((float)v);
    case PT_DOUBLE:
        ((double *)t->data)[i] = v;
        return isfinite(v);
#define PT_X(code, type, low, high)                                                                                                                  \
    case code:                                                                                                                                       \
        if (!(v >= (low) && v <= (high) && v == floor(v)))                                                                                           \
            return false;                                                                                                                            \
        ((type *)t->data)[i] = (type)v;                                                                                                              \
        return true;
        PT_X(PT_BOOL, uint8_t, 0, 1)
        PT_X(PT_UINT8, uint8_t, 0, UINT8_MAX)
        PT_X(PT_INT8, int8_t, INT8_MIN, INT8_MAX)
        PT_X(PT_INT32, int32_t, INT32_MIN, INT32_MAX)
        PT_X(PT_INT64, int64_t, -9007199254740992.0, 9007199254740992.0)
#undef PT_X
    default:
        return false;
    }
}

static int convert(const struct pt_tensor *from, const struct scaling *s, bool transpose, struct pt_tensor *to, struct pt_err *err)
{
    int64_t n = from->dims[0], size = n ? pt_tensor_count(from) / n : 0;
    int64_t c = transpose ? from->dims[3] : 1, area = transpose ? from->dims[1] * from->dims[2] : size;
    for (int64_t i = 0; i < n; i++)
        for (int64_t e = 0; e < size; e++) {
            int64_t at = transpose ? e % area * c + e / area : e;
            double v = pt_data_value(from, i * size + at);
            if (!put_value(to, i * size + e, scaled(s, v, e)))
                return pt_fail(err, PT_EINVAL, "sample %lld, element %lld: %g is no value of type %s", (long long)i, (long long)at, v,
                               pt_dtype_name(to->dtype));
        }
    return PT_OK;
}

static int fit_input(const struct pt_data_file *f, const struct pt_tensor *from, const struct pt_data_options *o, const struct pt_onnx_value_info *in,
                     struct pt_tensor_file *out, struct pt_err *err)
{
    struct scaling s;
    int64_t dims[PT_MAX_RANK];
    bool transpose = f->pixels && from->rank == 4 && in->type.rank == 4 && from->dims[3] > 1 && !is_nhwc(&in->type);
    if (from->rank < 1 || from->dims[0] < 1)
        return pt_fail(err, PT_EINVAL, "no samples");
    if (in->type.rank < 1)
        return pt_fail(err, PT_EUNSUPPORTED, "the model does not say what shape it has");
    if (isnan(pt_data_value(&(struct pt_tensor){.dtype = from->dtype, .data = (int64_t[2]){0}}, 0)))
        return pt_fail(err, PT_EUNSUPPORTED, "values of type %s", pt_dtype_name(from->dtype));
    int rc = fit_shape(from, &in->type, transpose, dims, err);
    if (rc == PT_OK)
        rc = make_scaling(o, f->pixels, &in->type, dims, &s, err);
    if (rc == PT_OK)
        rc = pt_tensor_file_alloc(out, in->type.dtype, in->type.rank, dims, err);
    return rc < 0 ? rc : convert(from, &s, transpose, &out->t, err);
}

static const struct pt_tensor *find(const struct pt_data_file *f, struct pt_str name, size_t inputs)
{
    for (size_t i = 0; i < f->count; i++)
        if (pt_str_eq(pt_str(f->arrays[i].name), name))
            return &f->arrays[i].value.t;
    return inputs == 1 && f->count == 1 ? &f->arrays[0].value.t : NULL;
}

int pt_data_fit(const struct pt_data_file *f, const struct pt_data_options *o, const struct pt_edit *model, struct pt_samples *out,
                struct pt_err *err)
{
    const struct pt_onnx_graph *g = &model->model.graph;
    *out =
        (struct pt_samples){.inputs = pt_calloc(g->input_count + 1, sizeof *out->inputs), .views = pt_calloc(g->input_count + 1, sizeof *out->views)};
    int rc = out->inputs && out->views ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; rc == PT_OK && i < g->input_count; i++) {
        const struct pt_tensor *from = find(f, g->inputs[i].name, g->input_count);
        out->input_count = i + 1;
        rc = from ? fit_input(f, from, o, &g->inputs[i], &out->inputs[i], err) : pt_fail(err, PT_ENOTFOUND, "there is no array of this name");
        if (rc < 0)
            return pt_wrap(err, "input '" PT_STR_FMT "'", PT_STR_ARG(g->inputs[i].name));
        out->views[i] = out->inputs[i].t;
        if (out->views[i].dims[0] != out->views[0].dims[0])
            return pt_fail(err, PT_EINVAL, "input '" PT_STR_FMT "' has %lld samples, the first one %lld", PT_STR_ARG(g->inputs[i].name),
                           (long long)out->views[i].dims[0], (long long)out->views[0].dims[0]);
    }
    if (rc == PT_OK)
        out->data = (struct pt_data){.inputs = out->views, .input_count = out->input_count, .count = out->input_count ? out->views[0].dims[0] : 0};
    return rc;
}
