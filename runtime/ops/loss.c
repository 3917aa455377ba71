/* SPDX-License-Identifier: Apache-2.0
 *
 * loss.c: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. Input [N, C, d...], labels [N, d...]; the loss of a place is -w[label] * x[label],
 * summed for `sum` and divided by the sum of the weights for `mean`. Labels equal to ignore_index weigh nothing. SoftmaxCrossEntropyLoss is the same
 * on the log-softmax of its scores along C.
 */
#include "runtime/ops/types.h"

#include <math.h>

enum { NONE, SUM, MEAN };

struct loss {
    int64_t classes, inner, places; /* inner: product of d... */
    int64_t ignored;
    bool ignores;
    int reduction;
};

static int loss_infer(struct pt_op_ctx *c)
{
    static const char *const reductions[] = {"none", "sum", "mean", NULL};
    struct loss *p = c->params;
    const struct pt_tensor *x = c->in[0], *labels = c->in[1], *w = pt_op_in(c, 2);
    int rc = pt_attr_choice(c, "reduction", reductions, MEAN, &p->reduction);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "ignore_index", 0, INT64_MIN, INT64_MAX, &p->ignored);
    if (rc < 0)
        return rc;
    p->ignores = pt_node_attr(c->node, "ignore_index");
    bool fits = x->rank >= 2 && labels->rank == x->rank - 1 && labels->dims[0] == x->dims[0];
    for (int i = 2; fits && i < x->rank; i++)
        fits = labels->dims[i - 1] == x->dims[i];
    if (!fits)
        return pt_op_fail(c, PT_EINVAL, "labels %s do not fit scores %s", PT_SHAPE(labels), PT_SHAPE(x));
    if (w && (w->rank != 1 || w->dims[0] != x->dims[1]))
        return pt_op_fail(c, PT_EINVAL, "weights %s are not one value for each of %lld classes", PT_SHAPE(w), (long long)x->dims[1]);
    p->classes = x->dims[1];
    p->inner = pt_dims_product(x->dims + 2, x->rank - 2);
    p->places = x->dims[0] * p->inner;
    if (p->reduction == NONE)
        pt_op_set_out(c, 0, x->dtype, labels->rank, labels->dims);
    else
        pt_op_set_out(c, 0, x->dtype, 0, NULL);
    pt_op_like(c, 1, x); /* log_prob; NegativeLogLikelihoodLoss has no output 1 */
    return PT_OK;
}

/* max and log of the sum of exponentials over the classes at one place, whose first element is `at`. */
static double log_sum(const struct loss *p, const struct pt_tensor *x, int64_t at)
{
    double max = -INFINITY, sum = 0;
    for (int64_t k = 0; k < p->classes; k++)
        max = fmax(max, pt_elem_f64(x, at + k * p->inner));
    for (int64_t k = 0; k < p->classes; k++)
        sum += exp(pt_elem_f64(x, at + k * p->inner) - max);
    return max + log(sum);
}

static int run(struct pt_op_ctx *c, bool softmax)
{
    const struct loss *p = c->params;
    const struct pt_tensor *x = c->in[0], *w = pt_op_in(c, 2);
    struct pt_tensor *y = c->out[0], *log_prob = c->out_count > 1 ? c->out[1] : NULL;
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < p->places; i++) {
        int64_t at = i / p->inner * p->classes * p->inner + i % p->inner, label = pt_elem_i64(c->in[1], i);
        double norm = softmax ? log_sum(p, x, at) : 0, loss = 0;
        for (int64_t k = 0; log_prob && k < p->classes; k++) {
            double v = pt_elem_f64(x, at + k * p->inner) - norm;
            pt_store_f64(log_prob, at + k * p->inner, 1, &v);
        }
        if (!p->ignores || label != p->ignored) {
            if (label < 0 || label >= p->classes)
                return pt_op_fail(c, PT_EINVAL, "label %lld at %lld is outside 0 to %lld", (long long)label, (long long)i, (long long)p->classes - 1);
            double weight = w ? pt_elem_f64(w, label) : 1;
            loss = -weight * (pt_elem_f64(x, at + label * p->inner) - norm);
            weights += weight;
        }
        sum += loss;
        if (y && p->reduction == NONE)
            pt_store_f64(y, i, 1, &loss);
    }
    if (p->reduction == MEAN)
        sum /= weights;
    if (y && p->reduction != NONE)
        pt_store_f64(y, 0, 1, &sum);
    return PT_OK;
}

static int nll_run(struct pt_op_ctx *c)
{
    return run(c, false);
}

static int sce_run(struct pt_op_ctx *c)
{
    return run(c, true);
}

#define ROW(sym, op_name, outs, run_fn, ...)                                                                                                         \
    const struct pt_op pt_op_##sym = {.type = op_name,                                                                                               \
                                      .since = {__VA_ARGS__},                                                                                        \
                                      .min_in = 2,                                                                                                   \
                                      .max_in = 3,                                                                                                   \
                                      .max_out = outs,                                                                                               \
                                      .types = {PT_TS_REAL, PT_TS_INDEX, PT_TS_REAL},                                                                \
                                      .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,                                                                        \
                                      .params_size = sizeof(struct loss),                                                                            \
                                      .infer = loss_infer,                                                                                           \
                                      .run = run_fn};
ROW(negative_log_likelihood_loss, "NegativeLogLikelihoodLoss", 1, nll_run, 12, 13, 22)
ROW(softmax_cross_entropy_loss, "SoftmaxCrossEntropyLoss", 2, sce_run, 12, 13)
