/* SPDX-License-Identifier: Apache-2.0
 *
 * ms_fused.c: com.microsoft's products and convolutions with what followed them: FusedMatMul (transposed operands, a factor), FusedGemm and
 * FusedConv (an activation; FusedConv also adds a tensor).
 */
#include "runtime/ops/ms_fused.h"

#include "runtime/ops/table.h"

#include <math.h>

/* --- the activation ------------------------------------------------------------------------------------------------------------------ */

static const char *const names[] = {"", "Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid", "HardSwish", NULL};

static float activate(const struct pt_ms_activation *a, float x)
{
    switch (a->kind) {
    case PT_MS_RELU:
        return x < 0 ? 0 : x;
    case PT_MS_TANH:
        return tanhf(x);
    case PT_MS_SIGMOID:
        return 1 / (1 + expf(-x));
    case PT_MS_LEAKY_RELU:
        return x < 0 ? a->p[0] * x : x;
    case PT_MS_CLIP:
        return x < a->p[0] ? a->p[0] : x > a->p[1] ? a->p[1] : x;
    case PT_MS_HARD_SIGMOID:
        return fmaxf(0, fminf(1, a->p[0] * x + a->p[1]));
    case PT_MS_HARD_SWISH:
        return x * fmaxf(0, fminf(1, x / 6 + 0.5f));
    default:
        return x;
    }
}

static int needs(struct pt_op_ctx *c, const struct pt_ms_activation *a)
{
    static const int counts[] = {[PT_MS_LEAKY_RELU] = 1, [PT_MS_CLIP] = 2, [PT_MS_HARD_SIGMOID] = 2, [PT_MS_HARD_SWISH] = 0};
    (void)c;
    return counts[a->kind];
}

/* FusedConv: a list of parameters; FusedGemm: an attribute for each. */
static int read_activation(struct pt_op_ctx *c, struct pt_ms_activation *a)
{
    int rc = pt_attr_choice(c, "activation", names, PT_MS_NONE, &a->kind);
    const struct pt_onnx_attr *list = pt_node_attr(c->node, "activation_params");
    if (rc < 0 || needs(c, a) == 0)
        return rc;
    if (list && (list->type != PT_ATTR_FLOATS || (int)list->count != needs(c, a)))
        return pt_op_fail(c, PT_EINVAL, "attribute 'activation_params' must be %d floats for %s", needs(c, a), names[a->kind]);
    if (list) {
        memcpy(a->p, list->floats, list->count * sizeof *a->p);
        return PT_OK;
    }
    bool hard = a->kind == PT_MS_HARD_SIGMOID;
    if ((rc = pt_attr_float(c, "activation_alpha", a->kind == PT_MS_LEAKY_RELU ? 0.01f : hard ? 0.2f : -INFINITY, &a->p[0])) < 0)
        return rc;
    return pt_attr_float(c, "activation_beta", hard ? 0.5f : INFINITY, &a->p[1]);
}

static void activate_all(struct pt_op_ctx *c, const struct pt_ms_activation *a, const float *add)
{
    float *y = c->out[0]->data;
    for (int64_t i = 0, n = pt_tensor_count(c->out[0]); i < n; i++)
        y[i] = activate(a, add ? y[i] + add[i] : y[i]);
}

/* --- FusedConv: x, w, b, z -------------------------------------------------------------------------------------------------------------- */

static int conv_infer(struct pt_op_ctx *c)
{
    struct pt_ms_fused_conv_params *p = c->params;
    const struct pt_tensor *z = pt_op_in(c, 3);
    int rc = read_activation(c, &p->act);
    if (rc < 0 || (rc = pt_conv_plan(c, &p->conv, c->in[0], c->in[1], pt_op_in(c, 2), c->in[0]->dtype)) < 0)
        return rc;
    if (z && !pt_dims_equal(z, c->out[0]))
        return pt_op_fail(c, PT_EINVAL, "input 3 (Z) is %s, must be %s", PT_SHAPE(z), PT_SHAPE(c->out[0]));
    return PT_OK;
}

static int conv_run(struct pt_op_ctx *c)
{
    const struct pt_ms_fused_conv_params *p = c->params;
    const struct pt_tensor *z = pt_op_in(c, 3);
    int rc = pt_op_conv.run(c);
    if (rc == PT_OK)
        activate_all(c, &p->act, z ? z->data : NULL);
    return rc;
}

#define F32                                                                                                                                          \
    {                                                                                                                                                \
        PT_T(PT_FLOAT)                                                                                                                               \
    }
const struct pt_op pt_op_ms_fused_conv = {.domain = "com.microsoft",
                                          .type = "FusedConv",
                                          .since = {1},
                                          .min_in = 2,
                                          .max_in = 4,
                                          .max_out = 1,
                                          .types = F32,
                                          .params_size = sizeof(struct pt_ms_fused_conv_params),
                                          .infer = conv_infer,
                                          .run = conv_run};

/* --- FusedGemm: a, b, c -------------------------------------------------------------------------------------------------------------------- */

static int gemm_infer(struct pt_op_ctx *c)
{
    struct pt_ms_fused_gemm_params *p = c->params;
    int rc = read_activation(c, &p->act);
    return rc < 0 ? rc : pt_op_gemm.infer(c);
}

static int gemm_run(struct pt_op_ctx *c)
{
    const struct pt_ms_fused_gemm_params *p = c->params;
    int rc = pt_op_gemm.run(c);
    if (rc == PT_OK)
        activate_all(c, &p->act, NULL);
    return rc;
}

