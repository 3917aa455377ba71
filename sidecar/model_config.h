/* SPDX-License-Identifier: Apache-2.0
 *
 * model_config.h: what a model of a repository says of itself in config.pbtxt (Triton's ModelConfig). One table row per field: honoured, without
 * effect here, or refused by name because it would change answers.
 */
#ifndef PT_SIDECAR_MODEL_CONFIG_H
#define PT_SIDECAR_MODEL_CONFIG_H

#include "sidecar/config.h"

enum pt_version_policy { PT_VERSIONS_LATEST, PT_VERSIONS_ALL, PT_VERSIONS_SPECIFIC };
enum { PT_MAX_VERSIONS = 64, PT_MAX_LABELS = 16 };

struct pt_version_label {
    char name[64];
    int64_t version;
};
struct pt_model_config {
    char file[256]; /* in the version's folder */
    enum pt_version_policy policy;
    int64_t latest;                    /* so many, of LATEST */
    int64_t versions[PT_MAX_VERSIONS]; /* of SPECIFIC */
    size_t version_count;
    struct pt_version_label labels[PT_MAX_LABELS]; /* parameters { key: "label.NAME" value { string_value: "3" } } */
    size_t label_count;
    char padding[1024]; /* "NAME=VALUE,...", from parameters { key: "padding.NAME" value { string_value: "VALUE" } } */
    char warmup[1024]; /* "NAME=1x256,...", from parameters { key: "warmup.NAME" value { string_value: "1x256" } } */
    int64_t max_batch; /* -1: not said */
    int64_t max_delay_us, preferred[PT_MAX_SIZES], priority_levels;
    bool dynamic_batching;
};
void pt_model_config_init(struct pt_model_config *c);
/* Over c. name: of the model's folder; the file may repeat it. PT_EPARSE, PT_EINVAL, PT_EUNSUPPORTED with line, field and value. */
int pt_model_config_parse(struct pt_model_config *c, const char *name, struct pt_str text, struct pt_err *err);
/* "latest", "latest:2", "all", "1,3" */
int pt_model_config_policy(struct pt_model_config *c, const char *text, struct pt_err *err);

/* Policy and labels of another. */
void pt_model_config_adopt_policy(struct pt_model_config *c, const struct pt_model_config *from);

#endif
