/* SPDX-License-Identifier: Apache-2.0
 *
 * trainer.c: the loop. All that a training is between two steps - weights, the optimizer's state, running statistics, masks, counters - are arrays
 * known from the start: `parts`. A checkpoint is those arrays, and so is the best state that early stopping goes back to.
 *
 * The order of samples follows from the seed and the epoch, dropout and shifts from the seed and the step. So there is no generator to save.
 */
#include "runtime/train/train.h"

#include "base/rand.h"
#include "runtime/compress/tap.h"
#include "runtime/train/augment.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/evaluate.h"
#include "runtime/train/graph.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* What a checkpoint holds beside arrays. */
struct counters {
    int64_t epoch, step; /* done */
    int64_t plateaus, stale;
    double best, loss, correct; /* best held-out loss; sums of the epoch so far */
    int64_t seen, points;
    int64_t stopped;
};

struct trainer {
    struct pt_edit *model;
    const struct pt_data *data, *held_out;
    const struct pt_train_options *o;
    struct pt_err *err;
    struct pt_training_graph graph;
    struct pt_buf bytes;
    struct pt_threads *threads, *own_threads;
    struct pt_session *session;
    struct pt_run *run;
    struct pt_tap *teacher;
    struct pt_tensor *before; /* of weights, then statistics: for a failure */
    struct pt_parameter *params;
    float *memory; /* states, gradients, statistics as they come out */
    float **stats, **stats_out;
    struct pt_checkpoint_part *parts; /* counters, points, weights, states, statistics, masks */
    size_t part_count;
    char *best; /* with patience: the parts from the third on as they were at the best epoch, one after the other */
    size_t best_parts;
    struct counters c;
    struct pt_train_point *points;
    int64_t *order, steps_per_epoch;
    struct pt_tensor *inputs;  /* of a batch */
    float *target, *soft;      /* [batch, classes] */
    float **masks;             /* of dropout */
    struct pt_tensor *dropped; /* shapes of the values dropped out, of one sample */
    int64_t classes;
    double started;
    int64_t resumed_at;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int no_memory(struct trainer *t)
{
    return pt_fail(t->err, PT_ENOMEM, "out of memory for training");
}

/* --- making ready --------------------------------------------------------------------------------------------------------------------- */

/* Does all that is learnt come from the teacher? */
static bool unlabelled(const struct trainer *t)
{
    return t->o->distill.teacher && t->o->distill.hardness >= 1 && t->data->labels.dtype == PT_UNDEFINED;
}

static int check_options(const struct trainer *t)
{
    const struct pt_train_options *o = t->o;
    const struct pt_distillation *d = &o->distill;
    if (o->batch_size < 1 || o->epochs < 1)
        return pt_fail(t->err, PT_EINVAL, "batch size %lld and %lld epochs: both must be 1 or more", (long long)o->batch_size, (long long)o->epochs);
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 1))
        return pt_fail(t->err, PT_EINVAL, "label smoothing is %g, must be from 0 to below 1", (double)o->label_smoothing);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return pt_fail(t->err, PT_EINVAL, "dropout is %g, must be from 0 to below 1", (double)o->dropout);
    if (d->teacher && (!(d->temperature > 0) || !(d->hardness >= 0 && d->hardness <= 1) || !(d->hidden_weight >= 0)))
        return pt_fail(t->err, PT_EINVAL, "distillation: temperature %g must be above 0, hardness %g from 0 to 1, the hidden weight %g not negative",
                       (double)d->temperature, (double)d->hardness, (double)d->hidden_weight);
    int rc = unlabelled(t) ? PT_OK : pt_labels_check(t->data, o->loss, 0, "training data", t->err);
    if (rc < 0 || (rc = pt_shift_check(t->data, o->shift, t->err)) < 0 || (rc = pt_schedule_check(&o->schedule, t->err)) < 0)
        return rc;
    return pt_optimizer_check(&o->optimizer, t->err);
}

