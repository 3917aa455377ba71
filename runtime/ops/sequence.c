/* SPDX-License-Identifier: Apache-2.0
 *
 * sequence.c: the operators that make sequences and look into them.
 *
 * A sequence is never changed. Tensors that go in are copied to the heap of the run; from then on their descriptors are shared by every sequence
 * that has them. Items are tensors, never sequences, so that values do not nest deeper than a model's types say. Appending, which loops do, takes no copy of the list either: a list has room behind its end, and whoever appends to the sequence
 * that reaches that end uses it; the shorter sequences that share the list do not see it.
 */
#include "runtime/ops/types.h"

struct pt_sequence_store {
    size_t used, room; /* items */
};

static const struct pt_sequence *sequence_of(const struct pt_tensor *t)
{
    return t->data;
}

/* A new list with room for `count` items and some more, the first `have` of them from `from`. */
static struct pt_tensor *new_list(struct pt_op_ctx *c, struct pt_sequence *s, size_t count, const struct pt_tensor *from, size_t have)
{
    size_t room = count + count / 2 + 4;
    struct pt_sequence_store *store = pt_op_alloc(c, sizeof *store);
    struct pt_tensor *items = store ? pt_op_alloc(c, room * sizeof *items) : NULL;
    if (!items)
        return NULL;
    if (have)
        memcpy(items, from, have * sizeof *items);
    *store = (struct pt_sequence_store){count, room};
    s->items = items;
    s->count = count;
    s->store = c->heap ? store : NULL; /* constants are shared by runs: nobody may append to them */
    return items;
}

static int code(const struct pt_op_ctx *c)
{
    return c->err && c->err->code < 0 ? c->err->code : PT_ENOMEM;
}

/* A tensor operand becomes an item of its own; what is in a sequence, optional or map already stays where it is. */
static int make_item(struct pt_op_ctx *c, const struct pt_tensor *t, struct pt_tensor *item)
{
    return pt_op_keep(c, t, item);
}

static int check_item(struct pt_op_ctx *c, const struct pt_sequence *s, const struct pt_tensor *t, const char *what)
{
    if (s->elem == PT_UNDEFINED || s->elem == t->dtype)
        return PT_OK;
    return pt_op_fail(c, PT_EINVAL, "%s is %s, the sequence has %s", what, PT_SHAPE(t), pt_dtype_name(s->elem));
}

static int infer_sequence(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_SEQUENCE, 0, NULL);
    return PT_OK;
}

/* --- SequenceConstruct, SequenceEmpty, SequenceLength --------------------------------------------------------------------------------- */

static int construct_run(struct pt_op_ctx *c)
{
    struct pt_sequence *y = c->out[0]->data;
    *y = (struct pt_sequence){.elem = c->in[0]->dtype};
    struct pt_tensor *items = new_list(c, y, (size_t)c->in_count, NULL, 0);
    if (!items)
        return code(c);
    for (int i = 0; i < c->in_count; i++) {
        if (!c->in[i])
            return pt_op_fail(c, PT_EINVAL, "input %d is missing", i);
        int rc = make_item(c, c->in[i], &items[i]);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

static int empty_infer(struct pt_op_ctx *c)
{
    int64_t dtype;
    int rc = pt_attr_int(c, "dtype", PT_FLOAT, 1, PT_DTYPE_COUNT - 1, &dtype);
    return rc < 0 ? rc : infer_sequence(c);
}

static int empty_run(struct pt_op_ctx *c)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, "dtype");
    *(struct pt_sequence *)c->out[0]->data = (struct pt_sequence){.elem = a ? (enum pt_dtype)a->i : PT_FLOAT};
    return PT_OK;
}

static int length_infer(struct pt_op_ctx *c)
{
    pt_op_set_out(c, 0, PT_INT64, 0, NULL);
    return PT_OK;
}

static int length_run(struct pt_op_ctx *c)
{
    *(int64_t *)c->out[0]->data = (int64_t)sequence_of(c->in[0])->count;
    return PT_OK;
}

/* --- SequenceAt, SequenceInsert, SequenceErase ----------------------------------------------------------------------------------------- */

