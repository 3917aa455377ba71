/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_examples.h: Classify, Regress and MultiInference of TensorFlow Serving's gRPC protocol: tf.Examples in, classes and values out. Pure.
 */
#ifndef PT_SIDECAR_TFS_EXAMPLES_H
#define PT_SIDECAR_TFS_EXAMPLES_H

#include "sidecar/tfs_pb.h"

/* Field 2 of the request, an Input, becomes the model's inputs; what is wanted is chosen before. */
int pt_tfs_examples_decode(struct pt_request *q, struct pt_str message, struct pt_err *err);
/* A ClassificationResult or RegressionResult as field `number`. */
int pt_tfs_examples_encode(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, uint32_t number, struct pt_buf *out,
                           struct pt_err *err);

/* A MultiInferenceRequest: tasks of one model, which one run answers. */
int pt_tfs_multi_spec(struct pt_str message, struct pt_model_ref *ref, char version[24], struct pt_err *err); /* the model they name */
int pt_tfs_multi_decode(struct pt_request *q, struct pt_str message, struct pt_err *err);
int pt_tfs_multi_encode(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_str message, struct pt_buf *out, struct pt_err *err);

#endif
