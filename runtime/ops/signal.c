/* SPDX-License-Identifier: Apache-2.0
 *
 * signal.c: what goes with spectra: HannWindow, HammingWindow, BlackmanWindow (sums of cosines) and MelWeightMatrix.
 */
#include "runtime/ops/types.h"

#include <math.h>

/* The type of the output, from the attribute. */
static int read_type(struct pt_op_ctx *c, enum pt_dtype *type)
{
    int64_t t;
    int rc = pt_attr_int(c, "output_datatype", PT_FLOAT, 1, PT_DTYPE_COUNT - 1, &t);
    if (rc == PT_OK && !(PT_T(t) & (PT_TS_NUM | PT_TS_HALF)))
        rc =
            pt_op_fail(c, PT_EUNSUPPORTED, "attribute 'output_datatype' = %lld (%s) is not supported", (long long)t, pt_dtype_name((enum pt_dtype)t));
    *type = (enum pt_dtype)t;
    return rc;
}

static int read_size(struct pt_op_ctx *c, int i, const char *what, int64_t *out)
{
    int n, rc = pt_op_const_ints(c, i, what, out, 1, &n);
    if (rc == PT_OK && (n != 1 || *out < 0))
        rc = pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, %lld", i, what, PT_SHAPE(c->in[i]), n == 1 ? (long long)*out : 0);
    return rc;
}

/* --- windows: a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n) ------------------------------------------------------------------------------------- */

struct window {
    int64_t size, periodic;
    double a[3];
};

static int window_infer(struct pt_op_ctx *c, double a0, double a1, double a2)
{
    struct window *p = c->params;
    enum pt_dtype type;
    int rc;
    if ((rc = read_type(c, &type)) < 0 || (rc = pt_attr_int(c, "periodic", 1, 0, 1, &p->periodic)) < 0 ||
        (rc = read_size(c, 0, "size", &p->size)) < 0)
        return rc;
    p->a[0] = a0;
    p->a[1] = a1;
    p->a[2] = a2;
    pt_op_set_out(c, 0, type, 1, &p->size);
    return PT_OK;
}

static int hann_infer(struct pt_op_ctx *c)
{
    return window_infer(c, 0.5, 0.5, 0);
}

static int hamming_infer(struct pt_op_ctx *c)
{
    return window_infer(c, 25.0 / 46, 21.0 / 46, 0);
}

static int blackman_infer(struct pt_op_ctx *c)
{
    return window_infer(c, 0.42, 0.5, 0.08);
}

static int window_run(struct pt_op_ctx *c)
{
    const struct window *p = c->params;
    double n = (double)(p->periodic ? p->size : p->size - 1);
    for (int64_t i = 0; i < p->size; i++) {
        double t = n > 0 ? 2 * M_PI * (double)i / n : M_PI; /* a symmetric window of one element is its middle */
        pt_store_f64(c->out[0], i, 1, &(double){p->a[0] - p->a[1] * cos(t) + p->a[2] * cos(2 * t)});
    }
    return PT_OK;
}

#define ROW(sym, op_name, infer_fn)                                                                                                                  \
    const struct pt_op pt_op_##sym = {.type = op_name,                                                                                               \
                                      .since = {17},                                                                                                 \
                                      .min_in = 1,                                                                                                   \
                                      .max_in = 1,                                                                                                   \
                                      .max_out = 1,                                                                                                  \
                                      .types = {PT_TS_INDEX},                                                                                        \
                                      .params_size = sizeof(struct window),                                                                          \
                                      .infer = infer_fn,                                                                                             \
                                      .run = window_run};
ROW(hann_window, "HannWindow", hann_infer)
ROW(hamming_window, "HammingWindow", hamming_infer)
ROW(blackman_window, "BlackmanWindow", blackman_infer)

/* --- MelWeightMatrix: a triangle over the frequency bins for each mel band ---------------------------------------------------------------------- */

struct mel {
    int64_t bands, bins, length, rate;
};

static int mel_infer(struct pt_op_ctx *c)
{
    struct mel *p = c->params;
    enum pt_dtype type;
    int rc;
    if ((rc = read_type(c, &type)) < 0 || (rc = read_size(c, 0, "num_mel_bins", &p->bands)) < 0 ||
        (rc = read_size(c, 1, "dft_length", &p->length)) < 0 || (rc = read_size(c, 2, "sample_rate", &p->rate)) < 0)
        return rc;
    for (int i = 3; i < 5; i++)
        if (pt_tensor_count(c->in[i]) != 1)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be one number", i, PT_SHAPE(c->in[i]));
    if (p->rate < 1)
        return pt_op_fail(c, PT_EINVAL, "the sample rate is %lld", (long long)p->rate);
    p->bins = p->length / 2 + 1;
    pt_op_set_out(c, 0, type, 2, (const int64_t[]){p->bins, p->bands});
    return PT_OK;
}

/* The bin at which band edge i lies. */
static double edge(const struct mel *p, double low, double high, int64_t i)
{
    double l = 2595 * log10(1 + low / 700), h = 2595 * log10(1 + high / 700);
    double mel = l + (h - l) / (double)(p->bands + 2) * (double)i;
    return floor((double)(p->length + 1) * (700 * (pow(10, mel / 2595) - 1)) / (double)p->rate);
}

static int mel_run(struct pt_op_ctx *c)
{
    const struct mel *p = c->params;
    double low = pt_elem_f64(c->in[3], 0), high = pt_elem_f64(c->in[4], 0);
    struct pt_tensor *y = c->out[0];
    for (int64_t i = 0; i < p->bands; i++) {
        double left = edge(p, low, high, i), middle = edge(p, low, high, i + 1), right = edge(p, low, high, i + 2);
        for (int64_t j = 0; j < p->bins; j++) {
            double at = (double)j, v = 0;
            if (at == middle)
                v = 1;
            else if (at >= left && at < middle)
                v = (at - left) / (middle - left);
            else if (at > middle && at < right)
                v = (right - at) / (right - middle);
            pt_store_f64(y, j * p->bands + i, 1, &v);
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_mel_weight_matrix = {.type = "MelWeightMatrix",
                                              .since = {17},
                                              .min_in = 5,
                                              .max_in = 5,
                                              .max_out = 1,
                                              .types = {PT_TS_INDEX, PT_TS_INDEX, PT_TS_INDEX, PT_TS_REAL},
                                              .params_size = sizeof(struct mel),
                                              .infer = mel_infer,
                                              .run = mel_run};
