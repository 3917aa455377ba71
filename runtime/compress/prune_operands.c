/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_operands.c: integers in operands, which rules read and fixes write.
 */
#include "runtime/compress/prune_units.h"

bool pt_axes_has_sizes(const struct pt_axes *v)
{
    return v && v->sizes;
}

int64_t pt_tensor_integer(const struct pt_tensor *t, int64_t i)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    if (t->dtype == PT_INT32) {
        memcpy(&narrow, (const char *)t->data + 4 * i, 4);
        return narrow;
    }
    memcpy(&wide, (const char *)t->data + 8 * i, 8);
    return wide;
}

/* Without the edit's index, which every fix throws away. */
const struct pt_tensor *pt_units_constant(struct pt_units *u, const struct pt_onnx_node *n, size_t i)
{
    const struct pt_axes *v = pt_units_in(u, n, i);
    return v && v->initializer >= 0 ? &u->e->model.graph.initializers[v->initializer].t : NULL;
}

struct pt_str pt_units_add_integers(struct pt_units *u, struct pt_str stem, enum pt_dtype dtype, int rank, const int64_t *v, int64_t count)
{
    int32_t narrow[PT_MAX_RANK];
    for (int64_t i = 0; i < count && i < PT_MAX_RANK; i++)
        narrow[i] = (int32_t)v[i];
    struct pt_str name = pt_edit_name(u->e, stem, u->err);
    if (!name.p || pt_edit_add_initializer(u->e, name, dtype, rank, &count, dtype == PT_INT32 ? (const void *)narrow : v, u->err) < 0)
        return (struct pt_str){0};
    return name;
}

bool pt_units_shrinks(struct pt_units *u, const struct pt_axes *y, int axis)
{
    return y->labels[axis] && pt_units_axis_left(u, y, axis) != pt_axis_size(y, axis);
}
