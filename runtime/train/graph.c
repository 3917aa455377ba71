/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c: the training graph. Weights and running statistics become inputs, so that they change between runs without compiling anew; their gradients
 * and new values become outputs. The loss is written in standard operators: with `target` holding the wanted distributions, each already multiplied
 * with its share (1 / N and whatever weighs it), a cross entropy is -sum(target * log softmax(scores)); the soft targets of a teacher are a second
 * one of scores / T. So smoothing, hardness and T^2 are numbers in inputs and not in the graph.
 */
#include "runtime/train/graph.h"

#include "runtime/train/evaluate.h"

#include <string.h>

/* Which operands of an operator are weights. */
static const struct {
    const char *op;
    unsigned operands; /* bits */
} weighted[] = {
    {"Conv", 6},
    {"ConvTranspose", 6},
    {"Gemm", 6},
    {"MatMul", 3},
    {"BatchNormalization", 6},
    {"LayerNormalization", 6},
    {"InstanceNormalization", 6},
    {"GroupNormalization", 6},
    {"RMSNormalization", 2},
    {"Einsum", 3},
    {"Gather", 1},
    {"Add", 3},
    {"Mul", 3},
    {"Sub", 3},
    {"Div", 3},
    {"PRelu", 2},
    {"Concat", ~0U},
};

/* What may lie between weights and the operator that they are weights of: it moves them, or rounds them for training that knows of quantisation. */
static const char *const between[] = {"Transpose", "Reshape", "Squeeze", "Unsqueeze",      "Flatten",         "Identity",
                                      "Slice",     "Split",   "Expand",  "QuantizeLinear", "DequantizeLinear"};

static unsigned weights_of(const struct pt_onnx_node *n)
{
    for (size_t i = 0; n->domain.len == 0 && i < sizeof weighted / sizeof *weighted; i++)
        if (pt_str_eq(n->op_type, pt_str(weighted[i].op)))
            return weighted[i].operands;
    return 0;
}

static bool named(struct pt_str name, const struct pt_str *names, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found = found || pt_str_eq(name, names[i]);
    return found;
}

static bool lies_between(const struct pt_onnx_node *n)
{
    bool found = false;
    for (size_t i = 0; n->domain.len == 0 && i < sizeof between / sizeof *between; i++)
        found = found || pt_str_eq(n->op_type, pt_str(between[i]));
    return found;
}

/* The weights that a value is, or is made of; NULL: none. */
static const struct pt_edit_value *weights_behind(struct pt_edit *model, struct pt_str name)
{
    const struct pt_onnx_graph *g = &model->model.graph;
    const struct pt_edit_value *v = pt_edit_value(model, name, NULL);
    for (size_t steps = 0; v && v->producer >= 0 && steps <= g->node_count; steps++) {
        const struct pt_onnx_node *n = &g->nodes[v->producer];
        v = lies_between(n) && n->input_count ? pt_edit_value(model, n->inputs[0], NULL) : NULL;
    }
    return v && v->initializer >= 0 ? v : NULL;
}

/* Joined of constants alone: numbers that a file holds in pieces, such as factors of a size, and no weights. */
static bool joins_constants(struct pt_edit *model, const struct pt_onnx_node *n)
{
    bool all = pt_str_eq(n->op_type, PT_STR("Concat"));
    for (size_t k = 0; k < n->input_count; k++)
        all = all && weights_behind(model, n->inputs[k]);
    return all;
}

static bool is_batchnorm(const struct pt_onnx_node *n)
{
    return n->domain.len == 0 && pt_str_eq(n->op_type, PT_STR("BatchNormalization"));
}

/* A scalar is a constant of a formula (the 2 of a square, a scale), not a weight. */
static bool trainable(const struct pt_onnx_tensor *x)
{
    return x->t.dtype == PT_FLOAT && pt_tensor_count(&x->t) > 1;
}

