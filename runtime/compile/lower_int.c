/* SPDX-License-Identifier: Apache-2.0
 *
 * lower_int.c: ConvInteger and QLinearConv on the integer kernels. An image is first copied as int16: less its zero point, with its borders, channels
 * innermost and an even number of them in each group. Then bands of its pixels are multiplied with the packed weights, each on one thread, and
 * written, quantised again or as int32. Exact: the same as the reference, whatever the instruction set. Images are read in the layout they have, and
 * bytes are written channels last.
 *
 * Large 3 x 3 ones with stride 1 are transformed (lower_int_winograd.c), with the same result. A depthwise convolution is one group as far as the
 * image goes, with a kernel of its own; its tasks are bands of pixels times slabs of channels.
 *
 * Left to the reference: weights that are not known, more than two spatial axes, groups of few channels that are not depthwise, windows that wander
 * far outside their image.
 */
#include "runtime/compile/lower.h"
#include "runtime/compile/lower_int_winograd.h"

#include "runtime/ops/conv_integer.h"
#include "runtime/ops/table.h"

#define FEW_CHANNELS 4        /* results of a group, for which a tile of columns is not worth it */
#define MOST_PADDED (1 << 28) /* elements of an image with borders */
#define SLAB 128              /* channels of a task of a depthwise convolution: its sums stay in L1 */

struct int_step {
    struct pt_int_conv s;
    const void *packed;
    size_t group_bytes;                           /* packed, of a group */
    int64_t images, groups, in_c, channels;       /* of a group: as given, and even */
    int64_t in_h, in_w, height, width, top, left; /* with borders */
    int64_t pixels, x_channel, x_pixel, y_channel, y_pixel, x_image, y_image;
    int x, x_zero, bias; /* operands of the step */
    bool quantises, depthwise;
    int64_t slabs; /* of channels, depthwise; else the groups */
    size_t image_bytes, scale_bytes, slot_bytes, slots;
    struct pt_int_wino wino; /* if it has tiles */
};

/* --- the image --------------------------------------------------------------------------------------------------------------------------- */

struct int_job {
    const struct int_step *s;
    const struct pt_op_ctx *c;
    const uint8_t *x; /* the image */
    bool is_signed;
    int32_t zero;
    int16_t *wide;
    const float *scale;
    char *slots;
    int64_t image;
    size_t next; /* task to claim, atomic */
};

#define WIDEN(T, name)                                                                                                                               \
    static void widen_##name(const struct int_step *s, const T *x, int16_t zero, int16_t *to)                                                        \
    {                                                                                                                                                \
        int64_t step = s->groups * s->channels;                                                                                                      \
        for (int64_t g = 0; g < s->groups; g++)                                                                                                      \
            for (int64_t c = 0; c < s->in_c; c++) {                                                                                                  \
                const T *from = x + (g * s->in_c + c) * s->x_channel;                                                                                \
                int16_t *put = to + g * s->channels + c;                                                                                             \
                for (int64_t i = 0; i < s->in_w; i++)                                                                                                \
                    put[i * step] = (int16_t)(from[i * s->x_pixel] - zero);                                                                          \
            }                                                                                                                                        \
    }
WIDEN(uint8_t, u8)
WIDEN(int8_t, i8)

/* Channels innermost: whole pixels, or, where groups have as many channels as there are, the whole row. */
static void widen_pixels(const struct int_job *j, const uint8_t *x, int16_t *to)
{
    const struct int_step *s = j->s;
    if (s->in_c == s->channels && s->x_pixel == s->groups * s->channels) {
        pt_kernels()->widen(x, j->is_signed, (size_t)(s->in_w * s->x_pixel), j->zero, to);
        return;
    }
    for (int64_t i = 0; i < s->in_w; i++)
        for (int64_t g = 0; g < s->groups; g++)
            pt_kernels()->widen(x + i * s->x_pixel + g * s->in_c, j->is_signed, (size_t)s->in_c, j->zero, to + (i * s->groups + g) * s->channels);
}

static void widen_rows(void *arg, size_t begin, size_t end)
{
    const struct int_job *j = arg;
    const struct int_step *s = j->s;
    const size_t pixel = (size_t)(s->groups * s->channels), row = (size_t)s->width * pixel, left = (size_t)s->left * pixel,
                 inside = (size_t)s->in_w * pixel;
    for (size_t i = begin; i < end; i++) {
        int64_t y = (int64_t)i - s->top;
        int16_t *to = j->wide + i * row;
        if (y < 0 || y >= s->in_h || s->in_c != s->channels) {
            memset(to, 0, row * sizeof *to);
        } else {
            memset(to, 0, left * sizeof *to);
            memset(to + left + inside, 0, (row - left - inside) * sizeof *to);
        }
        if (y < 0 || y >= s->in_h)
            continue;
        const uint8_t *x = j->x + y * s->in_w * s->x_pixel;
        if (s->x_channel == 1)
            widen_pixels(j, x, to + left);
        else if (j->is_signed)
            widen_i8(s, (const int8_t *)x, (int16_t)j->zero, to + left);
        else
            widen_u8(s, x, (int16_t)j->zero, to + left);
    }
}

