/* SPDX-License-Identifier: Apache-2.0
 *
 * rules_composed.c: derivatives that take more than a node or two: Einsum, Attention, normalisations. They are written in plain operators, which the
 * compiler makes fast as far as it does for anybody.
 */
#include "runtime/train/rules.h"

#include "runtime/ops/table.h"

static int mul(struct pt_grad *d, int a, int b)
{
    return pt_grad_emit(d, &pt_op_mul, a, b);
}

static int sub(struct pt_grad *d, int a, int b)
{
    return pt_grad_emit(d, &pt_op_sub, a, b);
}

static int reshape(struct pt_grad *d, int x, int dims)
{
    return pt_grad_emit(d, &pt_op_reshape, x, dims);
}

static int mean(struct pt_grad *d, int x, int axes)
{
    return pt_grad_emit(d, &pt_op_reduce_mean, x, axes);
}

/* --- Einsum ------------------------------------------------------------------------------------------------------------------------------------
 *
 * y is the sum of a b ... over the indices that y lacks, so the derivative by a is an Einsum of dy and the other operands to a's indices. An index
 * that only a has is in none of them: ones of a's shape bring it in.
 */

#define TERMS 16
struct equation {
    struct pt_str in[TERMS], out;
    char made[64]; /* the output where the equation names none */
    int count;
};

static bool has(struct pt_str term, char letter)
{
    return memchr(term.p, letter, term.len) != NULL;
}

static bool has_dots(struct pt_str term)
{
    return has(term, '.');
}

/* Without "->": the axes of "...", then the letters that occur once, sorted. */
static void implied(struct equation *e)
{
    size_t n = 0;
    for (int i = 0; i < e->count && n == 0; i++)
        if (has_dots(e->in[i]))
            n = 3;
    memcpy(e->made, "...", n);
    for (char l = 'A'; l <= 'z' && n < sizeof e->made; l++) {
        int times = 0;
        for (int i = 0; i < e->count; i++)
            for (size_t k = 0; k < e->in[i].len; k++)
                times += e->in[i].p[k] == l;
        if (times == 1)
            e->made[n++] = l;
    }
    e->out = (struct pt_str){e->made, n};
}

/* The operator itself has checked nothing yet: what is no equation gets an error here. */
static int read_equation(struct pt_grad *d, const struct pt_grad_site *s, char *text, size_t room, struct equation *e)
{
    const struct pt_onnx_attr *a = pt_node_attr(&s->n, "equation");
    size_t n = 0, from = 0;
    bool arrow = false;
    for (size_t i = 0; a && a->type == PT_ATTR_STRING && i < a->s.len; i++)
        if (a->s.p[i] != ' ' && n < room)
            text[n++] = a->s.p[i];
    e->count = 0;
    for (size_t i = 0; i <= n && n < room; i++) {
        bool end = i == n, to = !end && text[i] == '-';
        if (!end && !to && text[i] != ',')
            continue;
        struct pt_str term = {text + from, i - from};
        if (arrow)
            e->out = term;
        else if (e->count < TERMS)
            e->in[e->count++] = term;
        i += to;
        from = i + 1;
        arrow = arrow || to;
    }
    if (e->count != s->n.input_count)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: the derivative of its equation is not known", pt_node_text(&s->n).s);
    if (!arrow)
        implied(e);
    return PT_OK;
}

/* Is each index of term k in the output or in another operand? */
static bool shared(const struct equation *e, int k)
{
    bool all = true;
    for (size_t i = 0; i < e->in[k].len; i++) {
        bool found = has(e->out, e->in[k].p[i]);
        for (int t = 0; t < e->count; t++)
            found = found || (t != k && has(e->in[t], e->in[k].p[i]));
        all = all && found;
    }
    return all;
}

static int d_einsum(struct pt_grad *d, struct pt_grad_site *s)
{
    char text[256], *made = pt_graph_alloc(d->g, 3 * sizeof text, d->err);
    struct equation e;
    int in[TERMS + 1], n = 0, rc = made ? read_equation(d, s, text, sizeof text, &e) : d->err->code;
    struct pt_str own = rc < 0 ? (struct pt_str){0} : e.in[s->k];
    size_t len = 0;
    for (size_t i = 0; rc == PT_OK && i < own.len; i++)
        if (own.p[i] != '.' && memchr(own.p + i + 1, own.p[i], own.len - i - 1))
            return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative by an operand of which it takes the diagonal is not known",
                           pt_node_text(&s->n).s);
    if (rc < 0)
        return rc;