int pt_training_weights(struct pt_edit *model, const struct pt_train_options *o, int *weights, size_t *weight_count, int *statistics,
                        size_t *statistic_count, struct pt_err *err)
{
    const struct pt_onnx_graph *g = &model->model.graph;
    pt_auto_free uint8_t *seen = pt_calloc(g->initializer_count + 1, 1);
    if (!seen)
        return pt_fail(err, PT_ENOMEM, "out of memory for training");
    *weight_count = *statistic_count = 0;
    for (size_t i = 0; i < g->node_count; i++) {
        const struct pt_onnx_node *n = &g->nodes[i];
        unsigned operands = joins_constants(model, n) ? 0 : weights_of(n), stats = is_batchnorm(n) && !o->frozen_batchnorm ? 24 : 0;
        for (size_t k = 0; k < n->input_count && k < 32; k++) {
            const struct pt_edit_value *v = operands >> k & 1 ? weights_behind(model, n->inputs[k]) : NULL;
            v = stats >> k & 1 ? pt_edit_value(model, n->inputs[k], NULL) : v;
            if (!v || v->initializer < 0 || seen[v->initializer] || v->captured)
                continue;
            const struct pt_onnx_tensor *x = &g->initializers[v->initializer];
            if (stats >> k & 1)
                statistics[(*statistic_count)++] = v->initializer;
            else if (trainable(x) && !named(x->name, o->frozen, o->frozen_count))
                weights[(*weight_count)++] = v->initializer;
            else
                continue;
            seen[v->initializer] = 1;
        }
    }
    for (size_t i = 0; i < o->carry_count; i++) {
        const struct pt_edit_value *v = pt_edit_value(model, o->carries[i].initializer, NULL);
        if (!v || v->initializer < 0)
            return pt_fail(err, PT_ENOTFOUND, "the model has no initializer '" PT_STR_FMT "'", PT_STR_ARG(o->carries[i].initializer));
        statistics[(*statistic_count)++] = v->initializer;
    }
    return PT_OK;
}

int pt_train_parameters(struct pt_edit *model, const struct pt_train_options *o, struct pt_str **names, size_t *count, struct pt_err *err)
{
    size_t room = model->model.graph.initializer_count + 1, stats;
    pt_auto_free int *list = pt_reallocarray(NULL, 2 * room, sizeof *list);
    if (!list)
        return pt_fail(err, PT_ENOMEM, "out of memory for training");
    int rc = pt_training_weights(model, o, list, count, list + room, &stats, err);
    *names = rc < 0 ? NULL : pt_edit_alloc(model, *count * sizeof **names, err);
    for (size_t i = 0; *names && i < *count; i++)
        (*names)[i] = model->model.graph.initializers[list[i]].name;
    return rc < 0 ? rc : *names ? PT_OK : err->code;
}

/* --- building ----------------------------------------------------------------------------------------------------------------------------- */

struct builder {
    struct pt_edit *e;
    struct pt_err *err;
    bool failed;
};

static struct pt_str fail(struct builder *b)
{
    b->failed = true;
    return PT_STR("");
}

static struct pt_onnx_value_info *append_info(struct builder *b, struct pt_onnx_value_info **list, size_t *count)
{
    struct pt_onnx_value_info *more = b->failed ? NULL : pt_edit_alloc(b->e, (*count + 1) * sizeof *more, b->err);
    if (!more) {
        b->failed = true;
        return NULL;
    }
    if (*count)
        memcpy(more, *list, *count * sizeof *more);
    *list = more;
    return &more[(*count)++];
}

/* A new float32 input; rank -1: of any shape. Its place. */
static size_t add_input(struct builder *b, struct pt_str name, int rank, const int64_t *dims)
{
    struct pt_onnx_graph *g = &b->e->model.graph;
    struct pt_onnx_value_info *vi = append_info(b, &g->inputs, &g->input_count);
    if (!vi)
        return 0;
    *vi = (struct pt_onnx_value_info){.name = name, .type = {.dtype = PT_FLOAT, .rank = rank}};
    for (int i = 0; i < rank; i++)
        vi->type.dims[i] = dims ? dims[i] : -1;
    pt_edit_changed(b->e);
    return g->input_count - 1;
}

static void add_output(struct builder *b, struct pt_str name)
{
    struct pt_onnx_graph *g = &b->e->model.graph;
    struct pt_onnx_value_info *vi = append_info(b, &g->outputs, &g->output_count);
    if (vi)
        *vi = (struct pt_onnx_value_info){.name = name, .type = {.rank = -1}};
}

static struct pt_str new_name(struct builder *b, const char *stem)
{
    struct pt_str name = b->failed ? (struct pt_str){0} : pt_edit_name(b->e, pt_str(stem), b->err);
    return name.p ? name : fail(b);
}

/* op(x, y) behind all nodes; y may be empty. */
static struct pt_str put(struct builder *b, const char *op, struct pt_str x, struct pt_str y)
{
    struct pt_str out = new_name(b, "pintle_loss");
    struct pt_onnx_node *n = b->failed ? NULL : pt_edit_add_node(b->e, b->e->model.graph.node_count, out, "", op, y.len ? 2 : 1, 1, b->err);
    if (!n)
        return fail(b);
    n->inputs[0] = x;
    if (y.len)
        n->inputs[1] = y;
    n->outputs[0] = out;
    return out;
}

