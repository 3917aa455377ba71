/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_int_matmul.c: MatMulInteger, QLinearMatMul, and com.microsoft's QGemm, MatMulIntegerToFloat and DynamicQuantizeMatMul on the integer kernel,
 * for a constant B that all of A is multiplied with. The rows of A are copied as int16 less their zero point, an even number of elements each; B was
 * packed so. Then tasks, each a band of rows times a slab of columns, are multiplied and written as the operator has them: sums, bytes or numbers. A
 * step that gives numbers takes in what follows a float product too (fuse.c): bias, residual, activation. Integers are exact, whatever the
 * instruction set.
 *
 * Left to the reference: B that is not known or a batch of matrices, zero points or scales of A or the result for each row, a transposed A.
 */
#include "runtime/compile/lower.h"

#include "runtime/ops/int_matmul.h"
#include "runtime/ops/table.h"

#define SLAB 128                /* columns of a task: its sums stay in L1 */
#define BAND_BYTES (256 * 1024) /* of A: it stays in L2 while the slabs go by */
#define SMALL (1 << 20)         /* multiplications that are not worth waking a thread for */

struct int_matmul_step {
    const struct pt_int_matmul_params *p;
    struct pt_int_conv s;
    const void *packed;
    size_t m, k; /* k as given; s.channels is even */
    size_t bands, slab, slabs;
    float *scale; /* of each column; NULL: not known before the run */
    size_t bytes_bytes, wide_bytes, scale_bytes, slot_bytes, slots;
    struct pt_fused fused;
};

struct int_matmul_job {
    const struct int_matmul_step *s;
    const struct pt_op_ctx *c;
    const uint8_t *x;
    bool is_signed;
    int32_t x_zero;
    const float *scale;
    int16_t *wide;
    char *slots;
    size_t next; /* task to claim, atomic */
};

static const struct pt_tensor *operand(const struct pt_op_ctx *c, int i)
{
    return i < 0 ? NULL : pt_op_in(c, i);
}

static void widen_rows(void *arg, size_t begin, size_t end)
{
    const struct int_matmul_job *j = arg;
    const size_t k = j->s->k, wide = j->s->s.channels;
    if (k == wide) {
        pt_kernels()->widen(j->x + begin * k, j->is_signed, (end - begin) * k, j->x_zero, j->wide + begin * k);
        return;
    }
    for (size_t i = begin; i < end; i++) {
        pt_kernels()->widen(j->x + i * k, j->is_signed, k, j->x_zero, j->wide + i * wide);
        j->wide[i * wide + k] = 0;
    }
}

/* --- a task ---------------------------------------------------------------------------------------------------------------------------------- */

static void put_bytes(const struct int_matmul_job *j, size_t rows, size_t n, size_t col, const int32_t *acc, size_t at)
{
    const struct pt_op_ctx *c = j->c;
    const struct pt_tensor *bias = operand(c, j->s->p->sums);
    struct pt_requantise r = {.rows = rows,
                              .n = n,
                              .acc = acc,
                              .acc_ld = n,
                              .bias = bias ? (const int32_t *)bias->data + col : NULL,
                              .scale = j->scale + col,
                              .zero = pt_quant_zero(operand(c, j->s->p->y_zero), 0),
                              .y = (uint8_t *)c->out[0]->data + at,
                              .y_ld = j->s->s.n};
    pt_quant_range(c->out[0]->dtype, &r.lo, &r.hi);
    pt_kernels()->requantise(&r);
}

static void put_floats(const struct int_matmul_job *j, size_t rows, size_t n, size_t col, const int32_t *acc, size_t at)
{
    const struct pt_op_ctx *c = j->c;
    const struct pt_fused *f = &j->s->fused;
    const struct pt_tensor *sums = operand(c, j->s->p->sums), *bias = c->in[f->bias], *residual = c->in[f->residual];
    pt_kernels()->int_floats(&(struct pt_int_floats){.rows = rows,
                                                     .n = n,
                                                     .acc = acc,
                                                     .acc_ld = n,
                                                     .bias = sums ? (const int32_t *)sums->data + col : NULL,
                                                     .scale = j->scale + col,
                                                     .ep = {.bias = bias ? (const float *)bias->data + col : NULL,
                                                            .residual = residual ? (const float *)residual->data + at : NULL,
                                                            .residual_ld = j->s->s.n,
                                                            .act = f->act,
                                                            .lo = f->lo,
                                                            .hi = f->hi},
                                                     .y = (float *)c->out[0]->data + at,
                                                     .y_ld = j->s->s.n});
}

