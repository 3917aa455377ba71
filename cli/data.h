/* SPDX-License-Identifier: Apache-2.0
 *
 * data.h: samples for a model: read from files in whatever form (cli/data_files.h), fitted to the model's inputs, labels turned into numbers of
 * classes, and a part held out.
 *
 * A model's input says what samples are like: its type, and the dims behind the first. Values of another numeric type are converted; a sample that is
 * flat, or has dims of 1 more or less, is reshaped; images are brought into the input's layout and size. Anything else is an error with both shapes.
 * Names of classes are sorted, and kept in the model (metadata "pintle.classes"), so that class 3 stays class 3 with other data.
 */
#ifndef PT_CLI_DATA_H
#define PT_CLI_DATA_H

#include "cli/data_files.h"
#include "cli/options.h"
#include "runtime/train/train.h"

struct pt_data_options {
    const char *train, *labels, *held_out, *held_out_labels, *calibration, *label_column;
    struct pt_cmd_list mean, std;
    double scale;
    int task;
};
extern const struct pt_cmd_option pt_data_rows[];
extern const size_t pt_data_row_count;

struct pt_samples {
    struct pt_tensor_file *inputs;
    struct pt_tensor *views; /* of the inputs */
    size_t input_count;
    struct pt_tensor_file labels;
    struct pt_data data; /* count 0: there are none */
};
struct pt_data_set {
    struct pt_samples train, held_out, calibration;
    char **classes; /* or NULL */
    size_t class_count;
    enum pt_loss loss;
};
/* What is given in o. seed: of the part that is held out. Finish *s also after a failure. */
int pt_data_set_read(struct pt_data_set *s, const struct pt_data_options *o, const struct pt_edit *model, uint64_t seed, struct pt_err *err);
void pt_data_set_finish(struct pt_data_set *s);
/* Names of classes and preprocessing go into the model's metadata. */
int pt_data_set_note(const struct pt_data_set *s, const struct pt_data_options *o, struct pt_edit *model, struct pt_err *err);
/* Files that o names, NULL behind the last: what a resumed run must find unchanged. list has room for 5 + 1. */
void pt_data_paths(const struct pt_data_options *o, const char *list[6]);

/* Parts of the above, for tests: one file in any form; a part of `all` (emptied) by class. */
int pt_data_file_read(const char *path, const struct pt_data_options *o, const struct pt_edit *model, const char *const *classes, size_t class_count,
                      struct pt_data_file *out, struct pt_err *err);
int pt_samples_split(const struct pt_samples *all, double share, uint64_t seed, struct pt_samples *stay, struct pt_samples *go, struct pt_err *err);
void pt_samples_finish(struct pt_samples *s);

#endif