const struct pt_op pt_op_ms_fused_gemm = {.domain = "com.microsoft",
                                          .type = "FusedGemm",
                                          .since = {1},
                                          .min_in = 2,
                                          .max_in = 3,
                                          .max_out = 1,
                                          .types = F32,
                                          .params_size = sizeof(struct pt_ms_fused_gemm_params),
                                          .infer = gemm_infer,
                                          .run = gemm_run};

/* --- FusedMatMul ---------------------------------------------------------------------------------------------------------------------------- */

/* An operand as the product sees it: [d0, d1, ..., row, col] with the strides that the flags leave. transBatch moves axis 0 before the columns. */
static void arrange(const struct pt_tensor *t, bool trans, bool trans_batch, struct pt_tensor *seen, int *order, int64_t *stride)
{
    int n = t->rank;
    for (int i = 0; i < n; i++)
        order[i] = i;
    if (trans_batch && n > 2) {
        for (int i = 0; i < n - 2; i++)
            order[i] = i + 1;
        order[n - 2] = 0;
    }
    if (trans && n > 1) {
        int last = order[n - 1];
        order[n - 1] = order[n - 2];
        order[n - 2] = last;
    }
    *seen = *t;
    for (int i = 0; i < n; i++) {
        seen->dims[i] = t->dims[order[i]];
        stride[i] = pt_dims_product(t->dims + order[i] + 1, n - order[i] - 1);
    }
}

static void batch_strides(const struct pt_tensor *seen, const int64_t *stride, int axes, int64_t *out)
{
    for (int i = 0; i < axes; i++) {
        int at = seen->rank - 2 - axes + i;
        out[i] = at < 0 || seen->dims[at] == 1 ? 0 : stride[at];
    }
}

static int matmul_infer(struct pt_op_ctx *c)
{
    struct pt_ms_fused_matmul_params *p = c->params;
    int64_t ta, tb, ba, bb, as[PT_MAX_RANK], bs[PT_MAX_RANK];
    struct pt_tensor a, b;
    int rc;
    if ((rc = pt_attr_float(c, "alpha", 1, &p->alpha)) < 0 || (rc = pt_attr_int(c, "transA", 0, 0, 1, &ta)) < 0 ||
        (rc = pt_attr_int(c, "transB", 0, 0, 1, &tb)) < 0 || (rc = pt_attr_int(c, "transBatchA", 0, 0, 1, &ba)) < 0 ||
        (rc = pt_attr_int(c, "transBatchB", 0, 0, 1, &bb)) < 0)
        return rc;
    arrange(c->in[0], ta, ba, &a, p->a_order, as);
    arrange(c->in[1], tb, bb, &b, p->b_order, bs);
    if ((rc = pt_matmul_plan(c, &p->mm, &a, &b, a.dtype)) < 0)
        return rc;
    p->a_row = a.rank > 1 ? as[a.rank - 2] : 0;
    p->a_col = as[a.rank - 1];
    p->b_row = bs[b.rank > 1 ? b.rank - 2 : 0];
    p->b_col = b.rank > 1 ? bs[b.rank - 1] : 0;
    batch_strides(&a, as, p->mm.axes, p->a);
    batch_strides(&b, bs, p->mm.axes, p->b);
    return PT_OK;
}

static void multiply(const struct pt_ms_fused_matmul_params *p, const float *a, const float *b, float *y)
{
    for (int64_t i = 0; i < p->mm.m; i++)
        for (int64_t j = 0; j < p->mm.n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < p->mm.k; k++)
                sum += (double)a[i * p->a_row + k * p->a_col] * (double)b[k * p->b_row + j * p->b_col];
            y[i * p->mm.n + j] = (float)(sum * (double)p->alpha);
        }
}

static int matmul_run(struct pt_op_ctx *c)
{
    const struct pt_ms_fused_matmul_params *p = c->params;
    for (int64_t i = 0, batch = pt_dims_product(p->mm.dims, p->mm.axes); i < batch; i++) {
        int64_t a = 0, b = 0, rest = i;
        for (int k = p->mm.axes - 1; k >= 0; k--) {
            int64_t at = rest % p->mm.dims[k];
            rest /= p->mm.dims[k];
            a += at * p->a[k];
            b += at * p->b[k];
        }
        multiply(p, (const float *)c->in[0]->data + a, (const float *)c->in[1]->data + b, (float *)c->out[0]->data + i * p->mm.m * p->mm.n);
    }
    return PT_OK;
}

#define MATMUL(sym, op_name)                                                                                                                         \
    const struct pt_op pt_op_ms_##sym = {.domain = "com.microsoft",                                                                                  \
                                         .type = op_name,                                                                                            \
                                         .since = {1},                                                                                               \
                                         .min_in = 2,                                                                                                \
                                         .max_in = 2,                                                                                                \
                                         .max_out = 1,                                                                                               \
                                         .types = {PT_T(PT_FLOAT) | PT_TS_HALF},                                                                     \
                                         .flags = PT_OP_SAME_TYPE | PT_OP_WIDEN,                                                                     \
                                         .params_size = sizeof(struct pt_ms_fused_matmul_params),                                                    \
                                         .infer = matmul_infer,                                                                                      \
                                         .run = matmul_run};
MATMUL(fused_matmul, "FusedMatMul")
MATMUL(transpose_matmul, "TransposeMatMul")
