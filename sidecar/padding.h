/* SPDX-License-Identifier: Apache-2.0
 *
 * padding.h: requests of different lengths joined by padding: each named input is filled up with its value at the end of its free dimensions, and
 * outputs are cut back to each request's own lengths.
 *
 * That changes answers unless the model is told what is padding (a mask, lengths), so it is done only for inputs that are named. A dimension's
 * symbolic name says what belongs together: "sequence" of the inputs is "sequence" of the outputs. A model that names its dimensions too little is
 * refused.
 */
#ifndef PT_SIDECAR_PADDING_H
#define PT_SIDECAR_PADDING_H

#include "sidecar/request.h"

struct pt_pad {
    bool given;
    _Alignas(8) unsigned char element[8]; /* of the input's type */
};

/* "input_ids=0, attention_mask=0" into pads, one per input of m. PT_EINVAL names the input or the output that stands against it. */
int pt_padding_parse(const struct pt_model_info *m, struct pt_str text, struct pt_pad *pads, struct pt_err *err);
/* May this request be padded: do its inputs agree on every named length? */
bool pt_padding_fits(const struct pt_request *q);
/* May input i of two requests be padded to one shape? */
bool pt_padding_joins(const struct pt_model_info *m, size_t i, const struct pt_tensor *a, const struct pt_tensor *b);
/* The length that dimension k of output i has for this request alone; -1: as the run has it. */
int64_t pt_padding_length(const struct pt_request *q, size_t i, int k);

/* Copies a tensor into the front corner of a larger one and fills the rest with the element, or the front corner of a larger one out of it. */
void pt_padding_place(char *to, const int64_t *to_dims, const char *from, const int64_t *from_dims, int rank, size_t width, const void *element);
void pt_padding_cut(char *to, const int64_t *to_dims, const char *from, const int64_t *from_dims, int rank, size_t width);

#endif
