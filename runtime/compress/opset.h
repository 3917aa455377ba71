/* SPDX-License-Identifier: Apache-2.0
 *
 * opset.h: bringing a model to a later operator set, when what is to be written needs one.
 */
#ifndef PT_RUNTIME_COMPRESS_OPSET_H
#define PT_RUNTIME_COMPRESS_OPSET_H

#include "runtime/compress/edit.h"

/* The model imports at least `version` of ai.onnx afterwards and computes the same. From operator set 7 on; PT_EUNSUPPORTED names the node for which
 * there is no way, and then the model may be half changed. */
int pt_edit_raise_opset(struct pt_edit *e, int64_t version, struct pt_err *err);

#endif
