/* SPDX-License-Identifier: Apache-2.0
 *
 * pod.c: from a pod's JSON to struct pt_pod, in one pass over the text and without a tree: pods are what an operator reads most, tens of thousands at a
 * start. What has another type than expected is passed over, as are the members that are nobody's business here.
 */
#include "operator/model/objects.h"
#include "operator/model/pack.h"
#include "base/json.h"
#include "base/mem.h"

#include <stddef.h>

/* Texts that are kept, in one buffer until the pod is packed. */
enum text { NS, NAME, UID, RV, OWNER_UID, OWNER_NAME, LABEL, REVISION, COST, NODE, PHASE, GATE_REASON, GATE_MESSAGE, UNSCHEDULABLE, CREATED, READY_SINCE, TEXTS };

/* Of the container that has trouble first, in one list of statuses. */
struct trouble {
    size_t waiting, message, ended; /* places in the buffer, plus one; 0: none */
    int exit_code;
};

struct reader {
    struct pt_json j;
    struct pt_err *err;
    struct pt_buf texts, scratch;
    size_t at[TEXTS]; /* places, plus one */
    struct pt_pod pod;
    bool has_controller;
    struct trouble trouble[2]; /* init containers, containers */
};

typedef int member_fn(struct reader *r, const struct pt_str *key, void *arg);

static int each_member(struct reader *r, member_fn *fn, void *arg)
{
    struct pt_str key;
    int kind = pt_json_kind(&r->j, r->err);
    if (kind != PT_JSON_OBJECT)
        return kind < 0 ? kind : pt_json_skip(&r->j, r->err);
    int rc = pt_json_object(&r->j, r->err);
    while (rc == PT_OK && (rc = pt_json_member(&r->j, &key, r->err)) == 1)
        rc = fn(r, &key, arg);
    return rc;
}

static int each_element(struct reader *r, int (*fn)(struct reader *r, void *arg), void *arg)
{
    int kind = pt_json_kind(&r->j, r->err);
    if (kind != PT_JSON_ARRAY)
        return kind < 0 ? kind : pt_json_skip(&r->j, r->err);
    int rc = pt_json_array(&r->j, r->err);
    while (rc == PT_OK && (rc = pt_json_element(&r->j, r->err)) == 1)
        rc = fn(r, arg);
    return rc;
}

/* --- values -------------------------------------------------------------------------------------------------------------- */

static int keep(struct reader *r, size_t *place)
{
    int kind = pt_json_kind(&r->j, r->err);
    if (kind != PT_JSON_STRING)
        return kind < 0 ? kind : pt_json_skip(&r->j, r->err);
    *place = r->texts.len + 1;
    int rc = pt_json_string(&r->j, &r->texts, r->err);
    pt_buf_putc(&r->texts, 0);
    return rc == PT_OK ? pt_buf_check(&r->texts, "pod", r->err) : rc;
}

/* A text to look at; "" when it is none. Valid until the next one. */
static int look(struct reader *r, const char **text)
{
    int kind = pt_json_kind(&r->j, r->err);
    pt_buf_reset(&r->scratch);
    *text = "";
    if (kind != PT_JSON_STRING)
        return kind < 0 ? kind : pt_json_skip(&r->j, r->err);
    int rc = pt_json_string(&r->j, &r->scratch, r->err);
    *text = pt_buf_cstr(&r->scratch);
    return rc;
}

static int whole(struct reader *r, int *n)
{
    double d;
    int kind = pt_json_kind(&r->j, r->err);
    if (kind != PT_JSON_NUMBER)
        return kind < 0 ? kind : pt_json_skip(&r->j, r->err);
    int rc = pt_json_double(&r->j, &d, r->err);
    *n = rc == PT_OK && d > -1e9 && d < 1e9 ? (int)d : 0;
    return rc;
}

static int truth(struct reader *r, enum pt_truth *out)
{
    const char *text;
    int rc = look(r, &text);
    *out = !strcmp(text, "True") ? PT_TRUE : !strcmp(text, "False") ? PT_FALSE : PT_UNKNOWN;
    return rc;
}

static const char *text_at(struct reader *r, size_t place)
{
    return place ? r->texts.data + place - 1 : "";
}

static int64_t time_at(struct reader *r, enum text t)
{
    int64_t ms = 0;
    return pt_parse_time(pt_str(text_at(r, r->at[t])), &ms, NULL) == PT_OK ? ms : 0;
}

/* --- metadata, spec ------------------------------------------------------------------------------------------------------ */

struct owner {
    size_t uid, name;
    bool controller;
};