/* Writable weights and statistics in the model, and arrays beside them. */
static int take_arrays(struct trainer *t)
{
    struct pt_training_graph *g = &t->graph;
    struct pt_onnx_tensor *inits = t->model->model.graph.initializers;
    size_t total = 0, at = 0, statistics = 0, arrays = g->weight_count + g->statistic_count;
    for (size_t k = 0; k < arrays; k++) {
        size_t n = (size_t)pt_tensor_count(&inits[k < g->weight_count ? g->weights[k] : g->statistics[k - g->weight_count]].t);
        total += k < g->weight_count ? 3 * n : n; /* two of state, a gradient; a statistic as it comes out */
        statistics += k < g->weight_count ? 0 : 1;
    }
    t->before = pt_reallocarray(NULL, arrays + 1, sizeof *t->before);
    t->params = pt_calloc(g->weight_count + 1, sizeof *t->params);
    t->memory = pt_calloc(total + 1, sizeof *t->memory);
    t->stats = pt_calloc(2 * statistics + 1, sizeof *t->stats);
    t->parts = pt_calloc(3 + 2 * g->weight_count + statistics + t->o->mask_count, sizeof *t->parts);
    if (!t->before || !t->params || !t->memory || !t->stats || !t->parts)
        return no_memory(t);
    t->stats_out = t->stats + statistics;
    for (size_t k = 0; k < arrays; k++)
        t->before[k] = inits[k < g->weight_count ? g->weights[k] : g->statistics[k - g->weight_count]].t;
    t->parts[t->part_count++] = (struct pt_checkpoint_part){&t->c, sizeof t->c};
    t->parts[t->part_count++] = (struct pt_checkpoint_part){t->points, (size_t)t->o->epochs * sizeof *t->points};
    for (size_t k = 0; k < arrays; k++) {
        bool weight = k < g->weight_count;
        int i = weight ? g->weights[k] : g->statistics[k - g->weight_count];
        size_t n = (size_t)pt_tensor_count(&inits[i].t);
        float *w = pt_edit_floats(t->model, i, t->err);
        if (!w)
            return t->err->code;
        t->parts[t->part_count++] = (struct pt_checkpoint_part){w, n * sizeof *w};
        if (weight) {
            t->params[k] = (struct pt_parameter){.w = w,
                                                 .state = t->memory + at,
                                                 .g = t->memory + at + 2 * n,
                                                 .count = n,
                                                 .channels = (size_t)inits[i].t.dims[0],
                                                 .matrix = inits[i].t.rank >= 2};
            t->parts[t->part_count++] = (struct pt_checkpoint_part){t->memory + at, 2 * n * sizeof *w};
            at += 3 * n;
        } else {
            t->stats[k - g->weight_count] = w;
            t->stats_out[k - g->weight_count] = t->memory + at;
            at += n;
        }
    }
    return PT_OK;
}

static int take_masks(struct trainer *t)
{
    for (size_t m = 0; m < t->o->mask_count; m++) {
        const struct pt_train_mask *mask = &t->o->masks[m];
        size_t k = 0;
        while (k < t->graph.weight_count && !pt_str_eq(t->model->model.graph.initializers[t->graph.weights[k]].name, mask->name))
            k++;
        if (k == t->graph.weight_count)
            return pt_fail(t->err, PT_ENOTFOUND, "a mask is given for '" PT_STR_FMT "', which is not trained", PT_STR_ARG(mask->name));
        t->params[k].keep = mask->keep;
        t->parts[t->part_count++] = (struct pt_checkpoint_part){mask->keep, t->params[k].count};
    }
    return PT_OK;
}

/* Weights are read where the model has them, gradients and statistics written where they are needed. */
static int bind(struct trainer *t)
{
    const struct pt_training_graph *g = &t->graph;
    int rc = PT_OK;
    for (size_t k = 0; rc == PT_OK && k < g->weight_count + g->statistic_count; k++) {
        bool weight = k < g->weight_count;
        struct pt_tensor in = t->model->model.graph.initializers[weight ? g->weights[k] : g->statistics[k - g->weight_count]].t, out = in;
        out.data = weight ? t->params[k].g : t->stats_out[k - g->weight_count];
        rc = pt_run_set_input(t->run, g->model_inputs + k, &in, t->err);
        if (rc == PT_OK)
            rc = pt_run_bind_output(t->run, 2 + k, &out, t->err);
    }
    return rc;
}

/* What one run of the model on the first sample shows: the number of classes, shapes of the values that dropout is for. */
static int look_at_shapes(struct trainer *t)
{
    size_t dropped = t->o->dropout_count;
    struct pt_tap *tap = NULL;
    pt_auto_free struct pt_tensor *one = pt_calloc(t->data->input_count + 1, sizeof *one);
    pt_auto_free struct pt_str *names = pt_calloc(dropped + 1, sizeof *names);
    if (!one || !names || !(t->dropped = pt_calloc(dropped + 1, sizeof *t->dropped)))
        return no_memory(t);
    int rc = pt_scores_of(t->model, t->o->loss, &names[0], NULL, t->err);
    for (size_t i = 0; i < dropped; i++)
        names[1 + i] = t->o->dropout_at[i];
    if (rc == PT_OK)
        rc = pt_tap_open(t->model, names, 1 + dropped, t->threads, &tap, t->err);
    if (rc == PT_OK)
        rc = pt_data_check(t->data, pt_tap_session(tap), "training data", t->err);
    if (rc == PT_OK && t->held_out)
        rc = pt_data_check(t->held_out, pt_tap_session(tap), "held-out data", t->err);
    if (rc == PT_OK) {
        pt_data_slice(t->data, 0, 1, one);
        rc = pt_tap_run(tap, one, t->data->input_count, t->err);
    }
    const struct pt_tensor *y = rc < 0 ? NULL : pt_tap_value(tap, 0);
    if (y && (y->dtype != PT_FLOAT || y->rank < 1 || y->dims[0] != 1 || (t->o->loss == PT_LOSS_CROSS_ENTROPY && y->rank != 2)))
        rc = pt_fail(t->err, PT_EUNSUPPORTED, "the model gives %s for one sample; %s is needed", PT_SHAPE(y),
                     t->o->loss == PT_LOSS_CROSS_ENTROPY ? "float32[1, classes]" : "float32[1, ...]");
    t->classes = y ? pt_tensor_count(y) : 0;
    for (size_t i = 0; rc == PT_OK && i < dropped; i++) {
        t->dropped[i] = *pt_tap_value(tap, 1 + i);
        if (t->dropped[i].dtype != PT_FLOAT || t->dropped[i].rank < 1 || t->dropped[i].dims[0] != 1)
            rc = pt_fail(t->err, PT_EINVAL, "dropout: value '" PT_STR_FMT "' is %s for one sample, must be float32[1, ...]", PT_STR_ARG(names[1 + i]),
                         PT_SHAPE(&t->dropped[i]));
    }
    pt_tap_close(tap);
    return rc;
}

