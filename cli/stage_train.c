/* SPDX-License-Identifier: Apache-2.0
 *
 * stage_train.c: train and distill, and the options of training that other stages take as well. The rows are in the order of what a user asks first:
 * how long, how fast, how the rate falls, against overfitting, from a teacher.
 */
#include "cli/stage.h"

#include "base/mem.h"

#include <math.h>

#define AT(member) offsetof(struct pt_train_settings, member)
static const char *const optimizers[] = {"sgd", "adamw", NULL};
static const char *const schedules[] = {"constant", "step", "exponential", "cosine", "polynomial", "plateau", NULL};

const struct pt_cmd_option pt_train_rows[] = {
    {"epochs", PT_CMD_NUMBER, AT(epochs), .min = 1, .max = 1000000, .def = "10", .help = "how often every sample is seen"},
    {"batch-size", PT_CMD_NUMBER, AT(batch_size), .min = 1, .max = 65536, .def = "64", .help = "samples of a step"},
    {"optimizer", PT_CMD_CHOICE, AT(optimizer), .words = optimizers, .def = "sgd", .help = "with momentum, or AdamW"},
    {"learning-rate", PT_CMD_REAL, AT(rate), .high = 1000, .def = "0.05", .help = "at its highest; AdamW wants about 0.001"},
    {"momentum", PT_CMD_REAL, AT(momentum), .high = 0.9999, .def = "0.9", .help = "of sgd"},
    {"nesterov", PT_CMD_FLAG, AT(nesterov), .help = "sgd: Nesterov's momentum"},
    {"schedule", PT_CMD_CHOICE, AT(schedule), .words = schedules, .def = "cosine", .help = "how the learning rate falls"},
    {"warmup-steps", PT_CMD_NUMBER, AT(warmup_steps), .max = 1000000000, .def = "0", .help = "steps in which the rate rises from 0"},
    {"gamma", PT_CMD_REAL, AT(gamma), .high = 1, .def = "0.1", .help = "step, exponential, plateau: what the rate is multiplied with"},
    {"every", PT_CMD_NUMBER, AT(every), .min = 1, .max = 1000000, .def = "10",
     .help = "step: epochs between two falls; plateau: epochs without a better held-out loss"},
    {"floor", PT_CMD_REAL, AT(floor), .high = 1, .def = "0", .help = "cosine, polynomial: share of the rate that is left at the end"},
    {"power", PT_CMD_REAL, AT(power), .high = 100, .def = "1", .help = "polynomial: (1 - t)^power"},
    {"weight-decay", PT_CMD_REAL, AT(weight_decay), .high = 100, .def = "0", .help = "L2, decoupled from the gradient"},
    {"l1", PT_CMD_REAL, AT(l1), .high = 100, .def = "0", .help = "L1: pulls single weights to zero"},
    {"group-lasso", PT_CMD_REAL, AT(group_lasso), .high = 100, .def = "0", .help = "pulls whole output channels to zero"},
    {"clip-norm", PT_CMD_REAL, AT(clip_norm), .high = 1e9, .def = "0", .help = "largest norm of all gradients together; 0: any"},
    {"label-smoothing", PT_CMD_REAL, AT(label_smoothing), .high = 0.999, .def = "0", .help = "share of a label that is spread over all classes"},
    {"dropout", PT_CMD_REAL, AT(dropout), .high = 0.99, .def = "0", .help = "share of the values of dropoutAt that is left out"},
    {"dropout-at", PT_CMD_LIST, AT(dropout_at), .help = "values of the model with dropout"},
    {"shift", PT_CMD_NUMBER, AT(shift), .max = 1000, .def = "0", .help = "images are moved by up to so many pixels each time they are seen"},
    {"frozen", PT_CMD_LIST, AT(frozen), .help = "initializers that are not trained"},
    {"frozen-batchnorm", PT_CMD_FLAG, AT(frozen_batchnorm), .help = "BatchNormalization keeps its mean and variance"},
    {"patience", PT_CMD_NUMBER, AT(patience), .max = 1000000, .def = "0",
     .help = "stop after so many epochs without a better held-out loss, with the best weights; 0: never"},
    {"from-random", PT_CMD_FLAG, AT(reset), .help = "new random weights first, from the seed: the model's own are not used"},
    {"checkpoint-steps", PT_CMD_NUMBER, AT(checkpoint_steps), .max = 1000000000, .def = "0",
     .help = "steps between two checkpoints; 0: at the end of every epoch"},
    {"teacher", PT_CMD_TEXT, AT(teacher), .value = "MODEL.onnx", .help = "learn from the answers of this model too (distillation)"},
    {"temperature", PT_CMD_REAL, AT(temperature), .low = 0.01, .high = 1000, .def = "4", .help = "softens the teacher's and the student's answers"},
    {"hardness", PT_CMD_REAL, AT(hardness), .high = 1, .def = "0.7", .help = "share of the loss that the teacher gives; 1: labels are not needed"},
    {"hidden-weight", PT_CMD_REAL, AT(hidden_weight), .high = 1e6, .def = "0", .help = "share of the mean squared difference of hidden values"},
    {"student-hidden", PT_CMD_LIST, AT(student_hidden), .help = "values of the model that shall become like ..."},
    {"teacher-hidden", PT_CMD_LIST, AT(teacher_hidden), .help = "... these of the teacher, in the same order"},
};
const size_t pt_train_row_count = sizeof pt_train_rows / sizeof *pt_train_rows;

