/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of memapi share. state.c keeps objects, versions and history; verbs.c carries out one request; patch.c makes
 * the new object of an update; watch.c streams; calls.c is the asynchronous face with its faults; gc.c follows owners; review.c answers questions;
 * http.c maps paths, with definitions.c, discovery.c, openapi.c and table.c for what clients want to know of the kinds.
 */
#ifndef PT_MEMAPI_INTERNAL_H
#define PT_MEMAPI_INTERNAL_H

#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "operator/ctrl/obj.h"
#include "operator/memapi/memapi.h"

/* One state of one object, immutable, shared by the store, the history and whoever reads. */
struct pt_mem_version {
    unsigned refs;
    uint64_t rv;
    const char *ns, *name, *uid;
    const char *labels; /* "key=value\n" ... */
    const char *owners; /* "uid\n" ... */
    struct pt_str text;
    cJSON *tree; /* the same, printed by pt_obj_store(), while it is among those that were written last; NULL: parse */
    char data[];
};
struct pt_mem_object {
    struct pt_mem_version *now;
    char *applied; /* JSON {manager: what it applied last}; NULL: nothing was */
};
struct pt_mem_change {
    uint64_t rv;
    struct pt_mem_version *was, *now; /* now of a deletion: the last state, with the version of the deletion */
    bool deleted;
};
struct pt_mem_type {
    const struct pt_resource *res;
    bool has_status;
    struct pt_map objects; /* "ns/name" -> pt_mem_object */
    struct pt_mem_change *ring;
    uint64_t head;    /* changes so far; the ring holds the last `history` of them */
    uint64_t lost_rv; /* the newest change that fell out of the ring */
    struct pt_mem_watch *watches;
    const cJSON *def;       /* spec of its definition (definitions.c) */
    struct pt_resource own; /* res of a type that only its definition knows */
    struct pt_mem_type *next;
};

#define PT_MEM_TREES 64
struct pt_memapi {
    struct pt_api api; /* first */
    struct pt_memapi_options o;
    struct pt_rand rand;
    struct pt_mem_type *types;
    struct pt_map uids;  /* uid -> pt_mem_object */
    struct pt_map owned; /* uid of an owner -> how many objects name it, as a pointer's value: most that go owned nothing, and nobody need look for it */
    bool owned_lost;     /* for want of memory: look always */
    struct pt_map tokens;
    uint64_t rv, writes;
    struct pt_api_call *calls; /* under way */
    cJSON *definitions;        /* NULL: nobody has asked yet */
    const cJSON *meta_schema;
    struct pt_timer gc;
    struct pt_buf orphans_of;                   /* "uid\n" ...: owners that are gone */
    struct pt_mem_version *trees[PT_MEM_TREES]; /* whose trees are kept; held */
    unsigned next_tree;
};

/* The answer to one request. */
struct pt_mem_answer {
    int http;
    char reason[64];
    struct pt_err err;
    struct pt_buf body;
};

/* state.c */
struct pt_mem_type *pt_mem_type_of(struct pt_memapi *m, const struct pt_resource *res);
struct pt_mem_object *pt_mem_find(struct pt_mem_type *t, const char *ns, const char *name);
void pt_mem_version_release(struct pt_mem_version *v);
/* The object as a tree: to read, until the next write (NULL: out of memory); or the caller's own. */
const cJSON *pt_mem_read(struct pt_memapi *m, struct pt_mem_version *v, struct pt_err *err);
int pt_mem_tree(const struct pt_mem_version *v, cJSON **out, struct pt_err *err);
/* Stores *tree, which may share with that of the version before, as the next version of (new or existing) o, and tells the watches; sets
 * metadata.resourceVersion in it. It is taken (and NULL). */
int pt_mem_commit(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, cJSON **tree, struct pt_err *err);
/* Removes o, with tree as its last state. */
int pt_mem_remove(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, cJSON *tree, struct pt_err *err);
void pt_mem_time(struct pt_memapi *m, int64_t plus_ms, char out[24]);
bool pt_mem_selected(const struct pt_mem_version *v, const char *ns, const char *label_selector, const char *field_selector);
int pt_mem_check_selectors(const struct pt_mem_type *t, const char *label_selector, const char *field_selector, struct pt_err *err);

