/* SPDX-License-Identifier: Apache-2.0
 *
 * dft.c: DFT along one axis and STFT: transforms of frames of a signal. The last axis of a tensor holds the parts of a number: one (real) or two.
 * Everything is computed in double, whatever the type.
 */
#include "runtime/ops/fft.h"
#include "runtime/ops/types.h"

struct dft {
    int axis;
    int64_t n, inverse, onesided; /* n: length of the transform */
    int64_t in_len, out_len, inner;
};

struct line {
    const struct pt_tensor *t;
    int64_t first, step; /* of numbers, not elements */
    int parts;
};

static void load(const struct line *l, int64_t count, double complex *x)
{
    for (int64_t i = 0; i < count; i++) {
        double v[2] = {0, 0};
        pt_load_f64(l->t, (l->first + i * l->step) * l->parts, l->parts, v);
        x[i] = v[0] + v[1] * I;
    }
}

static void store(struct pt_tensor *t, const struct line *l, int64_t count, const double complex *x, double scale)
{
    for (int64_t i = 0; i < count; i++) {
        double v[2] = {creal(x[i]) * scale, cimag(x[i]) * scale};
        pt_store_f64(t, (l->first + i * l->step) * l->parts, l->parts, v);
    }
}

/* A number of input i, which must be one integer, or def when not given. */
static int read_number(struct pt_op_ctx *c, int i, const char *what, int64_t def, int64_t *out)
{
    int n, rc = pt_op_const_ints(c, i, what, out, 1, &n);
    if (rc < 0)
        return rc;
    if (n == 0)
        return pt_op_fail(c, PT_EINVAL, "input %d (%s) is empty", i, what);
    if (n < 0)
        *out = def;
    return PT_OK;
}

static int need_fft(struct pt_op_ctx *c, int64_t n)
{
    size_t bytes = pt_fft_bytes(n);
    if (bytes == SIZE_MAX)
        return pt_op_fail(c, PT_ELIMIT, "a transform of length %lld is too large", (long long)n);
    c->scratch_bytes = bytes + (size_t)n * sizeof(double complex);
    return PT_OK;
}

/* --- DFT ------------------------------------------------------------------------------------------------------------------------------------ */

static int read_axis(struct pt_op_ctx *c, struct dft *p)
{
    const struct pt_tensor *x = c->in[0];
    int64_t axis;
    int rc = c->node->version < 20 ? pt_attr_int(c, "axis", 1, INT32_MIN, INT32_MAX, &axis) : read_number(c, 2, "axis", -2, &axis);
    if (rc == PT_OK)
        rc = pt_op_axis(c, "axis", axis, x->rank, false, &p->axis);
    if (rc == PT_OK && p->axis == x->rank - 1)
        rc = pt_op_fail(c, PT_EINVAL, "axis %d of %s holds the parts of complex numbers", p->axis, PT_SHAPE(x));
    return rc;
}

static int dft_infer(struct pt_op_ctx *c)
{
    struct dft *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int64_t dims[PT_MAX_RANK], parts = x->rank ? x->dims[x->rank - 1] : 0;
    int rc;
    if ((rc = pt_attr_int(c, "inverse", 0, 0, 1, &p->inverse)) < 0 || (rc = pt_attr_int(c, "onesided", 0, 0, 1, &p->onesided)) < 0)
        return rc;
    if (x->rank < 2 || (parts != 1 && parts != 2))
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 2 or more and a last axis of 1 or 2", PT_SHAPE(x));
    if (p->onesided && parts != (p->inverse ? 2 : 1))
        return pt_op_fail(c, PT_EINVAL, "input %s must be %s with 'onesided' = 1", PT_SHAPE(x), p->inverse ? "complex" : "real");
    if ((rc = read_axis(c, p)) < 0)
        return rc;
    p->in_len = x->dims[p->axis];
    bool real_out = p->onesided && p->inverse;
    if ((rc = read_number(c, 1, "dft_length", real_out ? 2 * (p->in_len - 1) : p->in_len, &p->n)) < 0)
        return rc;
    if (p->n < 1)
        return pt_op_fail(c, PT_EINVAL, "the transform has the length %lld", (long long)p->n);
    p->out_len = p->onesided && !p->inverse ? p->n / 2 + 1 : p->n;
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    dims[p->axis] = p->out_len;
    dims[x->rank - 1] = real_out ? 1 : 2;
    p->inner = pt_dims_product(x->dims + p->axis + 1, x->rank - p->axis - 2);
    pt_op_set_out(c, 0, x->dtype, x->rank, dims);
    return need_fft(c, p->n);
}

/* The half that a onesided spectrum leaves out. Its imaginary parts at 0 and n/2 count for nothing, as they must be 0. */
static void complete(double complex *x, int64_t n)
{
    x[0] = creal(x[0]);
    for (int64_t i = 1; 2 * i <= n; i++) {
        if (2 * i == n)
            x[i] = creal(x[i]);
        else
            x[n - i] = conj(x[i]);
    }
}

