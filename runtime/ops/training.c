/* SPDX-License-Identifier: Apache-2.0
 *
 * training.c: ai.onnx.preview.training: Adagrad, Adam and Momentum. One step of each optimizer for any number of tensors.
 *
 * Inputs are the learning rate R, the count of steps before this one T, and then groups of as many tensors as are trained: the tensors X, their
 * gradients G, and the optimizer's state (Adagrad, Momentum: one group, Adam: two). Outputs are the new X and the new state, in the same groups.
 */
#include "runtime/ops/op.h"

#include <math.h>

enum { X, G, S1, S2, GROUPS_MAX };

struct step {
    double rate; /* of this step */
    float norm, norm_post, epsilon, alpha, beta;
    double beta_now; /* Momentum: 1 in the first step */
    int nesterov;
};

static int infer_groups(struct pt_op_ctx *c, int groups)
{
    int n = (c->in_count - 2) / groups;
    if (n < 1 || c->in_count != 2 + n * groups)
        return pt_op_fail(c, PT_EINVAL, "%d inputs after R and T are not %d groups", c->in_count - 2, groups);
    for (int i = 0; i < c->in_count; i++)
        if (!c->in[i])
            return pt_op_fail(c, PT_EINVAL, "input %d is missing", i);
    if (pt_tensor_count(c->in[0]) != 1 || pt_tensor_count(c->in[1]) != 1 || c->in[1]->dtype != PT_INT64)
        return pt_op_fail(c, PT_EINVAL, "R is %s and T is %s, must be one value each", PT_SHAPE(c->in[0]), PT_SHAPE(c->in[1]));
    for (int i = 0; i < n * groups; i++) {
        const struct pt_tensor *t = c->in[2 + i], *x = c->in[2 + i % n];
        if (t->dtype != x->dtype || !pt_dims_equal(t, x) || t->dtype == PT_INT64)
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, but the tensor it belongs to is %s", 2 + i, PT_SHAPE(t), PT_SHAPE(x));
    }
    for (int i = 0; i < c->out_count && i < n * (groups - 1); i++)
        pt_op_like(c, i, c->in[2 + i % n]);
    return c->out_count > n * (groups - 1) ? pt_op_fail(c, PT_EINVAL, "%d outputs, there are %d", c->out_count, n * (groups - 1)) : PT_OK;
}

/* v: X, G and state of one element; becomes the new ones. */
typedef void (*update_fn)(const struct step *s, double v[GROUPS_MAX]);