/* verbs.c */
void pt_mem_execute(struct pt_memapi *m, const struct pt_api_request *req, struct pt_mem_answer *a);
/* Writes a Status into a->body and fills the rest. */
void pt_mem_fail(struct pt_mem_answer *a, int http, const char *reason, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void pt_mem_details(struct pt_mem_answer *a, const char *details); /* after that: its details, JSON */
void pt_mem_fail_invalid(struct pt_mem_answer *a, const struct pt_mem_type *t, const char *name, const char *why); /* 422; why begins with the path of the field */
int pt_mem_list(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a);

/* patch.c: the object after this update, patch or apply; *out is the caller's, and shares with was. http status of a failure in *a. was NULL: apply creates. */
int pt_mem_next(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, const cJSON *was, char **applied, cJSON **out,
                struct pt_mem_answer *a);
int pt_mem_admit(struct pt_memapi *m, struct pt_mem_type *t, cJSON *tree, const cJSON *was, struct pt_mem_answer *a);
void pt_mem_defaults(struct pt_memapi *m, struct pt_mem_type *t, cJSON *tree);
int pt_mem_scale(struct pt_memapi *m, struct pt_mem_type *t, struct pt_mem_object *o, const struct pt_api_request *req, struct pt_mem_answer *a);

/* managed.c: nothing unless the options ask for managed fields. was NULL: created. */
int pt_mem_manage(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, const cJSON *was, cJSON *next, struct pt_err *err);
/* Applies config to next. A conflict is answered in *a. */
int pt_mem_apply(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, cJSON *next, const cJSON *config, struct pt_mem_answer *a,
                 struct pt_err *err);

/* protobuf.c: an object of a kind that clients send in protobuf without asking; PT_EUNSUPPORTED for another. */
int pt_mem_protobuf_to_json(struct pt_str body, struct pt_buf *json, struct pt_err *err);

/* namespace.c */
bool pt_mem_is_namespace(const struct pt_mem_type *t);
int pt_mem_enter_namespace(struct pt_memapi *m, const char *ns, struct pt_mem_answer *a); /* before something is created there */
bool pt_mem_empty_namespace(struct pt_memapi *m, const char *ns);                         /* deletes what is in it; is something left, for now? */
void pt_mem_left_namespace(struct pt_memapi *m, const char *ns);                          /* something in it is gone */

/* review.c */
void pt_mem_review(struct pt_memapi *m, struct pt_mem_type *t, const struct pt_api_request *req, struct pt_mem_answer *a);

/* definitions.c: names, columns and schemas of the kinds; read at the first call, t->def is NULL before. */
int pt_mem_define(struct pt_memapi *m, struct pt_err *err);
const cJSON *pt_mem_schema(const struct pt_mem_type *t);
const cJSON *pt_mem_schema_member(const cJSON *schema, const char *name);
bool pt_mem_is_review(const struct pt_mem_type *t); /* not stored: a question */

/* discovery.c; false: there is no such group or version */
void pt_mem_put_groups(struct pt_memapi *m, struct pt_buf *b);
bool pt_mem_put_group(struct pt_memapi *m, struct pt_str group, struct pt_buf *b);
bool pt_mem_put_resources(struct pt_memapi *m, struct pt_str group, struct pt_str version, struct pt_buf *b);
void pt_mem_put_aggregated(struct pt_memapi *m, bool core, struct pt_buf *b);

/* openapi.c */
#define PT_MEM_OPENAPI_V2_PROTOBUF "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" /* as it is asked for; answers cannot have an @ */
void pt_mem_put_openapi_v2(struct pt_memapi *m, struct pt_buf *b);
/* The same without paths and definitions. kubectl takes nothing else when it meets a kind that version 3 does not have, only to find that this has not got it either. */
void pt_mem_put_openapi_v2_protobuf(struct pt_buf *b);
void pt_mem_put_openapi_v3_index(struct pt_memapi *m, struct pt_buf *b);
bool pt_mem_put_openapi_v3(struct pt_memapi *m, struct pt_str group, struct pt_str version, struct pt_buf *b);

/* What an answer looks like that was asked for as a table, or without all but metadata. */
enum pt_mem_form { PT_MEM_PLAIN, PT_MEM_TABLE, PT_MEM_METADATA };
enum pt_mem_include { PT_MEM_INCLUDE_METADATA, PT_MEM_INCLUDE_OBJECT, PT_MEM_INCLUDE_NONE };

/* request.c: a request over HTTP, read. */
struct pt_mem_request {
    struct pt_arena arena; /* of its strings; the caller's to finish */
    struct pt_api_request api;
    struct pt_mem_type *type;           /* NULL: not about objects */
    struct pt_str path, group, version; /* group p NULL: not a path of the API's groups; version p NULL: about the group */
    bool watch, bookmarks, force, aggregated, protobuf, unacceptable;
    enum pt_mem_form form;
    enum pt_mem_include include;
};
int pt_mem_request_read(struct pt_memapi *m, const struct pt_memapi_http *h, struct pt_mem_request *r, struct pt_err *err);

/* table.c */
int pt_mem_put_form(struct pt_memapi *m, const struct pt_mem_type *t, enum pt_mem_form form, enum pt_mem_include include, struct pt_str object,
                    struct pt_buf *b, struct pt_err *err);

/* watch.c */
struct pt_mem_watch;
int pt_mem_watch_start(struct pt_memapi *m, const struct pt_api_request *req, struct pt_api_call *call, pt_watch_event_fn event, void *arg,
                       void (*ended)(struct pt_api_call *call, const struct pt_api_result *res), struct pt_mem_watch **out, struct pt_err *err);
void pt_mem_watch_stop(struct pt_mem_watch *w);
void pt_mem_watch_pause(struct pt_mem_watch *w, bool pause);
void pt_mem_call_pause(struct pt_api_call *c, bool pause); /* calls.c: of its watch, if it has one */
void pt_mem_watch_wake(struct pt_mem_type *t); /* something was committed */

/* gc.c */
void pt_mem_count_owners(struct pt_memapi *m, const struct pt_mem_version *was, const struct pt_mem_version *now); /* NULL: none */
void pt_mem_owner_gone(struct pt_memapi *m, const char *uid);
void pt_mem_gc_now(struct pt_timer *t);
/* Removes the references to owner from its dependents (deletion with Orphan). */
void pt_mem_orphan(struct pt_memapi *m, const char *owner_uid);
bool pt_mem_is_waiting(const struct pt_mem_object *o); /* for its dependents, in foreground deletion */
/* Is some dependent left? Starts their deletion. */
bool pt_mem_delete_dependents(struct pt_memapi *m, const char *owner_uid);

#endif
