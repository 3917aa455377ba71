/* SPDX-License-Identifier: Apache-2.0
 *
 * remote.h: models that are elsewhere than in a file of this machine, for `pintle compress`: brought here by what the server brings them with
 * (sidecar/source.h), and published under their digest. Each call runs a loop of its own until it is done.
 */
#ifndef PT_CLI_REMOTE_H
#define PT_CLI_REMOTE_H

#include "base/err.h"

#include <stdbool.h>

bool pt_remote_is_uri(const char *text);
/* The model at uri (sidecar/locator.h, or file:///PATH) as a file. cache: folder for downloads. digest: "sha256:..." that it must have (PT_ECONFLICT:
 * it has another), or NULL. *path: pt_free() it; the file stays at least as long as this process. */
int pt_remote_fetch(const char *uri, const char *digest, const char *cache, char **path, struct pt_err *err);
/* Can results be published there? Asked before they are made. */
int pt_remote_check_folder(const char *folder, struct pt_err *err);
/* The file, with this digest, as FOLDER/sha256-HEX.onnx. folder: file:///PATH (moved there in one step; on the same file system) or s3://BUCKET/KEY.
 * What is there already has the same bytes, and is left. */
int pt_remote_publish(const char *file, const char *digest, const char *folder, struct pt_err *err);

#endif