/* Memory of a batch. */
static int take_batch(struct trainer *t)
{
    size_t rows = (size_t)t->o->batch_size, wide = rows * (size_t)t->classes;
    t->order = pt_reallocarray(NULL, (size_t)t->data->count, sizeof *t->order);
    t->inputs = pt_calloc(t->data->input_count + 1, sizeof *t->inputs);
    t->target = pt_reallocarray(NULL, wide + 1, sizeof *t->target);
    t->soft = pt_reallocarray(NULL, wide + 1, sizeof *t->soft);
    t->masks = pt_calloc(t->o->dropout_count + 1, sizeof *t->masks);
    if (!t->order || !t->inputs || !t->target || !t->soft || !t->masks)
        return no_memory(t);
    for (size_t i = 0; i < t->data->input_count; i++) {
        t->inputs[i] = t->data->inputs[i];
        if (!(t->inputs[i].data = pt_reallocarray(NULL, rows, t->data->inputs[i].size_bytes / (size_t)t->data->count + 1)))
            return no_memory(t);
    }
    for (size_t i = 0; i < t->o->dropout_count; i++)
        if (!(t->masks[i] = pt_reallocarray(NULL, rows * (size_t)pt_tensor_count(&t->dropped[i]) + 1, sizeof **t->masks)))
            return no_memory(t);
    return PT_OK;
}

/* The copy of the best state is a part of a checkpoint too. */
static int take_best(struct trainer *t)
{
    size_t total = 0;
    t->best_parts = t->part_count;
    for (size_t i = 2; i < t->best_parts; i++)
        total += t->parts[i].bytes;
    if (t->o->patience <= 0)
        return PT_OK;
    if (!(t->best = pt_calloc(total + 1, 1)))
        return no_memory(t);
    t->parts[t->part_count++] = (struct pt_checkpoint_part){t->best, total};
    return PT_OK;
}

static int open_session(struct trainer *t)
{
    int rc = pt_onnx_write(&t->graph.e.model, &t->bytes, t->err);
    struct pt_session_options o = {.size = sizeof o, .threads = t->threads};
    if (rc == PT_OK && (rc = pt_session_open_memory(t->bytes.data, t->bytes.len, &o, &t->session, t->err)) < 0)
        pt_wrap(t->err, "the training graph");
    if (rc == PT_OK)
        rc = pt_run_create(t->session, &t->run, t->err);
    return rc;
}

/* Hidden values are compared element by element: of the first sample, shapes must be the same. Broadcasting would pass for it otherwise. */
static int check_hidden(struct trainer *t)
{
    const struct pt_distillation *d = &t->o->distill;
    struct pt_tap *student = NULL;
    pt_auto_free struct pt_tensor *one = pt_calloc(t->data->input_count + 1, sizeof *one);
    if (!one)
        return no_memory(t);
    pt_data_slice(t->data, 0, 1, one);
    int rc = pt_tap_open(t->model, d->student_hidden, d->hidden_count, t->threads, &student, t->err);
    if (rc < 0 || (rc = pt_tap_run(student, one, t->data->input_count, t->err)) < 0)
        pt_wrap(t->err, "the student");
    else if ((rc = pt_tap_run(t->teacher, one, t->data->input_count, t->err)) < 0)
        pt_wrap(t->err, "the teacher");
    for (size_t i = 0; rc == PT_OK && i < d->hidden_count; i++) {
        const struct pt_tensor *a = pt_tap_value(student, i), *b = pt_tap_value(t->teacher, i + 1);
        if (a->dtype != PT_FLOAT || b->dtype != PT_FLOAT || !pt_dims_equal(a, b))
            rc = pt_fail(t->err, PT_EINVAL,
                         "hidden values: the student's '" PT_STR_FMT "' is %s for one sample, the teacher's '" PT_STR_FMT
                         "' %s; both must be float32 of one shape",
                         PT_STR_ARG(d->student_hidden[i]), PT_SHAPE(a), PT_STR_ARG(d->teacher_hidden[i]), PT_SHAPE(b));
    }
    pt_tap_close(student);
    return rc;
}

