/* SPDX-License-Identifier: Apache-2.0
 *
 * obj.h: small helpers over cJSON for Kubernetes objects: paths, strict parsing, canonical text, and the two merges of the API.
 *
 * Only for .c files of ctrl, model, memapi, report, local and cli; no header of ours shows a cJSON type to its users. A path is dotted
 * member names ("metadata.name"); a member whose name holds a dot is reached with cJSON's own functions.
 */
#ifndef PT_CTRL_OBJ_H
#define PT_CTRL_OBJ_H

#include "base/buf.h"

#include <cjson/cJSON.h>

#define pt_auto_obj __attribute__((cleanup(pt_obj_delete_ptr))) cJSON
void pt_obj_delete_ptr(cJSON **o);
/* cJSON_Delete() and cJSON_Duplicate() of all that is below, without a call through a pointer for each node and text. */
void pt_obj_free(cJSON *o);
cJSON *pt_obj_copy(const cJSON *o); /* NULL: out of memory */

/* Trees that share (share.c). An object with the members of o, to be changed with the functions below, while o stays and must stay as it is. */
cJSON *pt_obj_share(const cJSON *o); /* NULL: out of memory */
/* Before the elements of an object or array are changed without one of the functions below. false: out of memory. */
bool pt_obj_own(cJSON *o);
/* Appends compact text, as pt_obj_print() does, and remembers in the nodes where what is. was: the text of what o shares with, which was written by this
 * function too; otherwise empty. */
int pt_obj_store(cJSON *o, struct pt_str was, struct pt_buf *out, struct pt_err *err);
/* After that, what o shares becomes its own, and is gone from where it was: that can only be freed then. */
void pt_obj_take_over(cJSON *o);

/* One JSON object and nothing after it, at most 64 levels deep; PT_EPARSE names `what`. */
int pt_obj_parse(struct pt_str text, const char *what, cJSON **out, struct pt_err *err);
int pt_obj_parse_any(struct pt_str text, const char *what, cJSON **out, struct pt_err *err); /* an object, or any other value */
/* metadata.namespace, name and resourceVersion of an object, without reading the rest where metadata comes early. false: not there, or too long. */
struct pt_obj_identity {
    char ns[64], name[256];
    uint64_t rv;
};
bool pt_obj_identify(struct pt_str text, struct pt_obj_identity *out);
/* Compact text of any value, appended. */
int pt_obj_print(const cJSON *o, struct pt_buf *out, struct pt_err *err);
void pt_obj_print_name(const cJSON *member, struct pt_buf *out); /* "NAME": */
/* The same with members sorted by name and null members left out, so that equal values have equal text. */
int pt_obj_canonical(const cJSON *o, struct pt_buf *out, struct pt_err *err);
/* Is this text of a value what pt_obj_canonical() would write? true is certain; false may be said of text with fractions or escapes that is. */
bool pt_obj_is_canonical(struct pt_str text);

const cJSON *pt_obj_get(const cJSON *o, const char *path);          /* or NULL; a number selects from an array */
cJSON *pt_obj_mut(cJSON *o, const char *path);                      /* or NULL, also for want of memory in a tree that shares */
const char *pt_obj_str(const cJSON *o, const char *path);           /* the string, or NULL */
const char *pt_obj_text(const cJSON *o, const char *path);          /* the string, or "" */
int64_t pt_obj_int(const cJSON *o, const char *path, int64_t otherwise);
bool pt_obj_true(const cJSON *o, const char *path);
/* The object at path, made (with those on the way) where it is missing. NULL: out of memory. */
cJSON *pt_obj_ensure(cJSON *o, const char *path);
/* Sets member `name` of o (takes value, also on failure; NULL value is out of memory, so that calls can be nested). */
int pt_obj_set(cJSON *o, const char *name, cJSON *value, struct pt_err *err);

/* The name as a text that lives for ever, if it is one of those that objects often have (names.inc); else NULL. */
const char *pt_name_known(const char *p, size_t len);
/* The same values; members of objects in any order. */
bool pt_obj_equal(const cJSON *a, const cJSON *b);
/* RFC 7386. patch is not changed; with the second, what goes into the target is taken out of it, and it can only be freed then. */
int pt_obj_merge(cJSON *target, const cJSON *patch, struct pt_err *err);
int pt_obj_merge_away(cJSON *target, cJSON *patch, struct pt_err *err);
/* Strategic merge as the API defines it for pods, pod templates and services: maps merge, null deletes, lists merge by the key of their
 * place (containers by name, volumeMounts by mountPath, ports by containerPort or port, conditions by type ...), other lists are replaced.
 * The $patch directives "delete" and "replace" are honoured in keyed list elements and objects. */
int pt_obj_strategic(cJSON *target, const cJSON *patch, struct pt_err *err);
/* RFC 6902, at most 10,000 operations. After a failure *target is something in between. */
int pt_obj_json_patch(cJSON **target, const cJSON *patch, struct pt_err *err);

#endif
