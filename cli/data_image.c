/* SPDX-License-Identifier: Apache-2.0
 *
 * data_image.c: images by libpng and libjpeg-turbo; folders of them, one per class.
 */
#include "cli/data_files.h"

#include "base/buf.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <jpeglib.h>
#include <png.h>

enum { SIDE = 16384, FILE_MAX = 256 << 20 };

/* Rows of bytes, channels interleaved; p is owned. */
struct image {
    uint8_t *p;
    int64_t height, width, channels;
};

/* --- decoding ------------------------------------------------------------------------------------------------------------------------------- */

static int make_room(struct image *im, struct pt_err *err)
{
    if (im->width < 1 || im->height < 1 || im->width > SIDE || im->height > SIDE)
        return pt_fail(err, PT_ELIMIT, "%lld x %lld pixels; 1 to %d each way", (long long)im->width, (long long)im->height, SIDE);
    im->p = pt_calloc((size_t)(im->width * im->height), (size_t)im->channels);
    return im->p ? PT_OK : pt_fail(err, PT_ENOMEM, "%lld x %lld pixels: out of memory", (long long)im->width, (long long)im->height);
}

static int decode_png(const void *bytes, size_t len, int64_t channels, struct image *im, struct pt_err *err)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&png, bytes, len))
        return pt_fail(err, PT_EPARSE, "png: %s", png.message);
    png.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    *im = (struct image){.height = png.height, .width = png.width, .channels = channels};
    int rc = make_room(im, err);
    if (rc == PT_OK && !png_image_finish_read(&png, &(png_color){0}, im->p, 0, NULL))
        rc = pt_fail(err, PT_EPARSE, "png: %s", png.message);
    png_image_free(&png);
    return rc;
}

struct jpeg_error {
    struct jpeg_error_mgr base;
    jmp_buf out;
    struct pt_err *err;
};

static void on_jpeg_error(j_common_ptr j)
{
    struct jpeg_error *e = (struct jpeg_error *)(void *)j->err;
    char text[JMSG_LENGTH_MAX];
    j->err->format_message(j, text);
    pt_fail(e->err, PT_EPARSE, "jpeg: %s", text);
    longjmp(e->out, 1);
}

static void on_jpeg_message(j_common_ptr j, int level)
{
    if (level < 0) /* "corrupt data": such an image is refused, not learned from */
        on_jpeg_error(j);
}

/* What it allocates is *im's, so that nothing is lost when libjpeg jumps out. */
static int decode_jpeg(const void *bytes, size_t len, int64_t channels, struct image *im, struct pt_err *err)
{
    struct jpeg_decompress_struct j;
    struct jpeg_error e = {.err = err};
    volatile int rc = PT_OK;
    j.err = jpeg_std_error(&e.base);
    e.base.error_exit = on_jpeg_error;
    e.base.emit_message = on_jpeg_message;
    if (setjmp(e.out)) {
        jpeg_destroy_decompress(&j);
        return err->code;
    }
    jpeg_create_decompress(&j);
    jpeg_mem_src(&j, bytes, len);
    jpeg_read_header(&j, TRUE);
    j.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    *im = (struct image){.height = j.image_height, .width = j.image_width, .channels = channels};
    rc = make_room(im, err);
    if (rc == PT_OK) {
        jpeg_start_decompress(&j);
        while (j.output_scanline < j.output_height)
            jpeg_read_scanlines(&j, &(JSAMPROW){im->p + (size_t)j.output_scanline * (size_t)(im->width * channels)}, 1);
        jpeg_finish_decompress(&j);
    }
    jpeg_destroy_decompress(&j);
    return rc;
}

/* --- another size ------------------------------------------------------------------------------------------------------------------------------ */

/* One line of n values `step` apart becomes one of m: a triangle as wide as the reduction, so that nothing is skipped when it shrinks. */
static void resize_line(const float *from, int64_t n, int64_t step, float *to, int64_t m, int64_t to_step)
{
    double scale = (double)n / (double)m, reach = scale > 1 ? scale : 1;
    for (int64_t i = 0; i < m; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0, weights = 0;
        int64_t first = (int64_t)floor(centre - reach), last = (int64_t)ceil(centre + reach);
        first = first < 0 ? 0 : first;
        last = last > n ? n : last;
        for (int64_t k = first; k < last; k++) {
            double w = 1 - fabs((double)k + 0.5 - centre) / reach;
            if (w <= 0)
                continue;
            sum += w * (double)from[k * step];
            weights += w;
        }
        to[i * to_step] = (float)(sum / weights);
    }
}

