/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrites.c: each rewrite alone, before and after as text, where it applies and where it must not; and that the whole still computes the same.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/compile/rewrite.h"

/* --- a graph as text -------------------------------------------------------------------------------------------------------------- */

static void put_constant(struct pt_buf *b, const struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++)
        pt_buf_printf(b, "%s%.6g", i ? "," : t->rank ? "[" : "", pt_elem_f64(t, i));
    pt_buf_puts(b, t->rank ? "]" : "");
}

static void put_attr(struct pt_buf *b, const struct pt_onnx_attr *a)
{
    pt_buf_printf(b, " " PT_STR_FMT "=", PT_STR_ARG(a->name));
    switch (a->type) {
    case PT_ATTR_INT:
        pt_buf_printf(b, "%lld", (long long)a->i);
        break;
    case PT_ATTR_FLOAT:
        pt_buf_printf(b, "%g", (double)a->f);
        break;
    case PT_ATTR_STRING:
        pt_buf_printf(b, "'" PT_STR_FMT "'", PT_STR_ARG(a->s));
        break;
    default:
        for (size_t i = 0; i < a->count; i++)
            pt_buf_printf(b, "%s%lld", i ? "," : "[", (long long)a->ints[i]);
        pt_buf_putc(b, ']');
    }
}

static void put_graph(struct pt_buf *b, const struct pt_graph *g)
{
    for (int i = 0; i < g->node_count; i++) {
        const struct pt_node *n = &g->nodes[i];
        if (n->dead)
            continue;
        pt_buf_printf(b, PT_STR_FMT " = %s(", PT_STR_ARG(g->values[n->outputs[0]].name), n->op->type);
        for (int k = 0; k < n->input_count; k++) {
            const struct pt_value *v = n->inputs[k] < 0 ? NULL : &g->values[n->inputs[k]];
            pt_buf_puts(b, k ? "," : "");
            if (v && v->constant && (v->name.len == 0 || v->producer >= 0))
                put_constant(b, v->constant);
            else if (v)
                pt_buf_printf(b, PT_STR_FMT, PT_STR_ARG(v->name));
        }
        pt_buf_putc(b, ')');
        for (size_t k = 0; k < n->attr_count; k++)
            put_attr(b, &n->attrs[k]);
        pt_buf_putc(b, '\n');
    }
    for (int i = 0; i < g->output_count; i++) {
        const struct pt_value *v = &g->values[g->outputs[i]];
        pt_buf_puts(b, "out ");
        if (v->constant && v->name.len == 0)
            put_constant(b, v->constant);
        else
            pt_buf_printf(b, PT_STR_FMT, PT_STR_ARG(v->name));
        pt_buf_putc(b, '\n');
    }
}

/* The rewrites in `names` turn the model into the nodes of `after`; the model runs the same with all of them. */
static void golden(const char *names, const char *before, const char *after)
{
    struct pt_buf model = test_model(before), text = PT_BUF_INIT(0);
    struct pt_graph_source src = {.model = model.data, .len = model.len, .const_cap = 1 << 20};
    struct pt_graph g;
    struct pt_err err = {0};
    uint32_t on;
    assert_int_equal(pt_rewrite_parse(names, &on, &err), PT_OK);
    on |= PT_REWRITE_BIT(dead);
    if (pt_graph_init(&g, &src, &err) < 0 || pt_graph_prune(&g, &err) < 0 || pt_graph_check_supported(&g, &err) < 0 ||
        pt_graph_rewrite(&g, ~on, &err) < 0)
        fail_msg("%s\nof model:\n%s", err.msg, before);
    put_graph(&text, &g);
    if (strcmp(pt_buf_cstr(&text), after) != 0)
        fail_msg("rewrite %s of\n%sgives\n%sexpected\n%s", names, before, pt_buf_cstr(&text), after);
    pt_graph_finish(&g);
    pt_buf_finish(&text);
    pt_buf_finish(&model);
    test_same(before);
}
/* The rewrite leaves these nodes as they are. */
static void untouched(const char *names, const char *head, const char *nodes)
{
    char before[4096];
    snprintf(before, sizeof before, "%s%s", head, nodes);
    golden(names, before, nodes);
}

/* --- the rewrites ---------------------------------------------------------------------------------------------------------------- */

static void fold(void **state)
{
    (void)state;
    golden("fold", "in x f32[2]\nconst a f32[2]:1,2\nconst b f32[2]:3,4\nc = Add(a,b)\nd = Mul(c,c)\ny = Add(x,d)\nout y\n", "y = Add(x,d)\nout y\n");
    golden("fold", "in x f32[2]\na = Constant() value={f32[2]:1,2}\ny = Add(x,a)\nz = Identity(a)\nout y\nout z\n", "y = Add(x,a)\nout y\nout z\n");
}

static void dead(void **state)
{
    (void)state;
    golden("dead", "in x f32[2]\na = Neg(x)\nb = Exp(a)\ny = Abs(x)\nout y\n", "y = Abs(x)\nout y\n");
}

static void identity(void **state)
{
    (void)state;
    golden("identity", "in x f32[2]\na = Identity(x)\nb = Identity(a)\ny = Neg(b)\nz = Identity(y)\nout y\nout z\nout b\n", "y = Neg(x)\nout y\nout y\nout x\n");
    golden("identity", "in x f32[2]\na,m = Dropout(x)\ny = Neg(a)\nout y\n", "y = Neg(x)\nout y\n");
    untouched("identity", "in x f32[2]\n", "a = Abs(x)\ny = Neg(a)\nout y\n");
}