static int owner_member(struct reader *r, const struct pt_str *key, void *arg)
{
    struct owner *o = arg;
    if (pt_json_key_is(key, "uid"))
        return keep(r, &o->uid);
    if (pt_json_key_is(key, "name"))
        return keep(r, &o->name);
    if (pt_json_key_is(key, "controller") && pt_json_kind(&r->j, NULL) == PT_JSON_BOOL)
        return pt_json_bool(&r->j, &o->controller, r->err);
    return pt_json_skip(&r->j, r->err);
}

static int read_owner(struct reader *r, void *arg)
{
    struct owner o = {0};
    (void)arg;
    int rc = each_member(r, owner_member, &o);
    if (rc == PT_OK && o.controller && !r->has_controller) {
        r->has_controller = true;
        r->at[OWNER_UID] = o.uid;
        r->at[OWNER_NAME] = o.name;
    }
    return rc;
}

struct row {
    const char *name;
    enum text text;
};

static int row_member(struct reader *r, const struct pt_str *key, void *arg)
{
    for (const struct row *row = arg; row->name; row++)
        if (pt_json_key_is(key, row->name))
            return keep(r, &r->at[row->text]);
    return pt_json_skip(&r->j, r->err);
}

static int metadata_member(struct reader *r, const struct pt_str *key, void *arg)
{
    static struct row plain[] = {{"name", NAME}, {"namespace", NS}, {"uid", UID}, {"resourceVersion", RV}, {"creationTimestamp", CREATED}, {NULL, TEXTS}};
    static struct row labels[] = {{PT_LABEL_NAME, LABEL}, {PT_LABEL_REVISION, REVISION}, {NULL, TEXTS}};
    static struct row annotations[] = {{"controller.kubernetes.io/pod-deletion-cost", COST}, {NULL, TEXTS}};
    (void)arg;
    if (pt_json_key_is(key, "labels"))
        return each_member(r, row_member, labels);
    if (pt_json_key_is(key, "annotations"))
        return each_member(r, row_member, annotations);
    if (pt_json_key_is(key, "ownerReferences"))
        return each_element(r, read_owner, NULL);
    if (pt_json_key_is(key, "deletionTimestamp")) {
        r->pod.terminating = pt_json_kind(&r->j, NULL) != PT_JSON_NULL;
        return pt_json_skip(&r->j, r->err);
    }
    return row_member(r, key, plain);
}

/* --- status -------------------------------------------------------------------------------------------------------------- */

struct condition {
    char type[64];
    enum pt_truth truth;
    size_t reason, message, since;
};

static int condition_member(struct reader *r, const struct pt_str *key, void *arg)
{
    struct condition *c = arg;
    if (pt_json_key_is(key, "type")) {
        const char *text;
        int rc = look(r, &text);
        c->type[0] = 0;
        if (strlen(text) < sizeof c->type)
            memcpy(c->type, text, strlen(text) + 1);
        return rc;
    }
    if (pt_json_key_is(key, "status"))
        return truth(r, &c->truth);
    if (pt_json_key_is(key, "reason"))
        return keep(r, &c->reason);
    if (pt_json_key_is(key, "message"))
        return keep(r, &c->message);
    if (pt_json_key_is(key, "lastTransitionTime"))
        return keep(r, &c->since);
    return pt_json_skip(&r->j, r->err);
}

static int read_condition(struct reader *r, void *arg)
{
    struct condition c = {.type = ""};
    size_t before = r->texts.len;
    (void)arg;
    int rc = each_member(r, condition_member, &c);
    if (rc < 0)
        return rc;
    if (!strcmp(c.type, PT_READINESS_GATE)) {
        r->pod.gate = c.truth;
        r->at[GATE_REASON] = c.reason;
        r->at[GATE_MESSAGE] = c.message;
    } else if (!strcmp(c.type, "PodScheduled") && c.truth == PT_FALSE) {
        r->at[UNSCHEDULABLE] = c.message;
    } else if (!strcmp(c.type, "Ready") && c.truth == PT_TRUE) {
        r->pod.ready = true;
        r->at[READY_SINCE] = c.since;
    } else {
        r->texts.len = before;
    }
    return PT_OK;
}

struct container {
    size_t waiting, message, ended, ended_before; /* ended: now; before: lastState */
    int exit_code, exit_code_before, restarts;
    bool is_ended;
};

static int waiting_member(struct reader *r, const struct pt_str *key, void *arg)
{
    struct container *c = arg;
    return pt_json_key_is(key, "reason") ? keep(r, &c->waiting) : pt_json_key_is(key, "message") ? keep(r, &c->message) : pt_json_skip(&r->j, r->err);
}