static void int_matmul_task(const struct int_matmul_job *j, size_t task, int32_t *acc)
{
    const struct int_matmul_step *s = j->s;
    const size_t band = task / s->slabs, first = band * s->m / s->bands, rows = (band + 1) * s->m / s->bands - first;
    const size_t col = task % s->slabs * s->slab, n = s->s.n - col < s->slab ? s->s.n - col : s->slab, at = first * s->s.n + col;
    const void *packed = (const int16_t *)s->packed + col * s->s.channels;
    struct pt_int_conv product = s->s;
    product.n = n;
    if (j->c->out[0]->dtype == PT_INT32) {
        pt_kernels()->int_conv(&product, j->wide, packed, first, rows, (int32_t *)j->c->out[0]->data + at, s->s.n);
        return;
    }
    pt_kernels()->int_conv(&product, j->wide, packed, first, rows, acc, n);
    if (j->c->out[0]->dtype == PT_FLOAT)
        put_floats(j, rows, n, col, acc, at);
    else
        put_bytes(j, rows, n, col, acc, at);
}

static void int_matmul_slots(void *arg, size_t begin, size_t end)
{
    struct int_matmul_job *j = arg;
    for (size_t slot = begin; slot < end; slot++)
        for (size_t t; (t = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < j->s->bands * j->s->slabs;)
            int_matmul_task(j, t, (int32_t *)(void *)(j->slots + slot * j->s->slot_bytes));
}

/* As the reference multiplies them: the order decides the last bit. */
static void set_scales(const struct pt_int_matmul_params *p, size_t n, float a, const struct pt_tensor *b, const struct pt_tensor *y, float *scale)
{
    for (size_t i = 0; i < n; i++) {
        scale[i] = p->alpha * a * pt_quant_scale(b, (int64_t)i);
        if (y)
            scale[i] /= pt_quant_scale(y, 0);
    }
}

static int int_matmul_run(struct pt_op_ctx *c)
{
    const struct int_matmul_step *s = c->params;
    const struct pt_int_matmul_params *p = s->p;
    char *work = c->scratch;
    struct int_matmul_job j = {.s = s,
                               .c = c,
                               .x = c->in[p->a]->data,
                               .is_signed = c->in[p->a]->dtype == PT_INT8,
                               .x_zero = pt_quant_zero(operand(c, p->a_zero), 0),
                               .scale = s->scale,
                               .wide = (int16_t *)(void *)(work + s->bytes_bytes),
                               .slots = work + s->bytes_bytes + s->wide_bytes + s->scale_bytes};
    float a_scale = pt_quant_scale(operand(c, p->a_scale), 0);
    if (p->dynamic) {
        pt_quant_measure(c->in[p->a]->data, (int64_t)(s->m * s->k), &a_scale, &j.x_zero);
        pt_kernels()->quantise(c->in[p->a]->data, s->m * s->k, a_scale, j.x_zero, 0, 255, (uint8_t *)work);
        j.x = (const uint8_t *)work;
    }
    if (!j.scale && c->out[0]->dtype != PT_INT32) {
        float *scale = (float *)(void *)(work + s->bytes_bytes + s->wide_bytes);
        set_scales(p, s->s.n, a_scale, operand(c, p->b_scale), operand(c, p->y_scale), scale);
        j.scale = scale;
    }
    struct pt_threads *threads = s->m * s->s.n * s->k < SMALL ? NULL : c->threads;
    pt_parallel_for(threads, s->m, 1 + 16384 / s->k, widen_rows, &j);
    pt_parallel_for(threads, s->slots, 1, int_matmul_slots, &j);
    return PT_OK;
}

/* --- weights -------------------------------------------------------------------------------------------------------------------------------- */

struct int_matmul_pack {
    const struct pt_kernels *k;
    const struct int_matmul_step *s;
    struct pt_tensor b, zero; /* zero.data is NULL when there is none */
};

/* Columns [first, first + n) as rows, less their zero points. */
static void widen_columns(const struct int_matmul_pack *j, size_t first, size_t n, int16_t *to)
{
    const struct int_matmul_step *s = j->s;
    const uint8_t *b = j->b.data;
    const bool turned = s->p->trans_b, is_signed = j->b.dtype == PT_INT8;
    for (size_t i = 0; i < s->k; i++)
        for (size_t c = 0; c < n; c++) {
            uint8_t v = b[turned ? (first + c) * s->k + i : i * s->s.n + first + c];
            to[c * s->s.channels + i] = is_signed ? (int8_t)v : v;
        }
    for (size_t c = 0; j->zero.data && c < n; c++) {
        int32_t zero = pt_quant_zero(&j->zero, (int64_t)(first + c));
        for (size_t i = 0; zero && i < s->k; i++)
            to[c * s->s.channels + i] = (int16_t)(to[c * s->s.channels + i] - zero);
    }
}

static int fill_int_matmul(void *arg, void *out, struct pt_err *err)
{
    const struct int_matmul_pack *j = arg;
    const size_t depth = j->s->s.channels, columns = j->s->s.n;
    pt_auto_free int16_t *wide = pt_calloc(PT_INT_LANES * depth, sizeof *wide);
    if (!wide)
        return pt_fail(err, PT_ENOMEM, "out of memory packing weights");
    for (size_t col = 0; col < columns; col += PT_INT_LANES) {
        size_t n = columns - col < PT_INT_LANES ? columns - col : PT_INT_LANES;
        widen_columns(j, col, n, wide);
        j->k->int_pack(depth, n, wide, (int16_t *)out + col * depth);
    }
    return PT_OK;
}

static uint64_t pack_key(const struct int_matmul_step *s, const struct pt_slot *zero)
{
    uint64_t key[4] = {s->s.n, s->k, s->p->trans_b, 1};
    if (zero)
        key[3] = pt_hash64(zero->t.data, zero->t.size_bytes, 6);
    return pt_hash64(key, sizeof key, 7) | 1;
}

/* --- lowering ------------------------------------------------------------------------------------------------------------------------------- */

static struct pt_slot *slot_of(struct pt_lower *l, int operand)
{
    return operand < 0 ? NULL : pt_lower_given(l, pt_lower_in(l, operand));
}

static bool is_known(const struct pt_slot *s)
{
    return !s || (s->place == PT_PLACE_CONST && !s->stored);
}

static bool is_one(const struct pt_slot *s)
{
    return !s || pt_tensor_count(&s->t) == 1;
}

static bool is_column_wise(const struct pt_slot *s, int64_t n)
{
    return !s || pt_tensor_count(&s->t) == 1 || pt_tensor_count(&s->t) == n;
}

static bool fits(struct pt_lower *l, const struct pt_int_matmul_params *p)
{
    const struct pt_slot *a = slot_of(l, p->a), *b = slot_of(l, p->b), *sums = slot_of(l, p->sums), *y = pt_lower_slot(l, pt_lower_out(l, 0));
    const int64_t rows = p->mm.n ? pt_tensor_count(&y->t) / p->mm.n : 0;
    return is_known(b) && is_known(slot_of(l, p->b_zero)) && !p->trans_a && rows > 0 && p->mm.k > 0 && pt_tensor_count(&a->t) == rows * p->mm.k &&
           pt_tensor_count(&b->t) == p->mm.k * p->mm.n && is_one(slot_of(l, p->a_zero)) && is_one(slot_of(l, p->a_scale)) &&
           is_one(slot_of(l, p->y_scale)) && is_one(slot_of(l, p->y_zero)) && is_column_wise(slot_of(l, p->b_zero), p->mm.n) &&
           is_column_wise(slot_of(l, p->b_scale), p->mm.n) &&
           (!sums || (pt_tensor_count(&sums->t) == p->mm.n && (sums->t.rank < 2 || sums->t.dims[sums->t.rank - 1] == p->mm.n)));
}

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* How the product is cut: bands by the size of A, slabs also by the threads there are. */
static void set_tasks(struct pt_lower *l, struct int_matmul_step *s)
{
    size_t threads = (size_t)(l->o->threads > 0 ? l->o->threads : 1), most = BAND_BYTES / (s->s.channels * sizeof(int16_t));
    most = most < 12 ? 12 : most > PT_INT_BAND ? PT_INT_BAND : most;
    s->bands = (s->m + most - 1) / most;
    s->slab = SLAB;
    while (threads > 1 && s->slab > PT_INT_LANES && s->bands * ((s->s.n + s->slab - 1) / s->slab) < 4 * threads)
        s->slab /= 2;
    s->slabs = (s->s.n + s->slab - 1) / s->slab;
    s->slots = threads;
    s->slot_bytes = most * s->slab * sizeof(int32_t);
}

static bool set_step(struct pt_lower *l, struct int_matmul_step *s, const struct pt_int_matmul_params *p)
{
    const struct pt_slot *y = pt_lower_slot(l, pt_lower_out(l, 0));
    *s = (struct int_matmul_step){.p = p, .m = (size_t)(pt_tensor_count(&y->t) / p->mm.n), .k = (size_t)p->mm.k};
    s->s = (struct pt_int_conv){.out_w = s->m, .kernel_h = 1, .kernel_w = 1, .channels = (s->k + 1) / 2 * 2, .n = (size_t)p->mm.n};
    s->s.x_step = s->s.channels;
    if (__builtin_mul_overflow(s->m, s->s.channels * sizeof(int16_t), &s->wide_bytes) || s->wide_bytes > SIZE_MAX / 4)
        return false;
    s->wide_bytes = round_up(s->wide_bytes, 64);
    s->bytes_bytes = p->dynamic ? round_up(s->m * s->k, 64) : 0;
    set_tasks(l, s);
    return true;
}

/* Scales that are there already are multiplied now. */
static int set_known_scales(struct pt_lower *l, struct int_matmul_step *s)
{
    const struct pt_int_matmul_params *p = s->p;
    const struct pt_slot *a = slot_of(l, p->a_scale), *b = slot_of(l, p->b_scale), *y = slot_of(l, p->y_scale);
    if (pt_lower_slot(l, pt_lower_out(l, 0))->t.dtype == PT_INT32)
        return PT_OK;
    if (p->dynamic || !is_known(a) || !is_known(b) || !is_known(y)) {
        s->scale_bytes = round_up(s->s.n * sizeof(float), 64);
        return PT_OK;
    }
    s->scale = pt_lower_alloc(l, s->s.n * sizeof *s->scale);
    if (!s->scale)
        return PT_ENOMEM;
    set_scales(p, s->s.n, pt_quant_scale(a ? &a->t : NULL, 0), b ? &b->t : NULL, y ? &y->t : NULL, s->scale);
    return PT_OK;
}

static int emit(struct pt_lower *l, struct int_matmul_step *s)
{
    const struct pt_int_matmul_params *p = s->p;
    const struct pt_node *n = l->item->node;
    const int count = n->input_count;
    const bool floats = pt_lower_slot(l, pt_lower_out(l, 0))->t.dtype == PT_FLOAT;
    int *in = pt_lower_alloc(l, (size_t)(count + 2) * sizeof *in);
    if (!in)
        return PT_ENOMEM;
    for (int i = 0; i < count; i++)
        if ((in[i] = n->inputs[i] < 0 || i == p->b ? -1 : pt_lower_to(l, n->inputs[i], PT_LAYOUT_PLAIN)) < 0 && n->inputs[i] >= 0 && i != p->b)
            return in[i];
    in[count] = in[count + 1] = -1;
    if (p->bias >= 0 && p->bias < count) {
        in[count] = in[p->bias];
        in[p->bias] = -1;
    }
    s->fused = (struct pt_fused){.alpha = 1, .bias = count, .residual = count + 1, .columns = (int64_t)s->s.n};
    struct pt_step_desc d = {.run = int_matmul_run,
                             .params = s,
                             .in = in,
                             .in_count = count + 2,
                             .out = pt_lower_out(l, 0),
                             .inplace = floats ? 1u << (count + 1) : 0,
                             .scratch_bytes = s->bytes_bytes + s->wide_bytes + s->scale_bytes + s->slots * s->slot_bytes,
                             .fused = floats ? &s->fused : NULL};
    int rc = pt_lower_emit(l, &d, PT_LAYOUT_PLAIN);
    return rc < 0 ? rc : 1;
}

int pt_lower_int_matmul(struct pt_lower *l)
{
    const struct pt_int_matmul_params *p = l->item->params;
    if (!fits(l, p))
        return 0;
    struct int_matmul_step *s = pt_lower_alloc(l, sizeof *s);
    if (!s)
        return PT_ENOMEM;
    if (!set_step(l, s, p))
        return 0;
    const struct pt_slot *b = slot_of(l, p->b), *zero = slot_of(l, p->b_zero);
    const struct int_matmul_pack job = {l->k, s, b->t, zero ? zero->t : (struct pt_tensor){0}};
    s->packed = pt_lower_pack_later(l, b, pack_key(s, zero), l->k->int_pack_size(s->s.channels, s->s.n), fill_int_matmul, &job, sizeof job);
    if (!s->packed)
        return PT_ENOMEM;
    int rc = set_known_scales(l, s);
    return rc < 0 ? rc : emit(l, s);
}