static void numbers(void **state)
{
    (void)state;
    const char *head = "in x f32[2]\nin i i64[2]\nconst one f32[]:1\nconst zero f32[]:0\nconst ones f32[1,1]:1\nconst near f32[]:1.0000005\n";
    char text[1024];
    snprintf(text, sizeof text, "%sa = Mul(x,one)\nb = Mul(one,a)\nc = Div(b,one)\nd = Sub(c,zero)\ne = Pow(d,one)\ny = Neg(e)\nout y\n", head);
    golden("identity", text, "y = Neg(x)\nout y\n");
    untouched("identity", head, "a = Add(x,zero)\ny = Neg(a)\nout y\n"); /* -0 */
    untouched("identity", head, "a = Mul(x,ones)\ny = Neg(a)\nout y\n"); /* more axes */
    untouched("identity", head, "a = Mul(x,near)\ny = Neg(a)\nout y\n");
    untouched("identity", head, "a = Sub(zero,x)\nb = Div(one,x)\ny = Mul(a,b)\nout y\n");
}

static void nothing_added(void **state)
{
    (void)state;
    const char *head = "in x f32[2,3]\nin f f32[-1,3]\nconst no i64[4]:0,0,0,0\nconst pad i64[4]:0,0,1,0\nconst ones i64[2]:1,1\nconst dims i64[2]:2,3\n";
    char text[1024];
    snprintf(text, sizeof text, "%sa = Pad(x,no)\nb = Tile(a,ones)\nc = Expand(b,dims)\nd = Concat(c) axis=0\ne = Max(d)\ny = Neg(e)\nout y\n", head);
    golden("identity", text, "y = Neg(x)\nout y\n");
    untouched("identity", head, "a = Pad(x,pad)\ny = Neg(a)\nout y\n");
    snprintf(text, sizeof text, "%sa = Expand(f,ones)\ny = Neg(a)\nout y\n", head);
    golden("identity", text, "a = Expand(f,ones)\ny = Neg(a)\nout y\n"); /* what f is, is not known */
}

static void cast(void **state)
{
    (void)state;
    golden("cast", "in x f32[2]\na = Exp(x)\nb = Cast(a) to=1\ny = Neg(b)\nout y\n", "a = Exp(x)\ny = Neg(a)\nout y\n");
    golden("cast", "in x i32[2]\na = Cast(x) to=7\nb = Cast(a) to=1\nout b\n", "b = Cast(x) to=1\nout b\n");
    golden("cast", "in x b[2]\na = Cast(x) to=1\nb = Cast(a) to=9\nout b\n", "out x\n");
    untouched("cast", "in x f32[2]\n", "a = Cast(x) to=7\nb = Cast(a) to=1\nout b\n");
    untouched("cast", "in x i64[2]\n", "a = Cast(x) to=1\nb = Cast(a) to=7\nout b\n");
    untouched("cast", "in x i32[2]\n", "a = Cast(x) to=1\nb = Cast(a) to=6\nout b\n");
}

static void cse(void **state)
{
    (void)state;
    golden("cse", "in x f32[2]\nconst p f32[]:2\nconst q f32[]:2\na = Mul(x,p)\nb = Mul(x,q)\nc = Exp(a)\nd = Exp(b)\ny = Add(c,d)\nout y\nout d\n",
           "a = Mul(x,p)\nc = Exp(a)\ny = Add(c,c)\nout y\nout c\n");
    golden("cse", "in x f32[2,4]\na,b = Split(x) axis=1\nc,d = Split(x) axis=1\ny = Add(a,d)\nz = Sub(c,b)\nout y\nout z\n",
           "a = Split(x) axis=1\ny = Add(a,b)\nz = Sub(a,b)\nout y\nout z\n");
    untouched("cse", "in x f32[2,2]\n", "a = Softmax(x) axis=0\nb = Softmax(x) axis=1\ny = Sub(a,b)\nz = Sub(b,a)\nout y\nout z\n");
    untouched("cse", "in x f32[2]\nconst p f32[]:2\nconst q f32[1]:2\n", "a = Mul(x,p)\nb = Mul(x,q)\ny = Add(a,b)\nout y\n");
}

static void reshape(void **state)
{
    (void)state;
    const char *head = "in x f32[2,6]\nin f f32[-1,6]\nconst s i64[3]:2,3,2\nconst t i64[2]:3,-1\nconst u i64[2]:0,6\nconst one i64[1]:1\n";
    char text[1024];
    snprintf(text, sizeof text, "%sa = Reshape(x,s)\nb = Reshape(a,t)\ny = Neg(b)\nout y\n", head);
    golden("reshape", text, "b = Reshape(x,t)\ny = Neg(b)\nout y\n");
    snprintf(text, sizeof text, "%sa = Unsqueeze(f,one)\nb = Squeeze(a,one)\ny = Neg(b)\nout y\n", head);
    golden("reshape", text, "y = Neg(f)\nout y\n");
    snprintf(text, sizeof text, "%sa = Reshape(f,u)\ny = Neg(a)\nout y\n", head);
    golden("reshape", text, "y = Neg(f)\nout y\n");
    snprintf(text, sizeof text, "%sa = Reshape(x,s)\nb = Flatten(a) axis=2\ny = Neg(b)\nout y\n", head);
    golden("reshape", text, "b = Reshape(x,[6,2])\ny = Neg(b)\nout y\n");
    untouched("reshape", head, "a = Reshape(x,s)\ny = Neg(a)\nout y\n");
    /* 0 copies a dim of what is in between */
    untouched("reshape", "in f f32[-1,-1]\nconst one i64[1]:1\nconst u i64[3]:0,0,-1\n", "a = Unsqueeze(f,one)\nb = Reshape(a,u)\ny = Neg(b)\nout y\n");
}

