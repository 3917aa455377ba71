/* SPDX-License-Identifier: Apache-2.0
 *
 * gradients.c: the derivative of every operator that has one, against difference quotients in float64, and the same in float32, where other code
 * computes it. What is differentiated is the sum of z^3, so that no operator's own invariants (a softmax sums to 1) hide a mistake.
 */
#include "tests/unit/runtime/model.h"

#include "base/rand.h"

#define MAX_INPUTS 4
#define STEP 1e-5

struct example {
    const char *inputs; /* "f64[2,3] f64[3]": a, b, c, d in order; a trailing + makes elements positive */
    const char *body;   /* makes z */
    int opset;          /* 0: 18 */
};

static const struct example examples[] = {
    {"f64[2,3] f64[3]", "z = Add(a,b)\n", 0},
    {"f64[2,3] f64[2,1]", "z = Sub(a,b)\n", 0},
    {"f64[2,3] f64[3]", "z = Mul(a,b)\n", 0},
    {"f64[2,3] f64[3]+", "z = Div(a,b)\n", 0},
    {"f64[2,3]+ f64[3]+", "z = Pow(a,b)\n", 0},
    {"f64[2,3] f64[3]", "z = Max(a,b)\n", 0},
    {"f64[2,3] f64[3]", "z = Min(a,b)\n", 0},
    {"f64[2,3] f64[2,3]", "const k f64[1]:0\nm = Less(a,b)\nz = Where(m,a,b)\n", 0},
    {"f64[2,3]", "i = Identity(a)\nn = Neg(i)\nz = Sum(n,a)\n", 0},
    {"f64[2,3]", "z = Abs(a)\n", 0},
    {"f64[2,3]", "z = Exp(a)\n", 0},
    {"f64[2,3]+", "z = Log(a)\n", 0},
    {"f64[2,3]+", "z = Sqrt(a)\n", 0},
    {"f64[2,3]+", "z = Reciprocal(a)\n", 0},
    {"f64[2,3]", "s = Sin(a)\nc = Cos(a)\nz = Mul(s,c)\n", 0},
    {"f64[2,3]", "z = Tanh(a)\n", 0},
    {"f64[2,3]", "z = Sigmoid(a)\n", 0},
    {"f64[2,3]", "z = Erf(a)\n", 0},
    {"f64[2,3]", "z = Relu(a)\n", 0},
    {"f64[2,3]", "z = LeakyRelu(a) alpha=0.3\n", 0},
    {"f64[2,3]", "z = Elu(a) alpha=0.7\n", 0},
    {"f64[2,3]", "z = Gelu(a)\n", 20},
    {"f64[2,3]", "z = Gelu(a) approximate='tanh'\n", 20},
    {"f64[2,3]", "z = Softplus(a)\n", 0},
    {"f64[2,3]", "z = HardSigmoid(a) alpha=0.25\n", 0},
    {"f64[2,3]", "z = HardSwish(a)\n", 0},
    {"f64[2,3]", "z = Swish(a) alpha=1.5\n", 24},
    {"f64[2,3]", "z = Mish(a)\n", 0},
    {"f64[2,3]", "const lo f64[]:-0.5\nconst hi f64[]:0.75\nz = Clip(a,lo,hi)\n", 0},
    {"f64[2,3]", "c = Cast(a) to=11\nz = Cast(c) to=11\n", 0},
    {"f64[2,3,2]", "const ax i64[2]:0,-1\nz = ReduceSum(a,ax) keepdims=0\n", 0},
    {"f64[2,3,2]", "const ax i64[1]:1\nz = ReduceMean(a,ax)\n", 0},
    {"f64[2,3,2]", "z = ReduceMean(a) axes=[0,2] keepdims=0\n", 13},
    {"f64[2,3,2]", "z = ReduceMean(a)\n", 0},
    {"f64[2,6]", "const s i64[3]:3,-1,2\nr = Reshape(a,s)\nf = Flatten(r) axis=2\nq = Mul(f,f)\nz = Identity(q)\n", 0},
    {"f64[2,1,3]", "const ax i64[1]:1\nconst ay i64[1]:0\ns = Squeeze(a,ax)\nz = Unsqueeze(s,ay)\n", 0},
    {"f64[2,3,4] f64[4,2,3]", "t = Transpose(a) perm=[2,0,1]\nz = Mul(t,b)\n", 0},
    {"f64[2,3] f64[3,2]", "t = Transpose(a)\nz = Mul(t,b)\n", 0},
    {"f64[3,5]", "const st i64[2]:0,4\nconst en i64[2]:2,-6\nconst ax i64[2]:0,1\nconst sp i64[2]:1,-2\nz = Slice(a,st,en,ax,sp)\n", 0},
    {"f64[5,3]", "const i i64[2,2]:0,3,3,-1\nz = Gather(a,i)\n", 0},
    {"f64[3,5]", "const i i64[3]:4,0,4\nz = Gather(a,i) axis=1\n", 0},
    {"f64[3,3]", "const i i64[2,3]:0,1,2,2,2,0\nz = GatherElements(a,i)\n", 0},
    {"f64[3,3]", "const i i64[3,1]:1,1,0\nz = GatherND(a,i)\n", 0},
    {"f64[2,3]", "const r i64[2]:2,3\nz = Tile(a,r)\n", 0},
    {"f64[1,4,2,3]", "z = DepthToSpace(a) blocksize=2\n", 0},
    {"f64[1,1,4,2]", "z = SpaceToDepth(a) blocksize=2\n", 0},
    {"f64[2,3]", "const p i64[4]:1,0,2,1\nconst v f64[]:5\nz = Pad(a,p,v)\n", 0},
    {"f64[2,3]", "const p i64[4]:0,1,1,-1\nz = Pad(a,p)\n", 0},
    {"f64[2,4]", "const p i64[4]:0,2,0,1\nz = Pad(a,p) mode='reflect'\n", 0},
    {"f64[6,2]",
     "const n i64[3]:1,3,2\nx,y,w = Split(a,n)\nm = MatMul(y,x2)\nconst x2 f64[2,3]:1,2,3,4,5,6\nq = MatMul(w,x2)\nconst e i64[1]:0\nr = "
     "ReduceSum(m,e)\nz = "
     "Add(q,r)\n",
     0},
    {"f64[2,3] f64[2,1] f64[2,2]", "z = Concat(a,b,c) axis=1\n", 0},
    {"f64[2,3] f64[4,3] f64[1,3]", "z = Concat(a,b,c,a) axis=-2\n", 0},
    {"f64[2,1,3]", "const s i64[3]:2,4,3\nz = Expand(a,s)\n", 0},
    {"f64[2,3] f64[3,4]", "z = MatMul(a,b)\n", 0},
    {"f64[2,2,3] f64[2,3,4]", "z = MatMul(a,b)\n", 0},
    {"f64[2,5,3] f64[3,4]", "z = MatMul(a,b)\n", 0},
    {"f64[3,2] f64[4,1,2,3]", "z = MatMul(a,b)\n", 0},
    {"f64[2,1,5,3] f64[3,3,4]", "z = MatMul(a,b)\n", 0},
    {"f64[2,3] f64[3,4] f64[4]", "z = Gemm(a,b,c) alpha=0.5 beta=2.0\n", 0},
    {"f64[2,3] f64[4,3] f64[2,4]", "z = Gemm(a,b,c) transB=1\n", 0},
    {"f64[3,2] f64[3,4] f64[1]", "z = Gemm(a,b,c) transA=1\n", 0},
    {"f64[3,2] f64[4,3]", "z = Gemm(a,b) transA=1 transB=1 alpha=2.0\n", 0},
    {"f64[2,3,5,6] f64[4,3,3,3] f64[4]", "z = Conv(a,b,c) pads=[1,1,1,1]\n", 0},
    {"f64[2,2,7,6] f64[4,2,3,3]", "z = Conv(a,b) strides=[2,2] pads=[1,0,0,1]\n", 0},
    {"f64[2,2,7,6] f64[8,2,3,3]", "z = Conv(a,b) dilations=[2,1] pads=[2,1,1,2]\n", 0},
    {"f64[2,16,4,5] f64[6,16,1,1] f64[6]", "z = Conv(a,b,c)\n", 0},
    {"f64[1,4,5,5] f64[8,2,3,3]", "z = Conv(a,b) group=2 auto_pad='SAME_UPPER'\n", 0},
    {"f64[1,3,5,5] f64[3,1,3,3] f64[3]", "z = Conv(a,b,c) group=3 pads=[1,1,1,1] strides=[2,1]\n", 0},
    {"f64[2,2,7] f64[3,2,3]", "z = Conv(a,b) pads=[1,1]\n", 0},
    {"f64[1,2,3,4,3] f64[2,2,2,2,2]", "z = Conv(a,b)\n", 0},
    {"f64[2,2,5,6]", "z = MaxPool(a) kernel_shape=[3,2] strides=[2,2] pads=[1,0,1,0]\n", 0},
    {"f64[2,2,5,6]", "z = AveragePool(a) kernel_shape=[3,2] strides=[2,2] pads=[1,0,1,0]\n", 0},
    {"f64[2,2,5,6]", "z = AveragePool(a) kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] count_include_pad=1 ceil_mode=1\n", 0},
    {"f64[2,3,3,4]", "z = GlobalAveragePool(a)\n", 0},
    {"f64[3,2,2,3] f64[2] f64[2]", "const m f64[2]:0.5,-1\nconst v f64[2]:0.5,2\nz = BatchNormalization(a,b,c,m,v)\n", 0},
    {"f64[3,2,2,3] f64[2] f64[2]", "const m f64[2]:0,0\nconst v f64[2]:1,1\nz,rm,rv = BatchNormalization(a,b,c,m,v) training_mode=1\n", 0},
    {"f64[5,2] f64[2] f64[2]", "const m f64[2]:0,0\nconst v f64[2]:1,1\nz,rm,rv = BatchNormalization(a,b,c,m,v) training_mode=1\n", 0},
    {"f64[2,3,4] f64[4] f64[4]", "z = LayerNormalization(a,b,c)\n", 0},
    {"f64[2,3,4] f64[3,4]", "z = LayerNormalization(a,b) axis=1\n", 0},
    {"f64[2,3,4]", "z = Softmax(a)\n", 0},
    {"f64[2,3,4]", "z = Softmax(a) axis=1\n", 0},
    {"f64[2,3,4]", "z = Softmax(a) axis=1\n", 11},
    {"f64[2,3,4]", "z = LogSoftmax(a) axis=1\n", 0},
    {"f64[2,3]", "z = Dropout(a)\n", 0},
    {"f64[2,4,3,4] f64[4,3,3,3] f64[3]", "z = ConvTranspose(a,b,c) strides=[2,1] pads=[1,0,0,1] output_padding=[1,0]\n", 0},
    {"f64[2,4,5] f64[4,2,3]", "z = ConvTranspose(a,b) group=2 dilations=[2]\n", 0},
    {"f64[2,3,4] f64[3,1]", "z = PRelu(a,b)\n", 0},
    {"f64[2,3,2,4] f64[3] f64[3]", "z = InstanceNormalization(a,b,c)\n", 0},
    {"f64[3,4,2]", "const ax i64[2]:0,2\nz = ReduceMax(a,ax)\n", 0},
    {"f64[3,4,2]", "z = ReduceMin(a) axes=[1] keepdims=0\n", 13},
    {"f64[3,4]", "r = Relu(a)\nm = ReduceMax(r)\nz = Mul(m,a)\n", 0},
    {"f64[3,4,2]", "const ax i64[1]:1\nn = ReduceL2(a,ax)\nz = Div(a,n)\n", 0},
    {"f64[3,4,2]", "const ax i64[1]:-1\nz = ReduceSumSquare(a,ax) keepdims=0\n", 0},
    {"f64[1,2,3,2]",
     "const r f32[1]:0\nconst s f32[4]:1,1,2,1.5\nz = Resize(a,,s) coordinate_transformation_mode='asymmetric' nearest_mode='floor'\n", 0},
    {"f64[1,2,3,2]", "const s f32[4]:1,1,2,1.5\nz = Resize(a,,s) mode='linear'\n", 0},
    {"f64[1,2,5,4]", "const s i64[4]:1,2,3,7\nz = Resize(a,,,s) mode='linear' coordinate_transformation_mode='align_corners'\n", 0},
    {"f64[1,2,5,4]", "const s i64[2]:3,3\nz = Resize(a,,,s) mode='linear' antialias=1 axes=[2,3]\n", 0},
    {"f64[1,1,4,5]", "const s f32[4]:1,1,1.5,0.6\nz = Resize(a,,s) mode='cubic' exclude_outside=1\n", 0},
    {"f64[1,1,4,5]", "const s f32[4]:1,1,2,2\nz = Resize(a,,s) mode='cubic' coordinate_transformation_mode='pytorch_half_pixel'\n", 0},
    {"f64[1,1,4,4]",
     "const r f32[8]:0,0,-0.2,0.4,1,1,0.6,1.4\nconst s i64[4]:1,1,3,3\nz = Resize(a,r,,s) mode='linear' "
     "coordinate_transformation_mode='tf_crop_and_resize' extrapolation_value=10.0\n",
     0},
    {"f64[2,3] f64[3,4]", "z = Einsum(a,b) equation='ij,jk->ik'\n", 0},
    {"f64[2,5,3] f64[2,4,3]", "z = Einsum(a,b) equation='bid, bjd'\n", 0},
    {"f64[2,3,4] f64[4,3]", "z = Einsum(a,b) equation='...ij,jk->...ik'\n", 0},
    {"f64[2,3] f64[3,2,2] f64[2]", "z = Einsum(a,b,c) equation='xi,iyz,z->xy'\n", 0},
    {"f64[2,3,4]", "z = Einsum(a) equation='ijk->ik'\n", 0},
    {"f64[2,2,5,3] f64[2,2,4,3] f64[2,2,4,6] f64[5,4]", "z = Attention(a,b,c,d)\n", 23},
    {"f64[2,4,6] f64[2,4,6] f64[2,4,4]", "z = Attention(a,b,c) q_num_heads=2 kv_num_heads=2 is_causal=1 scale=0.7\n", 23},
    {"f64[2,3,4] f64[4]", "z = RMSNormalization(a,b)\n", 23},
    {"f64[2,3,4] f64[3,4]", "z = RMSNormalization(a,b) axis=-2 epsilon=0.1\n", 23},
    {"f64[2,6,3,2] f64[6] f64[6]", "z = GroupNormalization(a,b,c) num_groups=2\n", 21},
    {"f64[2,6,3] f64[3] f64[3]", "z = GroupNormalization(a,b,c) num_groups=3\n", 0},
    {"f64[2,3]", "z = Selu(a)\n", 0},
    {"f64[2,3]", "z = Celu(a) alpha=0.7\n", 0},
    {"f64[2,3]", "z = Softsign(a)\n", 0},
    {"f64[2,3]", "z = ThresholdedRelu(a) alpha=0.3\n", 0},
    {"f64[2,3]", "t = Tan(a)\nu = Atan(a)\nz = Sub(u,t)\n", 0},
    {"f64[2,3] f64[3] f64[2,1]", "z = Mean(a,b,c)\n", 0},
    {"f64[3,4,2]", "const ax i64[1]:1\nz = ReduceL1(a,ax)\n", 0},
    {"f64[3,4,2]", "const ax i64[2]:0,2\nz = ReduceLogSumExp(a,ax) keepdims=0\n", 0},
    {"f64[3,4,2]+", "const ax i64[1]:-1\nz = ReduceLogSum(a,ax)\n", 0},
    {"f64[2,3,4,3]", "z = GlobalMaxPool(a)\n", 0},
    {"f64[3,4]", "const k i64[]:1\nu = Trilu(a,k)\nl = Trilu(a) upper=0\nz = Mul(u,l)\n", 0},
    {"f64[3,4]", "const ax i64[]:1\nu = CumSum(a,ax)\nl = CumSum(a,ax) reverse=1 exclusive=1\nz = Mul(u,l)\n", 0},
    {"f64[2,3]", "s = Shape(a)\nc = ConstantOfShape(s) value={f64[1]:2}\nz = Mul(a,c)\n", 0},
    {"f64[3,2,2,3] f64[3,2,2,3]", "g = GlobalAveragePool(a)\nz = Mul(g,b)\n", 0},
    {"f64[2,3,4]", "z = ReduceMean(a) axes=[1]\n", 13},
};

