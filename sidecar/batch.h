/* SPDX-License-Identifier: Apache-2.0
 *
 * batch.h: requests joined into one run along the first dimension, and the answer taken apart again.
 *
 * Two requests join when every input of theirs has the same shape but for the first dimension (ragged ones run apart). A joined answer is what each
 * would have got alone, up to the order in which a kernel sums. One batch belongs to one thread at a time; its memory is kept for the next run.
 */
#ifndef PT_SIDECAR_BATCH_H
#define PT_SIDECAR_BATCH_H

#include "sidecar/request.h"

struct pt_batch {
    struct pt_tensor *inputs; /* one per input of the model, of `rows` rows */
    size_t *room;             /* bytes behind inputs[i].data */
    size_t input_count;
    int64_t rows, filled;
};
int pt_batch_init(struct pt_batch *b, const struct pt_model_info *m, struct pt_err *err);
void pt_batch_finish(struct pt_batch *b); /* zeroed memory is fine */

/* Can requests of this model be joined at all? PT_EINVAL names the input or output that stands against it. */
int pt_batch_check(const struct pt_model_info *m, struct pt_err *err);
/* The first dimension of all inputs of a decoded request; 0 when they differ: it runs alone. */
int64_t pt_batch_rows(const struct pt_request *q);
bool pt_batch_joins(const struct pt_request *a, const struct pt_request *b);

/* Begins a batch of so many rows, shaped like q. */
int pt_batch_begin(struct pt_batch *b, const struct pt_request *q, int64_t rows, struct pt_err *err);
void pt_batch_add(struct pt_batch *b, const struct pt_request *q);
void pt_batch_pad(struct pt_batch *b); /* fills the rows that are left with copies of the last one */
/* Rows [first, first + count) of an output of the run, as a view. False: the output does not have the batch's rows. */
bool pt_batch_part(const struct pt_batch *b, const struct pt_tensor *whole, int64_t first, int64_t count, struct pt_tensor *part);

#endif
