/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_gelu.c: Gelu by tanh. x/2 (1 + tanh(u)) is x sigmoid(2u), so the sigmoid kernel does the hard part, a block at a time while it is in the
 * cache.
 */
#include "runtime/compile/lower.h"

#define BLOCK 1024
#define GRAIN 16384 /* elements per piece of parallel work */

struct gelu_job {
    const float *x;
    float *y;
};

static void gelu_block(const float *x, float *y, size_t n)
{
    const float a = 1.5957691216057308f, b = 1.5957691216057308f * 0.044715f; /* 2 sqrt(2/pi), and the same for the cube */
    float u[BLOCK];
    for (size_t i = 0; i < n; i++)
        u[i] = x[i] * (a + b * x[i] * x[i]);
    pt_kernels()->unary[PT_UNARY_SIGMOID](u, u, n, 0, 0);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * u[i];
}

static void gelu_piece(void *arg, size_t begin, size_t end)
{
    const struct gelu_job *j = arg;
    for (size_t i = begin; i < end; i += BLOCK)
        gelu_block(j->x + i, j->y + i, end - i < BLOCK ? end - i : BLOCK);
}

static int gelu_run(struct pt_op_ctx *c)
{
    struct gelu_job j = {c->in[0]->data, c->out[0]->data};
    pt_parallel_for(c->threads, c->out[0]->size_bytes / sizeof(float), GRAIN, gelu_piece, &j);
    return PT_OK;
}

int pt_lower_tanh_gelu(struct pt_lower *l)
{
    int in = pt_lower_in(l, 0);
    const struct pt_slot *x = pt_lower_slot(l, in);
    if (x->t.dtype != PT_FLOAT)
        return 0;
    int rc = pt_lower_emit(l, &(struct pt_step_desc){.run = gelu_run, .in = &in, .in_count = 1, .out = pt_lower_out(l, 0), .inplace = 1}, x->layout);
    return rc < 0 ? rc : 1;
}