static int open_teacher(struct trainer *t)
{
    const struct pt_distillation *d = &t->o->distill;
    struct pt_str scores;
    if (!d->teacher)
        return PT_OK;
    int rc = pt_scores_of(d->teacher, t->o->loss, &scores, NULL, t->err);
    pt_auto_free struct pt_str *names = rc < 0 ? NULL : pt_reallocarray(NULL, d->hidden_count + 1, sizeof *names);
    if (rc == PT_OK && !names)
        return no_memory(t);
    if (rc == PT_OK) {
        names[0] = scores;
        if (d->hidden_count)
            memcpy(names + 1, d->teacher_hidden, d->hidden_count * sizeof *names);
        rc = pt_tap_open(d->teacher, names, d->hidden_count + 1, t->threads, &t->teacher, t->err);
    }
    if (rc == PT_OK)
        rc = pt_data_check(t->data, pt_tap_session(t->teacher), "training data for the teacher", t->err);
    if (rc < 0)
        return pt_wrap(t->err, "the teacher"), rc;
    return d->hidden_count ? check_hidden(t) : PT_OK;
}

static uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 1099511628211U;
    return h;
}

/* Of all that must be the same for a checkpoint to go on: options, names and sizes of weights, labels, the first and the last sample. */
static uint64_t fingerprint(const struct trainer *t)
{
    const struct pt_train_options *o = t->o;
    const struct pt_optimizer_options *p = &o->optimizer;
    const struct pt_schedule *s = &o->schedule;
    const struct pt_distillation *d = &o->distill;
    const struct pt_tensor *labels = &t->data->labels;
    const int64_t numbers[] = {o->loss,
                               o->batch_size,
                               o->epochs,
                               (int64_t)o->seed,
                               p->kind,
                               s->kind,
                               s->every,
                               s->warmup_steps,
                               o->patience,
                               t->data->count,
                               t->classes,
                               (int64_t)o->mask_count,
                               (int64_t)o->dropout_count,
                               o->shift,
                               o->frozen_batchnorm,
                               p->nesterov,
                               d->teacher != NULL,
                               (int64_t)d->hidden_count,
                               t->held_out ? t->held_out->count : -1};
    const double reals[] = {(double)p->rate,
                            (double)p->momentum,
                            (double)p->beta1,
                            (double)p->beta2,
                            (double)p->epsilon,
                            (double)p->weight_decay,
                            (double)p->l1,
                            (double)p->group_lasso,
                            (double)p->clip_norm,
                            s->gamma,
                            s->floor,
                            s->power,
                            (double)o->label_smoothing,
                            (double)o->dropout,
                            d->teacher ? (double)d->temperature : 0,
                            d->teacher ? (double)d->hardness : 0,
                            d->teacher ? (double)d->hidden_weight : 0};
    uint64_t h = hash(14695981039346656037U, numbers, sizeof numbers);
    h = hash(h, reals, sizeof reals);
    h = labels->dtype ? hash(h, labels->data, labels->size_bytes) : h;
    for (size_t i = 0; i < t->data->input_count; i++) {
        const struct pt_tensor *x = &t->data->inputs[i];
        size_t one = x->size_bytes / (size_t)t->data->count;
        h = hash(h, x->data, one);
        h = hash(h, (const char *)x->data + x->size_bytes - one, one);
    }
    for (size_t k = 0; k < t->graph.weight_count; k++) {
        struct pt_str name = t->model->model.graph.initializers[t->graph.weights[k]].name;
        h = hash(h, name.p, name.len);
    }
    return h;
}

static int make_ready(struct trainer *t)
{
    int rc = check_options(t);
    if (rc == PT_OK && !t->threads && (rc = pt_threads_create(0, &t->own_threads, t->err)) == PT_OK)
        t->threads = t->own_threads;
    if (rc < 0 || (rc = look_at_shapes(t)) < 0 ||
        (rc = unlabelled(t) ? PT_OK : pt_labels_check(t->data, t->o->loss, t->classes, "training data", t->err)) < 0 ||
        (rc = pt_training_graph_make(&t->graph, t->model, t->o, t->err)) < 0 || (rc = open_session(t)) < 0 || (rc = open_teacher(t)) < 0 ||
        (rc = take_arrays(t)) < 0 || (rc = take_masks(t)) < 0 || (rc = take_batch(t)) < 0 || (rc = take_best(t)) < 0)
        return rc;
    t->steps_per_epoch = (t->data->count + t->o->batch_size - 1) / t->o->batch_size;
    t->c.best = INFINITY;
    return bind(t);
}

