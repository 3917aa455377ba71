/* SPDX-License-Identifier: Apache-2.0
 *
 * stage.h: what can be done to a model, as a table: train, distill, prune, quantize, cluster. A stage is a row here and a file
 * stage_NAME.c: its options (rows of cli/options.h) and the function that does it. The command `pintle NAME`, the key NAME of a recipe's stages,
 * --help, manual page and docs/compression.md all come from that.
 *
 * A stage that trains takes the options of training as well: on the command line beside its own (`pintle prune --amount 0.8 --epochs 3`), in a recipe
 * as a map `train` inside its own (prune: {amount: 0.8, train: {epochs: 3, teacher: big.onnx}}); without one it does not train.
 */
#ifndef PT_CLI_STAGE_H
#define PT_CLI_STAGE_H

#include "cli/options.h"
#include "cli/progress.h"
#include "runtime/train/train.h"

#include <cjson/cJSON.h>

/* --- the options of training ---------------------------------------------------------------------------------------------------------- */
struct pt_train_settings {
    int64_t epochs, batch_size, every, warmup_steps, patience, checkpoint_steps, shift;
    double rate, momentum, weight_decay, l1, group_lasso, clip_norm, label_smoothing, gamma, floor, power, dropout;
    int optimizer, schedule;
    bool nesterov, frozen_batchnorm, reset;
    struct pt_cmd_list dropout_at, frozen, student_hidden, teacher_hidden;
    const char *teacher;
    double temperature, hardness, hidden_weight;
};
extern const struct pt_cmd_option pt_train_rows[];
extern const size_t pt_train_row_count;

/* --- a stage at work -------------------------------------------------------------------------------------------------------------------- */
struct pt_stage_work {
    struct pt_edit *model;                                /* changed in place; after a failure nobody uses it any more */
    const struct pt_data *train, *held_out, *calibration; /* NULL: not given. calibration: the training data where no others are named */
    const char *const *classes;                           /* names of the labels 0, 1, ..., or NULL */
    enum pt_loss loss;                                    /* by the type of the labels */
    uint64_t seed;
    struct pt_threads *threads;
    const char *checkpoint;       /* file of a training that may be cut off, or NULL */
    struct pt_progress *progress; /* never NULL */
    cJSON *report;                /* an object: what the stage has to say of what it did */
};

/* pt_train's options made of settings, with the teacher opened and progress and checkpoint wired; for pt_train and all that trains by such options
 * (pt_pruner_attach, pt_quantize_train, pt_cluster_train). What it points to is in *t and *s. */
struct pt_training {
    struct pt_train_options options;
    struct pt_edit teacher;
    bool has_teacher;
};
/* PT_EINVAL when there are no training data. *t is to be finished also after a failure. */
int pt_training_init(struct pt_training *t, const struct pt_stage_work *w, const struct pt_train_settings *s, struct pt_err *err);
void pt_training_finish(struct pt_training *t);
/* The epochs of a result into w->report as "epochs": [{"epoch", "rate", "loss", ...}]; frees the result's points. rc is handed through. */
int pt_training_report(const struct pt_stage_work *w, struct pt_train_result *r, int rc, struct pt_err *err);
/* A text that a library's ..._report_json wrote becomes member `name` of w->report. */
int pt_stage_report(const struct pt_stage_work *w, const char *name, const struct pt_buf *json, struct pt_err *err);

struct pt_stage {
    const char *name, *summary;
    const struct pt_cmd_option *rows;
    size_t row_count, size; /* of the structure that the rows fill; zeroed and filled with defaults before */
    bool trains;            /* takes the options of training */
    bool is_training;       /* ... as its own: train and distill */
    /* Options that cannot go together; may be NULL. train: NULL where the stage does not train. */
    int (*check)(const void *options, const struct pt_train_settings *train, struct pt_err *err);
    /* Do the options ask for figures only, so that there is no model to write? May be NULL. */
    bool (*only_looks)(const void *options);
    int (*run)(struct pt_stage_work *w, const void *options, const struct pt_train_settings *train, struct pt_err *err);
};
/* One row, one file. */
#define PT_STAGES(X) X(train) X(distill) X(prune) X(quantize) X(cluster)
#define PT_X(name) extern const struct pt_stage pt_stage_##name;
PT_STAGES(PT_X)
#undef PT_X
extern const struct pt_stage *const pt_stages[];
extern const size_t pt_stage_count;
const struct pt_stage *pt_stage_find(const char *name); /* NULL: there is none */

/* A stage with its options. */
struct pt_stage_call {
    const struct pt_stage *stage;
    void *options;                   /* stage->size bytes */
    struct pt_train_settings *train; /* NULL: it does not train */
};
/* Allocates with defaults; train: also the settings of training (always for train and distill). *c is to be finished also after a failure. */
int pt_stage_call_init(struct pt_stage_call *c, const struct pt_stage *stage, bool train, struct pt_err *err);
void pt_stage_call_finish(struct pt_stage_call *c);
/* Options from a JSON object (a recipe); `where` begins messages ("stages[1].prune"). Texts stay views of `o`, numbers become texts in the arena. */
int pt_stage_call_read(struct pt_stage_call *c, const cJSON *o, const char *where, struct pt_arena *arena, struct pt_err *err);
/* The options that are not what they are by default, as a recipe would have them. NULL: out of memory. */
cJSON *pt_stage_call_json(const struct pt_stage_call *c);
/* One object with rows into a structure: unknown keys are errors with a suggestion. skip: a key that the caller reads, or NULL. */
int pt_rows_read(const struct pt_cmd_option *rows, size_t count, void *into, const cJSON *o, const char *where, const char *skip,
                 struct pt_arena *arena, struct pt_err *err);

#endif
