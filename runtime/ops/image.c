/* SPDX-License-Identifier: Apache-2.0
 *
 * image.c: the formats of image.h: BMP without compression and the portable formats (PBM, PGM, PPM, as text and binary).
 */
#include "runtime/ops/image.h"

#include <string.h>

#define MAX_SIDE (1 << 24)

/* A pixel takes a bit or more. */
static bool sane(struct pt_bytes b, int64_t w, int64_t h)
{
    return w >= 1 && h >= 1 && w <= MAX_SIDE && h <= MAX_SIDE && (uint64_t)w * (uint64_t)h / 8 <= b.len;
}

static bool starts(struct pt_bytes b, size_t at, const char *s, size_t len)
{
    return b.len >= at + len && memcmp(b.p + at, s, len) == 0;
}

/* --- BMP ---------------------------------------------------------------------------------------------------------------------------------- */

static uint32_t le32(struct pt_bytes b, size_t at)
{
    return b.len < at + 4 ? 0 : (uint32_t)b.p[at] | (uint32_t)b.p[at + 1] << 8 | (uint32_t)b.p[at + 2] << 16 | (uint32_t)b.p[at + 3] << 24;
}

static bool is_bmp(struct pt_bytes b)
{
    return starts(b, 0, "BM", 2);
}

/* Rows stand from the bottom up, unless the height is negative. */
static bool bmp_size(struct pt_bytes b, int64_t *w, int64_t *h)
{
    *w = (int32_t)le32(b, 18);
    *h = (int32_t)le32(b, 22);
    *h = *h < 0 ? -*h : *h;
    return le32(b, 14) >= 40 && sane(b, *w, *h);
}

static bool bmp_decode(struct pt_bytes b, int64_t w, int64_t h, uint8_t *rgb)
{
    size_t bits = le32(b, 28) & 0xffff, compression = le32(b, 30), pixels = le32(b, 10), palette = 14 + (size_t)le32(b, 14);
    size_t row = ((size_t)w * bits + 31) / 32 * 4, colours = (pixels - palette) / 4;
    bool down = (int32_t)le32(b, 22) < 0, indexed = bits == 1 || bits == 4 || bits == 8;
    if (compression != 0 || (!indexed && bits != 24 && bits != 32) || pixels < palette || pixels > b.len || (b.len - pixels) / row < (size_t)h)
        return false;
    for (int64_t y = 0; y < h; y++) {
        const uint8_t *from = b.p + pixels + (size_t)(down ? y : h - 1 - y) * row;
        for (int64_t x = 0; x < w; x++, rgb += 3) {
            const uint8_t *bgr = from + (size_t)x * (bits / 8);
            if (indexed) {
                size_t i = from[(size_t)x * bits / 8] >> (8 - bits - (size_t)x * bits % 8) & ((1u << bits) - 1);
                if (i >= colours)
                    return false;
                bgr = b.p + palette + 4 * i;
            }
            rgb[0] = bgr[2];
            rgb[1] = bgr[1];
            rgb[2] = bgr[0];
        }
    }
    return true;
}

/* --- portable formats: P1 P2 P3 as text, P4 P5 P6 binary; bits, greys, colours --------------------------------------------------------------------
 */

static bool is_pnm(struct pt_bytes b)
{
    return b.len >= 3 && b.p[0] == 'P' && b.p[1] >= '1' && b.p[1] <= '6' && (strchr(" \t\r\n#", b.p[2]) && b.p[2]);
}

static void skip_space(struct pt_bytes b, size_t *at)
{
    while (*at < b.len && (b.p[*at] == '#' || (b.p[*at] >= '\t' && b.p[*at] <= '\r') || b.p[*at] == ' ')) {
        if (b.p[*at] == '#')
            while (*at < b.len && b.p[*at] != '\n')
                ++*at;
        else
            ++*at;
    }
}

/* A number of at most `digits` digits; false when there is none. */
static bool number(struct pt_bytes b, size_t *at, int digits, int64_t *out)
{
    int64_t v = 0;
    int n = 0;
    skip_space(b, at);
    while (*at < b.len && b.p[*at] >= '0' && b.p[*at] <= '9' && n < digits) {
        v = v * 10 + (b.p[(*at)++] - '0');
        n++;
    }
    *out = v;
    return n > 0;
}

