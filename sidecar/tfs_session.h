/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_session.h: SessionService.SessionRun of TensorFlow Serving. Pure, as oip.h.
 */
#ifndef PT_SIDECAR_TFS_SESSION_H
#define PT_SIDECAR_TFS_SESSION_H

#include "base/buf.h"
#include "sidecar/request.h"

int pt_tfs_session_decode(struct pt_request *q, struct pt_str message, struct pt_err *err);
/* message: the request once more. */
int pt_tfs_session_encode(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_str message, struct pt_buf *out,
                          struct pt_err *err);

#endif