#define TERM(text, value)                                                                                                                            \
    do {                                                                                                                                             \
        memcpy(made + len, (text).p, (text).len);                                                                                                    \
        len += (text).len;                                                                                                                           \
        made[len++] = ',';                                                                                                                           \
        in[n++] = value;                                                                                                                             \
    } while (0)
    TERM(e.out, s->dy);
    for (int t = 0; t < e.count; t++)
        if (t != s->k)
            TERM(e.in[t], s->n.inputs[t]);
    if (!shared(&e, s->k))
        TERM(own, pt_grad_emit(d, &pt_grad_ones_like, s->n.inputs[s->k]));
#undef TERM
    memcpy(made + len - 1, "->", 2);
    memcpy(made + len + 1, own.p, own.len);
    len += 1 + own.len;
    /* what a lacks of "..." was broadcast */
    bool dots = has_dots(e.out);
    for (int t = 0; t < e.count; t++)
        dots = dots || has_dots(e.in[t]);
    if (dots && !has_dots(own)) {
        memmove(made + len - own.len + 3, made + len - own.len, own.len);
        memcpy(made + len - own.len, "...", 3);
        len += 3;
    }
    int part = pt_grad_node(d, &pt_op_einsum, NULL, in, n, 1);
    return pt_grad_set_text(d, part, "equation", (struct pt_str){made, len});
}

/* --- Attention ---------------------------------------------------------------------------------------------------------------------------------
 *
 * y = P v, P = softmax(S), S = scale q k' + mask. The operator says what P is (output 3), with all that it masks out. Operands of rank 3, which
 * have the numbers of heads as attributes, are brought to [batch, heads, length, width].
 */

static int to_heads(struct pt_grad *d, int x, int64_t heads)
{
    if (!heads)
        return x;
    return pt_grad_set_ints(d, pt_grad_emit(d, &pt_op_transpose, reshape(d, x, pt_grad_list(d, 0, 0, heads, -1))), "perm", (int64_t[]){0, 2, 1, 3},
                            4);
}

static int from_heads(struct pt_grad *d, int dx, int64_t heads, int x)
{
    if (!heads)
        return pt_grad_emit(d, &pt_grad_sum_to, dx, x);
    int v = pt_grad_set_ints(d, pt_grad_emit(d, &pt_op_transpose, dx), "perm", (int64_t[]){0, 2, 1, 3}, 4);
    return pt_grad_emit(d, &pt_grad_shape_like, v, x);
}

static int product(struct pt_grad *d, int a, bool trans_a, int b, bool trans_b)
{
    const int64_t perm[] = {0, 1, 3, 2};
    a = trans_a ? pt_grad_set_ints(d, pt_grad_emit(d, &pt_op_transpose, a), "perm", perm, 4) : a;
    b = trans_b ? pt_grad_set_ints(d, pt_grad_emit(d, &pt_op_transpose, b), "perm", perm, 4) : b;
    return pt_grad_emit(d, &pt_op_matmul, a, b);
}

/* x times the scale: the attribute, or 1 / sqrt(width of q). */
static int scaled(struct pt_grad *d, const struct pt_grad_site *s, int x, int q)
{
    if (pt_node_attr(&s->n, "scale"))
        return mul(d, x, pt_grad_number(d, pt_grad_attr_float(s, "scale", 1), x));
    int width = pt_grad_set_int(d, pt_grad_emit(d, &pt_op_shape, q), "start", -1);
    return pt_grad_emit(d, &pt_op_div, x, pt_grad_emit(d, &pt_op_sqrt, pt_grad_emit(d, &pt_op_cast_like, width, x)));
}

/* The weights P and the derivative by S, one value after the other. */
static int softmax_of(struct pt_grad *d, struct pt_grad_site *s, int64_t heads)
{
    int in[8], n = s->n.input_count;
    for (int i = 0; i < n; i++)
        in[i] = pt_grad_in(s, i);
    int y = pt_grad_node(d, s->n.op, &s->n, in, n, 4), p = y < 0 ? y : pt_grad_set_int(d, y, "qk_matmul_output_mode", 3) + 3;
    if (y < 0)
        return y;
    int dp = product(d, to_heads(d, s->dy, heads), false, to_heads(d, s->n.inputs[2], heads), true);
    s->shared = p;
    return pt_grad_set_int(d, pt_grad_emit(d, &pt_grad_softmax, dp, p), "axis", -1);
}