/* The example as a model; element types of floats become `type`. */
static char *model_of(const struct example *e, const char *type, int *inputs)
{
    struct pt_buf b = {0}, names = {0}, xs = {0};
    char list[256];
    snprintf(list, sizeof list, "%s", e->inputs);
    *inputs = 0;
    pt_buf_printf(&b, "opset %d\ndomain ai.onnx.preview.training 1\n", e->opset ? e->opset : 18);
    for (char *save, *one = strtok_r(list, " ", &save); one; one = strtok_r(NULL, " ", &save), ++*inputs) {
        one[strcspn(one, "+")] = 0;
        pt_buf_printf(&b, "in %c %s\n", 'a' + *inputs, one);
        pt_buf_printf(&names, "%s%c", *inputs ? "," : "", 'a' + *inputs);
        pt_buf_printf(&xs, "%s'%c'", *inputs ? "," : "", 'a' + *inputs);
    }
    pt_buf_printf(&b, "%ssquare = Mul(z,z)\ncube = Mul(square,z)\n", e->body);
    for (int i = 0; i < *inputs; i++)
        pt_buf_printf(&b, "%sg%c", i ? "," : "", 'a' + i);
    pt_buf_printf(&b, " = ai.onnx.preview.training::Gradient(%s) xs=[%s] y='cube'\nout cube\n", pt_buf_cstr(&names), pt_buf_cstr(&xs));
    for (int i = 0; i < *inputs; i++)
        pt_buf_printf(&b, "out g%c\n", 'a' + i);
    for (char *p = (char *)(uintptr_t)pt_buf_cstr(&b); (p = strstr(p, "f64")); p += 3)
        memcpy(p, type, 3);
    for (char *p = (char *)(uintptr_t)pt_buf_cstr(&b); strcmp(type, "f32") == 0 && (p = strstr(p, "to=11"));)
        memcpy(p, "to=1 ", 5);
    pt_buf_finish(&names);
    pt_buf_finish(&xs);
    return b.data;
}

