/* SPDX-License-Identifier: Apache-2.0
 *
 * values.c: choices, and the values that nodes are put together from.
 */
#include "tests/graphs/generate.h"

#include "runtime/ops/op.h"

#include <float.h>

uint32_t choose(struct choices *c, uint32_t n)
{
    if (!c->bytes)
        return pt_rand_below(&c->rand, n);
    uint32_t v = c->at < c->len ? c->bytes[c->at++] : 0; /* one byte a choice: a changed byte changes one choice */
    if (n > 256 && c->at < c->len)
        v = v << 8 | c->bytes[c->at++];
    return n ? v % n : 0;
}

bool choices_left(const struct choices *c)
{
    return !c->bytes || c->at < c->len;
}

/* --- texts --------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum pt_dtype dtype;
} types[] = {{"f32", PT_FLOAT}, {"f64", PT_DOUBLE}, {"i64", PT_INT64},  {"i32", PT_INT32},  {"i16", PT_INT16},   {"i8", PT_INT8},
             {"u8", PT_UINT8},  {"u32", PT_UINT32}, {"u64", PT_UINT64}, {"u16", PT_UINT16}, {"f16", PT_FLOAT16}, {"b", PT_BOOL}};
#define TYPES (sizeof types / sizeof *types)

const char *gen_type_name(enum pt_dtype t)
{
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].dtype == t)
            return types[i].name;
    return NULL;
}

enum pt_dtype gen_type_in(struct gen *g, uint32_t mask)
{
    for (int tries = 0; tries < 8; tries++) {
        enum pt_dtype t = types[choose(g->c, TYPES)].dtype;
        if (mask == 0 || (mask & PT_T(t)))
            return t;
    }
    return PT_FLOAT;
}

void gen_put_type(struct pt_buf *b, const struct pt_tensor *t, uint32_t free_dims)
{
    pt_buf_printf(b, "%s[", gen_type_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        pt_buf_printf(b, "%s%lld", i ? "," : "", free_dims >> i & 1 ? -1LL : (long long)t->dims[i]);
    pt_buf_putc(b, ']');
}

static void put_data(struct pt_buf *b, const struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++) {
        pt_buf_putc(b, i ? ',' : ':');
        if (t->dtype == PT_FLOAT16)
            pt_buf_printf(b, "%u", ((const uint16_t *)t->data)[i]);
        else if (t->dtype == PT_FLOAT || t->dtype == PT_DOUBLE)
            pt_buf_printf(b, "%.17g", pt_elem_f64(t, i));
        else
            pt_buf_printf(b, "%lld", (long long)pt_elem_i64(t, i));
    }
}

void gen_put_constant(struct pt_buf *b, const struct gen_value *v)
{
    pt_buf_printf(b, "const %s ", v->name);
    gen_put_type(b, &v->t, 0);
    put_data(b, &v->t);
    pt_buf_putc(b, '\n');
}

/* A function has no initializers. */
static void add_line(struct gen *g, const struct gen_value *v)
{
    if (!g->in_function) {
        gen_put_constant(&g->lines, v);
        return;
    }
    pt_buf_printf(&g->lines, "%s = Constant() value={", v->name);
    gen_put_type(&g->lines, &v->t, 0);
    put_data(&g->lines, &v->t);
    pt_buf_puts(&g->lines, "}\n");
}

/* --- values ---------------------------------------------------------------------------------------------------------------------------- */

int64_t gen_extreme(struct gen *g)
{
    static const int64_t extremes[] = {0, -1, 1, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, (int64_t)1 << 40, -65536, 255, 1000000};
    return extremes[choose(g->c, sizeof extremes / sizeof *extremes)];
}