static void transpose(void **state)
{
    (void)state;
    golden("transpose", "in x f32[2,3,4]\na = Transpose(x) perm=[1,2,0]\nb = Transpose(a) perm=[1,2,0]\ny = Neg(b)\nout y\n",
           "b = Transpose(x) perm=[2,0,1]\ny = Neg(b)\nout y\n");
    golden("transpose", "in x f32[2,3]\na = Transpose(x)\nb = Transpose(a)\ny = Neg(b)\nout y\n", "y = Neg(x)\nout y\n");
    golden("transpose", "in x f32[1,3,4]\na = Transpose(x) perm=[0,1,2]\ny = Neg(a)\nout y\n", "y = Neg(x)\nout y\n");
    /* a residual block as converters from channels-last frameworks write it */
    golden("transpose",
           "in x f32[1,2,3,4]\nin z f32[1,2,3,4]\nconst c f32[2]:5,6\nconst lo f32[]:0\na = Transpose(x) perm=[0,2,3,1]\nb = Transpose(z) perm=[0,2,3,1]\n"
           "d = Add(a,c)\ne = Sub(d,b)\nf = Clip(e,lo)\ng = Transpose(f) perm=[0,3,1,2]\ny = Neg(g)\nout y\n",
           "d = Add(x,[5,6])\ne = Sub(d,z)\nf = Clip(e,lo)\ny = Neg(f)\nout y\n");
}

static void transpose_stays(void **state)
{
    (void)state;
    /* read elsewhere; another tensor comes in its own order; not the inverse; not elementwise */
    untouched("transpose", "in x f32[2,3]\n", "a = Transpose(x) perm=[1,0]\nb = Exp(a)\nc = Transpose(b) perm=[1,0]\nout c\nout b\n");
    untouched("transpose", "in x f32[2,3]\nin z f32[3,2]\n", "a = Transpose(x) perm=[1,0]\nb = Add(a,z)\nc = Transpose(b) perm=[1,0]\nout c\n");
    untouched("transpose", "in x f32[2,3,4]\n", "a = Transpose(x) perm=[1,2,0]\nb = Exp(a)\nc = Transpose(b) perm=[1,2,0]\nout c\n");
    untouched("transpose", "in x f32[2,3]\n", "a = Transpose(x) perm=[1,0]\nb = Softmax(a) axis=1\nc = Transpose(b) perm=[1,0]\nout c\n");
}

static void gelu(void **state)
{
    (void)state;
#define GELU "in x f32[2,3]\nconst r2 f32[]:1.41421354\nconst one f32[]:1\nconst half f32[]:0.5\nconst three f32[]:3\nconst k f32[]:0.044715\nconst s f32[]:0.797884583\n"
    golden("gelu", GELU "a = Div(x,r2)\nb = Erf(a)\nc = Add(one,b)\nd = Mul(x,c)\ny = Mul(half,d)\nout y\n", "y = Gelu(x)\nout y\n");
    golden("gelu", GELU "a = Pow(x,three)\nb = Mul(k,a)\nc = Add(x,b)\nd = Mul(c,s)\ne = Tanh(d)\nf = Add(e,one)\ng = Mul(x,half)\ny = Mul(g,f)\nout y\n",
           "y = Gelu(x) approximate='tanh'\nout y\n");
    untouched("gelu", GELU, "a = Div(x,one)\nb = Erf(a)\nc = Add(b,one)\nd = Mul(x,c)\ny = Mul(d,half)\nout y\n");
    untouched("gelu", GELU, "a = Div(x,r2)\nb = Erf(a)\nc = Add(b,one)\nd = Mul(x,c)\ny = Mul(d,half)\nout y\nout c\n");
    untouched("gelu", GELU, "z = Exp(x)\na = Div(z,r2)\nb = Erf(a)\nc = Add(b,one)\nd = Mul(x,c)\ny = Mul(d,half)\nout y\n");
}

static void vendor(void **state)
{
    (void)state;
#define VENDOR "in x f32[2,3]\nconst g f32[3]:1,2,3\n"
    golden("vendor", VENDOR "y = com.microsoft::Gelu(x)\nout y\n", "y = Gelu(x)\nout y\n");
    golden("vendor", VENDOR "y = com.microsoft::FastGelu(x)\nout y\n", "y = Gelu(x) approximate='tanh'\nout y\n");
    golden("vendor", VENDOR "y = com.microsoft::QuickGelu(x) alpha=1.5\nout y\n", "y = Swish(x) alpha=1.5\nout y\n");
    golden("vendor", VENDOR "y = SimplifiedLayerNormalization(x,g) epsilon=0.25\nout y\n", "y = RMSNormalization(x,g) axis=-1 epsilon=0.25\nout y\n");
    golden("vendor", VENDOR "y = com.microsoft::FastGelu(x,g)\nout y\n", "y = FastGelu(x,g)\nout y\n"); /* no bias in the standard */
}