struct run {
    struct pt_buf bytes;
    struct pt_session *s;
    struct pt_run *r;
};

static struct run opened(const char *text, bool no_opt)
{
    struct run m = {.bytes = test_model(text)};
    struct pt_session_options o = {.thread_count = 1, .no_opt = no_opt};
    struct pt_err err = {0};
    if (pt_session_open_memory(m.bytes.data, m.bytes.len, &o, &m.s, &err) < 0 || pt_run_create(m.s, &m.r, &err) < 0)
        fail_msg("%s, model:\n%s", err.msg, text);
    return m;
}

static void closed(struct run *m)
{
    pt_run_destroy(m->r);
    pt_session_close(m->s);
    pt_buf_finish(&m->bytes);
}

/* Sets the inputs from doubles, runs, and gives the sum of output 0. */
static double evaluate(struct run *m, double *const *x, const char *text)
{
    struct pt_err err = {0};
    float *copies[MAX_INPUTS] = {0};
    for (size_t i = 0; i < pt_session_input_count(m->s); i++) {
        const struct pt_value_info *vi = pt_session_input(m->s, i);
        struct pt_tensor t = {.dtype = vi->dtype, .rank = vi->rank, .data = x[i]};
        memcpy(t.dims, vi->dims, sizeof t.dims);
        int64_t n = pt_tensor_count(&t);
        if (t.dtype == PT_FLOAT) {
            t.data = copies[i] = malloc((size_t)n * sizeof(float));
            for (int64_t k = 0; k < n; k++)
                copies[i][k] = (float)x[i][k];
        }
        t.size_bytes = (size_t)n * (t.dtype == PT_FLOAT ? 4 : 8);
        assert_int_equal(pt_run_set_input(m->r, i, &t, &err), PT_OK);
    }
    if (pt_run_execute(m->r, &err) < 0)
        fail_msg("%s, model:\n%s", err.msg, text);
    for (int i = 0; i < MAX_INPUTS; i++)
        free(copies[i]);
    const struct pt_tensor *y = pt_run_output(m->r, 0);
    double sum = 0;
    for (int64_t i = 0; i < pt_tensor_count(y); i++)
        sum += y->dtype == PT_FLOAT ? (double)((const float *)y->data)[i] : ((const double *)y->data)[i];
    return sum;
}