/* --- a step ---------------------------------------------------------------------------------------------------------------------------- */

static void shuffle(struct trainer *t)
{
    struct pt_rand r;
    pt_rand_init(&r, t->o->seed * 0x9e3779b97f4a7c15U + (uint64_t)t->c.epoch);
    for (int64_t i = 0; i < t->data->count; i++)
        t->order[i] = i;
    for (int64_t i = t->data->count - 1; i > 0; i--) {
        int64_t k = pt_rand_below(&r, (uint32_t)i + 1), swap = t->order[i];
        t->order[i] = t->order[k];
        t->order[k] = swap;
    }
}

/* The wanted distribution of each row, times what it counts. */
static void fill_classes(struct trainer *t, const int64_t *at, int64_t n, double share)
{
    double spread = (double)t->o->label_smoothing;
    for (int64_t i = 0; i < n; i++) {
        float *row = t->target + i * t->classes;
        for (int64_t k = 0; k < t->classes; k++)
            row[k] = (float)(share * spread / (double)t->classes);
        if (t->data->labels.dtype == PT_INT64)
            row[((const int64_t *)t->data->labels.data)[at[i]]] += (float)(share * (1 - spread));
    }
}

/* What the teacher says of the batch: *entropy, the part of the divergence that the student does not change. */
static int ask_teacher(struct trainer *t, int64_t n, double share, double *entropy)
{
    const struct pt_distillation *d = &t->o->distill;
    const struct pt_tensor *y;
    int rc = pt_tap_run(t->teacher, t->inputs, t->data->input_count, t->err);
    if (rc < 0)
        return pt_wrap(t->err, "the teacher"), rc;
    y = pt_tap_value(t->teacher, 0);
    if (t->o->loss == PT_LOSS_CROSS_ENTROPY && (y->dtype != PT_FLOAT || pt_tensor_count(y) != n * t->classes))
        return pt_fail(t->err, PT_EINVAL, "the teacher gives %s, the student %lld classes for %lld samples", PT_SHAPE(y), (long long)t->classes,
                       (long long)n);
    for (int64_t i = 0; t->o->loss == PT_LOSS_CROSS_ENTROPY && i < n; i++) {
        float *row = t->soft + i * t->classes;
        for (int64_t k = 0; k < t->classes; k++)
            row[k] = ((const float *)y->data)[i * t->classes + k] / d->temperature;
        pt_log_softmax(row, t->classes);
        for (int64_t k = 0; k < t->classes; k++) {
            double p = exp((double)row[k]);
            *entropy += share * p * (double)row[k];
            row[k] = (float)(share * p);
        }
    }
    return PT_OK;
}

static int set(struct trainer *t, size_t input, void *data, int rank, const int64_t *dims)
{
    struct pt_tensor x = {.dtype = PT_FLOAT, .rank = rank, .data = data, .size_bytes = sizeof(float)};
    for (int i = 0; i < rank; i++) {
        x.dims[i] = dims[i];
        x.size_bytes *= (size_t)dims[i];
    }
    return pt_run_set_input(t->run, input, &x, t->err);
}

/* Keeps an element with probability 1 - p, then scaled so that the mean stays. */
static int set_dropout(struct trainer *t, int64_t n)
{
    struct pt_rand r;
    pt_rand_init(&r, t->o->seed * 0x9e3779b97f4a7c15U + 0x5851f42d4c957f2dU * (uint64_t)(t->c.step + 1));
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < t->o->dropout_count; i++) {
        t->dropped[i].dims[0] = n;
        int64_t count = pt_tensor_count(&t->dropped[i]);
        for (int64_t k = 0; k < count; k++)
            t->masks[i][k] = pt_rand_unit(&r) < (double)t->o->dropout ? 0 : 1 / (1 - t->o->dropout);
        rc = set(t, t->graph.dropout_input + i, t->masks[i], t->dropped[i].rank, t->dropped[i].dims);
    }
    return rc;
}

static int set_hidden(struct trainer *t, float *scales)
{
    const struct pt_distillation *d = &t->o->distill;
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && d->teacher && i < d->hidden_count; i++) {
        const struct pt_tensor *y = pt_tap_value(t->teacher, i + 1);
        scales[i] = d->hidden_weight / (float)pt_tensor_count(y);
        rc = set(t, t->graph.hidden_input + i, y->data, y->rank, y->dims);
    }
    if (rc == PT_OK && d->teacher && d->hidden_count)
        rc = set(t, t->graph.hidden_scale_input, scales, 1, (const int64_t[]){(int64_t)d->hidden_count});
    return rc;
}