static void norms(void **state)
{
    (void)state;
#define NORM "opset 14\nin x f32[-1,3]\nconst two f32[]:2\nconst e f32[]:0.001\nconst g f32[3]:1,2,3\nconst b f32[3]:4,5,6\nconst one f32[]:1\nconst w f32[1,3]:1,2,3\n"
#define SPREAD "m = ReduceMean(x) axes=[-1]\nd = Sub(x,m)\np = Mul(d,d)\nv = ReduceMean(p) axes=[-1]\nve = Add(v,e)\ns = Sqrt(ve)\n"
    golden("layernorm", NORM SPREAD "n = Div(d,s)\nng = Mul(g,n)\ny = Add(ng,b)\nout y\n", "y = LayerNormalization(x,g,b) epsilon=0.001\nout y\n");
    golden("layernorm", NORM SPREAD "r = Reciprocal(s)\nn = Mul(d,r)\ny = Mul(n,g)\nout y\n", "y = LayerNormalization(x,g) epsilon=0.001\nout y\n");
    golden("layernorm", NORM SPREAD "n = Div(d,s)\nng = Mul(g,n)\ny = Add(ng,w)\nout y\n",
           "ng = LayerNormalization(x,g) epsilon=0.001\ny = Add(ng,w)\nout y\n");
    /* a scale that broadcasts x */
    golden("layernorm", "opset 14\nin x f32[2,1]\nconst e f32[]:0.001\nconst g f32[3]:1,2,3\n" SPREAD "n = Div(d,s)\ny = Mul(n,g)\nout y\n",
           "m = ReduceMean(x) axes=[-1]\nd = Sub(x,m)\np = Mul(d,d)\nv = ReduceMean(p) axes=[-1]\nve = Add(v,e)\ns = Sqrt(ve)\nn = Div(d,s)\ny = Mul(n,g)\nout y\n");
    golden("rmsnorm", NORM "p = Pow(x,two)\nv = ReduceMean(p) axes=[-1]\nve = Add(v,e)\ns = Sqrt(ve)\nr = Div(one,s)\nn = Mul(x,r)\ny = Mul(g,n)\nout y\n",
           "y = RMSNormalization(x,g) epsilon=0.001\nout y\n");
    untouched("rmsnorm", NORM, "p = Pow(x,two)\nv = ReduceMean(p) axes=[0]\nve = Add(v,e)\ns = Sqrt(ve)\nn = Div(x,s)\ny = Mul(g,n)\nout y\n");
}

#define BN "const s f32[2]:2,3\nconst t f32[2]:1,-1\nconst m f32[2]:0.5,0\nconst v f32[2]:0.25,1\n"
#define HEADS "in q f32[2,3,5,4]\nin k f32[2,3,4,7]\nin v f32[2,3,7,6]\nin bias f32[2,1,1,7]\nin choice b[5,7]\nin s f32[]\nconst eight f32[]:8\n" \
              "const low f32[]:-1e9\nconst zero f32[]:0\n"

/* The ways in which exporters write it, and ours. */
static void attention(void **state)
{
    (void)state;
    golden("attention", HEADS "a = MatMul(q,k)\nb = Div(a,eight)\nc = Add(b,bias)\np = Softmax(c) axis=-1\ny = MatMul(p,v)\nout y\n",
           "y = JoinedAttention(q,k,v,eight,,bias) divide=1\nout y\n");
    golden("attention", HEADS "a = MatMul(q,k)\nb = Mul(s,a)\nc = Add(bias,b)\np = Softmax(c) axis=3\ny = MatMul(p,v)\nout y\n",
           "y = JoinedAttention(q,k,v,s,,bias)\nout y\n");
    golden("attention", HEADS "a = MatMul(q,k)\np = Softmax(a)\ny = MatMul(p,v)\nout y\n", "y = JoinedAttention(q,k,v)\nout y\n");
    golden("attention", HEADS "a = MatMul(q,k)\nb = Where(choice,a,low)\np = Softmax(b)\ny = MatMul(p,v)\nout y\n",
           "y = JoinedAttention(q,k,v,,choice) fill=-1e+09 keep=1\nout y\n");
    golden("attention", HEADS "a = MatMul(q,k)\nb = Where(choice,low,a)\nc = Add(b,bias)\np = Softmax(c)\ny = MatMul(p,v)\nout y\n",
           "y = JoinedAttention(q,k,v,,choice,bias) fill=-1e+09 bias_last=1\nout y\n");
    golden("attention", HEADS "a = MatMul(q,k)\nb = Add(a,bias)\nc = Where(choice,low,b)\np = Softmax(c)\ny = MatMul(p,v)\nout y\n",
           "y = JoinedAttention(q,k,v,,choice,bias) fill=-1e+09\nout y\n");
    golden("attention", HEADS "a = MatMul(q,k)\nb = Add(a,bias)\np = Softmax(b)\nn = IsNaN(p)\nw = Where(n,zero,p)\ny = MatMul(w,v)\nout y\n",
           "y = JoinedAttention(q,k,v,,,bias) zero_nan=1\nout y\n");
    golden("attention", HEADS "a = com.microsoft::FusedMatMul(q,k) alpha=0.5\np = Softmax(a)\ny = MatMul(p,v)\nout y\n",
           "y = JoinedAttention(q,k,v) alpha=0.5\nout y\n");
    golden("attention", "opset 11\n" HEADS "a = MatMul(q,k)\np = Softmax(a) axis=3\ny = MatMul(p,v)\nout y\n", "y = JoinedAttention(q,k,v)\nout y\n");
}

