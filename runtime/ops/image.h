/* SPDX-License-Identifier: Apache-2.0
 *
 * image.h: encoded images to pixels. One row per format; a format that is only recognised has no decoder. Bytes may be anything.
 */
#ifndef PT_RUNTIME_OPS_IMAGE_H
#define PT_RUNTIME_OPS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pt_bytes {
    const uint8_t *p;
    size_t len;
};

struct pt_image_format {
    const char *name;
    bool (*matches)(struct pt_bytes b);
    /* Width and height, both at least 1 and no more than the bytes can hold; false: corrupt. NULL: cannot be decoded. */
    bool (*size)(struct pt_bytes b, int64_t *width, int64_t *height);
    /* After size: fills [height][width][3] with red, green, blue. false: corrupt. */
    bool (*decode)(struct pt_bytes b, int64_t width, int64_t height, uint8_t *rgb);
};
/* The format, or NULL. */
const struct pt_image_format *pt_image_find(struct pt_bytes b);

#endif