static struct pt_str put_int(struct builder *b, const char *op, struct pt_str x, const char *attr, int64_t v)
{
    struct pt_str out = put(b, op, x, PT_STR(""));
    struct pt_onnx_graph *g = &b->e->model.graph;
    if (!b->failed && pt_edit_set_int(b->e, &g->nodes[g->node_count - 1], attr, v, b->err) < 0)
        return fail(b);
    return out;
}

static struct pt_str total(struct builder *b, struct pt_str x)
{
    return put_int(b, "ReduceSum", x, "keepdims", 0);
}

static struct pt_str sum_of(struct builder *b, struct pt_str a, struct pt_str x)
{
    return a.len ? put(b, "Add", a, x) : x;
}

/* sum(scale * (x - y)^2) */
static struct pt_str squares(struct builder *b, struct pt_str x, struct pt_str y, struct pt_str scale)
{
    struct pt_str d = put(b, "Sub", x, y);
    return put(b, "Mul", total(b, put(b, "Mul", d, d)), scale);
}

/* -sum(target * log softmax(scores)) */
static struct pt_str cross_entropy(struct builder *b, struct pt_str scores, struct pt_str target)
{
    struct pt_str log_p = put_int(b, "LogSoftmax", scores, "axis", 1);
    return put(b, "Neg", total(b, put(b, "Mul", target, log_p)), PT_STR(""));
}

static struct pt_str constant(struct builder *b, float v)
{
    struct pt_str name = new_name(b, "pintle_number");
    if (!b->failed && pt_edit_add_initializer(b->e, name, PT_FLOAT, 0, NULL, &v, b->err) < 0)
        return fail(b);
    return name;
}

/* --- parts ------------------------------------------------------------------------------------------------------------------------------------- */

/* Initializers that are trained become inputs. */
static int take_weights(struct pt_training_graph *t, struct builder *b)
{
    struct pt_onnx_graph *g = &t->e.model.graph;
    size_t room = g->initializer_count + 1;
    pt_auto_free bool *taken = pt_calloc(room, sizeof *taken);
    if (!taken)
        return pt_fail(b->err, PT_ENOMEM, "out of memory for training");
    for (size_t k = 0; k < t->weight_count + t->statistic_count; k++) {
        int i = k < t->weight_count ? t->weights[k] : t->statistics[k - t->weight_count];
        add_input(b, g->initializers[i].name, g->initializers[i].t.rank, g->initializers[i].t.dims);
        taken[i] = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < g->initializer_count; i++)
        if (!taken[i])
            g->initializers[kept++] = g->initializers[i];
    g->initializer_count = kept;
    pt_edit_changed(&t->e);
    return b->failed ? b->err->code : PT_OK;
}

/* BatchNormalization by the batch's own mean and variance; the running ones as outputs, in the order of the statistics (mean, variance of each node).
 */
static int train_batchnorm(struct pt_training_graph *t, struct builder *b, size_t statistics, struct pt_str *running)
{
    struct pt_onnx_graph *g = &t->e.model.graph;
    for (size_t i = 0, at = 0; i < g->node_count; i++) {
        struct pt_onnx_node *n = &g->nodes[i];
        if (!is_batchnorm(n) || statistics == 0)
            continue;
        if (pt_edit_opset(&t->e, "") < 14)
            return pt_fail(b->err, PT_EUNSUPPORTED,
                           "node '" PT_STR_FMT "' (BatchNormalization): training it needs opset 14, the model has %lld; freeze it",
                           PT_STR_ARG(n->name), (long long)pt_edit_opset(&t->e, ""));
        struct pt_str *outputs = pt_edit_alloc(&t->e, 3 * sizeof *outputs, b->err);
        if (!outputs || pt_edit_set_int(&t->e, n, "training_mode", 1, b->err) < 0)
            return b->err->code;
        outputs[0] = n->outputs[0];
        outputs[1] = new_name(b, "pintle_running_mean");
        pt_edit_changed(&t->e);
        outputs[2] = new_name(b, "pintle_running_variance");
        n->outputs = outputs;
        n->output_count = 3;
        pt_edit_changed(&t->e);
        for (size_t k = 3; k < 5 && at < statistics; k++)
            running[at++] = outputs[k - 2];
    }
    return b->failed ? b->err->code : PT_OK;
}