static double load(const struct pt_tensor *t, int64_t i)
{
    return t->dtype == PT_FLOAT ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static void store(struct pt_tensor *t, int64_t i, double v)
{
    if (t->dtype == PT_FLOAT)
        ((float *)t->data)[i] = (float)v;
    else
        ((double *)t->data)[i] = v;
}

static int update_all(struct pt_op_ctx *c, int groups, const struct step *s, update_fn update)
{
    int n = (c->in_count - 2) / groups;
    for (int k = 0; k < n; k++) {
        int64_t count = pt_tensor_count(c->in[2 + k]);
        for (int64_t i = 0; i < count; i++) {
            double v[GROUPS_MAX];
            for (int g = 0; g < groups; g++)
                v[g] = load(c->in[2 + g * n + k], i);
            update(s, v);
            for (int g = 0; g + 1 < groups; g++) {
                int o = g * n + k;
                if (o < c->out_count && c->out[o])
                    store(c->out[o], i, v[g == 0 ? X : g + 1]);
            }
        }
    }
    return PT_OK;
}

static int need_float(struct pt_op_ctx *c, const char *name, float *out)
{
    if (!pt_node_attr(c->node, name))
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is missing", name);
    return pt_attr_float(c, name, 0, out);
}

static double rate_of(const struct pt_op_ctx *c)
{
    return pt_elem_f64(c->in[0], 0);
}

static double steps_of(const struct pt_op_ctx *c)
{
    return (double)pt_elem_i64(c->in[1], 0);
}

#define TRAINING_ROW                                                                                                                                 \
    .domain = "ai.onnx.preview.training", .since = {1}, .min_in = 4, .max_in = PT_OP_VARIADIC, .max_out = PT_OP_VARIADIC,                            \
    .types = {PT_TS_FLOAT, PT_T(PT_INT64), PT_TS_FLOAT}, .params_size = sizeof(struct step)

/* --- Adagrad: each element's rate falls with the squares of its gradients so far ------------------------------------------------------- */

static int adagrad_infer(struct pt_op_ctx *c)
{
    struct step *s = c->params;
    int rc = pt_attr_float(c, "norm_coefficient", 0, &s->norm);
    if (rc < 0 || (rc = pt_attr_float(c, "decay_factor", 0, &s->beta)) < 0 || (rc = pt_attr_float(c, "epsilon", 1e-6f, &s->epsilon)) < 0)
        return rc;
    return infer_groups(c, 3);
}

static void adagrad(const struct step *s, double v[GROUPS_MAX])
{
    double g = (double)s->norm * v[X] + v[G];
    v[S1] += g * g;
    v[X] -= s->rate * g / (sqrt(v[S1]) + (double)s->epsilon);
}

static int adagrad_run(struct pt_op_ctx *c)
{
    struct step s = *(const struct step *)c->params;
    s.rate = rate_of(c) / (1 + steps_of(c) * (double)s.beta);
    return update_all(c, 3, &s, adagrad);
}

const struct pt_op pt_op_adagrad = {.type = "Adagrad", TRAINING_ROW, .infer = adagrad_infer, .run = adagrad_run};

/* --- Adam: averages of gradients and of their squares, both corrected for starting at zero --------------------------------------------- */

static int adam_infer(struct pt_op_ctx *c)
{
    struct step *s = c->params;
    int rc = pt_attr_float(c, "norm_coefficient", 0, &s->norm);
    if (rc < 0 || (rc = pt_attr_float(c, "norm_coefficient_post", 0, &s->norm_post)) < 0 || (rc = pt_attr_float(c, "alpha", 0.9f, &s->alpha)) < 0 ||
        (rc = pt_attr_float(c, "beta", 0.999f, &s->beta)) < 0 || (rc = pt_attr_float(c, "epsilon", 1e-6f, &s->epsilon)) < 0)
        return rc;
    return infer_groups(c, 4);
}

static void adam(const struct step *s, double v[GROUPS_MAX])
{
    double g = (double)s->norm * v[X] + v[G], alpha = (double)s->alpha, beta = (double)s->beta;
    v[S1] = alpha * v[S1] + (1 - alpha) * g;
    v[S2] = beta * v[S2] + (1 - beta) * g * g;
    v[X] = (1 - (double)s->norm_post) * (v[X] - s->rate * v[S1] / (sqrt(v[S2]) + (double)s->epsilon));
}

static int adam_run(struct pt_op_ctx *c)
{
    struct step s = *(const struct step *)c->params;
    double t = steps_of(c);
    s.rate = rate_of(c);
    if (t > 0)
        s.rate *= sqrt(1 - pow((double)s.beta, t)) / (1 - pow((double)s.alpha, t));
    return update_all(c, 4, &s, adam);
}

const struct pt_op pt_op_adam = {.type = "Adam", TRAINING_ROW, .infer = adam_infer, .run = adam_run};

/* --- Momentum, standard and Nesterov's ---------------------------------------------------------------------------------------------------- */

static int momentum_infer(struct pt_op_ctx *c)
{
    static const char *const modes[] = {"standard", "nesterov", NULL};
    struct step *s = c->params;
    int rc = need_float(c, "norm_coefficient", &s->norm);
    if (rc < 0 || (rc = need_float(c, "alpha", &s->alpha)) < 0 || (rc = need_float(c, "beta", &s->beta)) < 0 ||
        (rc = pt_attr_choice(c, "mode", modes, -1, &s->nesterov)) < 0)
        return rc;
    return s->nesterov < 0 ? pt_op_fail(c, PT_EINVAL, "attribute 'mode' is missing") : infer_groups(c, 3);
}

static void momentum(const struct step *s, double v[GROUPS_MAX])
{
    double g = (double)s->norm * v[X] + v[G];
    v[S1] = (double)s->alpha * v[S1] + s->beta_now * g;
    v[X] -= s->rate * (s->nesterov ? g + (double)s->alpha * v[S1] : v[S1]);
}

static int momentum_run(struct pt_op_ctx *c)
{
    struct step s = *(const struct step *)c->params;
    s.rate = rate_of(c);
    s.beta_now = steps_of(c) > 0 ? (double)s.beta : 1;
    return update_all(c, 3, &s, momentum);
}

const struct pt_op pt_op_momentum = {.type = "Momentum", TRAINING_ROW, .infer = momentum_infer, .run = momentum_run};