static int dft_run(struct pt_op_ctx *c)
{
    const struct dft *p = c->params;
    const struct pt_tensor *x = c->in[0];
    struct pt_tensor *y = c->out[0];
    double complex *v = c->scratch;
    struct pt_fft f;
    pt_fft_init(&f, p->n, v + p->n);
    int64_t lines = p->inner * pt_dims_product(x->dims, p->axis), used = p->in_len < p->n ? p->in_len : p->n;
    bool real_out = p->onesided && p->inverse;
    if (real_out && used > p->n / 2 + 1)
        used = p->n / 2 + 1;
    for (int64_t i = 0; i < lines; i++) {
        int64_t outer = i / p->inner, at = i % p->inner;
        struct line in = {x, outer * p->in_len * p->inner + at, p->inner, (int)x->dims[x->rank - 1]};
        struct line out = {y, outer * p->out_len * p->inner + at, p->inner, (int)y->dims[y->rank - 1]};
        load(&in, used, v);
        for (int64_t k = used; k < p->n; k++)
            v[k] = 0;
        if (real_out)
            complete(v, p->n);
        pt_fft_run(&f, v, (int)p->inverse);
        store(y, &out, p->out_len, v, p->inverse ? 1 / (double)p->n : 1);
    }
    return PT_OK;
}

const struct pt_op pt_op_dft = {.type = "DFT",
                                .since = {17, 20},
                                .min_in = 1,
                                .max_in = 3,
                                .max_out = 1,
                                .types = {PT_TS_REAL, PT_TS_INDEX},
                                .params_size = sizeof(struct dft),
                                .infer = dft_infer,
                                .run = dft_run};

/* --- STFT: [batch, length, parts] -> [batch, frames, bins, 2] ----------------------------------------------------------------------------------- */

struct stft {
    int64_t step, n, frames, bins;
};

static int stft_infer(struct pt_op_ctx *c)
{
    struct stft *p = c->params;
    const struct pt_tensor *x = c->in[0], *w = pt_op_in(c, 2);
    int64_t onesided;
    int rc = pt_attr_int(c, "onesided", 1, 0, 1, &onesided);
    if (rc < 0)
        return rc;
    if ((x->rank != 3 && x->rank != 2) || (x->rank == 3 && x->dims[2] != 1 && x->dims[2] != 2))
        return pt_op_fail(c, PT_EINVAL, "input %s must be [batch, length, 1 or 2]", PT_SHAPE(x));
    if (w && (w->rank != 1 || w->dtype != x->dtype))
        return pt_op_fail(c, PT_EINVAL, "input 2 (window) is %s, must be a list of %s", PT_SHAPE(w), pt_dtype_name(x->dtype));
    if ((rc = read_number(c, 1, "frame_step", 0, &p->step)) < 0 || (rc = read_number(c, 3, "frame_length", w ? w->dims[0] : x->dims[1], &p->n)) < 0)
        return rc;
    if (p->step < 1 || p->n < 1 || p->n > x->dims[1] || (w && w->dims[0] > p->n))
        return pt_op_fail(c, PT_EINVAL, "frames of %lld (window %lld), %lld apart, do not fit a signal of %lld", (long long)p->n,
                          (long long)(w ? w->dims[0] : p->n), (long long)p->step, (long long)x->dims[1]);
    if (onesided && x->rank == 3 && x->dims[2] == 2)
        return pt_op_fail(c, PT_EINVAL, "input %s must be real with 'onesided' = 1", PT_SHAPE(x));
    p->frames = (x->dims[1] - p->n) / p->step + 1;
    p->bins = onesided ? p->n / 2 + 1 : p->n;
    pt_op_set_out(c, 0, x->dtype, 4, (const int64_t[]){x->dims[0], p->frames, p->bins, 2});
    return need_fft(c, p->n);
}

static int stft_run(struct pt_op_ctx *c)
{
    const struct stft *p = c->params;
    const struct pt_tensor *x = c->in[0], *w = pt_op_in(c, 2);
    double complex *v = c->scratch;
    struct pt_fft f;
    pt_fft_init(&f, p->n, v + p->n);
    int64_t window = w ? w->dims[0] : p->n;
    for (int64_t i = 0; i < x->dims[0] * p->frames; i++) {
        struct line in = {x, i / p->frames * x->dims[1] + i % p->frames * p->step, 1, x->rank == 3 ? (int)x->dims[2] : 1};
        struct line out = {c->out[0], i * p->bins, 1, 2};
        load(&in, window, v);
        for (int64_t k = 0; w && k < window; k++)
            v[k] *= pt_elem_f64(w, k);
        for (int64_t k = window; k < p->n; k++)
            v[k] = 0;
        pt_fft_run(&f, v, 0);
        store(c->out[0], &out, p->bins, v, 1);
    }
    return PT_OK;
}

const struct pt_op pt_op_stft = {.type = "STFT",
                                 .since = {17},
                                 .min_in = 2,
                                 .max_in = 4,
                                 .max_out = 1,
                                 .types = {PT_TS_REAL, PT_TS_INDEX, PT_TS_REAL, PT_TS_INDEX},
                                 .params_size = sizeof(struct stft),
                                 .infer = stft_infer,
                                 .run = stft_run};
