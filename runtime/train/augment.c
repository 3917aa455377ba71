/* SPDX-License-Identifier: Apache-2.0
 *
 * augment.c: see augment.h.
 */
#include "runtime/train/augment.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"
#include "runtime/tensor.h"

#include <string.h>

int pt_shift_check(const struct pt_data *d, int64_t shift, struct pt_err *err)
{
    bool images = false;
    if (shift < 0)
        return pt_fail(err, PT_EINVAL, "shift is %lld, must not be negative", (long long)shift);
    for (size_t i = 0; shift && i < d->input_count; i++) {
        const struct pt_tensor *t = &d->inputs[i];
        if (t->rank != 4)
            continue;
        images = true;
        if (t->dims[2] <= shift || t->dims[3] <= shift)
            return pt_fail(err, PT_EINVAL, "shift %lld: images of %lld x %lld are not larger", (long long)shift, (long long)t->dims[2],
                           (long long)t->dims[3]);
    }
    return images || !shift ? PT_OK : pt_fail(err, PT_EINVAL, "shift %lld: no input holds images, of four axes", (long long)shift);
}

/* to and from are planes of height x width; what is outside is the nearest that is inside. */
static void move_plane(char *to, const char *from, int64_t height, int64_t width, size_t size, int64_t down, int64_t right)
{
    int64_t left = right > 0 ? right : 0, end = width + (right < 0 ? right : 0);
    for (int64_t y = 0; y < height; y++) {
        int64_t at = y - down < 0 ? 0 : y - down >= height ? height - 1 : y - down;
        const char *row = from + (size_t)(at * width) * size;
        char *out = to + (size_t)(y * width) * size;
        memcpy(out + (size_t)left * size, row + (size_t)(left - right) * size, (size_t)(end - left) * size);
        for (int64_t x = 0; x < left; x++)
            memcpy(out + (size_t)x * size, row, size);
        for (int64_t x = end; x < width; x++)
            memcpy(out + (size_t)x * size, row + (size_t)(width - 1) * size, size);
    }
}

int pt_shift_images(struct pt_tensor *batch, int64_t shift, uint64_t seed, int64_t step, struct pt_err *err)
{
    size_t size = pt_dtype_size(batch->dtype), plane = batch->rank == 4 ? (size_t)(batch->dims[2] * batch->dims[3]) * size : 0;
    if (!plane || !shift)
        return PT_OK;
    struct pt_rand r;
    pt_auto_free char *copy = pt_malloc(plane);
    if (!copy)
        return pt_fail(err, PT_ENOMEM, "shift: out of memory");
    pt_rand_init(&r, seed * 0x9e3779b97f4a7c15U + 0xd1342543de82ef95U * (uint64_t)(step + 1));
    for (int64_t i = 0; i < batch->dims[0]; i++) {
        int64_t down = pt_rand_below(&r, (uint32_t)(2 * shift + 1)) - shift, right = pt_rand_below(&r, (uint32_t)(2 * shift + 1)) - shift;
        for (int64_t c = 0; c < batch->dims[1]; c++) {
            char *at = (char *)batch->data + (size_t)(i * batch->dims[1] + c) * plane;
            memcpy(copy, at, plane);
            move_plane(at, copy, batch->dims[2], batch->dims[3], size, down, right);
        }
    }
    return PT_OK;
}
