/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_fused.c: com.microsoft's FusedConv and FusedGemm as the step of Conv and Gemm. What its kernel can store at once - a residual, Relu, Clip -
 * it does; other activations pass over the result once more, in place.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/ms_fused.h"

#define PIECE (1 << 14) /* elements */

struct acted_step {
    pt_op_fn run; /* of the product, with its params */
    void *params;
    enum pt_unary kernel;
    float p[2];
};

struct pass {
    const struct acted_step *s;
    float *y;
    size_t n;
};

static void act_piece(void *arg, size_t begin, size_t end)
{
    const struct pass *j = arg;
    size_t at = begin * PIECE, n = end * PIECE < j->n ? end * PIECE - at : j->n - at;
    pt_kernels()->unary[j->s->kernel](j->y + at, j->y + at, n, j->s->p[0], j->s->p[1]);
}

static int acted_run(struct pt_op_ctx *c)
{
    const struct acted_step *s = c->params;
    struct pt_op_ctx product = *c;
    product.params = s->params;
    int rc = s->run(&product);
    struct pass j = {s, c->out[0]->data, (size_t)pt_tensor_count(c->out[0])};
    if (rc == PT_OK)
        pt_parallel_for(c->threads, (j.n + PIECE - 1) / PIECE, 1, act_piece, &j);
    return rc;
}

static int act_apart(struct pt_lower *l, struct pt_step *step, const struct pt_ms_activation *act)
{
    static const enum pt_unary kernels[] = {[PT_MS_RELU] = PT_UNARY_RELU,
                                            [PT_MS_TANH] = PT_UNARY_TANH,
                                            [PT_MS_SIGMOID] = PT_UNARY_SIGMOID,
                                            [PT_MS_LEAKY_RELU] = PT_UNARY_LEAKY_RELU,
                                            [PT_MS_CLIP] = PT_UNARY_CLIP,
                                            [PT_MS_HARD_SIGMOID] = PT_UNARY_HARD_SIGMOID,
                                            [PT_MS_HARD_SWISH] = PT_UNARY_HARD_SWISH};
    struct acted_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    *s = (struct acted_step){step->run, step->params, kernels[act->kind], {act->p[0], act->p[1]}};
    if (act->kind == PT_MS_HARD_SWISH) {
        s->p[0] = 1.0f / 6;
        s->p[1] = 0.5f;
    }
    step->run = acted_run;
    step->params = s;
    step->fused = NULL; /* nothing may come between the product and the activation */
    return 1;
}

/* The product has just been emitted for the node's output. */
static int add_activation(struct pt_lower *l, const struct pt_ms_activation *act)
{
    struct pt_step *step = &l->p->steps[pt_lower_slot(l, pt_lower_out(l, 0))->step];
    struct pt_fused *f = step->fused;
    if (act->kind == PT_MS_NONE)
        return 1;
    if (!f || (act->kind != PT_MS_RELU && act->kind != PT_MS_CLIP))
        return act_apart(l, step, act);
    f->act = act->kind == PT_MS_RELU ? PT_ACT_RELU : PT_ACT_CLIP;
    f->lo = act->p[0];
    f->hi = act->p[1];
    return 1;
}

int pt_lower_fused_conv(struct pt_lower *l)
{
    const struct pt_ms_fused_conv_params *p = l->item->params;
    int z = pt_lower_in(l, 3);
    /* only the convolution of images with constant weights takes a residual */
    if (z >= 0 && (pt_lower_slot(l, z)->t.rank > 4 || pt_lower_slot(l, pt_lower_in(l, 1))->place != PT_PLACE_CONST))
        return 0;
    if (z >= 0 && (z = pt_lower_to(l, z, PT_LAYOUT_CHANNELS_LAST)) < 0)
        return z;
    int rc = pt_lower_conv(l);
    if (rc <= 0)
        return rc;
    struct pt_step *step = &l->p->steps[pt_lower_slot(l, pt_lower_out(l, 0))->step];
    if (z >= 0 && (rc = pt_lower_align(l, z)) < 0)
        return rc;
    if (z >= 0 && !step->fused)
        return pt_fail(l->err, PT_EINTERNAL, "a convolution that takes no residual");
    if (z >= 0)
        pt_lower_operands(l, step)[step->fused->residual] = z;
    return add_activation(l, &p->act);
}

int pt_lower_fused_gemm(struct pt_lower *l)
{
    const struct pt_ms_fused_gemm_params *p = l->item->params;
    int rc = pt_lower_gemm(l);
    return rc <= 0 ? rc : add_activation(l, &p->act);
}
