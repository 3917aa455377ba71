/* SPDX-License-Identifier: Apache-2.0
 *
 * type.c: TypeProto and ValueInfoProto.
 */
#include "runtime/onnx/internal.h"

static int read_dim(struct pt_onnx_reader *r, struct pt_str bytes, int64_t *dim, struct pt_str *name)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    *dim = -1;
    *name = (struct pt_str){0};
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 1 && f.type == PT_PB_VARINT)
            *dim = (int64_t)f.value < 0 ? -1 : (int64_t)f.value;
        else if (f.number == 2 && f.type == PT_PB_LEN)
            *name = f.bytes;
    }
    return rc;
}

static int read_shape(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_type *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    out->rank = 0;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number != 1 || f.type != PT_PB_LEN)
            continue;
        if (out->rank == PT_MAX_RANK)
            return pt_fail(r->err, PT_ELIMIT, "rank is over the limit of %d", PT_MAX_RANK);
        if ((rc = read_dim(r, f.bytes, &out->dims[out->rank], &out->dim_names[out->rank])) < 0)
            return rc;
        out->rank++;
    }
    return rc;
}

/* Fields of a TypeProto and what they are. */
static enum pt_dtype kind_of(uint32_t field)
{
    return field == 4 ? PT_SEQUENCE : field == 5 ? PT_MAP : field == 9 ? PT_OPTIONAL : PT_UNDEFINED;
}

static int read_inside(struct pt_onnx_reader *r, const struct pt_pb_field *f, struct pt_onnx_type *out)
{
    struct pt_pb_reader in = pt_pb_reader(f->bytes.p, f->bytes.len);
    struct pt_pb_field g;
    enum pt_dtype kind = kind_of(f->number);
    uint32_t elem_field = kind == PT_MAP ? 2 : 1;
    int rc;
    out->dtype = kind;
    while ((rc = pt_pb_next(&in, &g, r->err)) == 1) {
        if (g.type == PT_PB_VARINT && g.number == 1) { /* a tensor's element type, a map's key type */
            enum pt_dtype t = g.value < PT_DTYPE_COUNT ? (enum pt_dtype)g.value : PT_UNDEFINED;
            *(kind == PT_MAP ? &out->key_dtype : &out->dtype) = t;
        } else if (kind == PT_UNDEFINED && g.number == 2 && g.type == PT_PB_LEN) {
            if ((rc = read_shape(r, g.bytes, out)) < 0)
                return rc;
        } else if (kind != PT_UNDEFINED && g.number == elem_field && g.type == PT_PB_LEN) {
            struct pt_onnx_type *elem = pt_onnx_array(r, 1, sizeof *elem);
            if (!elem)
                return pt_onnx_code(r);
            if ((rc = pt_onnx_read_type(r, g.bytes, elem)) < 0)
                return rc;
            out->elem = elem;
        }
    }
    return rc;
}

/* Sparse tensors and opaque values have no number here: they stay undefined and are refused by whoever needs them. */
int pt_onnx_read_type(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_type *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    out->rank = -1;
    if (r->depth >= PT_ONNX_MAX_DEPTH)
        return pt_fail(r->err, PT_ELIMIT, "types are nested deeper than %d", PT_ONNX_MAX_DEPTH);
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.type != PT_PB_LEN || (f.number != 1 && kind_of(f.number) == PT_UNDEFINED))
            continue;
        r->depth++;
        rc = read_inside(r, &f, out);
        r->depth--;
        if (rc < 0)
            return rc;
    }
    return rc;
}

int pt_onnx_read_value_info(struct pt_onnx_reader *r, struct pt_str bytes, struct pt_onnx_value_info *out)
{
    struct pt_pb_reader in = pt_pb_reader(bytes.p, bytes.len);
    struct pt_pb_field f;
    int rc;
    out->name = PT_STR("");
    out->type.rank = -1;
    while ((rc = pt_pb_next(&in, &f, r->err)) == 1) {
        if (f.number == 1 && f.type == PT_PB_LEN)
            out->name = f.bytes;
        else if (f.number == 2 && f.type == PT_PB_LEN && (rc = pt_onnx_read_type(r, f.bytes, &out->type)) < 0)
            return rc;
    }
    return rc;
}
