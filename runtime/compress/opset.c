/* SPDX-License-Identifier: Apache-2.0
 *
 * opset.c: what changed between two operator sets, a row for each operator whose old form is not valid, or means something else, in the new one. What
 * is not listed only gained types, attributes or operands that need not be given (between 7 and 21).
 */
#include "runtime/compress/opset.h"

#include <string.h>

struct change {
    struct pt_edit *e;
    size_t at; /* the node; nodes are only added behind the one that is looked at, or in front of it, which `at` follows */
    struct pt_err *err;
};
typedef int (*change_fn)(struct change *c);

static struct pt_onnx_node *node(const struct change *c)
{
    return &c->e->model.graph.nodes[c->at];
}

static int refuse(struct change *c, const char *why)
{
    const struct pt_onnx_node *n = node(c);
    return pt_fail(c->err, PT_EUNSUPPORTED, "node '" PT_STR_FMT "' (" PT_STR_FMT "): cannot be brought to a later operator set: %s",
                   PT_STR_ARG(n->name.len ? n->name : n->outputs[0]), PT_STR_ARG(n->op_type), why);
}

/* --- attributes become operands --------------------------------------------------------------------------------------------- */

/* The attribute, taken out of the node; false: it has none. */
static bool take(struct pt_onnx_node *n, const char *name, struct pt_onnx_attr *out)
{
    for (size_t i = 0; i < n->attr_count; i++)
        if (pt_str_eq(n->attrs[i].name, pt_str(name))) {
            *out = n->attrs[i];
            memmove(&n->attrs[i], &n->attrs[i + 1], (--n->attr_count - i) * sizeof *out);
            return true;
        }
    return false;
}

static int set_input(struct change *c, size_t i, struct pt_str name)
{
    struct pt_onnx_node *n = node(c);
    if (i >= n->input_count) {
        struct pt_str *more = pt_edit_alloc(c->e, (i + 1) * sizeof *more, c->err);
        if (!more)
            return c->err->code;
        if (n->input_count)
            memcpy(more, n->inputs, n->input_count * sizeof *more);
        n->inputs = more;
        n->input_count = i + 1;
    }
    n->inputs[i] = name;
    pt_edit_changed(c->e);
    return PT_OK;
}

/* Operand i becomes a constant. */
static int set_constant(struct change *c, size_t i, const char *what, enum pt_dtype dtype, int rank, int64_t count, const void *data)
{
    struct pt_str stem = pt_edit_text(c->e, PT_STR_FMT "_%s", PT_STR_ARG(node(c)->outputs[0]), what), name;
    if (!stem.p || !(name = pt_edit_name(c->e, stem, c->err)).p)
        return pt_fail(c->err, PT_ENOMEM, "out of memory changing the model");
    int rc = pt_edit_add_initializer(c->e, name, dtype, rank, &count, data, c->err);
    return rc < 0 ? rc : set_input(c, i, name);
}

/* Attribute `name`, integers (or one), becomes operand i. */
static int ints_to_operand(struct change *c, const char *name, size_t i)
{
    struct pt_onnx_attr a;
    if (!take(node(c), name, &a))
        return PT_OK;
    if (a.type == PT_ATTR_INT)
        return set_constant(c, i, name, PT_INT64, 1, 1, &a.i);
    return a.type == PT_ATTR_INTS ? set_constant(c, i, name, PT_INT64, 1, (int64_t)a.count, a.ints) : refuse(c, name);
}

static int float_to_operand(struct change *c, const char *name, size_t i)
{
    struct pt_onnx_attr a;
    if (!take(node(c), name, &a))
        return PT_OK;
    return a.type == PT_ATTR_FLOAT ? set_constant(c, i, name, PT_FLOAT, 0, 1, &a.f) : refuse(c, name);
}

static int axes_to_operand(struct change *c)
{
    return ints_to_operand(c, "axes", 1);
}

static int clip(struct change *c)
{
    int rc = float_to_operand(c, "min", 1);
    return rc < 0 ? rc : float_to_operand(c, "max", 2);
}

static int pad(struct change *c)
{
    int rc = ints_to_operand(c, "pads", 1);
    return rc < 0 ? rc : float_to_operand(c, "value", 2);
}

static int slice(struct change *c)
{
    int rc = ints_to_operand(c, "starts", 1);
    if (rc == PT_OK)
        rc = ints_to_operand(c, "ends", 2);
    return rc < 0 ? rc : ints_to_operand(c, "axes", 3);
}

static int topk(struct change *c)
{
    return ints_to_operand(c, "k", 1);
}

static int split_13(struct change *c)
{
    return ints_to_operand(c, "split", 1);
}

