/* SPDX-License-Identifier: Apache-2.0
 *
 * ml.c: see ml.h.
 */
#include "runtime/ops/ml/ml.h"

#include <math.h>

int pt_ml_matrix(struct pt_op_ctx *c, int i, int64_t *rows, int64_t *columns)
{
    const struct pt_tensor *x = c->in[i];
    if (x->rank < 1 || x->rank > 2)
        return pt_op_fail(c, PT_EINVAL, "input %d is %s, must be [rows,features] or [features]", i, PT_SHAPE(x));
    *rows = pt_ml_rows(x);
    *columns = pt_ml_columns(x);
    return PT_OK;
}

void pt_ml_convert(struct pt_tensor *y, int64_t to, const struct pt_tensor *x, int64_t from)
{
    if (PT_T(x->dtype) & PT_TS_ALLINT) {
        int64_t v;
        pt_load_i64(x, from, 1, &v);
        pt_store_i64(y, to, 1, &v);
    } else {
        double v;
        pt_load_f64(x, from, 1, &v);
        pt_store_f64(y, to, 1, &v);
    }
}

/* --- rows -------------------------------------------------------------------------------------------------------------------------------- */

struct each_row {
    int64_t rows;
    size_t pieces;
    pt_ml_rows_fn fn;
    void *arg;
};

static void run_pieces(void *arg, size_t begin, size_t end)
{
    const struct each_row *e = arg;
    for (size_t i = begin; i < end; i++)
        e->fn(e->arg, (int)i, e->rows * (int64_t)i / (int64_t)e->pieces, e->rows * (int64_t)(i + 1) / (int64_t)e->pieces);
}

#define WORTH_WAKING 20000.0 /* operations: some ten microseconds */

void pt_ml_each_row(struct pt_threads *t, int64_t rows, int64_t work, pt_ml_rows_fn fn, void *arg)
{
    struct each_row e = {.rows = rows, .fn = fn, .arg = arg, .pieces = rows < PT_ML_PIECES ? (size_t)rows : PT_ML_PIECES};
    if (t && pt_parallel_width(t) > 1 && (double)rows * (double)work > WORTH_WAKING)
        pt_parallel_for(t, e.pieces, 1, run_pieces, &e);
    else if (rows)
        fn(arg, 0, 0, rows);
}

/* --- scores ------------------------------------------------------------------------------------------------------------------------------ */

static const char *const posts[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT", NULL};

int pt_ml_read_post(struct pt_op_ctx *c, int *post)
{
    return pt_attr_choice(c, "post_transform", posts, PT_ML_NONE, post);
}

static double logistic(double x)
{
    double v = 1 / (1 + exp(-fabs(x)));
    return x < 0 ? 1 - v : v;
}

/* The inverse of the normal distribution by Winitzki's approximation of the inverse error function, which is what ONNX means by PROBIT. */
static double probit(double p)
{
    const double a = 0.147;
    double x = 2 * p - 1, l = log((1 - x) * (1 + x)), v = 2 / (3.14159 * a) + 0.5 * l;
    return sqrt(2) * copysign(sqrt(sqrt(v * v - l / a) - v), x);
}

static void softmax(double *s, int64_t n, bool keep_zero)
{
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        max = s[i] > max ? s[i] : max;
    for (int64_t i = 0; i < n; i++) {
        bool zero = keep_zero && fabs(s[i]) <= 1e-7;
        s[i] = zero ? s[i] * exp(-max) : exp(s[i] - max);
        sum += zero ? 0 : s[i];
    }
    for (int64_t i = 0; i < n; i++)
        s[i] = sum > 0 ? s[i] / sum : s[i];
}

void pt_ml_post(int post, double *s, int64_t n)
{
    if (post == PT_ML_SOFTMAX || post == PT_ML_SOFTMAX_ZERO)
        softmax(s, n, post == PT_ML_SOFTMAX_ZERO);
    for (int64_t i = 0; i < n && (post == PT_ML_LOGISTIC || post == PT_ML_PROBIT); i++)
        s[i] = post == PT_ML_LOGISTIC ? logistic(s[i]) : probit(s[i]);
}

int64_t pt_ml_write_scores(int post, enum pt_ml_second second, double *s, int64_t n, float *z)
{
    if (n == 1 && second != PT_ML_ALONE) {
        bool complement = second == PT_ML_COMPLEMENT || post == PT_ML_PROBIT;
        s[1] = s[0];
        s[0] = complement ? 1 - s[1] : -s[1];
        n = 2;
        if (complement && post != PT_ML_PROBIT)
            post = PT_ML_NONE;
    }
    pt_ml_post(post, s, n);
    for (int64_t i = 0; i < n; i++)
        z[i] = (float)s[i];
    return n;
}

int64_t pt_ml_best(const double *s, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = s[i] > s[best] ? i : best;
    return best;
}

/* --- labels ------------------------------------------------------------------------------------------------------------------------------ */

int pt_ml_read_labels(struct pt_op_ctx *c, const char *ints, const char *strings, struct pt_ml_labels *l)
{
    int which, rc = pt_attr_one_list(c, (const char *const[]){ints, strings, NULL}, &l->list, &which);
    if (rc < 0)
        return rc;
    if (l->list.dtype != (which ? PT_STRING : PT_INT64) || l->list.rank != 1)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is %s, which are no labels", which ? strings : ints, PT_SHAPE(&l->list));
    l->count = l->list.dims[0];
    return PT_OK;
}

void pt_ml_put_label(const struct pt_ml_labels *l, struct pt_tensor *y, int64_t row, int64_t which)
{
    if (!y)
        return;
    if (l->list.dtype == PT_STRING)
        ((struct pt_string *)y->data)[row] = which < l->count ? ((const struct pt_string *)l->list.data)[which]
                                             : which          ? (struct pt_string){"1", 1}
                                                              : (struct pt_string){"0", 1};
    else
        ((int64_t *)y->data)[row] = which < l->count ? ((const int64_t *)l->list.data)[which] : which;
}
