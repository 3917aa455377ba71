/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_pb.h: messages of TensorFlow Serving's gRPC protocol; those with examples are in tfs_examples.h. Pure, as oip.h. Tensors of answers are in the
 * typed fields (float_val, ...), as TensorFlow Serving writes them and clients read them.
 */
#ifndef PT_SIDECAR_TFS_PB_H
#define PT_SIDECAR_TFS_PB_H

#include "base/pbwire.h"
#include "sidecar/tfs.h"

/* A ModelSpec, field 1 of every request; views of the message. */
int pt_tfs_pb_spec(struct pt_str message, struct pt_model_ref *ref, struct pt_str *signature, char version[24], struct pt_err *err);
int pt_tfs_pb_decode(struct pt_request *q, struct pt_str message, enum pt_tfs_method m, struct pt_err *err);
/* message: the request once more. */
int pt_tfs_pb_encode(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, struct pt_str message,
                     struct pt_str signature, struct pt_buf *out, struct pt_err *err);
int pt_tfs_pb_entry(struct pt_str entry, struct pt_str *key, struct pt_str *value, struct pt_err *err); /* a map's: {key = 1, value = 2} */
/* A ModelSpec as field `number`. */
void pt_tfs_pb_put_spec(struct pt_buf *out, uint32_t number, const char *name, const char *version, struct pt_str signature);
/* Reads a TensorProto into input i. */
int pt_tfs_pb_tensor(struct pt_request *q, size_t i, struct pt_str message, struct pt_err *err);
void pt_tfs_pb_put_tensor(struct pt_buf *out, uint32_t number, const struct pt_tensor *t);

#endif
