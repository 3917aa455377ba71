/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/train/optimizer.h"

#include <math.h>

double pt_schedule_factor(const struct pt_schedule *s, int64_t step, int64_t steps, int64_t epoch, int64_t plateaus)
{
    double t = steps > s->warmup_steps ? (double)(step - s->warmup_steps) / (double)(steps - s->warmup_steps) : 1;
    if (step < s->warmup_steps)
        return (double)(step + 1) / (double)s->warmup_steps;
    switch (s->kind) {
    case PT_RATE_STEP:
        return pow(s->gamma, (double)(s->every > 0 ? epoch / s->every : 0));
    case PT_RATE_EXPONENTIAL:
        return pow(s->gamma, (double)epoch);
    case PT_RATE_COSINE:
        return s->floor + (1 - s->floor) * 0.5 * (1 + cos(M_PI * t));
    case PT_RATE_POLYNOMIAL:
        return s->floor + (1 - s->floor) * pow(1 - t, s->power);
    case PT_RATE_PLATEAU:
        return pow(s->gamma, (double)plateaus);
    case PT_RATE_CONSTANT:
    default:
        return 1;
    }
}

int pt_schedule_check(const struct pt_schedule *s, struct pt_err *err)
{
    enum pt_schedule_kind k = s->kind;
    bool shrinks = k == PT_RATE_STEP || k == PT_RATE_EXPONENTIAL || k == PT_RATE_PLATEAU;
    if (s->warmup_steps < 0)
        return pt_fail(err, PT_EINVAL, "the learning rate's schedule: %lld steps of warm-up, must not be negative", (long long)s->warmup_steps);
    if (shrinks && !(s->gamma > 0 && s->gamma <= 1))
        return pt_fail(err, PT_EINVAL, "the learning rate's schedule: gamma is %g, must be above 0, at most 1", s->gamma);
    if ((k == PT_RATE_STEP || k == PT_RATE_PLATEAU) && s->every < 1)
        return pt_fail(err, PT_EINVAL, "the learning rate's schedule: every %lld epochs, must be 1 or more", (long long)s->every);
    if ((k == PT_RATE_COSINE || k == PT_RATE_POLYNOMIAL) && !(s->floor >= 0 && s->floor <= 1))
        return pt_fail(err, PT_EINVAL, "the learning rate's schedule: it ends at %g times the rate, must be from 0 to 1", s->floor);
    if (k == PT_RATE_POLYNOMIAL && !(s->power > 0 && s->power < 1e3))
        return pt_fail(err, PT_EINVAL, "the learning rate's schedule: the power is %g, must be above 0", s->power);
    return PT_OK;
}

int pt_optimizer_check(const struct pt_optimizer_options *o, struct pt_err *err)
{
    const struct {
        const char *name;
        float v, max;
    } bounds[] = {{"the learning rate", o->rate, INFINITY},
                  {"momentum", o->momentum, 1},
                  {"beta1", o->beta1, 1},
                  {"beta2", o->beta2, 1},
                  {"epsilon", o->epsilon, 1},
                  {"weight decay", o->weight_decay, INFINITY},
                  {"l1", o->l1, INFINITY},
                  {"group lasso", o->group_lasso, INFINITY},
                  {"the largest norm of gradients", o->clip_norm, INFINITY}};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (!(bounds[i].v >= 0) || !(bounds[i].v < bounds[i].max))
            return pt_fail(err, PT_EINVAL, "%s is %g, must be from 0 to below %g", bounds[i].name, (double)bounds[i].v, (double)bounds[i].max);
    if (!(o->rate > 0))
        return pt_fail(err, PT_EINVAL, "the learning rate is 0");
    return PT_OK;
}

double pt_gradient_norm(const struct pt_parameter *p, size_t count)
{
    double sum = 0;
    for (size_t k = 0; k < count; k++) {
        double part[4] = {0};
        for (size_t i = 0; i < p[k].count; i++)
            part[i & 3] += (double)p[k].g[i] * (double)p[k].g[i];
        sum += (part[0] + part[1]) + (part[2] + part[3]);
    }
    return sqrt(sum);
}

/* What regularisation adds to the gradient of a matrix. */
static void regularise(const struct pt_optimizer_options *o, struct pt_parameter *p)
{
    if (o->l1 > 0)
        for (size_t i = 0; i < p->count; i++)
            p->g[i] += p->w[i] > 0 ? o->l1 : p->w[i] < 0 ? -o->l1 : 0;
    size_t each = p->channels ? p->count / p->channels : 0;
    for (size_t c = 0; o->group_lasso > 0 && c < p->channels; c++) {
        double norm = 0;
        for (size_t i = c * each; i < (c + 1) * each; i++)
            norm += (double)p->w[i] * (double)p->w[i];
        float scale = norm > 0 ? o->group_lasso / (float)sqrt(norm) : 0;
        for (size_t i = c * each; i < (c + 1) * each; i++)
            p->g[i] += scale * p->w[i];
    }
}

static void sgd(const struct pt_optimizer_options *o, struct pt_parameter *p, float rate)
{
    for (size_t i = 0; i < p->count; i++) {
        float v = o->momentum * p->state[i] + p->g[i];
        p->state[i] = v;
        p->w[i] -= rate * (o->nesterov ? p->g[i] + o->momentum * v : v);
    }
}

static void adamw(const struct pt_optimizer_options *o, struct pt_parameter *p, float rate, int64_t step)
{
    float b1 = o->beta1 > 0 ? o->beta1 : 0.9F, b2 = o->beta2 > 0 ? o->beta2 : 0.999F, eps = o->epsilon > 0 ? o->epsilon : 1e-8F;
    float c1 = (float)(1 - pow((double)b1, (double)(step + 1))), c2 = (float)sqrt(1 - pow((double)b2, (double)(step + 1)));
    float *m = p->state, *v = p->state + p->count;
    for (size_t i = 0; i < p->count; i++) {
        m[i] = b1 * m[i] + (1 - b1) * p->g[i];
        v[i] = b2 * v[i] + (1 - b2) * p->g[i] * p->g[i];
        p->w[i] -= rate / c1 * m[i] / (sqrtf(v[i]) / c2 + eps);
    }
}

void pt_optimizer_step(const struct pt_optimizer_options *o, struct pt_parameter *p, size_t count, int64_t step, double rate, double norm)
{
    float shrink = o->clip_norm > 0 && norm > (double)o->clip_norm ? (float)((double)o->clip_norm / norm) : 1;
    for (size_t k = 0; k < count; k++) {
        for (size_t i = 0; shrink < 1 && i < p[k].count; i++)
            p[k].g[i] *= shrink;
        if (p[k].matrix) {
            regularise(o, &p[k]);
            for (size_t i = 0; o->weight_decay > 0 && i < p[k].count; i++)
                p[k].w[i] -= (float)rate * o->weight_decay * p[k].w[i];
        }
        if (o->kind == PT_SGD)
            sgd(o, &p[k], (float)rate);
        else
            adamw(o, &p[k], (float)rate, step);
        for (size_t i = 0; p[k].keep && i < p[k].count; i++)
            if (!p[k].keep[i])
                p[k].w[i] = p[k].state[i] = p[k].state[p[k].count + i] = 0;
    }
}
