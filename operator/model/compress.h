/* SPDX-License-Identifier: Apache-2.0
 *
 * compress.h: spec.compression: a recipe is run once on the model, by `pintle compress` in a pod of its own, and what comes out is served.
 *
 * The work has a key (spec.h); for one key it is done once. Its result is a digest: the model lies at OUTPUT/sha256-HEX.onnx, never written over.
 * Three places know it, and plan() takes whichever it finds: the pod that has ended, status.compression, and for good the ControllerRevision that is
 * made of it (data.compressed). While there is no result there is no new revision, and the last one goes on serving, as with spec.paused.
 *
 * The pod has one name per key and ModelDeployment, so that the API server sees to it that there are never two. A pod that fails is counted in the status; only when
 * that is stored is it deleted, and then, after a while, made again with the next number: whoever dies in between has lost nothing. The run itself
 * goes on where it was (its work folder is beside the output). Pods of other keys, or with nothing left to do, are deleted.
 */
#ifndef PT_MODEL_COMPRESS_H
#define PT_MODEL_COMPRESS_H

#include "operator/model/build.h"

/* The URI of a result, appended. PT_EINVAL: no digest. */
int pt_compression_uri(const struct pt_spec *s, const char *digest, struct pt_buf *out, struct pt_err *err);
void pt_compression_pod_name(const struct pt_md *md, char out[80]);
int pt_build_compression_pod(const struct pt_md *md, const struct pt_settings *s, int attempt, struct pt_buf *out, struct pt_err *err);

/* What a run says when it ends, as its container's termination message: {"digest": "sha256:...", "message": "..."}; either may be missing. */
struct pt_compression_result {
    char digest[72], message[1024];
};
/* What is not JSON is the message. PT_ENOMEM. */
int pt_compression_result_read(const char *text, struct pt_compression_result *out, struct pt_err *err);

#endif
