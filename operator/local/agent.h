/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h: the node of `pintle up`: it runs pods as local processes, as a kubelet would run their containers. It watches pods, lays out
 * their volumes, starts, probes, restarts and stops the sidecar of each, and writes pod status.
 *
 * A pod gets a loopback address of its own (127.77.x.y), so every pod can use the same ports. There is no image and no isolation: the program is
 * the one given here, and a pod that wants another container than the sidecar, or an unknown kind of volume, is told so in its status.
 */
#ifndef PT_LOCAL_AGENT_H
#define PT_LOCAL_AGENT_H

#include "net/http_client.h"
#include "net/loop.h"
#include "operator/memapi/memapi.h"

struct pt_agent;
struct pt_agent_options {
    struct pt_loop *loop;
    struct pt_memapi *memapi;
    struct pt_http_client *http;  /* probes */
    const char *sidecar;          /* path of pintle-sidecar */
    const char *program;          /* of `pintle`, for pods that compress */
    const char *state_dir;        /* volumes and logs; made if missing */
};
/* Strings are copied. Starts watching at once. */
int pt_agent_create(const struct pt_agent_options *o, struct pt_agent **out, struct pt_err *err);
/* SIGTERM to every pod, SIGKILL after grace_ms to what is left; then done(arg). New pods are not started any more. */
void pt_agent_stop(struct pt_agent *a, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* Kills what still runs. */
void pt_agent_destroy(struct pt_agent *a);

/* Its address, or PT_ENOTFOUND. */
int pt_agent_pod_address(struct pt_agent *a, const char *ns, const char *pod, char out[16], struct pt_err *err);
/* The log file of a pod, or PT_ENOTFOUND. */
int pt_agent_log_path(struct pt_agent *a, const char *ns, const char *pod, char *out, size_t size, struct pt_err *err);

#endif