static int check(const void *options, const struct pt_train_settings *s, struct pt_err *err)
{
    (void)options;
    if (s->student_hidden.count != s->teacher_hidden.count)
        return pt_fail(err, PT_EINVAL, "student-hidden names %zu values and teacher-hidden %zu", s->student_hidden.count, s->teacher_hidden.count);
    if (s->student_hidden.count && !s->teacher)
        return pt_fail(err, PT_EINVAL, "student-hidden without a teacher");
    if (s->dropout > 0 && !s->dropout_at.count)
        return pt_fail(err, PT_EINVAL, "dropout %g without dropout-at: name the values", s->dropout);
    return PT_OK;
}

static int check_distill(const void *options, const struct pt_train_settings *s, struct pt_err *err)
{
    return s->teacher ? check(options, s, err) : pt_fail(err, PT_EINVAL, "a teacher is needed");
}

int pt_training_init(struct pt_training *t, const struct pt_stage_work *w, const struct pt_train_settings *s, struct pt_err *err)
{
    struct pt_train_options *o = &t->options;
    *t = (struct pt_training){0};
    int rc = check(NULL, s, err);
    if (rc < 0)
        return rc;
    if (!w->train)
        return pt_fail(err, PT_EINVAL, "training data are needed");
    *o = (struct pt_train_options){.loss = w->loss,
                                   .label_smoothing = (float)s->label_smoothing,
                                   .optimizer = {.kind = (enum pt_optimizer_kind)s->optimizer,
                                                 .rate = (float)s->rate,
                                                 .momentum = (float)s->momentum,
                                                 .nesterov = s->nesterov,
                                                 .weight_decay = (float)s->weight_decay,
                                                 .l1 = (float)s->l1,
                                                 .group_lasso = (float)s->group_lasso,
                                                 .clip_norm = (float)s->clip_norm},
                                   .schedule = {.kind = (enum pt_schedule_kind)s->schedule,
                                                .gamma = s->gamma,
                                                .floor = s->floor,
                                                .power = s->power,
                                                .every = s->every,
                                                .warmup_steps = s->warmup_steps},
                                   .batch_size = s->batch_size,
                                   .epochs = s->epochs,
                                   .seed = w->seed,
                                   .dropout = (float)s->dropout,
                                   .dropout_at = s->dropout_at.items,
                                   .dropout_count = s->dropout_at.count,
                                   .shift = s->shift,
                                   .frozen_batchnorm = s->frozen_batchnorm,
                                   .frozen = s->frozen.items,
                                   .frozen_count = s->frozen.count,
                                   .patience = s->patience,
                                   .progress = pt_progress_train,
                                   .progress_arg = w->progress,
                                   .checkpoint = w->checkpoint,
                                   .checkpoint_steps = s->checkpoint_steps,
                                   .threads = w->threads};
    if (!s->teacher)
        return PT_OK;
    t->has_teacher = true;
    if ((rc = pt_edit_open(&t->teacher, s->teacher, err)) < 0)
        return pt_wrap(err, "teacher");
    o->distill = (struct pt_distillation){.teacher = &t->teacher,
                                          .temperature = (float)s->temperature,
                                          .hardness = (float)s->hardness,
                                          .student_hidden = s->student_hidden.items,
                                          .teacher_hidden = s->teacher_hidden.items,
                                          .hidden_count = s->student_hidden.count,
                                          .hidden_weight = (float)s->hidden_weight};
    return PT_OK;
}

void pt_training_finish(struct pt_training *t)
{
    if (t->has_teacher)
        pt_edit_finish(&t->teacher);
    *t = (struct pt_training){0};
}

static bool add_figure(cJSON *o, const char *name, double v)
{
    return isnan(v) || cJSON_AddNumberToObject(o, name, v);
}

static bool add_point(cJSON *list, const struct pt_train_point *p)
{
    cJSON *o = cJSON_CreateObject();
    return o && cJSON_AddItemToArray(list, o) && add_figure(o, "epoch", (double)p->epoch) && add_figure(o, "step", (double)p->step) &&
           add_figure(o, "rate", p->rate) && add_figure(o, "loss", p->loss) && add_figure(o, "accuracy", p->accuracy) &&
           add_figure(o, "heldOutLoss", p->held_out_loss) && add_figure(o, "heldOutAccuracy", p->held_out_accuracy);
}

int pt_training_report(const struct pt_stage_work *w, struct pt_train_result *r, int rc, struct pt_err *err)
{
    cJSON *list = rc == PT_OK ? cJSON_AddArrayToObject(w->report, "epochs") : NULL;
    bool fine = rc < 0 || (list && (!r->stopped_early || cJSON_AddTrueToObject(w->report, "stoppedEarly")) &&
                           (!r->resumed_at || cJSON_AddNumberToObject(w->report, "resumedAtStep", (double)r->resumed_at)));
    for (size_t i = 0; rc == PT_OK && fine && i < r->count; i++)
        fine = add_point(list, &r->points[i]);
    pt_free(r->points);
    r->points = NULL;
    return fine ? rc : pt_fail(err, PT_ENOMEM, "out of memory for the report");
}

static int run(struct pt_stage_work *w, const void *options, const struct pt_train_settings *s, struct pt_err *err)
{
    struct pt_training t;
    struct pt_train_result r = {0};
    (void)options;
    int rc = pt_training_init(&t, w, s, err);
    if (rc == PT_OK && s->reset)
        rc = pt_train_reset(w->model, w->seed, err);
    if (rc == PT_OK)
        rc = pt_train(w->model, w->train, w->held_out, &t.options, &r, err);
    rc = pt_training_report(w, &r, rc, err);
    pt_training_finish(&t);
    return rc;
}

const struct pt_stage pt_stage_train = {
    .name = "train", .summary = "train a model on labelled samples", .trains = true, .is_training = true, .check = check, .run = run};
const struct pt_stage pt_stage_distill = {.name = "distill",
                                          .summary = "train a small model on the answers of a large one",
                                          .trains = true,
                                          .is_training = true,
                                          .check = check_distill,
                                          .run = run};