/* Readers of a value read it multiplied with an input. */
static int drop_out(struct pt_training_graph *t, struct builder *b, struct pt_str value)
{
    const struct pt_edit_value *v = pt_edit_value(&t->e, value, NULL);
    if (!v || v->producer < 0)
        return pt_fail(b->err, PT_ENOTFOUND, "dropout: no node of the model makes a value '" PT_STR_FMT "'", PT_STR_ARG(value));
    size_t at = (size_t)v->producer + 1;
    struct pt_str mask = new_name(b, "pintle_dropout"), out;
    add_input(b, mask, -1, NULL);
    out = new_name(b, "pintle_dropped");
    struct pt_onnx_node *n = b->failed ? NULL : pt_edit_add_node(&t->e, at, out, "", "Mul", 2, 1, b->err);
    if (!n)
        return b->err->code;
    n->inputs[0] = value;
    n->inputs[1] = mask;
    n->outputs[0] = out;
    pt_edit_redirect(&t->e, value, out, at + 1);
    return PT_OK;
}

static struct pt_str add_loss(struct pt_training_graph *t, struct builder *b, const struct pt_train_options *o)
{
    struct pt_str target = new_name(b, "pintle_target"), loss = PT_STR("");
    t->target_input = add_input(b, target, o->loss == PT_LOSS_CROSS_ENTROPY ? 2 : t->scores_rank, NULL);
    if (o->loss == PT_LOSS_CROSS_ENTROPY) {
        loss = cross_entropy(b, t->scores, target);
    } else {
        struct pt_str scale = new_name(b, "pintle_scale");
        t->scale_input = add_input(b, scale, 0, NULL);
        loss = squares(b, t->scores, target, scale);
    }
    const struct pt_distillation *d = &o->distill;
    if (!d->teacher)
        return loss;
    if (o->loss == PT_LOSS_CROSS_ENTROPY) {
        struct pt_str soft = new_name(b, "pintle_soft");
        t->soft_input = add_input(b, soft, 2, NULL);
        loss = sum_of(b, loss, cross_entropy(b, put(b, "Mul", t->scores, constant(b, 1 / d->temperature)), soft));
    }
    if (d->hidden_count) {
        struct pt_str scale = new_name(b, "pintle_hidden_scale");
        t->hidden_scale_input = add_input(b, scale, 1, (const int64_t[]){(int64_t)d->hidden_count});
        for (size_t i = 0; i < d->hidden_count; i++) {
            if (!pt_edit_value(&t->e, d->student_hidden[i], NULL)) {
                pt_fail(b->err, PT_ENOTFOUND, "the student has no value '" PT_STR_FMT "'", PT_STR_ARG(d->student_hidden[i]));
                return fail(b);
            }
            struct pt_str hidden = new_name(b, "pintle_hidden");
            size_t at = add_input(b, hidden, -1, NULL);
            t->hidden_input = i == 0 ? at : t->hidden_input;
            struct pt_str index = new_name(b, "pintle_number");
            if (b->failed || pt_edit_add_initializer(b->e, index, PT_INT64, 0, NULL, &(int64_t){(int64_t)i}, b->err) < 0)
                return fail(b);
            loss = sum_of(b, loss, squares(b, d->student_hidden[i], hidden, put(b, "Gather", scale, index)));
        }
    }
    return loss;
}

static int add_gradients(struct pt_training_graph *t, struct builder *b, struct pt_str loss)
{
    struct pt_onnx_graph *g = &t->e.model.graph;
    struct pt_str *names = pt_edit_alloc(&t->e, t->weight_count * sizeof *names, b->err);
    if (!names || pt_edit_need_opset(&t->e, "ai.onnx.preview.training", 1, b->err) < 0)
        return b->err->code;
    struct pt_onnx_node *n =
        pt_edit_add_node(&t->e, g->node_count, PT_STR("gradients"), "ai.onnx.preview.training", "Gradient", t->weight_count, t->weight_count, b->err);
    if (!n || pt_edit_set_string(&t->e, n, "y", "", b->err) < 0 || pt_edit_set_int(&t->e, n, "xs", 0, b->err) < 0)
        return b->err->code;
    for (size_t i = 0; i < n->attr_count; i++) {
        struct pt_onnx_attr *a = &n->attrs[i];
        if (pt_str_eq(a->name, PT_STR("y")))
            a->s = loss;
        else
            *a = (struct pt_onnx_attr){.name = a->name, .type = PT_ATTR_STRINGS, .strings = names, .count = t->weight_count};
    }
    for (size_t k = 0; k < t->weight_count; k++) {
        names[k] = g->inputs[t->model_inputs + k].name;
        struct pt_str out = pt_edit_text(&t->e, "pintle_gradient_%zu", k);
        if (!out.p)
            return pt_fail(b->err, PT_ENOMEM, "out of memory for training");
        n->inputs[k] = names[k];
        n->outputs[k] = out;
        add_output(b, out);
    }
    return b->failed ? b->err->code : PT_OK;
}