/* Input i as a position in [0, count), or [0, count] with end_ok; negative ones count from the end. Not given: the default. */
static int position(struct pt_op_ctx *c, int i, size_t count, bool end_ok, size_t def, size_t *out)
{
    const struct pt_tensor *t = pt_op_in(c, i);
    *out = def;
    if (!t && (end_ok || count))
        return PT_OK;
    if (t && pt_tensor_count(t) != 1)
        return pt_op_fail(c, PT_EINVAL, "input %d (position) is %s, must be one value", i, PT_SHAPE(t));
    int64_t n = (int64_t)count, p = t ? pt_elem_i64(t, 0) : -1, max = end_ok ? n : n - 1;
    if (p < -n || p > max)
        return pt_op_fail(c, PT_EINVAL, "position %lld is outside %lld to %lld", (long long)p, (long long)-n, (long long)max);
    *out = (size_t)(p < 0 ? p + n : p);
    return PT_OK;
}

static int at_infer(struct pt_op_ctx *c)
{
    size_t at;
    if (!c->in[0]->data)
        return pt_op_needs_data(c, 0, "sequence");
    if (!c->in[1]->data)
        return pt_op_needs_data(c, 1, "position");
    const struct pt_sequence *s = sequence_of(c->in[0]);
    int rc = position(c, 1, s->count, false, 0, &at);
    if (rc == PT_OK)
        pt_op_like(c, 0, &s->items[at]);
    return rc;
}

static int copy_item(struct pt_op_ctx *c, const struct pt_tensor *item)
{
    if (item->size_bytes)
        memcpy(c->out[0]->data, item->data, item->size_bytes);
    return PT_OK;
}

static int at_run(struct pt_op_ctx *c)
{
    const struct pt_sequence *s = sequence_of(c->in[0]);
    size_t at;
    int rc = position(c, 1, s->count, false, 0, &at);
    return rc < 0 ? rc : copy_item(c, &s->items[at]);
}

static int insert_run(struct pt_op_ctx *c)
{
    const struct pt_sequence *s = sequence_of(c->in[0]);
    struct pt_sequence *y = c->out[0]->data, x = *s; /* y may be s */
    struct pt_tensor item, *items;
    size_t at;
    int rc = position(c, 2, x.count, true, x.count, &at);
    if (rc == PT_OK)
        rc = check_item(c, &x, c->in[1], "the tensor");
    if (rc == PT_OK)
        rc = make_item(c, c->in[1], &item);
    if (rc < 0)
        return rc;
    *y = x;
    y->elem = item.dtype;
    if (at == x.count && x.store && x.store->used == x.count && x.count < x.store->room) {
        memcpy((void *)(uintptr_t)&x.items[x.count], &item, sizeof item);
        x.store->used++;
        y->count++;
        return PT_OK;
    }
    if (!(items = new_list(c, y, x.count + 1, x.items, at)))
        return code(c);
    items[at] = item;
    if (at < x.count)
        memcpy(items + at + 1, x.items + at, (x.count - at) * sizeof *items);
    return PT_OK;
}

static int erase_run(struct pt_op_ctx *c)
{
    struct pt_sequence *y = c->out[0]->data, x = *sequence_of(c->in[0]);
    struct pt_tensor *items;
    size_t at;
    int rc = position(c, 1, x.count, false, x.count - 1, &at);
    if (rc < 0)
        return rc;
    *y = x;
    if (at == x.count - 1) { /* a shorter look at the same list */
        y->count--;
        return PT_OK;
    }
    if (!(items = new_list(c, y, x.count - 1, x.items, at)))
        return code(c);
    memcpy(items + at, x.items + at + 1, (x.count - at - 1) * sizeof *items);
    return PT_OK;
}

/* --- SplitToSequence ---------------------------------------------------------------------------------------------------------------------- */

struct split {
    int axis;
    int64_t keepdims;
};

static int split_infer(struct pt_op_ctx *c)
{
    struct split *p = c->params;
    int64_t axis;
    if (!pt_dtype_size(c->in[0]->dtype))
        return pt_op_fail(c, PT_EUNSUPPORTED, "pieces of %s do not begin at whole bytes", pt_dtype_name(c->in[0]->dtype));
    int rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis);
    if (rc == PT_OK)
        rc = pt_op_axis(c, "attribute 'axis'", axis, c->in[0]->rank, false, &p->axis);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "keepdims", 1, 0, 1, &p->keepdims);
    return rc < 0 ? rc : infer_sequence(c);
}

/* Length of piece i and how many there are. A single number is the length of all but the last; none is 1. */
static int64_t piece(const struct pt_tensor *split, int64_t dim, int64_t i, int64_t *count)
{
    if (split && split->rank == 1) {
        *count = split->dims[0];
        return i < *count ? pt_elem_i64(split, i) : 0;
    }
    int64_t len = split ? pt_elem_i64(split, 0) : 1;
    if (len < 1) {
        *count = -1;
        return 0;
    }
    *count = dim / len + (dim % len != 0);
    return i == *count - 1 && dim % len ? dim % len : len;
}