struct pnm {
    int64_t width, height, top;
    size_t at; /* of the pixels */
};

static bool pnm_header(struct pt_bytes b, struct pnm *h)
{
    h->at = 2;
    h->top = 1;
    bool bits = b.p[1] == '1' || b.p[1] == '4';
    if (!number(b, &h->at, 8, &h->width) || !number(b, &h->at, 8, &h->height) || (!bits && !number(b, &h->at, 5, &h->top)))
        return false;
    h->at++; /* one blank before binary pixels */
    return h->top >= 1 && h->top <= 65535 && sane(b, h->width, h->height);
}

static bool pnm_size(struct pt_bytes b, int64_t *w, int64_t *h)
{
    struct pnm p;
    bool good = pnm_header(b, &p);
    *w = good ? p.width : 0;
    *h = good ? p.height : 0;
    return good;
}

static bool sample(struct pt_bytes b, struct pnm *h, bool text, bool bits, int64_t *v)
{
    if (text)
        return number(b, &h->at, bits ? 1 : 5, v);
    size_t bytes = h->top > 255 ? 2 : 1;
    if (b.len < bytes || h->at > b.len - bytes)
        return false;
    *v = bytes == 2 ? b.p[h->at] << 8 | b.p[h->at + 1] : b.p[h->at];
    h->at += bytes;
    return true;
}

static bool pnm_row(struct pt_bytes b, struct pnm *h, int kind, uint8_t *rgb)
{
    bool text = kind <= 3, bits = kind == 1 || kind == 4, colour = kind == 3 || kind == 6;
    for (int64_t x = 0; x < h->width; x++)
        for (int k = 0; k < (colour ? 3 : 1); k++) {
            int64_t v;
            if (kind == 4) { /* eight pixels a byte, the first one on top */
                size_t at = h->at + (size_t)x / 8;
                if (at >= b.len)
                    return false;
                v = b.p[at] >> (7 - x % 8) & 1;
            } else if (!sample(b, h, text, bits, &v)) {
                return false;
            }
            v = v > h->top ? h->top : v;
            uint8_t byte = (uint8_t)(bits ? v ? 0 : 255 : (v * 255 + h->top / 2) / h->top);
            uint8_t *to = rgb + 3 * x + k;
            to[0] = byte;
            if (!colour)
                to[1] = to[2] = byte;
        }
    if (kind == 4)
        h->at += (size_t)(h->width + 7) / 8;
    return true;
}

static bool pnm_decode(struct pt_bytes b, int64_t w, int64_t h, uint8_t *rgb)
{
    struct pnm p;
    bool good = pnm_header(b, &p);
    for (int64_t y = 0; good && y < h; y++)
        good = pnm_row(b, &p, b.p[1] - '0', rgb + y * w * 3);
    return good;
}

/* --- recognised only ---------------------------------------------------------------------------------------------------------------------------- */

static bool is_png(struct pt_bytes b)
{
    return starts(b, 0, "\x89PNG", 4);
}

static bool is_jpeg(struct pt_bytes b)
{
    return starts(b, 0, "\xff\xd8\xff", 3);
}

static bool is_jpeg2000(struct pt_bytes b)
{
    return starts(b, 0, "\0\0\0\x0cjP  ", 8) || starts(b, 0, "\xff\x4f\xff\x51", 4);
}

static bool is_tiff(struct pt_bytes b)
{
    return starts(b, 0, "II*\0", 4) || starts(b, 0, "MM\0*", 4);
}

static bool is_webp(struct pt_bytes b)
{
    return starts(b, 0, "RIFF", 4) && starts(b, 8, "WEBP", 4);
}

static const struct pt_image_format rows[] = {
    {"BMP", is_bmp, bmp_size, bmp_decode},  {"PNM", is_pnm, pnm_size, pnm_decode}, {"PNG", is_png, NULL, NULL},   {"JPEG", is_jpeg, NULL, NULL},
    {"JPEG 2000", is_jpeg2000, NULL, NULL}, {"TIFF", is_tiff, NULL, NULL},         {"WebP", is_webp, NULL, NULL},
};

const struct pt_image_format *pt_image_find(struct pt_bytes b)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].matches(b))
            return &rows[i];
    return NULL;
}