/* What must stay: another reader, another axis, a scale that is no number, a guard that keeps something else, half precision. */
static void attention_stays(void **state)
{
    (void)state;
    const char *head = HEADS "in many f32[7]\nconst two f32[]:2\n";
    untouched("attention", head, "a = MatMul(q,k)\np = Softmax(a) axis=-1\ny = MatMul(p,v)\nout y\nout p\n");
    untouched("attention", head, "a = MatMul(q,k)\np = Softmax(a) axis=-1\ny = MatMul(p,v)\nout y\nout a\n");
    untouched("attention", head, "a = MatMul(q,k)\nb = Add(a,bias)\np = Softmax(b) axis=-1\ny = MatMul(p,v)\nz = Neg(b)\nout y\nout z\n");
    untouched("attention", head, "a = MatMul(q,k)\np = Softmax(a) axis=2\ny = MatMul(p,v)\nout y\n");
    untouched("attention", head, "a = MatMul(q,k)\nb = Mul(a,many)\np = Softmax(b) axis=-1\ny = MatMul(p,v)\nout y\n");
    untouched("attention", head, "a = MatMul(q,k)\nb = Div(s,a)\np = Softmax(b) axis=-1\ny = MatMul(p,v)\nout y\n");
    untouched("attention", head, "a = MatMul(q,k)\nb = Add(a,bias)\nc = Add(b,bias)\np = Softmax(c) axis=-1\ny = MatMul(p,v)\nout y\n");
    untouched("attention", head, "a = MatMul(q,k)\nb = Where(choice,a,bias)\np = Softmax(b) axis=-1\ny = MatMul(p,v)\nout y\n");
    untouched("attention", head, "a = MatMul(q,k)\np = Softmax(a) axis=-1\nn = IsNaN(p)\nw = Where(n,two,p)\ny = MatMul(w,v)\nout y\n");
    untouched("attention", head, "a = MatMul(q,k)\np = Softmax(a) axis=-1\nn = IsNaN(p)\nw = Where(n,zero,p)\ny = MatMul(w,v)\nout y\nout n\n");
    golden("attention", "in q f32[5,4]\nin k f32[7,4]\nin v f32[7,2]\na = com.microsoft::FusedMatMul(q,k) transB=1\np = Softmax(a)\ny = MatMul(p,v)\nout y\n",
           "a = FusedMatMul(q,k) transB=1\np = Softmax(a)\ny = MatMul(p,v)\nout y\n");
    untouched("attention", "in q f16[5,4]\nin k f16[4,7]\nin v f16[7,2]\n", "a = MatMul(q,k)\np = Softmax(a) axis=-1\ny = MatMul(p,v)\nout y\n");
    untouched("attention", "opset 11\n" HEADS, "a = MatMul(q,k)\np = Softmax(a)\ny = MatMul(p,v)\nout y\n");
}

/* Operands that broadcast in every way, some of which only the reference does; transpositions that lowering looks through. */
static void attention_shapes(void **state)
{
    (void)state;
    static const char *const shapes[][5] = {
        /* q, kt, v, bias, choice */
        {"5,4", "4,7", "7,3", "7", "5,7"},
        {"1,4", "4,7", "7,3", "5,7", "1"}, /* the mask has more queries */
        {"5,4", "4,1", "7,3", "5,7", "1,7"}, /* and more keys */
        {"2,1,5,4", "3,4,7", "7,6", "2,1,1,7", "1,3,5,1"},
        {"5,4", "4,7", "2,3,7,3", "1", "7"},
        {"3,1,4", "3,4,600", "3,600,20", "600", "3,1,600"},
        {"2,3,100,4", "2,3,4,9", "2,3,9,17", "2,1,1,9", "100,9"},
        {"1,5,4", "4,7", "7,3", "4,2,1,5,7", "5,1"},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char text[1024];
        const char *const *s = shapes[i];
        snprintf(text, sizeof text,
                 "in q f32[%s]\nin k f32[%s]\nin v f32[%s]\nin bias f32[%s]\nin choice b[%s]\nconst low f32[]:-3\nconst half f32[1]:0.5\nm = MatMul(q,k)\n"
                 "a = Mul(m,half)\nb = Add(a,bias)\nc = Where(choice,low,b)\np = Softmax(c) axis=-1\ny = MatMul(p,v)\nout y\n",
                 s[0], s[1], s[2], s[3], s[4]);
        test_same(text);
    }
    /* heads in the order of the model; one step between the products of the layer */
    assert_int_equal(test_same("in x f32[-1,7,3,4]\nin k f32[-1,9,3,4]\nin v f32[-1,9,3,4]\nconst r f32[]:0.7\nconst shape i64[3]:0,0,12\n"
                               "qt = Transpose(x) perm=[0,2,1,3]\nqs = Mul(qt,r)\nkt = Transpose(k) perm=[0,2,3,1]\nks = Mul(kt,r)\nvt = Transpose(v) perm=[0,2,1,3]\n"
                               "a = MatMul(qs,ks)\np = Softmax(a) axis=-1\no = MatMul(p,vt)\nt = Transpose(o) perm=[0,2,1,3]\ny = Reshape(t,shape)\nout y\n"),
                     2);
    test_same("in x f32[2,7,4]\nqt = Transpose(x) perm=[0,2,1]\na = MatMul(x,qt)\np = Softmax(a) axis=-1\ny = MatMul(p,x)\nout y\n");
    test_same("in x f32[2,4,7]\nin z f32[2,7,3]\nqt = Transpose(x) perm=[0,2,1]\na = MatMul(qt,x)\np = Softmax(a) axis=-1\ny = MatMul(p,z)\nt = Transpose(y) "
              "perm=[2,1,0]\nout t\n");
    test_same("in x f32[0,7,4]\nin k f32[4,0]\nin v f32[0,3]\na = MatMul(x,k)\np = Softmax(a) axis=-1\ny = MatMul(p,v)\nout y\n");
}

