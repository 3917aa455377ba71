/* SPDX-License-Identifier: Apache-2.0
 *
 * op.c: what operators share: attributes, operands, broadcasting.
 */
#include "runtime/ops/types.h"

#include <stdio.h>

int pt_op_fail(const struct pt_op_ctx *c, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pt_vfail(c->err, code, fmt, ap);
    va_end(ap);
    pt_wrap(c->err, "%s", pt_node_text(c->node).s);
    return code;
}

void *pt_op_alloc(struct pt_op_ctx *c, size_t bytes)
{
    void *p = c->heap ? pt_heap_alloc(c->heap, bytes, c->err) : pt_consts_alloc(c->consts, bytes, c->err);
    if (!p)
        pt_wrap(c->err, "%s", pt_node_text(c->node).s);
    return p;
}

int pt_op_keep(struct pt_op_ctx *c, const struct pt_tensor *t, struct pt_tensor *out)
{
    void *data = pt_op_alloc(c, t->size_bytes);
    if (!data)
        return c->err ? c->err->code : PT_ENOMEM;
    if (t->size_bytes)
        memcpy(data, t->data, t->size_bytes);
    *out = *t;
    out->data = data;
    return PT_OK;
}

const struct pt_onnx_attr *pt_node_attr(const struct pt_node *n, const char *name)
{
    for (size_t i = 0; i < n->attr_count; i++)
        if (pt_str_eq(n->attrs[i].name, pt_str(name)))
            return &n->attrs[i];
    return NULL;
}

/* What an attribute of another type than it must be is, with its value where that is short. */
static const char *describe(const struct pt_onnx_attr *a, char *s, size_t size)
{
    static const char *const kinds[] = {[PT_ATTR_TENSOR] = "a tensor",
                                        [PT_ATTR_GRAPH] = "a graph",
                                        [PT_ATTR_FLOATS] = "a list of floats",
                                        [PT_ATTR_INTS] = "a list of integers",
                                        [PT_ATTR_STRINGS] = "a list of strings"};
    if (a->type == PT_ATTR_INT)
        snprintf(s, size, "the integer %lld", (long long)a->i);
    else if (a->type == PT_ATTR_FLOAT)
        snprintf(s, size, "the float %g", (double)a->f);
    else if (a->type == PT_ATTR_STRING)
        snprintf(s, size, "the text \"%.*s\"", (int)(a->s.len < 40 ? a->s.len : 40), a->s.len ? a->s.p : "");
    else if ((size_t)a->type < sizeof kinds / sizeof *kinds && kinds[a->type])
        snprintf(s, size, "%s", kinds[a->type]);
    else
        snprintf(s, size, "of type %d", (int)a->type);
    return s;
}

static int attr_of_type(struct pt_op_ctx *c, const char *name, enum pt_attr_type type, const char *type_name, const struct pt_onnx_attr **out)
{
    *out = pt_node_attr(c->node, name);
    char what[80];
    if (*out && (*out)->type != type)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is %s, must be %s", name, describe(*out, what, sizeof what), type_name);
    return PT_OK;
}

static int check_range(struct pt_op_ctx *c, const char *name, int64_t v, int64_t min, int64_t max)
{
    if (v >= min && v <= max)
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "attribute '%s' = %lld is outside %lld to %lld", name, (long long)v, (long long)min, (long long)max);
}

int pt_attr_int(struct pt_op_ctx *c, const char *name, int64_t def, int64_t min, int64_t max, int64_t *out)
{
    const struct pt_onnx_attr *a;
    int rc = attr_of_type(c, name, PT_ATTR_INT, "an integer", &a);
    if (rc < 0)
        return rc;
    *out = a ? a->i : def;
    return a ? check_range(c, name, a->i, min, max) : PT_OK;
}

int pt_attr_float(struct pt_op_ctx *c, const char *name, float def, float *out)
{
    const struct pt_onnx_attr *a;
    int rc = attr_of_type(c, name, PT_ATTR_FLOAT, "a float", &a);
    if (rc == PT_OK)
        *out = a ? a->f : def;
    return rc;
}

