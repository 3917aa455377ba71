/* SPDX-License-Identifier: Apache-2.0
 *
 * window.c: see window.h. All sizes are below 2^31, so that products of two fit.
 */
#include "runtime/ops/window.h"

#define SIZE_LIMIT INT32_MAX

static int read_axes(struct pt_op_ctx *c, const char *name, int64_t min, int64_t def, int64_t *out, int axes)
{
    int n, rc = pt_attr_ints(c, name, min, SIZE_LIMIT, out, axes, &n);
    if (rc < 0)
        return rc;
    if (n >= 0 && n != axes)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' has %d values, needs %d", name, n, axes);
    for (int i = 0; n < 0 && i < axes; i++)
        out[i] = def;
    return PT_OK;
}

static void same_pads(struct pt_window *w, int i, bool lower)
{
    int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
    w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
    int64_t total = (w->out[i] - 1) * w->stride[i] + reach - w->in[i];
    if (total < 0)
        total = 0;
    w->pad[i] = lower ? total - total / 2 : total / 2;
    w->pad_end[i] = total - w->pad[i];
}

static int out_size(struct pt_op_ctx *c, struct pt_window *w, int i, bool ceil_mode)
{
    int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1, padded = w->in[i] + w->pad[i] + w->pad_end[i];
    if (reach > padded)
        return pt_op_fail(c, PT_EINVAL, "the window of %lld (kernel %lld, dilation %lld) is larger than the padded input of %lld at spatial axis %d",
                          (long long)reach, (long long)w->kernel[i], (long long)w->dilation[i], (long long)padded, i);
    int64_t room = padded - reach;
    w->out[i] = (ceil_mode ? (room + w->stride[i] - 1) / w->stride[i] : room / w->stride[i]) + 1;
    /* a window that would start in the padding at the end is not taken */
    if (ceil_mode && (w->out[i] - 1) * w->stride[i] >= w->in[i] + w->pad[i])
        w->out[i]--;
    return PT_OK;
}

int pt_window_read(struct pt_op_ctx *c, struct pt_window *w, enum pt_auto_pad *kind)
{
    static const char *const kinds[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", NULL};
    int64_t pads[2 * PT_WINDOW_AXES];
    int k, rc;
    if ((rc = read_axes(c, "strides", 1, 1, w->stride, w->axes)) < 0 || (rc = read_axes(c, "dilations", 1, 1, w->dilation, w->axes)) < 0 ||
        (rc = read_axes(c, "pads", 0, 0, pads, 2 * w->axes)) < 0 || (rc = pt_attr_choice(c, "auto_pad", kinds, PT_PAD_NOTSET, &k)) < 0)
        return rc;
    *kind = (enum pt_auto_pad)k;
    for (int i = 0; i < w->axes; i++) {
        if (w->in[i] > SIZE_LIMIT || w->kernel[i] < 1 || w->kernel[i] > SIZE_LIMIT)
            return pt_op_fail(c, PT_EINVAL, "input size %lld or kernel size %lld at spatial axis %d is out of range", (long long)w->in[i],
                              (long long)w->kernel[i], i);
        w->pad[i] = k == PT_PAD_NOTSET ? pads[i] : 0;
        w->pad_end[i] = k == PT_PAD_NOTSET ? pads[w->axes + i] : 0;
    }
    return PT_OK;
}

int pt_window_infer(struct pt_op_ctx *c, struct pt_window *w, bool ceil_mode)
{
    enum pt_auto_pad kind;
    int rc = pt_window_read(c, w, &kind);
    for (int i = 0; rc == PT_OK && i < w->axes; i++) {
        if (kind == PT_PAD_SAME_UPPER || kind == PT_PAD_SAME_LOWER)
            same_pads(w, i, kind == PT_PAD_SAME_LOWER);
        else
            rc = out_size(c, w, i, ceil_mode);
    }
    return rc;
}