static int check_pieces(struct pt_op_ctx *c, const struct pt_tensor *split, int64_t dim, int64_t *count)
{
    int64_t sum = 0;
    piece(split, dim, 0, count);
    if (*count < 0)
        return pt_op_fail(c, PT_EINVAL, "input 1 (split) is %lld, must be positive", (long long)pt_elem_i64(split, 0));
    for (int64_t i = 0; i < *count; i++) {
        int64_t len = piece(split, dim, i, count);
        if (len < 0 || len > dim - sum)
            return pt_op_fail(c, PT_EINVAL, "input 1 (split): piece %lld of length %lld does not fit, the axis has %lld", (long long)i,
                              (long long)len, (long long)dim);
        sum += len;
    }
    return sum == dim ? PT_OK
                      : pt_op_fail(c, PT_EINVAL, "input 1 (split): the pieces add up to %lld, the axis has %lld", (long long)sum, (long long)dim);
}

static int cut_piece(struct pt_op_ctx *c, const struct split *p, int64_t from, int64_t len, bool drop, struct pt_tensor *item)
{
    const struct pt_tensor *x = c->in[0];
    size_t dim = (size_t)x->dims[p->axis], outer = (size_t)pt_dims_product(x->dims, p->axis);
    size_t row = dim && outer ? x->size_bytes / outer / dim : 0; /* bytes of one step along the axis */
    *item = *x;
    item->dims[p->axis] = len;
    item->size_bytes = outer * (size_t)len * row;
    if (!(item->data = pt_op_alloc(c, item->size_bytes)))
        return code(c);
    for (size_t o = 0; o < outer && len; o++)
        memcpy((char *)item->data + o * (size_t)len * row, (const char *)x->data + (o * dim + (size_t)from) * row, (size_t)len * row);
    if (drop) {
        item->rank--;
        memmove(item->dims + p->axis, item->dims + p->axis + 1, (size_t)(item->rank - p->axis) * sizeof *item->dims);
    }
    return PT_OK;
}

static int split_run(struct pt_op_ctx *c)
{
    const struct split *p = c->params;
    const struct pt_tensor *x = c->in[0], *split = pt_op_in(c, 1);
    struct pt_sequence *y = c->out[0]->data;
    int64_t dim = x->dims[p->axis], count, from = 0;
    if (split && (split->rank > 1 || (split->rank == 0 && pt_tensor_count(split) != 1)))
        return pt_op_fail(c, PT_EINVAL, "input 1 (split) is %s, must have rank 0 or 1", PT_SHAPE(split));
    int rc = check_pieces(c, split, dim, &count);
    *y = (struct pt_sequence){.elem = x->dtype};
    struct pt_tensor *items = rc == PT_OK ? new_list(c, y, (size_t)count, NULL, 0) : NULL;
    if (!items)
        return rc < 0 ? rc : code(c);
    for (int64_t i = 0; rc == PT_OK && i < count; i++) {
        int64_t len = piece(split, dim, i, &count);
        rc = cut_piece(c, p, from, len, !split && !p->keepdims, &items[i]);
        from += len;
    }
    return rc;
}

/* --- ConcatFromSequence ---------------------------------------------------------------------------------------------------------------------- */

struct join {
    int axis;
    bool stack; /* along a new axis */
};

static int join_infer(struct pt_op_ctx *c)
{
    struct join *p = c->params;
    int64_t axis, stack, dims[PT_MAX_RANK];
    if (!c->in[0]->data)
        return pt_op_needs_data(c, 0, "sequence");
    const struct pt_sequence *s = sequence_of(c->in[0]);
    int rc = pt_attr_int(c, "new_axis", 0, 0, 1, &stack);
    if (rc == PT_OK)
        rc = pt_attr_int(c, "axis", 0, INT32_MIN, INT32_MAX, &axis);
    if (rc < 0)
        return rc;
    if (!pt_node_attr(c->node, "axis"))
        return pt_op_fail(c, PT_EINVAL, "attribute 'axis' is missing");
    if (s->count == 0)
        return pt_op_fail(c, PT_EINVAL, "the sequence is empty");
    const struct pt_tensor *first = &s->items[0];
    int rank = first->rank + (int)stack;
    if (pt_is_kind(first->dtype) || !pt_dtype_size(first->dtype) || rank > PT_MAX_RANK)
        return pt_op_fail(c, PT_EUNSUPPORTED, "items are %s", PT_SHAPE(first));
    if ((rc = pt_op_axis(c, "attribute 'axis'", axis, rank, false, &p->axis)) < 0)
        return rc;
    p->stack = stack;
    int64_t total = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct pt_tensor *t = &s->items[i];
        bool same = t->dtype == first->dtype && t->rank == first->rank;
        for (int k = 0; same && k < t->rank; k++)
            same = t->dims[k] == first->dims[k] || (!stack && k == p->axis);
        if (!same)
            return pt_op_fail(c, PT_EINVAL, "item %zu is %s, which does not go with %s", i, PT_SHAPE(t), PT_SHAPE(first));
        if (__builtin_add_overflow(total, stack ? 1 : t->dims[p->axis], &total))
            return pt_op_fail(c, PT_ELIMIT, "the items are too long together");
    }
    for (int k = 0; k < rank; k++)
        dims[k] = k == p->axis ? total : first->dims[stack && k > p->axis ? k - 1 : k];
    pt_op_set_out(c, 0, first->dtype, rank, dims);
    return PT_OK;
}

