/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor_file.c: memory of tensors that come from files, reading by a file's ending, and inputs made up for measuring.
 */
#include "cli/tensor_file.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"

void pt_tensor_file_finish(struct pt_tensor_file *f)
{
    for (size_t i = 0; i < f->part_count; i++)
        pt_tensor_file_finish(&f->parts[i]);
    pt_free(f->parts);
    pt_free(f->items);
    pt_free(f->t.data);
    pt_free(f->text);
    *f = (struct pt_tensor_file){0};
}

bool pt_tensor_bytes(enum pt_dtype dtype, int64_t count, size_t *bytes)
{
    size_t bits = pt_dtype_bits(dtype), total;
    if (dtype == PT_STRING)
        bits = 8 * sizeof(struct pt_string);
    if (bits == 0 || count < 0 || __builtin_mul_overflow((size_t)count, bits, &total) || total > SIZE_MAX - 7)
        return false;
    *bytes = (total + 7) / 8;
    return true;
}

int pt_tensor_file_alloc(struct pt_tensor_file *f, enum pt_dtype dtype, int rank, const int64_t *dims, struct pt_err *err)
{
    *f = (struct pt_tensor_file){.t = {.dtype = dtype, .rank = rank}};
    if (rank)
        memcpy(f->t.dims, dims, (size_t)rank * sizeof *dims);
    if (!pt_tensor_bytes(dtype, pt_tensor_count(&f->t), &f->t.size_bytes))
        return pt_fail(err, PT_ELIMIT, "the shape has too many elements");
    f->t.data = pt_alloc_aligned(f->t.size_bytes);
    if (!f->t.data)
        return pt_fail(err, PT_ENOMEM, "a tensor of %zu bytes: out of memory", f->t.size_bytes);
    memset(f->t.data, 0, f->t.size_bytes);
    return PT_OK;
}

/* The tensor that was read becomes the value of an optional. */
static int wrap_optional(struct pt_tensor_file *f, struct pt_err *err)
{
    struct pt_tensor_file *part = pt_calloc(1, sizeof *part);
    struct pt_optional *o = pt_calloc(1, sizeof *o);
    if (!part || !o) {
        pt_free(part);
        pt_free(o);
        return pt_fail(err, PT_ENOMEM, "out of memory");
    }
    *part = *f;
    o->value = &part->t;
    *f = (struct pt_tensor_file){.t = {.dtype = PT_OPTIONAL, .data = o, .size_bytes = sizeof *o}, .parts = part, .part_count = 1};
    return PT_OK;
}

int pt_value_file_read(const char *path, const struct pt_value_info *info, struct pt_tensor_file *out, struct pt_err *err)
{
    size_t len = strlen(path);
    enum pt_dtype kind = info ? info->dtype : PT_UNDEFINED;
    bool npy = len > 4 && strcmp(path + len - 4, ".npy") == 0, pb = len > 3 && strcmp(path + len - 3, ".pb") == 0;
    if (!npy && !pb)
        return pt_fail(err, PT_EINVAL, "%s: a tensor file ends in .npy or .pb", path);
    if (npy && (kind == PT_SEQUENCE || kind == PT_MAP))
        return pt_fail(err, PT_EINVAL, "%s: a %s is read from a .pb file", path, pt_dtype_name(kind));
    pt_auto_buf bytes = PT_BUF_INIT(0);
    int rc = pt_buf_read_file(&bytes, path, err);
    if (rc < 0)
        return rc;
    rc = npy ? pt_npy_parse(bytes.data, bytes.len, out, err) : pt_value_pb_parse(bytes.data, bytes.len, kind, out, err);
    if (rc == PT_OK && npy && kind == PT_OPTIONAL && (rc = wrap_optional(out, err)) < 0)
        pt_tensor_file_finish(out);
    return rc < 0 ? pt_wrap(err, "%s", path) : PT_OK;
}

int pt_tensor_file_read(const char *path, struct pt_tensor_file *out, struct pt_err *err)
{
    return pt_value_file_read(path, NULL, out, err);
}

/* "one" of an integer type is a byte pattern that repeats every `unit` bytes. */
static void fill_ones(struct pt_tensor *t, size_t unit, uint8_t first)
{
    for (size_t i = 0; i < t->size_bytes; i += unit)
        ((uint8_t *)t->data)[i] = first;
}

int pt_tensor_file_fill(struct pt_tensor_file *f, struct pt_err *err)
{
    struct pt_tensor *t = &f->t;
    struct pt_rand r;
    size_t n = t->size_bytes;
    pt_rand_init(&r, 1);
    switch (t->dtype) {
    case PT_FLOAT:
    case PT_COMPLEX64:
        for (size_t i = 0; i < n / 4; i++)
            ((float *)t->data)[i] = (float)pt_rand_normal(&r);
        return PT_OK;
    case PT_DOUBLE:
    case PT_COMPLEX128:
        for (size_t i = 0; i < n / 8; i++)
            ((double *)t->data)[i] = pt_rand_normal(&r);
        return PT_OK;
    case PT_FLOAT16:
        for (size_t i = 0; i < n / 2; i++)
            ((uint16_t *)t->data)[i] = pt_num_f16_bits(pt_rand_normal(&r));
        return PT_OK;
    case PT_BFLOAT16:
        for (size_t i = 0; i < n / 2; i++)
            ((uint16_t *)t->data)[i] = pt_num_bf16_bits(pt_rand_normal(&r));
        return PT_OK;
    case PT_INT8:
    case PT_INT16:
    case PT_INT32:
    case PT_INT64:
    case PT_UINT8:
    case PT_UINT16:
    case PT_UINT32:
    case PT_UINT64:
    case PT_BOOL:
        fill_ones(t, pt_dtype_bits(t->dtype) / 8, 1);
        return PT_OK;
    case PT_INT4:
    case PT_UINT4:
        fill_ones(t, 1, 0x11);
        return PT_OK;
    case PT_INT2:
    case PT_UINT2:
        fill_ones(t, 1, 0x55);
        return PT_OK;
    case PT_STRING:
        return PT_OK; /* zeroed is empty */
    default:
        return pt_fail(err, PT_EUNSUPPORTED, "cannot make up values of type %s: give a file", pt_dtype_name(t->dtype));
    }
}