/* Labels, or numbers, of the batch. */
static int set_targets(struct trainer *t, const int64_t *at, int64_t n, double *entropy)
{
    const struct pt_distillation *d = &t->o->distill;
    double hard = d->teacher && t->o->loss == PT_LOSS_CROSS_ENTROPY ? 1 - (double)d->hardness : 1;
    int rc = PT_OK;
    if (t->teacher)
        rc = ask_teacher(t, n, (double)d->hardness * (double)d->temperature * (double)d->temperature / (double)n, entropy);
    if (rc < 0)
        return rc;
    if (t->o->loss == PT_LOSS_CROSS_ENTROPY) {
        const int64_t dims[2] = {n, t->classes};
        fill_classes(t, at, n, hard / (double)n);
        rc = set(t, t->graph.target_input, t->target, 2, dims);
        return rc == PT_OK && t->teacher ? set(t, t->graph.soft_input, t->soft, 2, dims) : rc;
    }
    struct pt_tensor batch = t->data->labels;
    batch.dims[0] = n;
    batch.data = t->target;
    pt_data_gather(&t->data->labels, at, n, &batch);
    rc = set(t, t->graph.target_input, t->target, batch.rank, batch.dims);
    t->soft[0] = 1 / (float)(n * t->classes);
    return rc == PT_OK ? set(t, t->graph.scale_input, t->soft, 0, NULL) : rc;
}

static void count_correct(struct trainer *t, const int64_t *at, int64_t n)
{
    const struct pt_tensor *y = pt_run_output(t->run, 1);
    for (int64_t i = 0; t->data->labels.dtype == PT_INT64 && i < n; i++)
        t->c.correct += pt_largest((const float *)y->data + i * t->classes, t->classes) == ((const int64_t *)t->data->labels.data)[at[i]];
}

static double rate_now(const struct trainer *t)
{
    return (double)t->o->optimizer.rate *
           pt_schedule_factor(&t->o->schedule, t->c.step, t->steps_per_epoch * t->o->epochs, t->c.epoch, t->c.plateaus);
}

/* Before the first change of a weight no rate can be the reason. */
static int not_finite(const struct trainer *t, double loss, double norm)
{
    bool gradient = isfinite(loss), infinite = isinf(gradient ? norm : loss);
    const char *what = gradient ? "the norm of the gradients" : "the loss", *is = infinite ? "infinite" : "not a number";
    if (t->c.step == 0)
        return pt_fail(t->err, PT_EINVAL, "step 0: %s is %s: look for such values in the model's weights, its samples%s", what, is,
                       t->o->distill.teacher ? ", or its teacher's answers" : "");
    return pt_fail(t->err, PT_EINVAL, "step %lld: %s is %s: a smaller learning rate (now %g) or a limit on the gradients' norm may help",
                   (long long)t->c.step, what, is, rate_now(t));
}

static int step(struct trainer *t)
{
    int64_t first = t->c.step % t->steps_per_epoch * t->o->batch_size;
    int64_t n = t->data->count - first < t->o->batch_size ? t->data->count - first : t->o->batch_size;
    const int64_t *at = t->order + first;
    double entropy = 0;
    int rc = PT_OK;
    pt_auto_free float *scales = pt_calloc(t->o->distill.hidden_count + 1, sizeof *scales);
    if (!scales)
        return no_memory(t);
    for (size_t i = 0; rc == PT_OK && i < t->data->input_count; i++) {
        t->inputs[i].dims[0] = n;
        t->inputs[i].size_bytes = t->data->inputs[i].size_bytes / (size_t)t->data->count * (size_t)n;
        pt_data_gather(&t->data->inputs[i], at, n, &t->inputs[i]);
        if ((rc = pt_shift_images(&t->inputs[i], t->o->shift, t->o->seed, t->c.step, t->err)) == PT_OK)
            rc = pt_run_set_input(t->run, i, &t->inputs[i], t->err);
    }
    if (rc < 0 || (rc = set_targets(t, at, n, &entropy)) < 0 || (rc = set_hidden(t, scales)) < 0 || (rc = set_dropout(t, n)) < 0)
        return rc;
    if ((rc = pt_run_execute(t->run, t->err)) < 0)
        return pt_wrap(t->err, "step %lld", (long long)t->c.step), rc;
    double loss = (double)((const float *)pt_run_output(t->run, 0)->data)[0] + entropy, norm = pt_gradient_norm(t->params, t->graph.weight_count);
    if (!isfinite(loss) || !isfinite(norm))
        return not_finite(t, loss, norm);
    count_correct(t, at, n);
    t->c.loss += loss * (double)n;
    t->c.seen += n;
    pt_optimizer_step(&t->o->optimizer, t->params, t->graph.weight_count, t->c.step, rate_now(t), norm);
    for (size_t k = 0; k < t->graph.statistic_count; k++)
        memcpy(t->stats[k], t->stats_out[k], (size_t)pt_tensor_count(&t->model->model.graph.initializers[t->graph.statistics[k]].t) * sizeof(float));
    t->c.step++;
    return PT_OK;
}

/* --- epochs ----------------------------------------------------------------------------------------------------------------------------- */