int pt_attr_ints(struct pt_op_ctx *c, const char *name, int64_t min, int64_t max, int64_t *out, int room, int *count)
{
    const struct pt_onnx_attr *a;
    int rc = attr_of_type(c, name, PT_ATTR_INTS, "a list of integers", &a);
    *count = -1;
    if (rc < 0 || !a)
        return rc;
    if (a->count > (size_t)room)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' has %zu values, at most %d make sense here", name, a->count, room);
    for (size_t i = 0; i < a->count; i++) {
        if ((rc = check_range(c, name, a->ints[i], min, max)) < 0)
            return rc;
        out[i] = a->ints[i];
    }
    *count = (int)a->count;
    return PT_OK;
}

int pt_attr_choice(struct pt_op_ctx *c, const char *name, const char *const *choices, int def, int *out)
{
    const struct pt_onnx_attr *a;
    int rc = attr_of_type(c, name, PT_ATTR_STRING, "a string", &a);
    *out = def;
    if (rc < 0 || !a)
        return rc;
    for (int i = 0; choices[i]; i++)
        if (pt_str_eq(a->s, pt_str(choices[i]))) {
            *out = i;
            return PT_OK;
        }
    char known[240] = "";
    for (int i = 0; choices[i]; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", choices[i]);
    return pt_op_fail(c, PT_EUNSUPPORTED, "attribute '%s' = \"" PT_STR_FMT "\" is not supported, only %s", name, PT_STR_ARG(a->s), known);
}

int pt_op_axis(struct pt_op_ctx *c, const char *what, int64_t axis, int rank, bool end_ok, int *out)
{
    int64_t max = end_ok ? rank : rank - 1;
    if (axis < -rank || axis > max)
        return pt_op_fail(c, PT_EINVAL, "%s = %lld is outside %d to %lld for rank %d", what, (long long)axis, -rank, (long long)max, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return PT_OK;
}

int pt_op_needs_data(struct pt_op_ctx *c, int i, const char *what)
{
    c->needs_data = true;
    return pt_op_fail(c, PT_EUNSUPPORTED, "input %d (%s) decides shapes and depends on data: not supported yet", i, what);
}

int pt_op_const_ints(struct pt_op_ctx *c, int i, const char *what, int64_t *out, int room, int *count)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    *count = -1;
    if (!t)
        return PT_OK;
    if (t->dtype != PT_INT64 && t->dtype != PT_INT32)
        return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be int64 or int32", i, what, PT_SHAPE(t));
    if (t->rank > 1)
        return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must have rank 0 or 1", i, what, PT_SHAPE(t));
    int64_t n = pt_tensor_count(t);
    if (n > room)
        return pt_op_fail(c, PT_EINVAL, "input %d (%s) has %lld values, at most %d make sense here", i, what, (long long)n, room);
    if (!t->data)
        return pt_op_needs_data(c, i, what);
    for (int64_t k = 0; k < n; k++)
        out[k] = pt_elem_i64(t, k);
    *count = (int)n;
    return PT_OK;
}

int pt_op_const_float(struct pt_op_ctx *c, int i, const char *what, double *out)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    if (!t)
        return PT_OK;
    if (pt_tensor_count(t) != 1)
        return pt_op_fail(c, PT_EINVAL, "input %d (%s) is %s, must be one value", i, what, PT_SHAPE(t));
    if (!t->data)
        return pt_op_needs_data(c, i, what);
    *out = pt_elem_f64(t, 0);
    return PT_OK;
}

bool pt_op_set_out(struct pt_op_ctx *c, int i, enum pt_dtype dtype, int rank, const int64_t *dims)
{
    struct pt_tensor *t = i < c->out_count ? c->out[i] : NULL;
    if (!t)
        return false;
    t->dtype = dtype;
    t->rank = rank;
    for (int k = 0; k < rank; k++)
        t->dims[k] = dims[k];
    return true;
}

void pt_op_like(struct pt_op_ctx *c, int i, const struct pt_tensor *t)
{
    pt_op_set_out(c, i, t->dtype, t->rank, t->dims);
}

int64_t pt_elem_i64(const struct pt_tensor *t, int64_t index)
{
    int64_t v;
    pt_load_i64(t, index, 1, &v);
    return v;
}