/* --- a band of pixels -------------------------------------------------------------------------------------------------------------------- */

/* n channels from `channel` on, as they follow in acc. */
static void put_quantised(const struct int_job *j, int64_t channel, size_t n, size_t first, size_t count, const int32_t *acc, uint8_t *work)
{
    const struct int_step *s = j->s;
    struct pt_tensor *out = j->c->out[0];
    uint8_t *y = (uint8_t *)out->data + j->image * s->y_image + channel * s->y_channel + (int64_t)first * s->y_pixel;
    const struct pt_tensor *bias = s->bias < 0 ? NULL : pt_op_in(j->c, s->bias);
    struct pt_requantise r = {.rows = count,
                              .n = n,
                              .acc = acc,
                              .acc_ld = n,
                              .bias = bias ? (const int32_t *)bias->data + channel : NULL,
                              .scale = j->scale + channel,
                              .zero = pt_quant_zero(pt_op_in(j->c, 7), 0),
                              .y = work,
                              .y_ld = n};
    pt_quant_range(out->dtype, &r.lo, &r.hi);
    if (s->y_channel == 1) {
        r.y = y;
        r.y_ld = (size_t)s->y_pixel;
    }
    pt_kernels()->requantise(&r);
    for (size_t k = 0; s->y_channel != 1 && k < n; k++)
        for (size_t i = 0; i < count; i++)
            y[(int64_t)k * s->y_channel + (int64_t)i] = work[i * n + k];
}

/* Sums of a band of pixels: a group, or a slab of channels each by itself. They follow in acc, n for each pixel. */
static size_t sum_band(const struct int_job *j, size_t slab, size_t first, size_t count, int32_t *acc)
{
    const struct int_step *s = j->s;
    struct pt_int_conv k = s->s;
    if (!s->depthwise) {
        pt_kernels()->int_conv(&k, j->wide + slab * (size_t)s->channels, (const char *)s->packed + slab * s->group_bytes, first, count, acc, k.n);
        return k.n;
    }
    k.n = k.n - slab * SLAB < SLAB ? k.n - slab * SLAB : SLAB;
    pt_kernels()->int_depthwise(&k, j->wide + slab * SLAB, (const char *)s->packed + slab * SLAB / PT_INT_LANES * s->group_bytes, first, count, acc,
                                k.n);
    return k.n;
}

static void int_task(const struct int_job *j, size_t task, char *work)
{
    const struct int_step *s = j->s;
    size_t bands = ((size_t)s->pixels + PT_INT_BAND - 1) / PT_INT_BAND, slab = task / bands, band = task % bands;
    size_t first = band * (size_t)s->pixels / bands, count = (band + 1) * (size_t)s->pixels / bands - first;
    int32_t *acc = (int32_t *)(void *)work;
    size_t n = sum_band(j, slab, first, count, acc), channel = slab * (s->depthwise ? SLAB : s->s.n);
    if (s->quantises) {
        put_quantised(j, (int64_t)channel, n, first, count, acc, (uint8_t *)work + PT_INT_BAND * n * sizeof *acc);
        return;
    }
    int64_t at = j->image * s->y_image + (int64_t)channel * s->y_channel + (int64_t)first;
    pt_kernels()->transpose(count, n, (const float *)(const void *)acc, n, (float *)j->c->out[0]->data + at, (size_t)s->y_channel);
}

static void put_wino(const void *arg, size_t channel, size_t n, size_t first, size_t count, const int32_t *acc)
{
    put_quantised(arg, (int64_t)channel, n, first, count, acc, NULL); /* channels last */
}

