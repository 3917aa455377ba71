/* SPDX-License-Identifier: Apache-2.0
 *
 * pow.c: Pow. Base and exponent may have different types (from opset 12 on); the result has the base's. Whole exponents of whole bases are
 * computed exactly, wrapping around; the rest in the base's floating type, or double for integers.
 */
#include "runtime/ops/binary.h"

#include <math.h>

static uint64_t whole_power(uint64_t base, uint64_t e)
{
    uint64_t r = 1;
    for (; e; e >>= 1, base *= base)
        if (e & 1)
            r *= base;
    return r;
}

/* Out of range is the nearest value; NaN is 0. */
static uint64_t double_to_bits(double d, bool is_signed)
{
    if (!(d == d))
        return 0;
    if (is_signed)
        return d >= 0x1p63 ? (uint64_t)INT64_MAX : d < -0x1p63 ? (uint64_t)INT64_MIN : (uint64_t)(int64_t)d;
    return d >= 0x1p64 ? UINT64_MAX : d <= 0 ? 0 : (uint64_t)d;
}

static void pow_one(const struct pt_tensor *a, int64_t ia, const struct pt_tensor *b, int64_t ib, char *y)
{
    if (a->dtype == PT_FLOAT) {
        float x, e, r;
        memcpy(&x, (const float *)a->data + ia, sizeof x);
        if (b->dtype == PT_FLOAT)
            memcpy(&e, (const float *)b->data + ib, sizeof e);
        else
            e = (float)pt_elem_f64(b, ib);
        r = powf(x, e);
        memcpy(y, &r, sizeof r);
        return;
    }
    if (a->dtype == PT_DOUBLE) {
        double r = pow(pt_elem_f64(a, ia), pt_elem_f64(b, ib));
        memcpy(y, &r, sizeof r);
        return;
    }
    bool is_signed = PT_TS_INT & PT_T(a->dtype);
    int64_t e = pt_elem_i64(b, ib);
    bool whole = (PT_TS_ALLINT & PT_T(b->dtype)) && (e >= 0 || b->dtype == PT_UINT64);
    uint64_t bits =
        whole ? whole_power((uint64_t)pt_elem_i64(a, ia), (uint64_t)e) : double_to_bits(pow(pt_elem_f64(a, ia), pt_elem_f64(b, ib)), is_signed);
    memcpy(y, &bits, pt_dtype_size(a->dtype));
}

static int pow_infer(struct pt_op_ctx *c)
{
    return pt_binary_infer(c, c->params, PT_UNDEFINED);
}

static int pow_run(struct pt_op_ctx *c)
{
    struct pt_bcast w;
    char *y = c->out[0]->data;
    size_t size = pt_dtype_size(c->out[0]->dtype);
    const struct pt_tensor second = pt_binary_second(c, c->params), *b = &second;
    pt_bcast_init(&w, c->out[0], 2, (const struct pt_tensor *const[]){c->in[0], b});
    for (int64_t r = 0; r < w.rows; r++) {
        int64_t off[PT_BCAST_MAX];
        pt_bcast_row(&w, r, off);
        for (int64_t i = 0; i < w.n; i++, y += size)
            pow_one(c->in[0], off[0] + i * w.step[0], b, off[1] + i * w.step[1], y);
    }
    return PT_OK;
}

const struct pt_op pt_op_pow = {.type = "Pow",
                                .since = {1, 7, 12, 13, 15},
                                .min_in = 2,
                                .max_in = 2,
                                .max_out = 1,
                                .types = {PT_TS_NUM | PT_TS_HALF},
                                .flags = PT_OP_INPLACE | PT_OP_WIDEN,
                                .params_size = sizeof(struct pt_binary_dims),
                                .infer = pow_infer,
                                .run = pow_run};
