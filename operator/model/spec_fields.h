/* SPDX-License-Identifier: Apache-2.0
 *
 * spec_fields.h: private to the spec: the table of fields (spec_table.c), what single values may be (spec_values.c), and the walk over both
 * (spec_check.c); spec.c reads what was checked.
 */
#ifndef PT_MODEL_SPEC_FIELDS_H
#define PT_MODEL_SPEC_FIELDS_H

#include "operator/ctrl/obj.h"
#include "operator/model/spec.h"

enum pt_field_kind {
    PT_FIELD_INT,
    PT_FIELD_TEXT,
    PT_FIELD_TEXTS,
    PT_FIELD_BOOL,
    PT_FIELD_DURATION,
    PT_FIELD_NUMBER, /* any that is finite */
    PT_FIELD_TARGET, /* INT, or a duration up to an hour */
    PT_FIELD_AMOUNT,
    PT_FIELD_OBJECT,
    PT_FIELD_LIST,
    PT_FIELD_TREE,
    PT_FIELD_MAP,
    PT_FIELD_LATER
};

struct pt_field {
    const char *name;
    enum pt_field_kind kind;
    int64_t min, max;      /* INT; DURATION in milliseconds; TEXT: characters; TEXTS, LIST, MAP: max elements */
    const char *otherwise; /* the default as JSON text, or NULL */
    int (*check)(const cJSON *v, const char *path, struct pt_err *err);
    const struct pt_field *members; /* OBJECT; LIST: of its elements, NULL for any */
    bool required;
};

extern const struct pt_field pt_spec_monitoring_fields[], pt_spec_verdict_fields[]; /* of monitoring: for the sidecar; for the operator, and so in no revision */
extern const struct pt_field pt_spec_user_fields[], pt_spec_other_fields[], pt_spec_sidecar_fields[], pt_spec_container_fields[];

typedef int pt_spec_check_fn(const cJSON *v, const char *path, struct pt_err *err);
pt_spec_check_fn pt_spec_check_metric, pt_spec_check_uri, pt_spec_check_output_uri, pt_spec_check_recipe, pt_spec_check_mounts, pt_spec_check_subdomain, pt_spec_check_digest, pt_spec_check_served_name,
    pt_spec_check_format, pt_spec_check_image, pt_spec_check_strategy_type, pt_spec_check_resources, pt_spec_check_labels, pt_spec_check_annotations,
    pt_spec_check_containers, pt_spec_check_init_containers, pt_spec_check_env, pt_spec_check_envs, pt_spec_check_mount, pt_spec_check_volume, pt_spec_check_port_name, pt_spec_check_dns_policy, pt_spec_check_node_selector, pt_spec_check_pull_policy, pt_spec_check_monitoring,
    pt_spec_check_task, pt_spec_check_figure, pt_spec_check_pod_path,
    pt_spec_check_warmup;

/* "path: value: why" as PT_EINVAL. */
int pt_spec_bad(const cJSON *v, const char *path, const char *why, struct pt_err *err);
int pt_spec_read_monitoring(const cJSON *spec, struct pt_monitoring **out, struct pt_err *err); /* spec was checked; NULL: not set */
int pt_spec_read_amount(const cJSON *v, const char *path, struct pt_amount *out, struct pt_err *err);
/* An object against its rows; more: those of another table that it may have too, or NULL. */
int pt_spec_check_object(const cJSON *o, const struct pt_field *fields, const struct pt_field *more, const char *path, struct pt_err *err);
/* No two containers share a name; *own: the user brings some. */
int pt_spec_check_all_names(const cJSON *spec, bool *own, struct pt_err *err);
/* No two elements have the same text at key. */
int pt_spec_check_once(const cJSON *list, const char *key, const char *path, struct pt_err *err);
int64_t pt_spec_characters(const char *text);
int pt_spec_check_ports(const cJSON *spec, const int ours[3], struct pt_err *err);
/* What an API server does before it validates: null is no value, where the schema knows the field. */
void pt_spec_drop_nulls(cJSON *o, const struct pt_field *fields);

#endif
