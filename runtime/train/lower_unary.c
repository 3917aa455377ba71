/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_unary.c: dx = dy f'(x) of functions of one element, in whatever layout dy and x have. Exponentials come from the kernels, block by block.
 * Both operands are read before anything is decided: a load that may not happen is none that a vector can make.
 */
#include "runtime/train/lower.h"

#include "runtime/train/unary.h"

#include <math.h>

#define BLOCK 256
#define GRAIN 16384

typedef void (*slope_fn)(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b);

static void exps(float *x, size_t n)
{
    pt_kernels()->unary[PT_UNARY_EXP](x, x, n, 0, 0);
}

/* of y as well as of x */
static void relu(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)a;
    (void)b;
    for (size_t i = 0; i < n; i++) {
        float d = dy[i];
        dx[i] = x[i] > 0 ? d : 0;
    }
}
static void leaky_relu(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)b;
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (x[i] < 0 ? a : 1);
}
static void abs_(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)a;
    (void)b;
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (x[i] > 0 ? 1.0F : x[i] < 0 ? -1.0F : 0.0F);
}
static void hard_sigmoid(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    for (size_t i = 0; i < n; i++) {
        float y = a * x[i] + b, d = dy[i] * a;
        d = y > 0 ? d : 0;
        dx[i] = y < 1 ? d : 0;
    }
}
static void hard_swish(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)a;
    (void)b;
    for (size_t i = 0; i < n; i++) {
        float slope = (2 * x[i] + 3) * (1.0F / 6);
        slope = x[i] <= -3 ? 0 : slope;
        dx[i] = dy[i] * (x[i] >= 3 ? 1 : slope);
    }
}
static void erf_(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)a;
    (void)b;
    for (size_t i = 0; i < n; i++)
        dx[i] = -x[i] * x[i];
    exps(dx, n);
    for (size_t i = 0; i < n; i++)
        dx[i] *= dy[i] * (float)M_2_SQRTPI;
}
static void gelu(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    float t[BLOCK], c = 0.79788456F; /* sqrt(2 / pi) */
    (void)b;
    if (a != 0) { /* by tanh */
        for (size_t i = 0; i < n; i++)
            t[i] = c * (x[i] + 0.044715F * x[i] * x[i] * x[i]);
        pt_kernels()->unary[PT_UNARY_TANH](t, t, n, 0, 0);
        for (size_t i = 0; i < n; i++)
            dx[i] = dy[i] * (0.5F * (1 + t[i]) + 0.5F * x[i] * (1 - t[i] * t[i]) * c * (1 + 3 * 0.044715F * x[i] * x[i]));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        t[i] = x[i] * (float)M_SQRT1_2;
        dx[i] = -0.5F * x[i] * x[i];
    }
    pt_kernels()->unary[PT_UNARY_ERF](t, t, n, 0, 0);
    exps(dx, n);
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (0.5F * (1 + t[i]) + 0.5F * c * x[i] * dx[i]);
}
static void softplus(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)a;
    (void)b;
    pt_kernels()->unary[PT_UNARY_SIGMOID](x, dx, n, 0, 0);
    for (size_t i = 0; i < n; i++)
        dx[i] *= dy[i];
}
static void elu(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)b;
    for (size_t i = 0; i < n; i++)
        dx[i] = x[i] < 0 ? x[i] : 0;
    exps(dx, n);
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (x[i] < 0 ? a * dx[i] : 1);
}
static void swish(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    (void)b;
    for (size_t i = 0; i < n; i++)
        dx[i] = a * x[i];
    pt_kernels()->unary[PT_UNARY_SIGMOID](dx, dx, n, 0, 0);
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (dx[i] + a * x[i] * dx[i] * (1 - dx[i]));
}

static void sigmoid(const float *restrict dy, const float *restrict y, float *restrict dx, size_t n, float a, float b)
{
    (void)a;
    (void)b;
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * y[i] * (1 - y[i]);
}
static void tanh_(const float *restrict dy, const float *restrict y, float *restrict dx, size_t n, float a, float b)
{
    (void)a;
    (void)b;
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (1 - y[i] * y[i]);
}
static void clip(const float *restrict dy, const float *restrict x, float *restrict dx, size_t n, float a, float b)
{
    for (size_t i = 0; i < n; i++) {
        float d = dy[i];
        d = x[i] >= a ? d : 0;
        dx[i] = x[i] <= b ? d : 0;
    }
}

struct slope_step {
    slope_fn fn;
    float a, b;
};

struct slope_job {
    const struct slope_step *s;
    const float *dy, *x;
    float *dx;
};

static void slope_piece(void *arg, size_t begin, size_t end)
{
    const struct slope_job *j = arg;
    for (size_t i = begin; i < end; i += BLOCK)
        j->s->fn(j->dy + i, j->x + i, j->dx + i, end - i < BLOCK ? end - i : BLOCK, j->s->a, j->s->b);
}

static int slope_run(struct pt_op_ctx *c)
{
    struct slope_job j = {c->params, c->in[0]->data, c->in[1]->data, c->out[0]->data};
    pt_parallel_for(c->threads, c->out[0]->size_bytes / sizeof(float), GRAIN, slope_piece, &j);
    return PT_OK;
}

int pt_lower_unary_grad(struct pt_lower *l)
{
    static const struct {
        const struct pt_op *op;
        slope_fn fn;
    } rows[] = {
        {&pt_grad_relu, relu}, {&pt_grad_leaky_relu, leaky_relu}, {&pt_grad_abs, abs_},        {&pt_grad_hard_sigmoid, hard_sigmoid},
        {&pt_grad_erf, erf_},  {&pt_grad_hard_swish, hard_swish}, {&pt_grad_gelu, gelu},       {&pt_grad_softplus, softplus},
        {&pt_grad_elu, elu},   {&pt_grad_swish, swish},           {&pt_grad_sigmoid, sigmoid}, {&pt_grad_tanh, tanh_},
        {&pt_grad_clip, clip},
    };
    const struct pt_unary_grad *u = l->item->params;
    const struct pt_slot *dy = pt_lower_slot(l, pt_lower_in(l, 0)), *x = pt_lower_slot(l, pt_lower_in(l, 1));
    float a = u->a, b = u->b;
    if (dy->t.dtype != PT_FLOAT || x->t.dtype != PT_FLOAT)
        return 0;
    if ((pt_lower_in(l, 2) >= 0 && !pt_fuse_number(l, pt_lower_in(l, 2), &a)) ||
        (pt_lower_in(l, 3) >= 0 && !pt_fuse_number(l, pt_lower_in(l, 3), &b)))
        return 0; /* bounds of Clip that are not known */
    enum pt_layout layout = x->layout;
    struct slope_step *s = pt_lower_alloc(l, sizeof *s);
    int in[2] = {s ? pt_lower_to(l, pt_lower_in(l, 0), layout) : PT_ENOMEM, pt_lower_in(l, 1)};
    if (in[0] < 0)
        return in[0];
    *s = (struct slope_step){.a = a, .b = b};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op == l->item->node->op)
            s->fn = rows[i].fn;
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = slope_run, .params = s, .in = in, .in_count = 2, .out = pt_lower_out(l, 0)}, layout);
    return rc < 0 ? rc : 1;
}
