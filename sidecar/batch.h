/* SPDX-License-Identifier: Apache-2.0
 *
 * batch.h: requests joined into one run along the first dimension, and the answer taken apart again.
 *
 * Two requests join when every input of theirs has the same shape but for the first dimension; others run apart, unless the model's inputs may be
 * padded (padding.h). A joined answer is what each
 * would have got alone, up to the order in which a kernel sums. One batch belongs to one thread at a time; its memory is kept for the next run.
 */
#ifndef PT_SIDECAR_BATCH_H
#define PT_SIDECAR_BATCH_H

#include "sidecar/request.h"

struct pt_batch {
    const struct pt_model_info *model;
    struct pt_tensor *inputs; /* one per input of the model, of `rows` rows */
    size_t *room;             /* bytes behind inputs[i].data */
    size_t input_count;
    int64_t rows, filled;
    bool widened; /* some request has other lengths than the first */
};
int pt_batch_init(struct pt_batch *b, const struct pt_model_info *m, struct pt_err *err);
void pt_batch_finish(struct pt_batch *b); /* zeroed memory is fine */

/* Can requests of this model be joined at all? PT_EINVAL names the input or output that stands against it. */
int pt_batch_check(const struct pt_model_info *m, struct pt_err *err);
/* The first dimension of all inputs of a decoded request; 0 when they differ: it runs alone. */
int64_t pt_batch_rows(const struct pt_request *q);
bool pt_batch_joins(const struct pt_request *a, const struct pt_request *b);

/* Begins a batch shaped like q; each further one may widen it; then room for so many rows is made. */
void pt_batch_begin(struct pt_batch *b, const struct pt_request *q);
void pt_batch_widen(struct pt_batch *b, const struct pt_request *q);
int pt_batch_make_room(struct pt_batch *b, int64_t rows, struct pt_err *err);
void pt_batch_add(struct pt_batch *b, const struct pt_request *q);
void pt_batch_pad(struct pt_batch *b); /* fills the rows that are left with copies of the last one */
/* q's rows of output i of the run, from row `first` on: a view, or a copy in q's memory where padding is cut off. PT_EUNSUPPORTED: the output does
 * not have the batch's rows, or lengths. */
int pt_batch_part(const struct pt_batch *b, const struct pt_tensor *whole, size_t i, struct pt_request *q, int64_t first, struct pt_tensor *part,
                  struct pt_err *err);

#endif