/* Weights that nothing could be learned for would stay what they are without a word: whoever wants that says so. */
static int check_untrainable(struct pt_edit *model, const struct pt_train_options *o, struct pt_err *err)
{
    static const char *const unknown[] = {"LSTM", "GRU", "RNN", "DeformConv"};
    const struct pt_onnx_graph *g = &model->model.graph;
    for (size_t i = 0; i < g->node_count; i++) {
        const struct pt_onnx_node *n = &g->nodes[i];
        bool is_unknown = false;
        for (size_t k = 0; n->domain.len == 0 && k < sizeof unknown / sizeof *unknown; k++)
            is_unknown |= pt_str_eq(n->op_type, pt_str(unknown[k]));
        for (size_t k = 1; is_unknown && k < n->input_count; k++) {
            const struct pt_edit_value *v = weights_behind(model, n->inputs[k]);
            const struct pt_onnx_tensor *x = v ? &g->initializers[v->initializer] : NULL;
            if (x && trainable(x) && !named(x->name, o->frozen, o->frozen_count))
                return pt_fail(err, PT_EUNSUPPORTED,
                               "node '" PT_STR_FMT "' (" PT_STR_FMT "): its derivative is not known, so '" PT_STR_FMT "' cannot be "
                               "trained; frozen, it stays as it is",
                               PT_STR_ARG(n->name.len ? n->name : n->outputs[0]), PT_STR_ARG(n->op_type), PT_STR_ARG(x->name));
        }
    }
    return PT_OK;
}

int pt_training_graph_make(struct pt_training_graph *t, struct pt_edit *model, const struct pt_train_options *o, struct pt_err *err)
{
    *t = (struct pt_training_graph){0};
    struct builder b = {.e = &t->e, .err = err};
    int rc = pt_edit_copy(model, &t->e, err);
    struct pt_onnx_graph *g = &t->e.model.graph;
    size_t room = g->initializer_count + 1;
    if (rc < 0)
        return rc;
    t->model_inputs = g->input_count;
    t->weights = pt_reallocarray(NULL, room, sizeof *t->weights);
    t->statistics = pt_reallocarray(NULL, room, sizeof *t->statistics);
    struct pt_str *running = pt_edit_alloc(&t->e, room * sizeof *running, err);
    if (!t->weights || !t->statistics || !running)
        return pt_fail(err, PT_ENOMEM, "out of memory for training");
    /* the copy has the same initializers in the same order */
    if ((rc = pt_training_weights(model, o, t->weights, &t->weight_count, t->statistics, &t->statistic_count, err)) < 0)
        return rc;
    if ((rc = check_untrainable(model, o, err)) < 0)
        return rc;
    if (t->weight_count == 0)
        return pt_fail(err, PT_EINVAL, "the model has no weights to train");
    if ((rc = pt_scores_of(&t->e, o->loss, &t->scores, &t->scores_rank, err)) < 0 || (rc = take_weights(t, &b)) < 0 ||
        (rc = train_batchnorm(t, &b, t->statistic_count - o->carry_count, running)) < 0)
        return rc;
    for (size_t i = 0; i < o->carry_count; i++)
        running[t->statistic_count - o->carry_count + i] = o->carries[i].value;
    for (size_t i = 0; rc == PT_OK && i < o->dropout_count; i++) {
        if (i == 0)
            t->dropout_input = g->input_count;
        rc = drop_out(t, &b, o->dropout_at[i]);
    }
    struct pt_str loss = rc < 0 ? PT_STR("") : add_loss(t, &b, o);
    if (rc < 0 || b.failed)
        return rc < 0 ? rc : err->code;
    g->output_count = 0;
    add_output(&b, loss);
    add_output(&b, t->scores);
    if ((rc = add_gradients(t, &b, loss)) < 0)
        return rc;
    for (size_t i = 0; i < t->statistic_count; i++)
        add_output(&b, running[i]);
    return b.failed ? err->code : pt_edit_sweep(&t->e, err);
}

void pt_training_graph_finish(struct pt_training_graph *t)
{
    pt_edit_finish(&t->e);
    pt_free(t->weights);
    pt_free(t->statistics);
}