static int join_run(struct pt_op_ctx *c)
{
    const struct join *p = c->params;
    const struct pt_sequence *s = sequence_of(c->in[0]);
    struct pt_tensor *y = c->out[0];
    size_t outer = (size_t)pt_dims_product(y->dims, p->axis), row = outer ? y->size_bytes / outer : 0, at = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct pt_tensor *t = &s->items[i];
        size_t piece_bytes = outer ? t->size_bytes / outer : 0;
        for (size_t o = 0; piece_bytes && o < outer; o++)
            memcpy((char *)y->data + o * row + at, (const char *)t->data + o * piece_bytes, piece_bytes);
        at += piece_bytes;
    }
    return PT_OK;
}

#define SEQUENCE PT_T(PT_SEQUENCE)
const struct pt_op pt_op_sequence_construct = {.type = "SequenceConstruct",
                                               .since = {11},
                                               .min_in = 1,
                                               .max_in = PT_OP_VARIADIC,
                                               .max_out = 1,
                                               .types = {PT_TS_ANY},
                                               .flags = PT_OP_SAME_TYPE,
                                               .infer = infer_sequence,
                                               .run = construct_run};
const struct pt_op pt_op_sequence_empty = {
    .type = "SequenceEmpty", .since = {11}, .min_in = 0, .max_in = 0, .max_out = 1, .infer = empty_infer, .run = empty_run};
const struct pt_op pt_op_sequence_length = {
    .type = "SequenceLength", .since = {11}, .min_in = 1, .max_in = 1, .max_out = 1, .types = {SEQUENCE}, .infer = length_infer, .run = length_run};
const struct pt_op pt_op_sequence_at = {.type = "SequenceAt",
                                        .since = {11},
                                        .min_in = 2,
                                        .max_in = 2,
                                        .max_out = 1,
                                        .types = {SEQUENCE, PT_TS_INDEX},
                                        .flags = PT_OP_DYNAMIC,
                                        .infer = at_infer,
                                        .run = at_run};
const struct pt_op pt_op_sequence_insert = {.type = "SequenceInsert",
                                            .since = {11},
                                            .min_in = 2,
                                            .max_in = 3,
                                            .max_out = 1,
                                            .types = {SEQUENCE, PT_TS_ANY, PT_TS_INDEX},
                                            .infer = infer_sequence,
                                            .run = insert_run};
const struct pt_op pt_op_sequence_erase = {.type = "SequenceErase",
                                           .since = {11},
                                           .min_in = 1,
                                           .max_in = 2,
                                           .max_out = 1,
                                           .types = {SEQUENCE, PT_TS_INDEX},
                                           .infer = infer_sequence,
                                           .run = erase_run};
const struct pt_op pt_op_split_to_sequence = {.type = "SplitToSequence",
                                              .since = {11, 24},
                                              .min_in = 1,
                                              .max_in = 2,
                                              .max_out = 1,
                                              .types = {PT_TS_ANY, PT_TS_INDEX},
                                              .params_size = sizeof(struct split),
                                              .infer = split_infer,
                                              .run = split_run};
const struct pt_op pt_op_concat_from_sequence = {.type = "ConcatFromSequence",
                                                 .since = {11},
                                                 .min_in = 1,
                                                 .max_in = 1,
                                                 .max_out = 1,
                                                 .types = {SEQUENCE},
                                                 .flags = PT_OP_DYNAMIC,
                                                 .params_size = sizeof(struct join),
                                                 .infer = join_infer,
                                                 .run = join_run};
