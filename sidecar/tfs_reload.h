/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_reload.h: the ReloadConfigRequest of TensorFlow Serving's ModelService. Pure.
 */
#ifndef PT_SIDECAR_TFS_RELOAD_H
#define PT_SIDECAR_TFS_RELOAD_H

#include "sidecar/model_list.h"

/* PT_EINVAL in TensorFlow Serving's words; PT_EUNSUPPORTED names what is not honoured. The caller finishes the list either way. */
int pt_tfs_reload_decode(struct pt_str message, struct pt_model_list *list, struct pt_err *err);

#endif
