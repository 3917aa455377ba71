/* SPDX-License-Identifier: Apache-2.0
 *
 * data_idx.c: the format of the MNIST files: two zeros, a type, a rank, big-endian dims, data.
 */
#include "cli/data_files.h"

#include "base/mem.h"

static const struct {
    uint8_t code;
    enum pt_dtype dtype;
} types[] = {{0x08, PT_UINT8}, {0x09, PT_INT8}, {0x0b, PT_INT16}, {0x0c, PT_INT32}, {0x0d, PT_FLOAT}, {0x0e, PT_DOUBLE}};

static enum pt_dtype type_of(uint8_t code)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code)
            return types[i].dtype;
    return PT_UNDEFINED;
}

static int parse(const uint8_t *p, size_t len, struct pt_data_file *out, struct pt_err *err)
{
    struct pt_tensor shape = {0};
    if (len < 4 || p[0] || p[1])
        return pt_fail(err, PT_EPARSE, "not an IDX file: it begins with two zeros");
    shape.dtype = type_of(p[2]);
    shape.rank = p[3];
    if (shape.dtype == PT_UNDEFINED)
        return pt_fail(err, PT_EUNSUPPORTED, "idx: type 0x%02x is unknown", p[2]);
    if (shape.rank < 1 || shape.rank > 8 || len < 4 + 4 * (size_t)shape.rank)
        return pt_fail(err, PT_EPARSE, "idx: rank %d in a file of %zu bytes; must be 1 to 8", shape.rank, len);
    for (int i = 0; i < shape.rank; i++)
        shape.dims[i] = (int64_t)p[4 + 4 * i] << 24 | p[5 + 4 * i] << 16 | p[6 + 4 * i] << 8 | p[7 + 4 * i];
    size_t need, start = 4 + 4 * (size_t)shape.rank, unit = pt_dtype_bits(shape.dtype) / 8;
    int64_t count = pt_tensor_count(&shape);
    if (count < 0 || !pt_tensor_bytes(shape.dtype, count, &need) || need != len - start)
        return pt_fail(err, PT_EPARSE, "idx: %zu bytes of data do not fit the dims", len - start);
    struct pt_tensor_file *to = pt_data_file_add(out, PT_STR(""), err);
    if (!to)
        return PT_ENOMEM;
    int rc = pt_tensor_file_alloc(to, shape.dtype, shape.rank, shape.dims, err);
    if (rc < 0)
        return rc;
    uint8_t *q = to->t.data;
    for (size_t i = 0; i < need; i++)
        q[i] = p[start + i / unit * unit + (unit - 1 - i % unit)];
    out->pixels = shape.dtype == PT_UINT8 && shape.rank >= 3;
    return PT_OK;
}

int pt_idx_parse(const void *bytes, size_t len, struct pt_data_file *out, struct pt_err *err)
{
    *out = (struct pt_data_file){0};
    int rc = parse(bytes, len, out, err);
    if (rc < 0)
        pt_data_file_finish(out);
    return rc;
}
