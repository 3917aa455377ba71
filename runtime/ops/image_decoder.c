/* SPDX-License-Identifier: Apache-2.0
 *
 * image_decoder.c: ImageDecoder: the bytes of an image file to [height, width, channels]. What is no image gives an empty one, as the standard
 * says. An image that is cut short is an error, and so is a format that Pintle recognises but does not have.
 */
#include "runtime/ops/image.h"
#include "runtime/ops/op.h"

enum { RGB, BGR, GRAY };

struct decoder {
    int pixel;
    int64_t width, height;
};

static struct pt_bytes bytes_of(const struct pt_tensor *t)
{
    return (struct pt_bytes){t->data, t->size_bytes};
}

static int decoder_infer(struct pt_op_ctx *c)
{
    static const char *const pixels[] = {"RGB", "BGR", "Grayscale", NULL};
    struct decoder *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int rc = pt_attr_choice(c, "pixel_format", pixels, RGB, &p->pixel);
    if (rc < 0)
        return rc;
    if (x->rank != 1)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 1", PT_SHAPE(x));
    if (!x->data)
        return pt_op_needs_data(c, 0, "encoded_stream");
    const struct pt_image_format *f = pt_image_find(bytes_of(x));
    if (f && !f->size)
        return pt_op_fail(c, PT_EUNSUPPORTED, "images in %s format are not supported, only BMP and PNM", f->name);
    if (!f || !f->size(bytes_of(x), &p->width, &p->height))
        p->width = p->height = 0;
    c->scratch_bytes = (size_t)p->width * (size_t)p->height * 3;
    pt_op_set_out(c, 0, PT_UINT8, 3, (const int64_t[]){p->height, p->width, p->pixel == GRAY ? 1 : 3});
    return PT_OK;
}

static int decoder_run(struct pt_op_ctx *c)
{
    const struct decoder *p = c->params;
    struct pt_bytes b = bytes_of(c->in[0]);
    const uint8_t *rgb = c->scratch;
    uint8_t *y = c->out[0]->data;
    int64_t n = p->width * p->height;
    if (n && !pt_image_find(b)->decode(b, p->width, p->height, c->scratch))
        return pt_op_fail(c, PT_EINVAL, "the image of %lld x %lld pixels is cut short or corrupt", (long long)p->width, (long long)p->height);
    for (int64_t i = 0; i < n; i++, rgb += 3) {
        if (p->pixel == GRAY) { /* luma of ITU-R 601 */
            *y++ = (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
            continue;
        }
        *y++ = rgb[p->pixel == BGR ? 2 : 0];
        *y++ = rgb[1];
        *y++ = rgb[p->pixel == BGR ? 0 : 2];
    }
    return PT_OK;
}

const struct pt_op pt_op_image_decoder = {.type = "ImageDecoder",
                                          .since = {20},
                                          .min_in = 1,
                                          .max_in = 1,
                                          .max_out = 1,
                                          .types = {PT_T(PT_UINT8)},
                                          .params_size = sizeof(struct decoder),
                                          .infer = decoder_infer,
                                          .run = decoder_run};