static int split_18(struct change *c)
{
    struct pt_onnx_node *n = node(c);
    bool given = n->input_count > 1 && n->inputs[1].len;
    return given ? PT_OK : pt_edit_set_int(c->e, n, "num_outputs", (int64_t)n->output_count, c->err);
}

static int dropout(struct change *c)
{
    struct pt_onnx_attr a;
    take(node(c), "ratio", &a); /* means nothing outside of training */
    return PT_OK;
}

/* --- the same operator means something else ------------------------------------------------------------------------------------ */

static int declared_rank(const struct change *c)
{
    const struct pt_onnx_graph *g = &c->e->model.graph;
    for (size_t i = 0; i < g->output_count; i++)
        if (pt_str_eq(g->outputs[i].name, node(c)->outputs[0]))
            return g->outputs[i].type.rank;
    return -1;
}

/* Before 13 all dims from `axis` on, 1 by default, were one: Flatten -> Softmax -> Reshape. The last axis alone is the same in both. */
static int softmax(struct change *c)
{
    int64_t axis = pt_edit_attr_int(node(c), "axis", 1);
    int rank = declared_rank(c);
    if (axis == -1 || (rank > 0 && axis == rank - 1))
        return pt_edit_set_int(c->e, node(c), "axis", axis, c->err);
    struct pt_str x = node(c)->inputs[0], y = node(c)->outputs[0], names[3];
    static const char *const what[] = {"flat", "softmax", "shape"};
    for (int i = 0; i < 3; i++) {
        struct pt_str stem = pt_edit_text(c->e, PT_STR_FMT "_%s", PT_STR_ARG(y), what[i]);
        if (!stem.p || !(names[i] = pt_edit_name(c->e, stem, c->err)).p)
            return pt_fail(c->err, PT_ENOMEM, "out of memory changing the model");
    }
    struct pt_onnx_node *n = pt_edit_add_node(c->e, c->at++, names[0], "", "Flatten", 1, 1, c->err);
    if (!n || pt_edit_set_int(c->e, n, "axis", axis, c->err) < 0)
        return c->err->code;
    n->inputs[0] = x;
    n->outputs[0] = names[0];
    if (!(n = pt_edit_add_node(c->e, c->at++, names[2], "", "Shape", 1, 1, c->err)))
        return c->err->code;
    n->inputs[0] = x;
    n->outputs[0] = names[2];
    node(c)->inputs[0] = names[0];
    node(c)->outputs[0] = names[1];
    if (pt_edit_set_int(c->e, node(c), "axis", -1, c->err) < 0 || !(n = pt_edit_add_node(c->e, ++c->at, y, "", "Reshape", 2, 1, c->err)))
        return c->err->code;
    n->inputs[0] = names[1];
    n->inputs[1] = names[2];
    n->outputs[0] = y;
    pt_edit_changed(c->e);
    return PT_OK;
}

/* Upsample, and Resize of 10: output pixel i is input pixel floor(i / scale). */
static int resize_11(struct change *c)
{
    if (node(c)->input_count != 2)
        return refuse(c, "its scales are an attribute");
    struct pt_str scales = node(c)->inputs[1];
    int rc = set_input(c, 2, scales);
    if (rc < 0)
        return rc;
    node(c)->inputs[1] = PT_STR("");
    node(c)->op_type = PT_STR("Resize");
    rc = pt_edit_set_string(c->e, node(c), "coordinate_transformation_mode", "asymmetric", c->err);
    return rc < 0 ? rc : pt_edit_set_string(c->e, node(c), "nearest_mode", "floor", c->err);
}

static int resize_13(struct change *c)
{
    const struct pt_onnx_attr *a = pt_edit_attr(node(c), "coordinate_transformation_mode");
    return a && a->type == PT_ATTR_STRING && pt_str_eq(a->s, PT_STR("tf_half_pixel_for_nn")) ? refuse(c, "mode tf_half_pixel_for_nn is gone") : PT_OK;
}

static int scatter(struct change *c)
{
    node(c)->op_type = PT_STR("ScatterElements");
    return PT_OK;
}

static int batchnorm(struct change *c)
{
    for (size_t i = 1; i < node(c)->output_count; i++)
        if (node(c)->outputs[i].len)
            return refuse(c, "it is in the form for training");
    node(c)->output_count = 1;
    struct pt_onnx_attr a;
    return take(node(c), "spatial", &a) && a.i == 0 ? refuse(c, "spatial is 0") : PT_OK;
}

static int roi_align(struct change *c)
{
    bool given = pt_edit_attr(node(c), "coordinate_transformation_mode");
    return given ? PT_OK : pt_edit_set_string(c->e, node(c), "coordinate_transformation_mode", "output_half_pixel", c->err);
}