static int terminated_member(struct reader *r, const struct pt_str *key, void *arg)
{
    struct container *c = arg;
    c->is_ended = true;
    return pt_json_key_is(key, "reason") ? keep(r, &c->ended) : pt_json_key_is(key, "exitCode") ? whole(r, &c->exit_code) : pt_json_skip(&r->j, r->err);
}

static int terminated_before_member(struct reader *r, const struct pt_str *key, void *arg)
{
    struct container *c = arg;
    return pt_json_key_is(key, "reason")     ? keep(r, &c->ended_before)
           : pt_json_key_is(key, "exitCode") ? whole(r, &c->exit_code_before)
                                             : pt_json_skip(&r->j, r->err);
}

static int state_member(struct reader *r, const struct pt_str *key, void *arg)
{
    if (pt_json_key_is(key, "waiting"))
        return each_member(r, waiting_member, arg);
    return pt_json_key_is(key, "terminated") ? each_member(r, terminated_member, arg) : pt_json_skip(&r->j, r->err);
}

static int last_state_member(struct reader *r, const struct pt_str *key, void *arg)
{
    return pt_json_key_is(key, "terminated") ? each_member(r, terminated_before_member, arg) : pt_json_skip(&r->j, r->err);
}

static int container_member(struct reader *r, const struct pt_str *key, void *arg)
{
    struct container *c = arg;
    if (pt_json_key_is(key, "state"))
        return each_member(r, state_member, c);
    if (pt_json_key_is(key, "lastState"))
        return each_member(r, last_state_member, c);
    return pt_json_key_is(key, "restartCount") ? whole(r, &c->restarts) : pt_json_skip(&r->j, r->err);
}

/* A container that ended well, as init containers do, is no trouble. */
static int read_container(struct reader *r, void *arg)
{
    struct container c = {0};
    struct trouble *t = arg;
    int rc = each_member(r, container_member, &c);
    if (rc < 0)
        return rc;
    int exit_code = c.is_ended ? c.exit_code : c.exit_code_before;
    if (c.waiting && (!t->waiting || !strcmp(text_at(r, t->waiting), "PodInitializing"))) {
        t->waiting = c.waiting;
        t->message = c.message;
    }
    if (exit_code && !t->ended) {
        t->ended = c.is_ended ? c.ended : c.ended_before;
        t->exit_code = exit_code;
    }
    r->pod.restarts += c.restarts;
    return PT_OK;
}

static int status_member(struct reader *r, const struct pt_str *key, void *arg)
{
    (void)arg;
    if (pt_json_key_is(key, "phase"))
        return keep(r, &r->at[PHASE]);
    if (pt_json_key_is(key, "conditions"))
        return each_element(r, read_condition, NULL);
    if (pt_json_key_is(key, "initContainerStatuses"))
        return each_element(r, read_container, &r->trouble[0]);
    return pt_json_key_is(key, "containerStatuses") ? each_element(r, read_container, &r->trouble[1]) : pt_json_skip(&r->j, r->err);
}

/* --- the pod ------------------------------------------------------------------------------------------------------------- */

static int pod_member(struct reader *r, const struct pt_str *key, void *arg)
{
    static struct row node[] = {{"nodeName", NODE}, {NULL, TEXTS}};
    (void)arg;
    if (pt_json_key_is(key, "metadata"))
        return each_member(r, metadata_member, NULL);
    if (pt_json_key_is(key, "spec"))
        return each_member(r, row_member, node);
    return pt_json_key_is(key, "status") ? each_member(r, status_member, NULL) : pt_json_skip(&r->j, r->err);
}

static enum pt_phase phase_of(const char *text)
{
    return !strcmp(text, "Running")                              ? PT_PHASE_RUNNING
           : !strcmp(text, "Unknown")                            ? PT_PHASE_UNKNOWN
           : !strcmp(text, "Failed") || !strcmp(text, "Succeeded") ? PT_PHASE_ENDED
                                                                 : PT_PHASE_PENDING;
}

const struct pt_pod_trouble pt_pod_no_trouble = {"", "", "", "", "", 0};

/* The longer form of a pod. */
struct troubled {
    struct pt_pod pod;
    struct pt_pod_trouble trouble;
};

