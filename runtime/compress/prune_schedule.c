/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_schedule.c: sparsity as a function of the step. Nothing of models.
 */
#include "runtime/compress/prune.h"

#include <math.h>

const char *const pt_sparsity_kinds[] = {"constant", "polynomial", "polynomial-slow", "linear", "exponential", "cosine", "of-remaining", NULL};

static int64_t frequency(const struct pt_sparsity_schedule *s)
{
    return s->frequency > 0 ? s->frequency : 100;
}

int pt_sparsity_check(const struct pt_sparsity_schedule *s, struct pt_err *err)
{
    if (!(s->initial >= 0 && s->initial < 1) || !(s->final >= 0 && s->final < 1))
        return pt_fail(err, PT_EINVAL, "sparsity from %g to %g: both must be from 0 to below 1", s->initial, s->final);
    if (s->begin < 0 || s->end < s->begin || s->frequency < 0)
        return pt_fail(err, PT_EINVAL, "sparsity from step %lld to %lld every %lld steps: 0 <= begin <= end and a positive frequency are needed",
                       (long long)s->begin, (long long)s->end, (long long)s->frequency);
    if (!(s->power >= 0))
        return pt_fail(err, PT_EINVAL, "the power of the sparsity schedule is %g, must be positive", s->power);
    if (s->kind != PT_SPARSITY_OF_REMAINING && s->final < s->initial)
        return pt_fail(err, PT_EINVAL, "sparsity cannot fall from %g to %g: weights that are zero stay so", s->initial, s->final);
    return PT_OK;
}

double pt_sparsity_at(const struct pt_sparsity_schedule *s, int64_t t)
{
    double power = s->power > 0 ? s->power : 3, a = s->initial, b = s->final;
    double u = t >= s->end ? 1 : (double)(t - s->begin) / (double)(s->end - s->begin);
    if (t < s->begin)
        return 0;
    switch (s->kind) {
    case PT_SPARSITY_POLYNOMIAL:
        return b + (a - b) * pow(1 - u, power);
    case PT_SPARSITY_POLYNOMIAL_SLOW:
        return a + (b - a) * pow(u, power);
    case PT_SPARSITY_LINEAR:
        return a + (b - a) * u;
    case PT_SPARSITY_EXPONENTIAL:
        return 1 - (1 - a) * pow((1 - b) / (1 - a), u);
    case PT_SPARSITY_COSINE:
        return a + (b - a) * (1 - cos(M_PI_2 * u));
    case PT_SPARSITY_OF_REMAINING: {
        int64_t last = t < s->end ? t : s->end, updates = (last - s->begin) / frequency(s) + 1;
        if (t >= s->end && (s->end - s->begin) % frequency(s))
            updates++; /* the one at end */
        return 1 - (1 - a) * pow(1 - b, (double)updates);
    }
    default:
        return b;
    }
}

bool pt_sparsity_is_due(const struct pt_sparsity_schedule *s, int64_t t)
{
    return t >= s->begin && t <= s->end && ((t - s->begin) % frequency(s) == 0 || t == s->end);
}
