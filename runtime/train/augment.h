/* SPDX-License-Identifier: Apache-2.0
 *
 * augment.h: samples that are changed a little each time they are seen.
 */
#ifndef PT_RUNTIME_TRAIN_AUGMENT_H
#define PT_RUNTIME_TRAIN_AUGMENT_H

#include "pintle/runtime.h"
#include "runtime/compress/data.h"

/* Some input holds images [N, C, H, W], each larger than `shift` both ways; else an error. shift 0: nothing to check. */
int pt_shift_check(const struct pt_data *d, int64_t shift, struct pt_err *err);
/* Moves every image of the batch, all channels alike, by up to `shift` pixels down or up and right or left, drawn from seed, step and the number of
 * the image; what comes in at a border repeats it. Other tensors than those of rank 4 stay. PT_ENOMEM. */
int pt_shift_images(struct pt_tensor *batch, int64_t shift, uint64_t seed, int64_t step, struct pt_err *err);

#endif