/* Halves between -3 and 3, small integers. */
static void fill(struct gen *g, struct pt_tensor *t)
{
    for (int64_t i = 0; i < pt_tensor_count(t); i++) {
        int k = (int)choose(g->c, 13) - 6;
        float f = (float)k / 2;
        double d = (double)k / 2;
        uint16_t h = pt_f32_to_f16(f);
        if (g->hostile && choose(g->c, 8) == 0) {
            static const float odd[] = {NAN, INFINITY, -INFINITY, FLT_MAX, FLT_MIN / 4, -0.0f};
            f = odd[choose(g->c, 6)];
            d = (double)f;
        }
        int64_t n = g->hostile && t->dtype != PT_BOOL && choose(g->c, 4) == 0  ? gen_extreme(g)
                    : t->dtype == PT_BOOL                                      ? k & 1
                    : pt_dtype_bits(t->dtype) && (PT_TS_UINT & PT_T(t->dtype)) ? k + 6
                                                                               : k;
        const void *p = t->dtype == PT_FLOAT     ? (const void *)&f
                        : t->dtype == PT_DOUBLE  ? (const void *)&d
                        : t->dtype == PT_FLOAT16 ? (const void *)&h
                                                 : &n;
        memcpy((char *)t->data + (size_t)i * pt_dtype_size(t->dtype), p, pt_dtype_size(t->dtype));
    }
}

void gen_hide(struct gen_value *v)
{
    free(v->t.data);
    v->t.data = NULL;
}

/* With zeros. */
static struct gen_value *add_value(struct gen *g, char prefix, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct pt_tensor t = {.dtype = dtype, .rank = rank};
    if (g->value_count == GEN_MAX_VALUES)
        return NULL;
    if (rank)
        memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
    if (!pt_tensor_need(dtype, rank, dims, &t.size_bytes) || pt_tensor_count(&t) > GEN_MAX_ELEMENTS || !(t.data = calloc(1, t.size_bytes + 1)))
        return NULL;
    struct gen_value *v = &g->values[g->value_count++];
    *v = (struct gen_value){.t = t, .constant = prefix == 'c'};
    snprintf(v->name, sizeof v->name, "%c%d", prefix, g->names++);
    return v;
}

struct gen_value *gen_copy(struct gen *g, const struct pt_tensor *t, bool inexact)
{
    struct gen_value *v = add_value(g, 'v', t->dtype, t->rank, t->dims);
    if (v) {
        memcpy(v->t.data, t->data, t->size_bytes);
        v->inexact = inexact;
    }
    return v;
}

struct gen_value *gen_input(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct gen_value *v = add_value(g, 'x', dtype, rank, dims);
    if (v)
        fill(g, &v->t);
    return v;
}

struct gen_value *gen_constant(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct gen_value *v = add_value(g, 'c', dtype, rank, dims);
    if (v) {
        fill(g, &v->t);
        add_line(g, v);
    }
    return v;
}

struct gen_value *gen_bytes(struct gen *g, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct gen_value *v = add_value(g, 'c', dtype, rank, dims);
    for (size_t i = 0; v && i < v->t.size_bytes; i++)
        ((uint8_t *)v->t.data)[i] = (uint8_t)choose(g->c, 256);
    if (v)
        add_line(g, v);
    return v;
}

/* --- constants of given numbers --------------------------------------------------------------------------------------------------------- */

static struct gen_value *given(struct gen *g, enum pt_dtype dtype, int rank, int64_t count, const void *data)
{
    struct gen_value *v = add_value(g, 'c', dtype, rank, &count);
    if (v) {
        memcpy(v->t.data, data, v->t.size_bytes);
        add_line(g, v);
    }
    return v;
}

struct gen_value *gen_number(struct gen *g, double d)
{
    return given(g, PT_FLOAT, 0, 1, (float[]){(float)d});
}

struct gen_value *gen_integer(struct gen *g, enum pt_dtype dtype, int64_t v)
{
    return given(g, dtype, 0, 1, &v);
}

struct gen_value *gen_ints(struct gen *g, int count, const int64_t *v)
{
    return given(g, PT_INT64, 1, count, v);
}

struct gen_value *gen_floats(struct gen *g, int count, const float *v)
{
    return given(g, PT_FLOAT, 1, count, v);
}

struct gen_value *gen_pick(struct gen *g, uint32_t mask, int rank)
{
    int fit = 0;
    struct gen_value *list[GEN_MAX_VALUES];
    for (int i = g->first; i < g->value_count; i++) {
        struct gen_value *v = &g->values[i];
        if (v->t.data && (mask & PT_T(v->t.dtype)) && (rank < 0 || v->t.rank == rank) && !v->constant)
            list[fit++] = v;
    }
    /* the newest ones more often, so that graphs grow deep */
    if (fit == 0)
        return NULL;
    int last = fit - 1 - (int)choose(g->c, 3);
    return choose(g->c, 2) && last >= 0 ? list[last] : list[choose(g->c, (uint32_t)fit)];
}