static void check_example(const struct example *e, struct pt_rand *rand)
{
    int inputs;
    char *text = model_of(e, "f64", &inputs), *narrow = model_of(e, "f32", &inputs);
    struct run m[4] = {opened(text, false), opened(text, true), opened(narrow, false), opened(narrow, true)};
    double *x[MAX_INPUTS], *g[MAX_INPUTS], largest = 1;
    int64_t count[MAX_INPUTS];
    const char *sign = e->inputs;
    for (int i = 0; i < inputs; i++, sign++) {
        const struct pt_value_info *vi = pt_session_input(m[0].s, (size_t)i);
        struct pt_tensor t = {.rank = vi->rank};
        memcpy(t.dims, vi->dims, sizeof t.dims);
        count[i] = pt_tensor_count(&t);
        sign += strcspn(sign, " ");
        x[i] = malloc((size_t)count[i] * sizeof(double));
        g[i] = malloc((size_t)count[i] * sizeof(double));
        for (int64_t k = 0; k < count[i]; k++)
            x[i][k] = sign[-1] == '+' ? 0.5 + fabs(pt_rand_normal(rand)) : pt_rand_normal(rand);
    }
    for (int i = 0; i < inputs; i++)
        for (int64_t k = 0; k < count[i]; k++) {
            double at = x[i][k];
            x[i][k] = at + STEP;
            double up = evaluate(&m[0], x, text);
            x[i][k] = at - STEP;
            g[i][k] = (up - evaluate(&m[0], x, text)) / (2 * STEP);
            x[i][k] = at;
            largest = fmax(largest, fabs(g[i][k]));
        }
    for (int v = 0; v < 4; v++) {
        evaluate(&m[v], x, text);
        for (int i = 0; i < inputs; i++) {
            const struct pt_tensor *got = pt_run_output(m[v].r, (size_t)i + 1);
            assert_int_equal(pt_tensor_count(got), count[i]);
            for (int64_t k = 0; k < count[i]; k++) {
                double d = v < 2 ? ((const double *)got->data)[k] : (double)((const float *)got->data)[k];
                if (!(fabs(d - g[i][k]) <= (v < 2 ? 1e-6 : 2e-5) * largest))
                    fail_msg("%s, %s: input %d, element %lld: %.9g, the quotient is %.9g, model:\n%s", v < 2 ? "float64" : "float32",
                             v % 2 ? "reference" : "compiled", i, (long long)k, d, g[i][k], text);
            }
        }
    }
    for (int v = 0; v < 4; v++)
        closed(&m[v]);
    for (int i = 0; i < inputs; i++) {
        free(x[i]);
        free(g[i]);
    }
    free(text);
    free(narrow);
}

