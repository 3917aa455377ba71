/* SPDX-License-Identifier: Apache-2.0
 *
 * new.c: see new.h. A layer is a row: its name, its numbers, and the function that adds its node and says what shape comes out.
 */
#include "cli/new.h"

#include "base/contract.h"
#include "runtime/train/train.h"

#include <stdio.h>

enum { NUMBERS = 3, LIMIT = 1 << 20 };

/* The value so far: [samples, c, h, w], or [samples, c] when flat. */
struct chain {
    struct pt_edit *e;
    struct pt_err *err;
    struct pt_str value;
    int64_t c, h, w;
    bool flat;
    size_t layer; /* from 1 */
};

static int add_weight(struct chain *k, struct pt_str name, int rank, const int64_t *dims)
{
    int i = pt_edit_add_initializer(k->e, name, PT_FLOAT, rank, dims, NULL, k->err);
    return i < 0 ? i : PT_OK;
}

static struct pt_onnx_node *add_node(struct chain *k, const char *op, const char *layer, size_t inputs)
{
    struct pt_str name = pt_edit_text(k->e, "%s%zu", layer, k->layer);
    struct pt_onnx_node *n = name.p ? pt_edit_add_node(k->e, k->e->model.graph.node_count, name, "", op, inputs, 1, k->err) : NULL;
    if (!n)
        return NULL;
    n->inputs[0] = k->value;
    n->outputs[0] = k->value = name;
    return n;
}

/* Inputs 1 and 2 of a node: weight and bias. */
static int add_weights(struct chain *k, struct pt_onnx_node *n, int rank, const int64_t *dims)
{
    n->inputs[1] = pt_edit_text(k->e, PT_STR_FMT ".weight", PT_STR_ARG(n->name));
    n->inputs[2] = pt_edit_text(k->e, PT_STR_FMT ".bias", PT_STR_ARG(n->name));
    if (!n->inputs[1].p || !n->inputs[2].p)
        return pt_fail(k->err, PT_ENOMEM, "out of memory");
    int rc = add_weight(k, n->inputs[1], rank, dims);
    return rc < 0 ? rc : add_weight(k, n->inputs[2], 1, dims);
}

static int need_image(struct chain *k)
{
    return k->flat ? pt_fail(k->err, PT_EINVAL, "needs channels x height x width, and there are %lld values", (long long)k->c) : PT_OK;
}

static int window(struct chain *k, struct pt_onnx_node *n, int64_t size, int64_t stride, int64_t pad)
{
    int64_t h = (k->h + 2 * pad - size) / stride + 1, w = (k->w + 2 * pad - size) / stride + 1;
    if (k->h + 2 * pad < size || k->w + 2 * pad < size)
        return pt_fail(k->err, PT_EINVAL, "a window of %lld is larger than %lld x %lld", (long long)size, (long long)k->h, (long long)k->w);
    k->h = h, k->w = w;
    int rc = pt_edit_set_ints(k->e, n, "kernel_shape", (int64_t[]){size, size}, 2, k->err);
    if (rc == PT_OK)
        rc = pt_edit_set_ints(k->e, n, "strides", (int64_t[]){stride, stride}, 2, k->err);
    return rc < 0 ? rc : pt_edit_set_ints(k->e, n, "pads", (int64_t[]){pad, pad, pad, pad}, 4, k->err);
}

static int conv(struct chain *k, const int64_t v[NUMBERS])
{
    int64_t stride = v[2] ? v[2] : 1, dims[] = {v[0], k->c, v[1], v[1]};
    struct pt_onnx_node *n = need_image(k) < 0 ? NULL : add_node(k, "Conv", "conv", 3);
    int rc = n ? add_weights(k, n, 4, dims) : k->err->code;
    k->c = v[0];
    return rc < 0 ? rc : window(k, n, v[1], stride, v[1] / 2);
}

static int depthwise(struct chain *k, const int64_t v[NUMBERS])
{
    int64_t dims[] = {k->c, 1, v[0], v[0]};
    struct pt_onnx_node *n = need_image(k) < 0 ? NULL : add_node(k, "Conv", "depthwise", 3);
    int rc = n ? add_weights(k, n, 4, dims) : k->err->code;
    if (rc == PT_OK)
        rc = pt_edit_set_int(k->e, n, "group", k->c, k->err);
    return rc < 0 ? rc : window(k, n, v[0], v[1] ? v[1] : 1, v[0] / 2);
}

