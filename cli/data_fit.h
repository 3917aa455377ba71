/* SPDX-License-Identifier: Apache-2.0
 *
 * data_fit.h: arrays as a file has them become inputs of a model.
 */
#ifndef PT_CLI_DATA_FIT_H
#define PT_CLI_DATA_FIT_H

#include "cli/data.h"

/* What images must be like for the model's only input; PT_EINVAL when it is no image. nhwc (may be NULL): channels come last. */
int pt_data_image_shape(const struct pt_edit *model, struct pt_image_shape *out, bool *nhwc, struct pt_err *err);
/* All inputs of the model out of f's arrays, by name where there is more than one. */
int pt_data_fit(const struct pt_data_file *f, const struct pt_data_options *o, const struct pt_edit *model, struct pt_samples *out,
                struct pt_err *err);
/* A value of any numeric type. */
double pt_data_value(const struct pt_tensor *t, int64_t i);

#endif