static void quotients(void **state)
{
    (void)state;
    struct pt_rand rand;
    pt_rand_init(&rand, 11);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        check_example(&examples[i], &rand);
}

/* float32 compiled against float64 as defined, relative to the largest derivative by the same input. */
static void check_steps(const struct example *e, struct pt_rand *rand)
{
    int inputs;
    char *text = model_of(e, "f64", &inputs), *narrow = model_of(e, "f32", &inputs);
    struct run exact = opened(text, true), fast = opened(narrow, false);
    double *x[MAX_INPUTS] = {0};
    for (int i = 0; i < inputs; i++) {
        const struct pt_value_info *vi = pt_session_input(exact.s, (size_t)i);
        struct pt_tensor t = {.rank = vi->rank};
        memcpy(t.dims, vi->dims, sizeof t.dims);
        x[i] = malloc((size_t)pt_tensor_count(&t) * sizeof(double));
        for (int64_t k = 0; k < pt_tensor_count(&t); k++)
            x[i][k] = (double)(float)pt_rand_normal(rand);
    }
    evaluate(&exact, x, text);
    evaluate(&fast, x, narrow);
    for (int i = 0; i < inputs; i++) {
        const struct pt_tensor *want = pt_run_output(exact.r, (size_t)i + 1), *got = pt_run_output(fast.r, (size_t)i + 1);
        double largest = 0;
        assert_int_equal(pt_tensor_count(got), pt_tensor_count(want));
        for (int64_t k = 0; k < pt_tensor_count(want); k++)
            largest = fmax(largest, fabs(((const double *)want->data)[k]));
        for (int64_t k = 0; k < pt_tensor_count(want); k++) {
            double a = (double)((const float *)got->data)[k], b = ((const double *)want->data)[k];
            if (!(fabs(a - b) <= 1e-5 * largest))
                fail_msg("input %d, element %lld: %.9g, as defined %.9g, the largest is %.3g, model:\n%s", i, (long long)k, a, b, largest, text);
        }
    }
    for (int i = 0; i < inputs; i++)
        free(x[i]);
    closed(&exact);
    closed(&fast);
    free(text);
    free(narrow);
}

