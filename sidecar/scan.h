/* SPDX-License-Identifier: Apache-2.0
 *
 * scan.h: what lies in a repository's folder right now. Reads directories and config.pbtxt, so it runs on a pool thread.
 *
 *     ROOT/NAME/config.pbtxt     optional
 *     ROOT/NAME/VERSION/model.onnx
 *
 * A ROOT whose own subfolders are versions is the base path of one model (as TensorFlow Serving has it). Names that begin with a dot, and folders
 * that are not numbers, are passed over; a symbolic link may stand for any of them, which is how mounted volumes are switched.
 */
#ifndef PT_SIDECAR_SCAN_H
#define PT_SIDECAR_SCAN_H

#include "sidecar/model_list.h"

struct pt_scan_version {
    int64_t number;
    char *path;     /* of the model file */
    uint64_t print; /* changes when the file is another one */
};
struct pt_scan_model {
    char *name;
    struct pt_err err; /* code 0, or why its configuration cannot be used; then it has no versions */
    struct pt_model_config config;
    uint64_t config_print;
    struct pt_scan_version *versions; /* highest first */
    size_t version_count;
};
struct pt_scan {
    struct pt_scan_model *models;
    size_t count;
};
/* base_name: of the model if root is a base path. defaults: of every model's configuration. */
int pt_scan_run(const char *root, const char *base_name, const struct pt_model_config *defaults, struct pt_scan *out, struct pt_err *err);
/* And the models of the list that have base paths, instead of any of those names. A base path that is not in root is the error of its model. */
int pt_scan_list(const char *root, const struct pt_model_list *list, const struct pt_model_config *defaults, struct pt_scan *out, struct pt_err *err);
void pt_scan_finish(struct pt_scan *s); /* zeroed memory is fine */

#endif