static int d_attention(struct pt_grad *d, struct pt_grad_site *s)
{
    int64_t heads = pt_grad_attr_int(s, "q_num_heads", 0), groups = pt_grad_attr_int(s, "kv_num_heads", heads);
    if (heads != groups || pt_grad_attr_float(s, "softcap", 0) != 0)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known with as many heads of keys as of queries, without softcap",
                       pt_node_text(&s->n).s);
    if (s->k > 3 || pt_grad_in(s, 4) != PT_GRAD_NONE || pt_grad_in(s, 6) != PT_GRAD_NONE)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known without a cache", pt_node_text(&s->n).s);
    int q = s->n.inputs[0], ds = softmax_of(d, s, heads), p = s->shared;
    if (s->k == 3)
        return pt_grad_emit(d, &pt_grad_sum_to, ds, s->n.inputs[3]);
    if (s->k == 2)
        return from_heads(d, product(d, p, true, to_heads(d, s->dy, heads), false), heads, s->n.inputs[2]);
    int other = to_heads(d, s->n.inputs[!s->k], heads);
    return from_heads(d, scaled(d, s, product(d, ds, s->k == 1, other, false), to_heads(d, q, heads)), heads, s->n.inputs[s->k]);
}

/* --- normalisations ------------------------------------------------------------------------------------------------------------------------------
 */

/* 1 / sqrt(mean of squares over the axes + epsilon) */
static int inverse(struct pt_grad *d, const struct pt_grad_site *s, int x, int axes)
{
    int square = mean(d, mul(d, x, x), axes);
    square = pt_grad_emit(d, &pt_op_add, square, pt_grad_number(d, pt_grad_attr_float(s, "epsilon", 1e-5F), x));
    return pt_grad_emit(d, &pt_op_reciprocal, pt_grad_emit(d, &pt_op_sqrt, square));
}

/* x / root mean square, times scale: with n = x r, dx = r (g - n mean(g n)) where g = dy scale. */
static int d_rmsnorm(struct pt_grad *d, struct pt_grad_site *s)
{
    int64_t axis = pt_grad_attr_int(s, "axis", -1), over[PT_MAX_RANK];
    int x = s->n.inputs[0], scale = s->n.inputs[1];
    if (axis >= 0 || axis < -PT_MAX_RANK)
        return pt_fail(d->err, PT_EUNSUPPORTED, "%s: its derivative is known with axes that are counted from behind", pt_node_text(&s->n).s);
    for (int64_t i = 0; i < -axis; i++)
        over[i] = axis + i;
    int axes = pt_grad_int64s(d, over, (size_t)-axis), r = inverse(d, s, x, axes), n = mul(d, x, r);
    if (s->k == 1)
        return pt_grad_emit(d, &pt_grad_sum_to, mul(d, s->dy, n), scale);
    int g = mul(d, s->dy, scale);
    return mul(d, r, sub(d, g, mul(d, n, mean(d, mul(d, g, n), axes))));
}

/* As [N, groups, what a group has], with scale and bias for each channel (before opset 21 for each group). */
static int d_groupnorm(struct pt_grad *d, struct pt_grad_site *s)
{
    int64_t groups = pt_grad_attr_int(s, "num_groups", 0);
    if (groups < 1)
        return pt_fail(d->err, PT_EINVAL, "%s: attribute 'num_groups' is %lld", pt_node_text(&s->n).s, (long long)groups);
    int x = s->n.inputs[0], scale = s->n.inputs[1], last = pt_grad_list(d, -1), in_groups = pt_grad_list(d, 0, groups, -1);
    int in_channels = s->n.version >= 21 ? pt_grad_list(d, 0, 0, -1) : in_groups;
    int xg = reshape(d, x, in_groups), centred = sub(d, xg, mean(d, xg, last)), r = inverse(d, s, centred, last), n = mul(d, centred, r);
    int dy = reshape(d, s->dy, in_channels), one = reshape(d, scale, pt_grad_list(d, -1, 1));
    if (s->k > 0) {
        int part = s->k == 2 ? dy : mul(d, dy, pt_grad_emit(d, &pt_grad_shape_like, n, dy));
        return pt_grad_emit(d, &pt_grad_shape_like, pt_grad_emit(d, &pt_grad_sum_to, part, one), s->n.inputs[s->k]);
    }
    int g = reshape(d, mul(d, dy, one), in_groups);
    int dx = mul(d, r, sub(d, sub(d, g, mean(d, g, last)), mul(d, n, mean(d, mul(d, g, n), last))));
    return pt_grad_emit(d, &pt_grad_shape_like, dx, x);
}

const struct pt_grad_rule pt_grad_rules_composed[] = {
    {&pt_op_einsum, d_einsum, 0},
    {&pt_op_attention, d_attention, PT_GRAD_SHAPED},
    {&pt_op_rms_normalization, d_rmsnorm, PT_GRAD_SHAPED},
    {&pt_op_group_normalization, d_groupnorm, PT_GRAD_SHAPED},
    {NULL, NULL, 0},
};