double pt_elem_f64(const struct pt_tensor *t, int64_t index)
{
    double v;
    pt_load_f64(t, index, 1, &v);
    return v;
}

/* --- broadcasting -------------------------------------------------------------------------------------------------------- */

bool pt_bcast_dims(int64_t *dims, int *rank, const struct pt_tensor *t)
{
    if (t->rank > *rank) {
        int shift = t->rank - *rank;
        memmove(dims + shift, dims, (size_t)*rank * sizeof *dims);
        for (int i = 0; i < shift; i++)
            dims[i] = 1;
        *rank = t->rank;
    }
    for (int i = 0; i < t->rank; i++) {
        int64_t *d = &dims[*rank - t->rank + i];
        if (t->dims[i] == *d || t->dims[i] == 1)
            continue;
        if (*d != 1)
            return false;
        *d = t->dims[i];
    }
    return true;
}

void pt_bcast_init_strided(struct pt_bcast *b, const struct pt_tensor *out, int operands, const int64_t *const *stride)
{
    int64_t dims[PT_MAX_RANK + 1], st[PT_BCAST_MAX][PT_MAX_RANK + 1];
    int rank = 0;
    /* innermost first; an axis joins its inner neighbour when every operand steps through both evenly */
    for (int axis = out->rank - 1; axis >= 0; axis--) {
        if (out->dims[axis] == 1)
            continue;
        bool join = rank > 0;
        for (int k = 0; join && k < operands; k++)
            join = stride[k][axis] == st[k][rank - 1] * dims[rank - 1];
        if (join) {
            dims[rank - 1] *= out->dims[axis];
            continue;
        }
        dims[rank] = out->dims[axis];
        for (int k = 0; k < operands; k++)
            st[k][rank] = stride[k][axis];
        rank++;
    }
    if (rank == 0) {
        dims[0] = 1;
        for (int k = 0; k < operands; k++)
            st[k][0] = 0;
        rank = 1;
    }
    b->operands = operands;
    b->rank = rank - 1;
    b->n = dims[0];
    b->rows = dims[0] == 0 ? 0 : 1;
    for (int k = 0; k < operands; k++)
        b->step[k] = st[k][0];
    for (int i = 1; i < rank; i++) {
        b->dims[i - 1] = dims[i];
        b->rows *= dims[i];
        for (int k = 0; k < operands; k++)
            b->stride[k][i - 1] = st[k][i];
    }
}

void pt_bcast_init(struct pt_bcast *b, const struct pt_tensor *out, int operands, const struct pt_tensor *const *in)
{
    int64_t stride[PT_BCAST_MAX][PT_MAX_RANK];
    const int64_t *rows[PT_BCAST_MAX];
    for (int k = 0; k < operands; k++) {
        int64_t s = 1;
        int shift = out->rank - in[k]->rank;
        for (int i = out->rank - 1; i >= 0; i--) {
            int64_t d = i >= shift ? in[k]->dims[i - shift] : 1;
            stride[k][i] = d == 1 ? 0 : s;
            s *= d;
        }
        rows[k] = stride[k];
    }
    pt_bcast_init_strided(b, out, operands, rows);
}

void pt_bcast_row(const struct pt_bcast *b, int64_t r, int64_t off[PT_BCAST_MAX])
{
    for (int k = 0; k < b->operands; k++)
        off[k] = 0;
    for (int i = 0; i < b->rank; i++) {
        int64_t at = r % b->dims[i];
        r /= b->dims[i];
        for (int k = 0; k < b->operands; k++)
            off[k] += at * b->stride[k][i];
    }
}

int pt_infer_same(struct pt_op_ctx *c)
{
    pt_op_like(c, 0, c->in[0]);
    return PT_OK;
}

int pt_infer_broadcast(struct pt_op_ctx *c)
{
    int64_t dims[PT_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < c->in_count; i++)
        if (c->in[i] && !pt_bcast_dims(dims, &rank, c->in[i]))
            return pt_op_fail(c, PT_EINVAL, "input %d is %s, which does not broadcast with %s", i, PT_SHAPE(c->in[i]),
                              pt_shape_text(c->in[0]->dtype, rank, dims).s);
    pt_op_set_out(c, 0, c->in[0]->dtype, rank, dims);
    return PT_OK;
}