static int resize(const struct image *im, const struct pt_image_shape *want, uint8_t *out, struct pt_err *err)
{
    int64_t c = im->channels, w = want->width, h = want->height;
    if (im->width == w && im->height == h) {
        memcpy(out, im->p, (size_t)(w * h * c));
        return PT_OK;
    }
    pt_auto_free float *line = pt_calloc((size_t)(im->width * c), sizeof *line);
    pt_auto_free float *wide = pt_calloc((size_t)(im->height * w), (size_t)c * sizeof *wide);
    pt_auto_free float *column = pt_calloc((size_t)h, sizeof *column);
    if (!line || !wide || !column)
        return pt_fail(err, PT_ENOMEM, "an image is resized: out of memory");
    for (int64_t y = 0; y < im->height; y++) {
        for (int64_t i = 0; i < im->width * c; i++)
            line[i] = im->p[y * im->width * c + i];
        for (int64_t k = 0; k < c; k++)
            resize_line(line + k, im->width, c, wide + y * w * c + k, w, c);
    }
    for (int64_t x = 0; x < w * c; x++) {
        resize_line(wide + x, im->height, w * c, column, h, 1);
        for (int64_t y = 0; y < h; y++)
            out[y * w * c + x] = (uint8_t)lrintf(fminf(255, fmaxf(0, column[y])));
    }
    return PT_OK;
}