static struct pt_train_point point_now(const struct trainer *t)
{
    double seen = t->c.seen ? (double)t->c.seen : 1;
    return (struct pt_train_point){.epoch = t->c.epoch,
                                   .step = t->c.step,
                                   .rate = rate_now(t),
                                   .loss = t->c.loss / seen,
                                   .accuracy = t->data->labels.dtype == PT_INT64 ? t->c.correct / seen : (double)NAN,
                                   .held_out_loss = (double)NAN,
                                   .held_out_accuracy = (double)NAN,
                                   .seconds = now() - t->started};
}

static int tell(struct trainer *t, const struct pt_train_point *p, bool epoch_ended)
{
    struct pt_train_progress now_ = {.now = *p, .epochs = t->o->epochs, .steps = t->steps_per_epoch * t->o->epochs, .epoch_ended = epoch_ended};
    int rc = !epoch_ended && t->o->after_step ? t->o->after_step(t->o->after_step_arg, &now_, t->err) : 0;
    if (rc != 0)
        return rc;
    if (t->o->progress && t->o->progress(t->o->progress_arg, &now_) != 0)
        return pt_fail(t->err, PT_ECANCELED, "the training was stopped at step %lld", (long long)t->c.step);
    return PT_OK;
}

/* The state to (or from) the copy of the best. */
static void keep_best(struct trainer *t, bool restore)
{
    char *at = t->best;
    for (size_t i = 2; at && i < t->best_parts; at += t->parts[i++].bytes)
        if (restore)
            memcpy(t->parts[i].data, at, t->parts[i].bytes);
        else
            memcpy(at, t->parts[i].data, t->parts[i].bytes);
}

/* An epoch is over: judge, remember, decide whether to go on. */
static int end_epoch(struct trainer *t)
{
    t->c.epoch++;
    struct pt_train_point p = point_now(t);
    int rc = PT_OK;
    if (t->held_out) {
        struct pt_evaluation e;
        if ((rc = pt_evaluate(t->model, t->held_out, t->o->loss, 0, t->threads, false, &e, t->err)) < 0)
            return rc;
        p.held_out_loss = e.loss;
        p.held_out_accuracy = e.accuracy;
    }
    double judged = t->held_out ? p.held_out_loss : p.loss;
    t->points[t->c.points++] = p;
    t->c.stale = judged < t->c.best ? 0 : t->c.stale + 1;
    if (judged < t->c.best) {
        t->c.best = judged;
        keep_best(t, false);
    }
    if (t->o->schedule.kind == PT_RATE_PLATEAU && t->o->schedule.every > 0 && t->c.stale > 0 && t->c.stale % t->o->schedule.every == 0)
        t->c.plateaus++;
    t->c.stopped = t->o->patience > 0 && t->c.stale >= t->o->patience;
    t->c.loss = t->c.correct = 0;
    t->c.seen = 0;
    return rc < 0 ? rc : tell(t, &p, true);
}

static int save(struct trainer *t, uint64_t print)
{
    return t->o->checkpoint ? pt_checkpoint_save(t->o->checkpoint, print, t->parts, t->part_count, t->err) : PT_OK;
}

/* Its sum says that a file is whole, not that its numbers make sense: they are indices. */
static int check_counters(const struct trainer *t)
{
    const struct counters *c = &t->c;
    int64_t epochs = t->o->epochs;
    if (c->step < 0 || c->step > t->steps_per_epoch * epochs || c->epoch != c->step / t->steps_per_epoch || c->points != c->epoch)
        return pt_fail(t->err, PT_EPARSE, "%s: the checkpoint stands at step %lld, epoch %lld with %lld results, of %lld steps an epoch, %lld epochs",
                       t->o->checkpoint, (long long)c->step, (long long)c->epoch, (long long)c->points, (long long)t->steps_per_epoch,
                       (long long)epochs);
    return PT_OK;
}

static int loop(struct trainer *t)
{
    uint64_t print = fingerprint(t);
    int64_t steps = t->steps_per_epoch * t->o->epochs, shuffled = -1;
    int rc = t->o->checkpoint ? pt_checkpoint_load(t->o->checkpoint, print, t->parts, t->part_count, t->err) : PT_ENOTFOUND;
    if (rc == PT_OK)
        rc = check_counters(t);
    if (rc < 0 && rc != PT_ENOTFOUND)
        return rc;
    rc = PT_OK;
    t->resumed_at = t->c.step;
    while (rc == PT_OK && t->c.step < steps && !t->c.stopped) {
        if (shuffled != t->c.epoch) {
            shuffle(t);
            shuffled = t->c.epoch;
        }
        if ((rc = step(t)) < 0)
            break;
        struct pt_train_point p = point_now(t);
        rc = tell(t, &p, false);
        bool ended = t->c.step % t->steps_per_epoch == 0;
        if (rc == PT_OK && ended)
            rc = end_epoch(t);
        if (rc == PT_OK && (ended || (t->o->checkpoint_steps > 0 && t->c.step % t->o->checkpoint_steps == 0)))
            rc = save(t, print);
    }
    if (rc == PT_OK)
        keep_best(t, true);
    return rc;
}