/* false: there is none. */
static bool put_trouble(struct reader *r, const struct trouble *waits, const struct trouble *ended, struct pt_packer *p, struct pt_pod_trouble *t)
{
    const struct {
        const char **where;
        const char *text;
    } texts[] = {{&t->gate_message, r->pod.gate == PT_FALSE ? text_at(r, r->at[GATE_MESSAGE]) : ""},
                 {&t->unschedulable, text_at(r, r->at[UNSCHEDULABLE])},
                 {&t->waiting, text_at(r, waits->waiting)},
                 {&t->waiting_message, text_at(r, waits->message)},
                 {&t->ended, text_at(r, ended->ended)}};
    bool any = ended->exit_code != 0;
    t->exit_code = ended->exit_code;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        any |= *texts[i].text != 0;
    for (size_t i = 0; any && i < sizeof texts / sizeof *texts; i++)
        pt_pack_put(p, texts[i].where, texts[i].text);
    return any;
}

static int finish(struct reader *r, struct pt_object **out)
{
    struct pt_packer p = {.count = 0};
    struct troubled draft = {.pod = r->pod};
    struct pt_pod *pod = &draft.pod;
    const struct trouble *init = &r->trouble[0], *t = &r->trouble[1], *waits = init->waiting && strcmp(text_at(r, init->waiting), "PodInitializing") != 0 ? init : t,
                         *ended = init->ended ? init : t;
    int64_t rv = 0, cost = 0;
    if (!r->at[NAME] || !r->at[UID] || pt_parse_i64(pt_str(text_at(r, r->at[RV])), 0, INT64_MAX, "resourceVersion", &rv, NULL) < 0)
        return pt_fail(r->err, PT_EPARSE, "pod %s: no usable name, uid or resourceVersion", r->at[NAME] ? text_at(r, r->at[NAME]) : "(unnamed)");
    const char *node = text_at(r, r->at[NODE]), *label = text_at(r, r->at[LABEL]);
    pod->o.rv = (uint64_t)rv;
    pod->phase = phase_of(text_at(r, r->at[PHASE]));
    pod->assigned = *node;
    pod->node = *node ? pt_fnv32a(node, strlen(node), 2166136261u) : 0;
    pod->created_ms = time_at(r, CREATED);
    pod->ready_wall_ms = pod->ready ? time_at(r, READY_SINCE) : 0;
    if (r->at[COST] && pt_parse_i64(pt_str(text_at(r, r->at[COST])), INT32_MIN, INT32_MAX, "cost", &cost, NULL) == PT_OK)
        pod->deletion_cost = (int)cost;
    bool owned = r->at[OWNER_UID] && r->at[OWNER_NAME];
    pod->strayed = owned && strcmp(label, text_at(r, r->at[OWNER_NAME])) != 0;
    const struct {
        const char **where;
        const char *text;
    } texts[] = {{&pod->o.ns, text_at(r, r->at[NS])},
                 {&pod->o.name, text_at(r, r->at[NAME])},
                 {&pod->o.uid, text_at(r, r->at[UID])},
                 {&pod->revision, text_at(r, r->at[REVISION])},
                 {&pod->gate_reason, text_at(r, r->at[GATE_REASON])}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        pt_pack_put(&p, texts[i].where, texts[i].text);
    if (owned)
        pt_pack_put(&p, &pod->o.owner_uid, text_at(r, r->at[OWNER_UID]));
    if (owned || (!r->has_controller && *label))
        pt_pack_put(&p, &pod->o.owner_name, owned ? text_at(r, r->at[OWNER_NAME]) : label);
    bool any = put_trouble(r, waits, ended, &p, &draft.trouble);
    struct troubled *packed = pt_pack(&p, &draft, any ? sizeof draft : sizeof draft.pod);
    if (packed)
        packed->pod.trouble = any ? &packed->trouble : &pt_pod_no_trouble;
    *out = packed ? &packed->pod.o : NULL;
    return packed ? PT_OK : pt_fail(r->err, PT_ENOMEM, "decode pod: out of memory");
}

int pt_pod_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    struct pt_err local;
    struct reader r = {.err = err ? err : &local, .pod.state = {.ready_since_ms = -1, .drain_since_ms = -1, .drained_ms = -1, .left_ms = -1, .removing_ms = -1, .doomed_ms = -1}};
    pt_json_init(&r.j, json.p ? json.p : "", json.len);
    int rc = each_member(&r, pod_member, NULL);
    if (rc == PT_OK)
        rc = pt_json_end(&r.j, r.err);
    rc = rc == PT_OK ? finish(&r, out) : pt_wrap(r.err, "pod");
    pt_buf_finish(&r.texts);
    pt_buf_finish(&r.scratch);
    return rc;
}

void pt_pod_free(struct pt_object *o)
{
    struct pt_pod_told *told = o ? ((struct pt_pod *)o)->state.told : NULL;
    if (told) {
        pt_free(told->message);
        pt_free(told->latency);
        pt_free(told->figures);
        pt_free(told);
    }
    pt_free(o);
}