static void wino_slots(void *arg, size_t begin, size_t end)
{
    struct int_job *j = arg;
    const struct int_step *s = j->s;
    for (size_t slot = begin; slot < end; slot++)
        for (size_t t; (t = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < s->wino.blocks;)
            pt_int_wino_block(&s->wino, j->wide, s->packed, t, j->slots + slot * s->slot_bytes, put_wino, j);
}

static void int_slots(void *arg, size_t begin, size_t end)
{
    struct int_job *j = arg;
    size_t tasks = ((size_t)j->s->pixels + PT_INT_BAND - 1) / PT_INT_BAND * (size_t)j->s->slabs;
    for (size_t slot = begin; slot < end; slot++)
        for (size_t t; (t = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < tasks;)
            int_task(j, t, j->slots + slot * j->s->slot_bytes);
}

/* As the reference multiplies them: the order decides the last bit. */
static void set_scales(const struct pt_op_ctx *c, int64_t n, float *scale)
{
    for (int64_t i = 0; i < n; i++)
        scale[i] = pt_quant_scale(c->in[1], 0) * pt_quant_scale(c->in[4], i) / pt_quant_scale(c->in[6], 0);
}

static int int_run(struct pt_op_ctx *c)
{
    const struct int_step *s = c->params;
    const struct pt_tensor *x = c->in[s->x];
    struct int_job j = {.s = s, .c = c, .is_signed = x->dtype == PT_INT8, .zero = pt_quant_zero(pt_op_in(c, s->x_zero), 0), .wide = c->scratch};
    float *scale = (float *)(void *)((char *)c->scratch + s->image_bytes);
    j.slots = (char *)c->scratch + s->image_bytes + s->scale_bytes;
    j.scale = scale;
    if (s->quantises)
        set_scales(c, s->depthwise ? (int64_t)s->s.n : s->groups * (int64_t)s->s.n, scale);
    for (j.image = 0; j.image < s->images; j.image++) {
        j.x = (const uint8_t *)x->data + j.image * s->x_image;
        j.next = 0;
        pt_parallel_for(c->threads, (size_t)s->height, 4, widen_rows, &j);
        pt_parallel_for(c->threads, s->slots, 1, s->wino.tiles ? wino_slots : int_slots, &j);
    }
    return PT_OK;
}

/* --- weights -------------------------------------------------------------------------------------------------------------------------------- */

struct int_pack_job {
    const struct pt_kernels *k;
    const struct int_step *s;
    struct pt_tensor w, zero; /* zero.data is NULL when there is none */
};

/* Filter o of a group as [tap][channel], less its zero point. */
static void widen_filter(const struct int_pack_job *j, int64_t o, int16_t *to)
{
    const struct int_step *s = j->s;
    int64_t taps = (int64_t)(s->s.kernel_h * s->s.kernel_w);
    int32_t zero = pt_quant_zero(j->zero.data ? &j->zero : NULL, o);
    for (int64_t c = 0; c < s->in_c; c++)
        for (int64_t t = 0; t < taps; t++)
            to[t * s->channels + c] = (int16_t)(pt_elem_i64(&j->w, (o * s->in_c + c) * taps + t) - zero);
}

static int fill_int(void *arg, void *out, struct pt_err *err)
{
    const struct int_pack_job *j = arg;
    const struct int_step *s = j->s;
    size_t taps = s->s.kernel_h * s->s.kernel_w, k = s->depthwise ? taps : taps * s->s.channels;
    pt_auto_free int16_t *wide = pt_calloc(s->s.n * k, sizeof *wide);
    if (!wide)
        return pt_fail(err, PT_ENOMEM, "out of memory packing weights");
    if (s->depthwise) {
        for (size_t i = 0; i < s->s.n * taps; i++)
            wide[i] = (int16_t)(pt_elem_i64(&j->w, (int64_t)i) - pt_quant_zero(j->zero.data ? &j->zero : NULL, (int64_t)(i / taps)));
        j->k->int_depthwise_pack(taps, s->s.n, wide, out);
        return PT_OK;
    }
    if (s->wino.tiles) {
        pt_auto_free int16_t *work = pt_calloc(s->wino.n * s->wino.channels, sizeof *work);
        if (!work)
            return pt_fail(err, PT_ENOMEM, "out of memory packing weights");
        for (int64_t o = 0; o < (int64_t)s->s.n; o++)
            widen_filter(j, o, wide + (size_t)o * k);
        pt_int_wino_pack(&s->wino, j->k, wide, work, out);
        return PT_OK;
    }
    for (int64_t g = 0; g < s->groups; g++) {
        for (int64_t o = 0; o < (int64_t)s->s.n; o++)
            widen_filter(j, g * (int64_t)s->s.n + o, wide + (size_t)o * k);
        j->k->int_pack(k, s->s.n, wide, (char *)out + (size_t)g * s->group_bytes);
    }
    return PT_OK;
}

static bool is_known(const struct pt_slot *s)
{
    return !s || s->place == PT_PLACE_CONST;
}

static uint64_t pack_key(const struct int_step *s, const struct pt_slot *zero)
{
    uint64_t key[4] = {(uint64_t)s->channels, (uint64_t)s->groups, 1, s->depthwise ? 1 : s->wino.tiles ? 2 : 0};
    if (zero)
        key[2] = pt_hash64(zero->t.data, zero->t.size_bytes, 3);
    return pt_hash64(key, sizeof key, 4) | 1;
}

/* --- lowering ------------------------------------------------------------------------------------------------------------------------------- */

/* Sizes of the image with its borders; false when it is too large to be copied. */
static bool set_image(struct int_step *s, const struct pt_window *w)
{
    bool flat = w->axes == 1;
    int v = w->axes - 1;
    int64_t out_h = flat ? 1 : w->out[0], kernel_h = flat ? 1 : w->kernel[0], stride_h = flat ? 1 : w->stride[0],
            dilation_h = flat ? 1 : w->dilation[0];
    int64_t row, all;
    s->in_h = flat ? 1 : w->in[0];
    s->in_w = w->in[v];
    s->top = flat ? 0 : w->pad[0];
    s->left = w->pad[v];
    int64_t more = s->wino.tiles ? 1 : 0; /* to whole tiles */
    s->height = (out_h + (out_h & more) - 1) * stride_h + (kernel_h - 1) * dilation_h + 1;
    s->width = (w->out[v] + (w->out[v] & more) - 1) * w->stride[v] + (w->kernel[v] - 1) * w->dilation[v] + 1;
    s->height = s->height > s->top + s->in_h ? s->height : s->top + s->in_h;
    s->width = s->width > s->left + s->in_w ? s->width : s->left + s->in_w;
    if (__builtin_mul_overflow(s->width, s->groups * s->channels, &row) || __builtin_mul_overflow(row, s->height, &all) || all > MOST_PADDED)
        return false;
    int64_t pixel = s->groups * s->channels;
    s->pixels = out_h * w->out[v];
    s->s.out_w = (size_t)w->out[v];
    s->s.kernel_h = (size_t)kernel_h;
    s->s.kernel_w = (size_t)w->kernel[v];
    s->s.x_step = (size_t)(w->stride[v] * pixel);
    s->s.y_step = (size_t)(stride_h * row);
    s->s.tap_col = (size_t)(w->dilation[v] * pixel);
    s->s.tap_row = (size_t)(dilation_h * row);
    s->image_bytes = ((size_t)all * sizeof(int16_t) + 63) / 64 * 64;
    s->wino.row = (size_t)row;
    return true;
}

/* One group with a filter for each channel, whose image has a multiple of PT_INT_LANES of them. */
static void set_depthwise(struct int_step *s)
{
    s->depthwise = true;
    s->s.n = (size_t)s->groups;
    s->in_c = s->groups;
    s->channels = (s->groups + PT_INT_LANES - 1) / PT_INT_LANES * PT_INT_LANES;
    s->groups = 1;
    s->slabs = ((int64_t)s->s.n + SLAB - 1) / SLAB;
}

/* Strides of image and result in the layouts they have; bytes are written channels last. */
static enum pt_layout set_layouts(struct pt_lower *l, struct int_step *s, const struct pt_slot *x, int64_t in_c, int64_t out_c)
{
    const struct pt_int_conv_params *p = l->item->params;
    const bool plain = p->x_channel != 1 || p->y_channel != 1; /* else the operator itself has channels last */
    s->x_channel = p->x_channel;
    s->x_pixel = p->x_pixel;
    s->y_channel = p->y_channel;
    s->y_pixel = p->y_pixel;
    if (!plain)
        return PT_LAYOUT_PLAIN;
    if (x->layout == PT_LAYOUT_CHANNELS_LAST) {
        s->x_channel = 1;
        s->x_pixel = in_c;
    }
    if (!s->quantises)
        return PT_LAYOUT_PLAIN;
    s->y_channel = 1;
    s->y_pixel = out_c;
    return PT_LAYOUT_CHANNELS_LAST;
}

static void set_wino(struct pt_lower *l, struct int_step *s, const struct pt_tensor *w, const struct pt_slot *w_zero)
{
    const struct pt_window *win = &((const struct pt_int_conv_params *)l->item->params)->conv.w;
    bool centred = w->dtype == PT_INT8;
    for (int i = 0; i < 2; i++)
        if (win->axes != 2 || win->kernel[i] != 3 || win->stride[i] != 1 || win->dilation[i] != 1)
            return;
    for (int64_t i = 0; w_zero && i < pt_tensor_count(&w_zero->t); i++)
        centred = centred && pt_quant_zero(&w_zero->t, i) == 0;
    if (s->quantises && !s->depthwise && s->groups == 1 && s->in_c == s->channels)
        pt_int_wino_init(&s->wino, l->k, s->s.channels, s->s.n, (size_t)win->out[0], (size_t)win->out[1], centred ? 128 : 255, s->slots);
}

static bool set_step(struct pt_lower *l, struct int_step *s, const struct pt_tensor *x, const struct pt_tensor *w, const struct pt_slot *w_zero)
{
    const struct pt_int_conv_params *p = l->item->params;
    *s = (struct int_step){.images = x->dims[0],
                           .groups = p->conv.groups,
                           .slabs = p->conv.groups,
                           .in_c = w->dims[1],
                           .channels = (w->dims[1] + 1) / 2 * 2,
                           .x = p->x,
                           .x_zero = p->x_zero,
                           .bias = l->item->node->op == &pt_op_conv_integer ? -1 : 8,
                           .quantises = l->item->node->op != &pt_op_conv_integer};
    s->s.n = (size_t)(w->dims[0] / s->groups);
    if (s->groups > 1 && w->dims[1] == 1 && w->dims[0] == s->groups)
        set_depthwise(s);
    s->s.channels = (size_t)s->channels;
    s->slots = (size_t)(l->o->threads > 0 ? l->o->threads : 1);
    set_wino(l, s, w, w_zero);
    if (p->conv.w.axes > 2 || (s->groups > 1 && s->s.n < FEW_CHANNELS) || !set_image(s, &p->conv.w))
        return false;
    s->x_image = pt_tensor_count(x) / s->images;
    s->y_image = s->pixels * w->dims[0];
    size_t taps = s->s.kernel_h * s->s.kernel_w;
    size_t band = PT_INT_BAND * (s->depthwise && s->s.n > SLAB ? SLAB : s->s.n);
    s->slot_bytes = s->wino.tiles ? pt_int_wino_work_bytes(&s->wino) : (band * (sizeof(int32_t) + 1) + 63) / 64 * 64;
    s->scale_bytes = s->quantises ? ((size_t)w->dims[0] * sizeof(float) + 63) / 64 * 64 : 0;
    s->group_bytes = s->depthwise ? l->k->int_depthwise_pack_size(taps, PT_INT_LANES) : l->k->int_pack_size(taps * s->s.channels, s->s.n);
    return true;
}

int pt_lower_int_conv(struct pt_lower *l)
{
    const struct pt_int_conv_params *p = l->item->params;
    const struct pt_node *n = l->item->node;
    const struct pt_slot *x = pt_lower_slot(l, pt_lower_in(l, p->x)), *w = pt_lower_slot(l, pt_lower_in(l, p->w));
    const struct pt_slot *w_zero = pt_lower_given(l, pt_lower_in(l, p->w_zero));
    if (!is_known(w) || !is_known(w_zero) || pt_tensor_count(&x->t) == 0 || pt_tensor_count(&w->t) == 0 ||
        pt_tensor_count(&pt_lower_slot(l, pt_lower_out(l, 0))->t) == 0)
        return 0;
    struct int_step *s = pt_lower_alloc(l, sizeof *s);
    int *in = pt_lower_alloc(l, (size_t)n->input_count * sizeof *in);
    size_t bytes;
    if (!s || !in)
        return PT_ENOMEM;
    if (!set_step(l, s, &x->t, &w->t, w_zero))
        return 0;
    const struct int_pack_job job = {l->k, s, w->t, w_zero ? w_zero->t : (struct pt_tensor){0}};
    bytes = s->wino.tiles  ? pt_int_wino_pack_size(&s->wino)
            : s->depthwise ? l->k->int_depthwise_pack_size(s->s.kernel_h * s->s.kernel_w, s->s.n)
                           : (size_t)s->groups * s->group_bytes;
    s->packed = pt_lower_pack_later(l, w, pack_key(s, w_zero), bytes, fill_int, &job, sizeof job);
    if (!s->packed)
        return PT_ENOMEM;
    memcpy(in, n->inputs, (size_t)n->input_count * sizeof *in);
    in[p->w] = -1;
    const enum pt_layout layout = set_layouts(l, s, x, s->groups * s->in_c, w->t.dims[0]);
    struct pt_step_desc d = {.run = int_run,
                             .params = s,
                             .in = in,
                             .in_count = n->input_count,
                             .out = pt_lower_out(l, 0),
                             .scratch_bytes = s->image_bytes + s->scale_bytes + s->slots * s->slot_bytes};
    int rc = pt_lower_emit(l, &d, layout);
    return rc < 0 ? rc : 1;
}