int pt_image_parse(const void *bytes, size_t len, const struct pt_image_shape *want, uint8_t *out, struct pt_err *err)
{
    static const uint8_t png[] = {0x89, 'P', 'N', 'G'}, jpeg[] = {0xff, 0xd8, 0xff};
    struct image im = {0};
    int rc;
    if (len > 8 && memcmp(bytes, png, sizeof png) == 0)
        rc = decode_png(bytes, len, want->channels, &im, err);
    else if (len > 8 && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        rc = decode_jpeg(bytes, len, want->channels, &im, err);
    else
        rc = pt_fail(err, PT_EUNSUPPORTED, "is neither a PNG nor a JPEG image");
    if (rc == PT_OK)
        rc = resize(&im, want, out, err);
    pt_free(im.p);
    return rc;
}

/* --- folders ------------------------------------------------------------------------------------------------------------------------------------ */

/* Names in a folder, in order; those that begin with a dot are left out. */
struct names {
    char **list;
    size_t count;
};

static void finish_names(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        pt_free(n->list[i]);
    pt_free(n->list);
    *n = (struct names){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_folder(const char *dir, struct names *n, struct pt_err *err)
{
    DIR *d = opendir(dir);
    size_t room = 0;
    int rc = PT_OK;
    if (!d && errno == ENOTDIR)
        return pt_fail(err, PT_EINVAL, "%s: is no folder; a class is one, with its images in it", dir);
    if (!d)
        return pt_fail(err, pt_err_from_errno(errno), "%s: %s", dir, strerror(errno));
    for (struct dirent *e; rc == PT_OK && (e = readdir(d));) {
        if (*e->d_name == '.')
            continue;
        if (n->count == room) {
            char **list = pt_reallocarray(n->list, room = room ? room * 2 : 64, sizeof *list);
            if (!list) {
                rc = pt_fail(err, PT_ENOMEM, "%s: out of memory", dir);
                break;
            }
            n->list = list;
        }
        if ((n->list[n->count] = pt_strdup(e->d_name)))
            n->count++;
        else
            rc = pt_fail(err, PT_ENOMEM, "%s: out of memory", dir);
    }
    closedir(d);
    if (rc == PT_OK && n->count)
        qsort(n->list, n->count, sizeof *n->list, by_name);
    return rc;
}

/* Bytes of all images so far, and the class of each. */
struct collection {
    const struct pt_image_shape *want;
    struct pt_buf pixels, labels;
};

static int add_image(struct collection *c, const char *path, int64_t class, struct pt_err *err)
{
    pt_auto_buf file = PT_BUF_INIT(FILE_MAX);
    int rc = pt_buf_read_file(&file, path, err);
    if (rc < 0)
        return rc;
    size_t bytes = (size_t)(c->want->height * c->want->width * c->want->channels);
    char *to = pt_buf_reserve(&c->pixels, bytes);
    if (!to)
        return pt_buf_check(&c->pixels, path, err);
    rc = pt_image_parse(file.data, file.len, c->want, (uint8_t *)to, err);
    if (rc < 0)
        return pt_wrap(err, "%s", path);
    c->pixels.len += bytes;
    pt_buf_append(&c->labels, &class, sizeof class);
    return pt_buf_check(&c->labels, path, err);
}

static bool is_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

static int add_class(struct collection *c, const char *dir, const char *name, int64_t class, struct pt_err *err)
{
    pt_auto_free char *path = pt_asprintf("%s/%s", dir, name);
    struct names files = {0};
    int rc = path ? list_folder(path, &files, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    size_t found = 0;
    for (size_t i = 0; rc == PT_OK && i < files.count; i++) {
        pt_auto_free char *file = pt_asprintf("%s/%s", path, files.list[i]);
        if (!is_image_name(files.list[i]))
            rc = pt_fail(err, PT_EINVAL, "%s/%s: is no .png, .jpg or .jpeg", path, files.list[i]);
        else
            rc = file ? add_image(c, file, class, err) : pt_fail(err, PT_ENOMEM, "out of memory");
        found++;
    }
    finish_names(&files);
    return rc == PT_OK && !found ? pt_fail(err, PT_EINVAL, "%s: the class is empty", path) : rc;
}

static int64_t class_of(const char *name, const char *const *classes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(classes[i], name) == 0)
            return (int64_t)i;
    return -1;
}

static int fill(struct collection *c, struct pt_data_file *out, struct pt_err *err)
{
    int64_t n = (int64_t)(c->labels.len / sizeof(int64_t)), dims[] = {n, c->want->height, c->want->width, c->want->channels};
    struct pt_tensor_file *to = pt_data_file_add(out, PT_STR(""), err);
    int rc = to ? pt_tensor_file_alloc(to, PT_UINT8, 4, dims, err) : PT_ENOMEM;
    if (rc == PT_OK)
        rc = pt_tensor_file_alloc(&out->labels, PT_INT64, 1, dims, err);
    if (rc < 0)
        return rc;
    memcpy(to->t.data, c->pixels.data, c->pixels.len);
    memcpy(out->labels.t.data, c->labels.data, c->labels.len);
    out->pixels = true;
    return PT_OK;
}

int pt_image_folder_read(const char *dir, const struct pt_image_shape *want, const char *const *classes, size_t class_count, struct pt_data_file *out,
                         struct pt_err *err)
{
    struct collection c = {want, PT_BUF_INIT(PT_DATA_MAX), PT_BUF_INIT(0)};
    struct names folders = {0};
    *out = (struct pt_data_file){0};
    int rc = list_folder(dir, &folders, err);
    for (size_t i = 0; rc == PT_OK && i < folders.count; i++) {
        int64_t class = classes ? class_of(folders.list[i], classes, class_count) : (int64_t)i;
        rc = class < 0 ? pt_fail(err, PT_EINVAL, "%s/%s: the model has no class \"%s\"", dir, folders.list[i], folders.list[i])
                       : add_class(&c, dir, folders.list[i], class, err);
    }
    if (rc == PT_OK && !folders.count)
        rc = pt_fail(err, PT_EINVAL, "%s: has no folders of classes", dir);
    if (rc == PT_OK)
        rc = fill(&c, out, err);
    if (rc == PT_OK && !classes) {
        out->classes = folders.list;
        out->class_count = folders.count;
        folders = (struct names){0};
    }
    finish_names(&folders);
    pt_buf_finish(&c.pixels);
    pt_buf_finish(&c.labels);
    if (rc < 0)
        pt_data_file_finish(out);
    return rc;
}
