/* SPDX-License-Identifier: Apache-2.0
 *
 * pbtensor.h: repeated numbers of protobuf messages to and from elements of a tensor, for the messages of every protocol.
 */
#ifndef PT_SIDECAR_PBTENSOR_H
#define PT_SIDECAR_PBTENSOR_H

#include "base/pbwire.h"
#include "sidecar/datatype.h"

/* Appends the numbers of one field (packed, or one of them) to data, which has room for count elements of which *at are there. PT_EINVAL for
 * more, and for numbers that do not fit the type. Half floats come as the bits of integers. */
int pt_pb_numbers(const struct pt_pb_field *f, enum pt_dtype type, void *data, size_t count, size_t *at, struct pt_err *err);
/* The elements as one packed field. */
void pt_pb_put_numbers(struct pt_buf *b, uint32_t number, const struct pt_tensor *t);

/* A shape's numbers: repeated int64, packed or not, into dims. */
int pt_pb_dims(const struct pt_pb_field *f, int64_t *dims, int *rank, struct pt_err *err);
/* A string field, unless empty. */
void pt_pb_put_str(struct pt_buf *b, uint32_t number, struct pt_str s);

#endif