static void batchnorm(void **state)
{
    (void)state;
    golden("batchnorm", "in x f32[1,3,4,4]\nconst w f32[2,3,1,1]:1,2,3,4,5,6\n" BN "a = Conv(x,w)\ny = BatchNormalization(a,s,t,m,v) epsilon=0.0\nout y\n",
           "y = Conv(x,[4,8,12,12,15,18],[-1,-1])\nout y\n");
    golden("batchnorm", "in x f32[2,3]\nconst w f32[3,2]:1,2,3,4,5,6\nconst b f32[2]:1,2\n" BN "a = Gemm(x,w,b)\ny = BatchNormalization(a,s,t,m,v) epsilon=0.0\nout y\n",
           "y = Gemm(x,[4,6,12,12,20,18],[3,5])\nout y\n");
    golden("batchnorm", "in x f32[2,3]\nconst w f32[2,3]:1,2,3,4,5,6\n" BN "a = Gemm(x,w) transB=1\ny = BatchNormalization(a,s,t,m,v) epsilon=0.0\nout y\n",
           "y = Gemm(x,[4,8,12,12,15,18],[-1,-1]) transB=1\nout y\n");
    golden("batchnorm", "in x f32[1,4,2,2]\nconst w f32[4,1,1,1]:1,2,3,4\n" BN "a = ConvTranspose(x,w) group=2\ny = BatchNormalization(a,s,t,m,v) epsilon=0.0\nout y\n",
           "y = ConvTranspose(x,[4,8,9,12],[-1,-1]) group=2\nout y\n");
    untouched("batchnorm", "in x f32[1,3,4,4]\nconst w f32[2,3,1,1]:1,2,3,4,5,6\n" BN,
              "a = Conv(x,w)\ny = BatchNormalization(a,s,t,m,v) epsilon=0.5\nout y\nout a\n");
}

static void prenorm(void **state)
{
    (void)state;
    golden("prenorm", "in x f32[1,2,4,4]\nconst w f32[2,2,1,1]:1,2,3,4\n" BN "a = BatchNormalization(x,s,t,m,v) epsilon=0.0\ny = Conv(a,w)\nout y\n",
           "y = Conv(x,[4,6,12,12],[-3,-7])\nout y\n");
    golden("prenorm", "in x f32[1,2,4,4]\nconst w f32[2,1,1,1]:1,2\nconst b f32[2]:5,6\n" BN "a = BatchNormalization(x,s,t,m,v) epsilon=0.0\ny = Conv(a,w,b) group=2\nout y\n",
           "y = Conv(x,[4,6],[4,4]) group=2\nout y\n");
    untouched("prenorm", "in x f32[1,2,4,4]\nconst w f32[2,2,1,1]:1,2,3,4\n" BN,
              "a = BatchNormalization(x,s,t,m,v) epsilon=0.5\ny = Conv(a,w) pads=[1,1,1,1]\nout y\n");
}

static void pad(void **state)
{
    (void)state;
#define PAD "in x f32[1,1,4,5]\nconst w f32[2,1,3,3]:1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9\nconst p i64[8]:0,0,1,0,0,0,2,1\nconst c i64[8]:0,1,0,0,0,0,0,0\nconst low f32[]:-inf\nconst five f32[]:5\n"
    golden("pad", PAD "a = Pad(x,p)\ny = Conv(a,w) pads=[0,1,0,0]\nout y\n", "y = Conv(x,w) pads=[1,1,2,1]\nout y\n");
    golden("pad", PAD "a = Pad(x,p,low)\ny = MaxPool(a) kernel_shape=[3,3]\nout y\n", "y = MaxPool(x) kernel_shape=[3,3] pads=[1,0,2,1]\nout y\n");
    golden("pad", PAD "a = Pad(x,p)\ny = AveragePool(a) kernel_shape=[3,3]\nout y\n", "y = AveragePool(x) kernel_shape=[3,3] pads=[1,0,2,1] count_include_pad=1\nout y\n");
    untouched("pad", PAD, "a = Pad(x,p,five)\ny = Conv(a,w)\nout y\n");
    untouched("pad", PAD, "a = Pad(x,p)\ny = MaxPool(a) kernel_shape=[3,3]\nout y\n");
    untouched("pad", PAD, "a = Pad(x,p) mode='edge'\ny = Conv(a,w)\nout y\n");
    untouched("pad", PAD, "a = Pad(x,p,low)\ny = MaxPool(a) kernel_shape=[2,2]\nout y\n");
}

static void qdq(void **state)
{
    (void)state;
#define Q "opset 19\nin x u8[1,2,4,4]\nin w u8[1,2,4,4]\nconst s f32[]:0.5\nconst z u8[]:7\nconst t f32[]:0.25\nconst shape i64[2]:2,16\n"
    golden("qdq", Q "a = DequantizeLinear(x,s,z)\nb = Reshape(a,shape)\ny = QuantizeLinear(b,s,z)\nout y\n", "b = Reshape(x,shape)\nout b\n");
    golden("qdq", Q "a = DequantizeLinear(x,s,z)\ny = QuantizeLinear(a,s,z)\nz2 = Neg(a)\nout y\nout z2\n", "a = DequantizeLinear(x,s,z)\nz2 = Neg(a)\nout x\nout z2\n");
    golden("qdq", Q "a = DequantizeLinear(x,s,z)\nb = DequantizeLinear(w,s,z)\nc = Concat(a,b) axis=1\nd = QuantizeLinear(c,s,z)\ne = DequantizeLinear(d,s,z)\n"
                    "f = MaxPool(e) kernel_shape=[2,2]\ny = QuantizeLinear(f,s,z)\nout y\n",
           "c = Concat(x,w) axis=1\nf = MaxPool(c) kernel_shape=[2,2]\nout f\n");
    untouched("qdq", Q, "a = DequantizeLinear(x,s,z)\nb = Reshape(a,shape)\ny = QuantizeLinear(b,t,z)\nout y\n");
    untouched("qdq", Q, "a = DequantizeLinear(x,s,z)\nb = Relu(a)\ny = QuantizeLinear(b,s,z)\nout y\n");
    untouched("qdq", Q, "a = DequantizeLinear(x,s,z)\nb = DequantizeLinear(w,t,z)\nc = Concat(a,b) axis=1\ny = QuantizeLinear(c,s,z)\nout y\n");
}