static void finish(struct trainer *t, int rc)
{
    struct pt_training_graph *g = &t->graph;
    for (size_t k = 0; rc < 0 && t->before && k < g->weight_count + g->statistic_count; k++)
        t->model->model.graph.initializers[k < g->weight_count ? g->weights[k] : g->statistics[k - g->weight_count]].t = t->before[k];
    pt_tap_close(t->teacher);
    pt_run_destroy(t->run);
    pt_session_close(t->session);
    pt_threads_destroy(t->own_threads);
    pt_training_graph_finish(&t->graph);
    pt_buf_finish(&t->bytes);
    for (size_t i = 0; t->inputs && i < t->data->input_count; i++)
        pt_free(t->inputs[i].data);
    for (size_t i = 0; t->masks && i < t->o->dropout_count; i++)
        pt_free(t->masks[i]);
    void *owned[] = {t->before, t->params, t->memory, t->stats, t->parts,   t->best,  t->order,
                     t->inputs, t->target, t->soft,   t->masks, t->dropped, t->points};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        pt_free(owned[i]);
}

int pt_train(struct pt_edit *model, const struct pt_data *train, const struct pt_data *held_out, const struct pt_train_options *o,
             struct pt_train_result *out, struct pt_err *err)
{
    struct trainer t = {.model = model, .data = train, .held_out = held_out, .o = o, .err = err, .threads = o->threads, .started = now()};
    *out = (struct pt_train_result){0};
    t.points = o->epochs > 0 ? pt_calloc((size_t)o->epochs, sizeof *t.points) : NULL;
    int rc = o->epochs > 0 && !t.points ? no_memory(&t) : make_ready(&t);
    if (rc == PT_OK)
        rc = loop(&t);
    if (rc == PT_OK) {
        out->points = pt_steal(t.points);
        out->count = (size_t)t.c.points;
        out->stopped_early = t.c.stopped;
        out->resumed_at = t.resumed_at;
    }
    finish(&t, rc);
    return rc;
}

/* --- random weights ----------------------------------------------------------------------------------------------------------------------- */

static bool is_operand(const struct pt_onnx_node *n, const char *op, struct pt_str name, size_t i)
{
    return n->domain.len == 0 && pt_str_eq(n->op_type, pt_str(op)) && i < n->input_count && pt_str_eq(n->inputs[i], name);
}

/* How many inputs make one output of the product that reads these weights. */
static double fan_in(const struct pt_onnx_node *n, const struct pt_tensor *t)
{
    if (n->domain.len == 0 && pt_str_eq(n->op_type, PT_STR("MatMul")))
        return (double)t->dims[t->rank - 2];
    if (n->domain.len == 0 && pt_str_eq(n->op_type, PT_STR("Gemm")) && !pt_edit_attr_int(n, "transB", 0))
        return (double)t->dims[0];
    return (double)(pt_tensor_count(t) / (t->dims[0] ? t->dims[0] : 1));
}

static int reset_one(struct pt_edit *model, int i, struct pt_rand *r, struct pt_err *err)
{
    struct pt_str name = model->model.graph.initializers[i].name;
    const struct pt_edit_value *v = pt_edit_value(model, name, NULL);
    const struct pt_onnx_node *n = v && v->reader_count ? &model->model.graph.nodes[v->readers[0]] : NULL;
    float *w = pt_edit_floats(model, i, err);
    const struct pt_tensor *t = &model->model.graph.initializers[i].t;
    if (!w || !n)
        return w ? PT_OK : err->code;
    bool scale =
        is_operand(n, "BatchNormalization", name, 1) || is_operand(n, "LayerNormalization", name, 1) || is_operand(n, "BatchNormalization", name, 4);
    double deviation = t->rank >= 2 ? sqrt(2 / fan_in(n, t)) : 0;
    for (int64_t k = 0, count = pt_tensor_count(t); k < count; k++)
        w[k] = scale ? 1 : (float)(deviation * (deviation > 0 ? pt_rand_normal(r) : 0));
    return PT_OK;
}

int pt_train_reset(struct pt_edit *model, uint64_t seed, struct pt_err *err)
{
    size_t room = model->model.graph.initializer_count + 1, weights, statistics;
    pt_auto_free int *list = pt_reallocarray(NULL, 2 * room, sizeof *list);
    struct pt_rand r;
    pt_rand_init(&r, seed);
    int rc = list ? pt_training_weights(model, &(struct pt_train_options){0}, list, &weights, list + room, &statistics, err)
                  : pt_fail(err, PT_ENOMEM, "out of memory for new weights");
    for (size_t k = 0; rc == PT_OK && k < weights + statistics; k++)
        rc = reset_one(model, k < weights ? list[k] : list[room + k - weights], &r, err);
    return rc;
}