static int grid_sample(struct change *c)
{
    const struct pt_onnx_attr *a = pt_edit_attr(node(c), "mode");
    bool cubic = a && a->type == PT_ATTR_STRING && pt_str_eq(a->s, PT_STR("bicubic"));
    bool nearest = a && a->type == PT_ATTR_STRING && pt_str_eq(a->s, PT_STR("nearest"));
    return nearest ? PT_OK : pt_edit_set_string(c->e, node(c), "mode", cubic ? "cubic" : "linear", c->err);
}

static int new_meaning(struct change *c)
{
    return refuse(c, "it means something else there");
}

static const struct {
    const char *op;
    int64_t since;
    change_fn change;
} rows[] = {
    {"BatchNormalization", 9, batchnorm},
    {"Slice", 10, slice},
    {"TopK", 10, topk},
    {"Clip", 11, clip},
    {"Pad", 11, pad},
    {"Resize", 11, resize_11},
    {"Upsample", 10, resize_11}, /* behind Resize, which it becomes */
    {"Scatter", 11, scatter},
    {"Dropout", 12, dropout},
    {"Resize", 13, resize_13},
    {"Squeeze", 13, axes_to_operand},
    {"Unsqueeze", 13, axes_to_operand},
    {"ReduceSum", 13, axes_to_operand},
    {"Split", 13, split_13},
    {"Softmax", 13, softmax},
    {"LogSoftmax", 13, softmax},
    {"Hardmax", 13, softmax},
    {"BatchNormalization", 14, batchnorm},
    {"RoiAlign", 16, roi_align},
    {"Split", 18, split_18},
    {"ReduceMean", 18, axes_to_operand},
    {"ReduceMax", 18, axes_to_operand},
    {"ReduceMin", 18, axes_to_operand},
    {"ReduceProd", 18, axes_to_operand},
    {"ReduceL1", 18, axes_to_operand},
    {"ReduceL2", 18, axes_to_operand},
    {"ReduceLogSum", 18, axes_to_operand},
    {"ReduceLogSumExp", 18, axes_to_operand},
    {"ReduceSumSquare", 18, axes_to_operand},
    {"GridSample", 20, grid_sample},
    {"DFT", 20, new_meaning},
    {"GroupNormalization", 21, new_meaning},
};

/* Graphs inside attributes are left as they are, so nothing in them may be in need of a change. */
static int check_bodies(struct change *c, const struct pt_onnx_node *n, int64_t from, int64_t to)
{
    for (size_t a = 0; a < n->attr_count; a++) {
        const struct pt_onnx_attr *at = &n->attrs[a];
        size_t graphs = at->type == PT_ATTR_GRAPH ? 1 : at->type == PT_ATTR_GRAPHS ? at->count : 0;
        for (size_t k = 0; k < graphs; k++)
            for (size_t i = 0; i < at->g[k].node_count; i++) {
                const struct pt_onnx_node *inner = &at->g[k].nodes[i];
                for (size_t r = 0; r < sizeof rows / sizeof *rows && inner->domain.len == 0; r++)
                    if (rows[r].since > from && rows[r].since <= to && pt_str_eq(inner->op_type, pt_str(rows[r].op)))
                        return refuse(c, "a graph inside of it has operators that changed");
                int rc = check_bodies(c, inner, from, to);
                if (rc < 0)
                    return rc;
            }
    }
    return PT_OK;
}

static int raise_node(struct change *c, int64_t from, int64_t to)
{
    int rc = check_bodies(c, node(c), from, to);
    for (size_t r = 0; rc == PT_OK && r < sizeof rows / sizeof *rows; r++) {
        const struct pt_onnx_node *n = node(c);
        if (n->domain.len == 0 && rows[r].since > from && rows[r].since <= to && pt_str_eq(n->op_type, pt_str(rows[r].op)))
            rc = rows[r].change(c);
    }
    return rc;
}

int pt_edit_raise_opset(struct pt_edit *e, int64_t version, struct pt_err *err)
{
    int64_t from = pt_edit_opset(e, "");
    if (from >= version)
        return PT_OK;
    if (from < 7)
        return pt_fail(err, PT_EUNSUPPORTED, "the model is of operator set %lld, and %lld is needed; only 7 and later can be brought there",
                       (long long)from, (long long)version);
    struct change c = {.e = e, .err = err};
    for (; c.at < e->model.graph.node_count; c.at++) {
        int rc = raise_node(&c, from, version);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < e->model.opset_count; i++)
        if (e->model.opsets[i].domain.len == 0)
            e->model.opsets[i].version = version;
    int64_t ir = version >= 21 ? 10 : version >= 19 ? 9 : version >= 15 ? 8 : version >= 12 ? 7 : 4;
    e->model.ir_version = e->model.ir_version < ir ? ir : e->model.ir_version;
    return PT_OK;
}
