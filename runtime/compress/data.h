/* SPDX-License-Identifier: Apache-2.0
 *
 * data.h: samples for training, calibration and evaluation: arrays whose first dim counts the samples. Where they come from (NumPy files, CSV,
 * images, IDX) is the caller's affair.
 */
#ifndef PT_RUNTIME_COMPRESS_DATA_H
#define PT_RUNTIME_COMPRESS_DATA_H

#include "pintle/runtime.h"

/* Borrowed by who gets one: arrays must outlive it. */
struct pt_data {
    const struct pt_tensor *inputs; /* one per input of the model, in its order; type and dims behind the first as the input has them */
    size_t input_count;
    struct pt_tensor labels; /* int64 of rank 1: classes; float32: what a regression shall give; dtype 0: none */
    int64_t count;           /* samples */
};
/* Checks that arrays agree with each other and with the session's inputs; what (as "held-out data") begins the message. */
int pt_data_check(const struct pt_data *d, const struct pt_session *s, const char *what, struct pt_err *err);
/* Samples [first, first + n) as a view. */
struct pt_data pt_data_slice(const struct pt_data *d, int64_t first, int64_t n, struct pt_tensor *inputs /* room for input_count */);
/* Copies the samples at[0..n) behind each other into out, whose dims and data are as large as that needs. */
void pt_data_gather(const struct pt_tensor *from, const int64_t *at, int64_t n, struct pt_tensor *out);

#endif