#define QL "opset 13\nin x u8[1,2,4,4]\nin z u8[1,2,4,4]\nconst s f32[]:0.5\nconst o u8[]:7\nconst t f32[]:0.25\nconst n u8[]:0\nconst w i8[2,2,1,1]:1,-2,3,4\n" \
           "const ws f32[2]:0.125,0.5\nconst wz i8[2]:0,0\nconst b i32[2]:10,-20\nconst bs f32[2]:0.0625,0.25\nconst bz i32[2]:0,0\n" \
           "a = DequantizeLinear(x,s,o)\n"
#define WEIGHTS "f = DequantizeLinear(w,ws,wz) axis=0\n"
#define BIAS "g = DequantizeLinear(b,bs,bz) axis=0\n"

static void qlinear(void **state)
{
    (void)state;
    golden("qlinear", QL WEIGHTS BIAS "c = Conv(a,f,g) pads=[1,0,0,0]\ny = QuantizeLinear(c,t,o)\nout y\n",
           "y = QLinearConv(x,s,o,w,ws,wz,t,o,b) pads=[1,0,0,0]\nout y\n");
    golden("qlinear", QL WEIGHTS "c = Conv(a,f)\nd = Relu(c)\ny = QuantizeLinear(d,t)\nout y\n", "y = QLinearConv(x,s,o,w,ws,wz,t,0)\nout y\n");
    golden("qlinear", QL "const d i8[2,1,1,1]:1,-2\nf = DequantizeLinear(d,ws,wz) axis=0\nc = Conv(a,f) group=2\ny = QuantizeLinear(c,t,o)\nout y\n",
           "y = QLinearConv(x,s,o,d,ws,wz,t,o) group=2\nout y\n");
    golden("qlinear", QL "b2 = DequantizeLinear(z,t,n)\nc = Add(a,b2)\ny = QuantizeLinear(c,t,o)\nout y\n",
           "y = QLinearAdd(x,s,o,z,t,n,t,o) pintle.as_numbers=1\nout y\n");
    golden("qlinear", QL "b2 = DequantizeLinear(z,t,n)\nc = Mul(a,b2)\ny = QuantizeLinear(c,s,o)\nout y\n",
           "y = QLinearMul(x,s,o,z,t,n,s,o) pintle.as_numbers=1\nout y\n");
    golden("qlinear", QL "c = Sigmoid(a)\ny = QuantizeLinear(c,t,n)\nout y\n", "y = QLinearSigmoid(x,s,o,t,n)\nout y\n");
    golden("qlinear", QL "c = LeakyRelu(a) alpha=0.5\ny = QuantizeLinear(c,t,o)\nout y\n", "y = QLinearLeakyRelu(x,s,o,t,o) alpha=0.5\nout y\n");
    golden("qlinear", QL "b2 = DequantizeLinear(z,t,n)\nc = Concat(a,b2) axis=1\ny = QuantizeLinear(c,t,o)\nout y\n",
           "y = QLinearConcat(t,o,x,s,o,z,t,n) axis=1\nout y\n");
    golden("qlinear", QL "c = AveragePool(a) kernel_shape=[2,2]\ny = QuantizeLinear(c,t,o)\nout y\n", "y = QLinearAveragePool(x,s,o,t,o) kernel_shape=[2,2]\nout y\n");
    golden("qlinear", QL "c = GlobalAveragePool(a)\ny = QuantizeLinear(c,t,o)\nout y\n", "y = QLinearGlobalAveragePool(x,s,o,t,o)\nout y\n");
}

/* A Relu that saturation does not do, a bias in other steps, another reader, unknown weights, 16 bits, groups of two results, types that differ. */
static void qlinear_stays(void **state)
{
    (void)state;
    const char *head = "opset 21\nin x u8[1,2,4,4]\nin i i8[1,2,4,4]\nin v f32[2,2,1,1]\nconst s f32[]:0.5\nconst o u8[]:7\nconst t f32[]:0.25\nconst w i8[2,2,1,1]:1,-2,3,4\n"
                       "const d i8[4,1,1,1]:1,-2,3,4\nconst b i32[2]:10,-20\nconst r f32[2]:1,2\nconst h u16[]:9\n";
#define A "a = DequantizeLinear(x,s,o)\n"
#define F "f = DequantizeLinear(w,t)\n"
    untouched("qlinear", head, A F "c = Conv(a,f)\ne = Relu(c)\ny = QuantizeLinear(e,t,o)\nout y\n");
    untouched("qlinear", head, A F "g = DequantizeLinear(b,t)\nc = Conv(a,f,g)\ny = QuantizeLinear(c,t,o)\nout y\n");
    untouched("qlinear", head, A F "c = Conv(a,f,r)\ny = QuantizeLinear(c,t,o)\nout y\n");
    untouched("qlinear", head, A F "c = Conv(a,f)\ny = QuantizeLinear(c,t,o)\nout y\nout c\n");
    untouched("qlinear", head, A "c = Conv(a,v)\ny = QuantizeLinear(c,t,o)\nout y\n");
    untouched("qlinear", head, A F "c = Conv(a,f)\ny = QuantizeLinear(c,t,h)\nout y\n");
    untouched("qlinear", head, A "f = DequantizeLinear(d,t)\nc = Conv(a,f) group=2\ny = QuantizeLinear(c,t,o)\nout y\n");
    untouched("qlinear", head, A "e = DequantizeLinear(i,t)\nc = Add(a,e)\ny = QuantizeLinear(c,t,o)\nout y\n");
}