/* The fast steps against the definitions where sizes are such that they cut their work: several slices of a batch, bands of an image, blocks of
 * channels. */
static void fast_steps(void **state)
{
    (void)state;
    static const struct example wide[] = {
        {"f64[19,6,13,11] f64[8,6,3,3] f64[8]", "z = Conv(a,b,c) pads=[1,1,1,1]\n", 0},
        {"f64[2,3,41,43] f64[5,3,3,3]", "z = Conv(a,b) pads=[2,0,1,1]\n", 0},
        {"f64[2,3,41,43] f64[6,3,5,3]", "z = Conv(a,b) strides=[2,3] pads=[2,1,1,1] dilations=[1,2]\n", 0},
        {"f64[3,8,9,9] f64[8,8,1,1]", "z = Conv(a,b) strides=[2,2]\n", 0},
        {"f64[3,4,7,7] f64[6,4,1,1]", "z = Conv(a,b) pads=[1,2,1,0]\n", 0},
        {"f64[2,4,6,7] f64[6,4,2,2]", "z = Conv(a,b) pads=[2,3,3,2]\n", 0},
        {"f64[18,12,9,8] f64[12,1,3,3] f64[12]", "z = Conv(a,b,c) group=12 pads=[1,1,1,1]\n", 0},
        {"f64[3,20,15,14] f64[20,1,5,5]", "z = Conv(a,b) group=20 pads=[2,2,2,2] strides=[2,2]\n", 0},
        {"f64[3,4,9,8] f64[8,1,3,3]", "z = Conv(a,b) group=4 pads=[1,1,1,1]\n", 0},
        {"f64[3,12,9,8] f64[8,3,3,3]", "z = Conv(a,b) group=4 strides=[2,1] auto_pad='SAME_LOWER'\n", 0},
        {"f64[2,32,14,14] f64[32,32,3,3]", "z = Conv(a,b) pads=[1,1,1,1]\n", 0},
        {"f64[5,3,50] f64[4,3,7]", "z = Conv(a,b) pads=[3,3] strides=[2]\n", 0},
        {"f64[5,3,50] f64[4,3,3] f64[4]", "z = Conv(a,b,c) pads=[1,1] dilations=[2]\n", 0},
        {"f64[3,70,9,11]", "z = MaxPool(a) kernel_shape=[3,3] strides=[2,2] pads=[1,1,0,1]\n", 0},
        {"f64[3,5,9,11]", "r = Relu(a)\nz = MaxPool(r) kernel_shape=[3,2] strides=[1,2] dilations=[2,1]\n", 0},
        {"f64[3,5,20]", "z = MaxPool(a) kernel_shape=[4] strides=[3]\n", 0},
        {"f64[3,70,9,11]", "z = AveragePool(a) kernel_shape=[3,2] strides=[2,2] pads=[1,0,1,1]\n", 0},
        {"f64[3,5,9,11]", "z = AveragePool(a) kernel_shape=[3,3] pads=[1,1,1,1] count_include_pad=1 strides=[2,1]\n", 0},
        {"f64[3,5,9,11] f64[5]",
         "const k f64[6,5,1,1]:0.5,-1,1,2,0.25,1,-1,1,2,0.5,1,1,-2,1,0,1,0.5,2,-1,1,1,1,1,0.25,2,-1,2,1,0.5,-1\nc = "
         "Conv(a,k)\ng = GlobalAveragePool(c)\nz = Mul(c,g)\n",
         0},
        {"f64[9,6,20,20] f64[6] f64[6]",
         "const m f64[6]:0,0,0,0,0,0\nconst v f64[6]:1,1,1,1,1,1\nz,rm,rv = BatchNormalization(a,b,c,m,v) training_mode=1\n", 0},
        {"f64[9,6,20,20] f64[6] f64[6]", "const m f64[6]:0,1,0,0.5,0,0\nconst v f64[6]:1,2,1,1,3,1\nz = BatchNormalization(a,b,c,m,v)\n", 0},
        {"f64[700,6] f64[6] f64[6]",
         "const m f64[6]:0,0,0,0,0,0\nconst v f64[6]:1,1,1,1,1,1\nz,rm,rv = BatchNormalization(a,b,c,m,v) training_mode=1\n", 0},
        {"f64[3,4,17,19] f64[6,4,3,3] f64[3,5,15,17]", "d = Conv(a,b)\ne = Concat(d,c,d) axis=1\nk = MaxPool(e) kernel_shape=[3,3]\nz = Mul(k,k)\n",
         0},
        {"f64[3,4,17,19] f64[3,4,19,23]", "z = MatMul(a,b)\n", 0},
        {"f64[6,17,19] f64[19,23]", "z = MatMul(a,b)\n", 0},
        {"f64[40,90] f64[50,90] f64[50]", "z = Gemm(a,b,c) transB=1 alpha=0.5\n", 0},
        {"f64[5,130,37] f64[37] f64[37]", "z = LayerNormalization(a,b,c)\n", 0},
        {"f64[40,133]", "z = Softmax(a)\n", 0},
        {"f64[40,133]", "z = LogSoftmax(a)\n", 0},
        {"f64[3,7,11,13]",
         "r = Relu(a)\nl = LeakyRelu(a)\ns = Sigmoid(a)\nt = Tanh(a)\nu = Sum(r,l,s,t)\ne = Elu(a)\np = Softplus(a)\nh = HardSwish(a)\nk = "
         "HardSigmoid(a)\n"
         "o = Erf(a)\nb_ = Abs(a)\nz = Sum(u,e,p,h,k,o,b_)\n",
         0},
        {"f64[3,7,11,13]",
         "g = Gelu(a)\nh = Gelu(a) approximate='tanh'\nconst lo f64[]:-0.5\nconst hi f64[]:0.7\nc = Clip(a,lo,hi)\nz = Sum(g,h,c)\n", 20},
    };
    struct pt_rand rand;
    pt_rand_init(&rand, 12);
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        check_steps(&wide[i], &rand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(quotients), cmocka_unit_test(fast_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
