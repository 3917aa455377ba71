/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_rmsnorm.c: RMSNormalization over rows: one pass for the sum of squares, one to scale.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/layernorm.h"

#include <math.h>

#define GRAIN 4096 /* elements per piece of parallel work */
#define LANES 16   /* sums kept side by side, so that the loop is not one chain of additions */

struct rms_step {
    size_t rows, n;
    float eps;
};

struct rms_job {
    const struct rms_step *s;
    const float *x, *scale;
    float *y;
};

static float sum_of_squares(const float *x, size_t n)
{
    float lanes[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lanes[k] += x[i + k] * x[i + k];
    for (; i < n; i++)
        lanes[i % LANES] += x[i] * x[i];
    for (size_t k = 0; k < LANES; k++)
        sum += lanes[k];
    return sum;
}

static void rms_piece(void *arg, size_t begin, size_t end)
{
    const struct rms_job *j = arg;
    size_t n = j->s->n;
    for (size_t r = begin; r < end; r++) {
        const float *x = j->x + r * n;
        float *y = j->y + r * n, inv = 1 / sqrtf(sum_of_squares(x, n) / (float)n + j->s->eps);
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * inv * j->scale[i];
    }
}

static int rms_run(struct pt_op_ctx *c)
{
    struct rms_job j = {c->params, c->in[0]->data, c->in[1]->data, c->out[0]->data};
    pt_parallel_for(c->threads, j.s->rows, 1 + GRAIN / j.s->n, rms_piece, &j);
    return PT_OK;
}

bool pt_lower_is_row(const struct pt_tensor *t, const struct pt_tensor *x, int64_t n)
{
    int k = x->rank;
    int64_t count = 1;
    while (count < n && k > 0)
        count *= x->dims[--k];
    for (int i = 0; i < t->rank; i++) {
        int axis = x->rank - t->rank + i;
        if (t->dims[i] != (axis >= k ? x->dims[axis] : 1))
            return false;
    }
    return count == n && pt_tensor_count(t) == n;
}

int pt_lower_rmsnorm(struct pt_lower *l)
{
    const struct pt_layernorm_params *p = l->item->params;
    const struct pt_tensor *x = &pt_lower_slot(l, pt_lower_in(l, 0))->t, *scale = &pt_lower_slot(l, pt_lower_in(l, 1))->t;
    if (x->dtype != PT_FLOAT || scale->dtype != PT_FLOAT || p->n == 0 || p->rows == 0 || !pt_lower_is_row(scale, x, p->n))
        return 0;
    struct rms_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct rms_step){.rows = (size_t)p->rows, .n = (size_t)p->n, .eps = p->epsilon};
    int in[2];
    for (int i = 0; i < 2; i++)
        if ((in[i] = pt_lower_to(l, pt_lower_in(l, i), PT_LAYOUT_PLAIN)) < 0)
            return in[i];
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = rms_run, .params = s, .in = in, .in_count = 2, .out = pt_lower_out(l, 0), .inplace = 1},
                           PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}
