/* SPDX-License-Identifier: Apache-2.0
 *
 * pod.h: one pod of the node agent: its volumes, its process, its probes, its status. Private to operator/local.
 */
#ifndef PT_LOCAL_POD_H
#define PT_LOCAL_POD_H

#include "operator/local/agent.h"

#include <cjson/cJSON.h>

/* Preparing -> Running -> Waiting (restart back-off) -> Running ..., or with restartPolicy Never -> Done; any -> Stopping -> Ended. */
enum pt_local_pod_phase { PT_LOCAL_POD_PREPARING, PT_LOCAL_POD_RUNNING, PT_LOCAL_POD_WAITING, PT_LOCAL_POD_DONE, PT_LOCAL_POD_STOPPING, PT_LOCAL_POD_ENDED };

struct pt_local_probe {
    struct pt_local_pod *pod;
    struct pt_timer timer;
    struct pt_http_call *call;
    char url[512]; /* "" = no such probe */
    int64_t period_ms, timeout_ms;
    int failure_threshold, failures;
    bool succeeded;
    void (*result)(struct pt_local_pod *pod, bool good); /* good: at a success; else after failure_threshold failures in a row */
};

struct pt_local_pod {
    struct pt_agent *agent;
    const struct pt_agent_options *o;
    cJSON *object; /* as last seen */
    char ns[64], name[254], uid[64], address[16], dir[512], log[512], token[65];
    enum pt_local_pod_phase phase;
    char waiting_reason[64], waiting_message[300];
    struct pt_process *process;
    struct pt_timer timer; /* next try, restart or SIGKILL, by phase */
    struct pt_local_probe readiness, liveness;
    bool ready;   /* of the container */
    bool ended;   /* it has exited at least once: exit_* say how */
    int restarts, exit_code, exit_signal;
    int64_t started_ms, backoff_ms; /* monotonic */
    int64_t created_wall_ms, started_wall_ms, finished_wall_ms, container_ready_wall_ms, ready_wall_ms;
    bool pod_ready;
    char *said;    /* its termination message, or NULL */
    char *written; /* status as last written */
};

/* Takes object, also on failure. */
int pt_local_pod_create(struct pt_agent *a, const struct pt_agent_options *o, cJSON *object, const char *address, struct pt_local_pod **out, struct pt_err *err);
/* The object changed (labels, conditions, deletion). Takes object. */
void pt_local_pod_update(struct pt_local_pod *p, cJSON *object);
/* Stops it with this grace; pt_agent_pod_ended() follows. */
void pt_local_pod_stop(struct pt_local_pod *p, int64_t grace_ms);
/* Kills the process if it still runs, removes the pod's folder and frees. */
void pt_local_pod_destroy(struct pt_local_pod *p);
/* The container's port of that number or name; 0 when it has none. */
int pt_local_pod_port(const struct pt_local_pod *p, const cJSON *port);
/* May a Service send requests here? */
bool pt_local_pod_is_endpoint(const struct pt_local_pod *p);
/* Status to the API, if it differs from what was written last (status.c). */
void pt_local_pod_write_status(struct pt_local_pod *p);

/* Lays out the volumes that the container mounts, below p->dir, and appends the value of PINTLE_MOUNTS. PT_ENOTFOUND: a ConfigMap or Secret does not
 * exist yet; PT_EUNSUPPORTED: a kind of volume (volumes.c). */
int pt_local_pod_volumes(struct pt_local_pod *p, const cJSON *container, struct pt_buf *mounts, struct pt_err *err);
/* Value of a downward API field path of the pod; NULL when it is not supported (volumes.c). */
const char *pt_local_pod_field(const struct pt_local_pod *p, const char *path);
/* rm -r. */
void pt_local_pod_remove_dir(const char *path);

bool pt_local_pod_uses_tls(const struct pt_local_pod *p);

struct pt_endpoint {
    const char *address;
    int port;
    bool tls; /* its probes say so */
};
/* Ready pods of namespace ns that carry all labels of selector, oldest first, with the number that target_port (a number or a port's name) has in each;
 * their count, at most max. Valid until the loop turns. */
size_t pt_agent_endpoints(struct pt_agent *a, const char *ns, const cJSON *selector, const cJSON *target_port, struct pt_endpoint *out, size_t max);

/* The agent's part: the process of a stopped pod is gone, and p with it after this call. */
void pt_agent_pod_ended(struct pt_agent *a, struct pt_local_pod *p);

#endif