#define QP "opset 21\nin x u8[3,2]\nin v f32[3,2]\nconst s f32[]:0.5\nconst o u8[]:7\nconst t f32[]:0.25\nconst w i8[2,2]:1,-2,3,4\nconst ws f32[2]:0.125,0.5\n" \
           "const wz i8[2]:0,0\nconst b i32[2]:10,-20\nconst bs f32[2]:0.0625,0.25\nconst bz i32[2]:0,0\nconst r f32[2]:1,2\n" A
#define COLUMNS "f = DequantizeLinear(w,ws,wz)\n"
#define ROWS "f = DequantizeLinear(w,ws,wz) axis=0\n"

/* Matrix products, with and without a quantised result. */
static void qproduct(void **state)
{
    (void)state;
    golden("qlinear", QP COLUMNS "c = MatMul(a,f)\ny = QuantizeLinear(c,t,o)\nout y\n", "y = QLinearMatMul(x,s,o,w,ws,wz,t,o)\nout y\n");
    golden("qlinear", QP ROWS BIAS "c = Gemm(a,f,g) transB=1\nd = Relu(c)\ny = QuantizeLinear(d,t)\nout y\n",
           "y = QGemm(x,s,o,w,ws,wz,b,t,0) transB=1\nout y\n");
    golden("qproduct", QP COLUMNS "c = MatMul(a,f)\ny = Add(c,r)\nout y\n", "c = MatMulIntegerToFloat(x,w,s,ws,o,wz)\ny = Add(c,r)\nout y\n");
    golden("qproduct", QP COLUMNS BIAS "y = Gemm(a,f,g)\nout y\n", "y = QGemm(x,s,o,w,ws,wz,b)\nout y\n");
    golden("qproduct", QP "q,qs,qz = DynamicQuantizeLinear(v)\nc = MatMulInteger(q,w,qz)\nd = Cast(c) to=1\ne = Mul(qs,ws)\nf = Mul(d,e)\ny = Add(f,r)\nout y\n",
           "q = DynamicQuantizeLinear(v)\nf = MatMulIntegerToFloat(q,w,qs,ws,qz)\ny = Add(f,r)\nout y\n");
}

/* Scales along the wrong axis, a bias of numbers or in other steps, a factor, a scale that is no constant, sums for somebody else. */
static void qproduct_stays(void **state)
{
    (void)state;
    const char *head = "opset 21\nin x u8[3,2]\nin v f32[3,2]\nin i f32[]\nconst s f32[]:0.5\nconst o u8[]:7\nconst t f32[]:0.25\nconst w i8[2,2]:1,-2,3,4\n"
                       "const ws f32[2]:0.125,0.5\nconst b i32[2]:10,-20\nconst bs f32[2]:0.0625,0.25\nconst bz i32[2]:0,0\nconst r f32[2]:1,2\n";
#define S "f = DequantizeLinear(w,ws) axis=1\n"
    untouched("qproduct", head, A "f = DequantizeLinear(w,ws) axis=0\ny = MatMul(a,f)\nout y\n");
    untouched("qproduct", head, A S "y = Gemm(a,f,r)\nout y\n");
    untouched("qproduct", head, A S "g = DequantizeLinear(b,t)\ny = Gemm(a,f,g)\nout y\n");
    untouched("qproduct", head, A S BIAS "y = Gemm(a,f,g) alpha=0.5\nout y\n");
    untouched("qproduct", head, "c = MatMulInteger(x,w,o)\nd = Cast(c) to=1\ne = Mul(i,ws)\ny = Mul(d,e)\nout y\n");
#define REST "c = MatMulInteger(q,w,qz)\nd = Cast(c) to=1\ne = Mul(qs,ws)\ny = Mul(d,e)\nout y\nout c\n"
    char before[2048];
    snprintf(before, sizeof before, "%sq,qs,qz = DynamicQuantizeLinear(v)\n" REST, head);
    golden("qproduct", before, "q = DynamicQuantizeLinear(v)\n" REST);
}

static void names(void **state)
{
    (void)state;
    struct pt_err err = {0};
    uint32_t off;
    assert_int_equal(pt_rewrite_parse("gelu,pad", &off, &err), PT_OK);
    assert_int_equal(off, PT_REWRITE_BIT(gelu) | PT_REWRITE_BIT(pad));
    assert_int_equal(pt_rewrite_parse(NULL, &off, &err), PT_OK);
    assert_int_equal(off, 0);
    assert_int_equal(pt_rewrite_parse("gelu,foo", &off, &err), PT_EINVAL);
    assert_non_null(strstr(err.msg, "there is no rewrite 'foo'; there are fold, dead, identity, "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold),      cmocka_unit_test(dead),            cmocka_unit_test(identity), cmocka_unit_test(numbers), cmocka_unit_test(nothing_added),
        cmocka_unit_test(cast),      cmocka_unit_test(cse),             cmocka_unit_test(reshape),  cmocka_unit_test(transpose), cmocka_unit_test(transpose_stays),
        cmocka_unit_test(vendor), cmocka_unit_test(gelu),      cmocka_unit_test(norms), cmocka_unit_test(attention), cmocka_unit_test(attention_stays), cmocka_unit_test(attention_shapes),          cmocka_unit_test(batchnorm), cmocka_unit_test(prenorm), cmocka_unit_test(pad),
        cmocka_unit_test(qdq), cmocka_unit_test(qlinear), cmocka_unit_test(qlinear_stays), cmocka_unit_test(qproduct), cmocka_unit_test(qproduct_stays), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