static int dense(struct chain *k, const int64_t v[NUMBERS])
{
    int64_t dims[] = {v[0], k->c};
    if (!k->flat)
        return pt_fail(k->err, PT_EINVAL, "needs flat values: put flatten or globalpool,flatten in front");
    struct pt_onnx_node *n = add_node(k, "Gemm", "dense", 3);
    int rc = n ? add_weights(k, n, 2, dims) : k->err->code;
    k->c = v[0];
    return rc < 0 ? rc : pt_edit_set_int(k->e, n, "transB", 1, k->err);
}

static int batchnorm(struct chain *k, const int64_t v[NUMBERS])
{
    static const char *const parts[] = {"scale", "bias", "mean", "var"};
    struct pt_onnx_node *n = add_node(k, "BatchNormalization", "batchnorm", 5);
    int rc = n ? PT_OK : k->err->code;
    (void)v;
    for (int i = 0; rc == PT_OK && i < 4; i++) {
        n->inputs[i + 1] = pt_edit_text(k->e, PT_STR_FMT ".%s", PT_STR_ARG(n->name), parts[i]);
        rc = n->inputs[i + 1].p ? add_weight(k, n->inputs[i + 1], 1, &k->c) : pt_fail(k->err, PT_ENOMEM, "out of memory");
    }
    return rc;
}

static int pool(struct chain *k, const char *op, const char *layer, const int64_t v[NUMBERS])
{
    struct pt_onnx_node *n = need_image(k) < 0 ? NULL : add_node(k, op, layer, 1);
    return n ? window(k, n, v[0], v[1] ? v[1] : v[0], 0) : k->err->code;
}

static int maxpool(struct chain *k, const int64_t v[NUMBERS])
{
    return pool(k, "MaxPool", "maxpool", v);
}

static int avgpool(struct chain *k, const int64_t v[NUMBERS])
{
    return pool(k, "AveragePool", "avgpool", v);
}

static int globalpool(struct chain *k, const int64_t v[NUMBERS])
{
    (void)v;
    struct pt_onnx_node *n = need_image(k) < 0 ? NULL : add_node(k, "GlobalAveragePool", "globalpool", 1);
    k->h = k->w = 1;
    return n ? PT_OK : k->err->code;
}

static int flatten(struct chain *k, const int64_t v[NUMBERS])
{
    (void)v;
    struct pt_onnx_node *n = need_image(k) < 0 ? NULL : add_node(k, "Flatten", "flatten", 1);
    k->c *= k->h * k->w;
    k->flat = true;
    return n ? PT_OK : k->err->code;
}

static int plain(struct chain *k, const char *op, const char *layer)
{
    return add_node(k, op, layer, 1) ? PT_OK : k->err->code;
}

static int relu(struct chain *k, const int64_t v[NUMBERS])
{
    (void)v;
    return plain(k, "Relu", "relu");
}

static int sigmoid(struct chain *k, const int64_t v[NUMBERS])
{
    (void)v;
    return plain(k, "Sigmoid", "sigmoid");
}

static int tanh_layer(struct chain *k, const int64_t v[NUMBERS])
{
    (void)v;
    return plain(k, "Tanh", "tanh");
}

static const struct layer {
    const char *name, *numbers;
    int least, most; /* numbers */
    int (*add)(struct chain *k, const int64_t v[NUMBERS]);
    const char *help;
} layers_table[] = {
    {"conv", ":CHANNELS:SIZE[:STRIDE]", 2, 3, conv, "convolution, filled up so that stride 1 keeps the size"},
    {"depthwise", ":SIZE[:STRIDE]", 1, 2, depthwise, "convolution of each channel by itself"},
    {"batchnorm", "", 0, 0, batchnorm, "normalisation by batch"},
    {"relu", "", 0, 0, relu, ""},
    {"sigmoid", "", 0, 0, sigmoid, ""},
    {"tanh", "", 0, 0, tanh_layer, ""},
    {"maxpool", ":SIZE[:STRIDE]", 1, 2, maxpool, ""},
    {"avgpool", ":SIZE[:STRIDE]", 1, 2, avgpool, ""},
    {"globalpool", "", 0, 0, globalpool, "mean of each channel"},
    {"flatten", "", 0, 0, flatten, "channels x height x width become one row"},
    {"dense", ":OUTPUTS", 1, 1, dense, "matrix product and bias"},
};

void pt_new_help(struct pt_buf *out)
{
    for (size_t i = 0; i < sizeof layers_table / sizeof *layers_table; i++) {
        int n = (int)strlen(layers_table[i].name) + (int)strlen(layers_table[i].numbers);
        pt_buf_printf(out, "  %s%s", layers_table[i].name, layers_table[i].numbers);
        pt_buf_printf(out, *layers_table[i].help ? "%*s%s\n" : "\n", 28 - n, "", layers_table[i].help);
    }
}

