/* SPDX-License-Identifier: Apache-2.0
 *
 * fieldset.h: sets of fields of an object, and what is done with objects by such sets: the ground of ownership (managed.c).
 *
 * A set is a tree in the form of metadata.managedFields' fieldsV1: "f:NAME" a member, "k:{...}" an element of a list with keys, "v:..." one of a list
 * that is a set, "." the thing itself. In memory "." is always written; the stored form leaves it out where nothing else is there (pt_fields_pack).
 * Which lists have keys is said by the schema (x-kubernetes-list-type); without one, maps have members and lists are one value.
 */
#ifndef PT_MEMAPI_FIELDSET_H
#define PT_MEMAPI_FIELDSET_H

#include "operator/memapi/internal.h"

/* Adds the fields of value to set. */
int pt_fields_of(const cJSON *value, const cJSON *schema, cJSON *set, struct pt_err *err);
/* What is new or other in next goes into changed, what next no longer has into removed. */
int pt_fields_diff(const cJSON *was, const cJSON *next, const cJSON *schema, cJSON *changed, cJSON *removed, struct pt_err *err);
int pt_fields_add(cJSON *set, const cJSON *other, struct pt_err *err);
void pt_fields_subtract(cJSON *set, const cJSON *other);
bool pt_fields_overlap(const cJSON *a, const cJSON *b);
/* Paths of what both have, ".spec.replicas", one a line. */
void pt_fields_common(const cJSON *a, const cJSON *b, struct pt_str prefix, struct pt_buf *out);
int pt_fields_unpack(cJSON *set, struct pt_err *err); /* from the stored form */
void pt_fields_pack(cJSON *set);                      /* to it */
/* Merges an applied configuration into target. */
int pt_fields_merge(cJSON *target, const cJSON *config, const cJSON *schema, struct pt_err *err);
/* Removes the fields of set from target. */
void pt_fields_prune(cJSON *target, const cJSON *set, const cJSON *schema);

#endif
