/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_gate.h: judging quantised models.
 */
#ifndef PT_RUNTIME_COMPRESS_QUANTIZE_GATE_H
#define PT_RUNTIME_COMPRESS_QUANTIZE_GATE_H

#include "runtime/compress/quantize_plan.h"

/* The quantised model, on its own. off may be NULL. *out is to be finished, also after a failure. (quantize.c) */
int pt_qz_write(struct pt_qz_plan *p, const bool *off, struct pt_edit *out, struct pt_quantize_layer *layers, struct pt_err *err);
/* Writes the plan's model in place of `model`, and the report, measured on `samples` (may be NULL). (quantize.c) */
int pt_qz_conclude(struct pt_qz_plan *p, struct pt_edit *model, const struct pt_data *samples, struct pt_quantize_report *r, struct pt_err *err);
/* Switches products off until the gate holds. */
int pt_qz_gate(struct pt_qz_plan *p, bool *off, struct pt_quantize_layer *layers, struct pt_quantize_report *r, struct pt_err *err);
/* Signal to noise of each layer's output, and the model's. */
int pt_qz_measure(struct pt_qz_plan *p, const bool *off, const struct pt_data *d, struct pt_edit *out, struct pt_quantize_layer *layers,
                  struct pt_quantize_report *r, struct pt_err *err);

/* Trains the plan's model with what the plan quantises rounded: its weights, and ranges of values, are then what they have become. (quantize_train.c)
 */
int pt_qz_train(struct pt_qz_plan *p, const struct pt_data *train, const struct pt_data *held_out, const struct pt_train_options *t,
                struct pt_train_result *result, struct pt_err *err);

#endif