static int add_layer(struct chain *k, struct pt_str text)
{
    struct pt_str rest = text, name, part;
    int64_t v[NUMBERS] = {0};
    int n = 0, rc = PT_OK;
    pt_str_split(&rest, ':', &name);
    const struct layer *row = NULL;
    for (size_t i = 0; i < sizeof layers_table / sizeof *layers_table; i++)
        if (pt_str_eq(name, pt_str(layers_table[i].name)))
            row = &layers_table[i];
    if (!row)
        return pt_fail(k->err, PT_EINVAL, "there is no such layer");
    while (rc == PT_OK && rest.p && pt_str_split(&rest, ':', &part))
        rc = n < row->most ? pt_parse_i64(part, 1, LIMIT, row->name, &v[n++], k->err)
                           : pt_fail(k->err, PT_EINVAL, "too many numbers: %s%s", row->name, row->numbers);
    if (rc == PT_OK && n < row->least)
        rc = pt_fail(k->err, PT_EINVAL, "numbers are missing: %s%s", row->name, row->numbers);
    return rc < 0 ? rc : row->add(k, v);
}

static int parse_input(const char *text, struct chain *k)
{
    struct pt_str rest = pt_str(text), part;
    int64_t dims[3];
    int n = 0, rc = PT_OK;
    while (rc == PT_OK && pt_str_split(&rest, 'x', &part))
        rc = n < 3 ? pt_parse_i64(part, 1, LIMIT, "dim", &dims[n++], k->err) : pt_fail(k->err, PT_EINVAL, "more than three dims");
    if (rc == PT_OK && n != 1 && n != 3)
        rc = pt_fail(k->err, PT_EINVAL, "must be COLUMNS or CHANNELSxHEIGHTxWIDTH");
    if (rc < 0)
        return pt_wrap(k->err, "input \"%s\"", text);
    *k = (struct chain){.e = k->e, .err = k->err, .value = PT_STR("x"), .c = dims[0], .h = 1, .w = 1, .flat = n == 1};
    if (n == 3)
        k->h = dims[1], k->w = dims[2];
    return PT_OK;
}

/* Input and output without anything between. */
static int open_empty(struct pt_edit *e, const struct chain *k, struct pt_buf *bytes)
{
    struct pt_onnx_type in = {.dtype = PT_FLOAT, .rank = k->flat ? 2 : 4, .dims = {-1, k->c, k->h, k->w}};
    in.dim_names[0] = PT_STR("batch");
    struct pt_onnx_value_info x = {PT_STR("x"), in}, y = {PT_STR("y"), {.dtype = PT_FLOAT, .rank = 2, .dims = {-1, -1}}};
    y.type.dim_names[0] = PT_STR("batch");
    struct pt_onnx_opset opset = {PT_STR(""), 17};
    struct pt_onnx_model m = {.ir_version = 8,
                              .producer = PT_STR("pintle"),
                              .producer_version = PT_STR(PT_VERSION),
                              .opsets = &opset,
                              .opset_count = 1,
                              .graph = {.name = PT_STR("model"), .inputs = &x, .outputs = &y, .input_count = 1, .output_count = 1}};
    int rc = pt_onnx_write(&m, bytes, k->err);
    return rc < 0 ? rc : pt_edit_open_memory(e, bytes->data, bytes->len, k->err);
}

int pt_new_model(struct pt_edit *e, struct pt_buf *bytes, const char *input, const char *layers, uint64_t seed, struct pt_err *err)
{
    struct chain k = {.e = e, .err = err};
    struct pt_str rest = pt_str(layers), layer;
    *e = (struct pt_edit){0};
    int rc = parse_input(input, &k);
    if (rc == PT_OK)
        rc = open_empty(e, &k, bytes);
    while (rc == PT_OK && pt_str_split(&rest, ',', &layer)) {
        k.layer++;
        if ((rc = add_layer(&k, pt_str_trim(layer))) < 0)
            pt_wrap(err, "layer %zu, \"" PT_STR_FMT "\"", k.layer, PT_STR_ARG(layer));
    }
    if (rc < 0)
        return rc;
    if (!k.flat)
        return pt_fail(err, PT_EINVAL, "the last layer gives %lld x %lld x %lld values: end with flatten, or with a dense layer", (long long)k.c,
                       (long long)k.h, (long long)k.w);
    struct pt_onnx_graph *g = &e->model.graph;
    g->nodes[g->node_count - 1].outputs[0] = g->outputs[0].name;
    g->outputs[0].type.dims[1] = k.c;
    pt_edit_changed(e);
    return pt_train_reset(e, seed, err);
}
