/* SPDX-License-Identifier: Apache-2.0
 *
 * status.c: a pod's status as a kubelet writes it. Conditions are merged by type (strategic merge), so the readiness gate that the
 * operator sets stays.
 */
#include "operator/local/pod.h"

#include "base/log.h"
#include "base/mem.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>

static void put_time(struct pt_buf *b, const char *name, int64_t wall_ms)
{
    char text[24];
    pt_format_time(wall_ms, text);
    pt_buf_printf(b, "\"%s\":\"%s\"", name, text);
}

static void put_condition(struct pt_buf *b, const char *type, bool status, int64_t since_wall_ms, const char *reason)
{
    pt_buf_printf(b, ",{\"type\":\"%s\",\"status\":\"%s\",", type, status ? "True" : "False");
    if (!status)
        pt_buf_printf(b, "\"reason\":\"%s\",", reason);
    else
        pt_buf_puts(b, "\"reason\":null,");
    put_time(b, "lastTransitionTime", since_wall_ms);
    pt_buf_putc(b, '}');
}

static void put_terminated(struct pt_buf *b, const struct pt_local_pod *p)
{
    pt_buf_printf(b, "{\"running\":null,\"waiting\":null,\"terminated\":{\"exitCode\":%d,\"signal\":%d,\"reason\":\"%s\",", p->exit_code, p->exit_signal, p->exit_code ? "Error" : "Completed");
    if (p->said) {
        pt_buf_puts(b, "\"message\":");
        pt_buf_json_string(b, pt_str(p->said));
        pt_buf_putc(b, ',');
    }
    put_time(b, "startedAt", p->started_wall_ms);
    pt_buf_putc(b, ',');
    put_time(b, "finishedAt", p->finished_wall_ms);
    pt_buf_puts(b, "}}");
}

static bool is_over(const struct pt_local_pod *p)
{
    return p->phase == PT_LOCAL_POD_STOPPING || p->phase == PT_LOCAL_POD_ENDED || p->phase == PT_LOCAL_POD_DONE;
}

static const char *phase_of(const struct pt_local_pod *p)
{
    if (p->phase == PT_LOCAL_POD_DONE)
        return p->exit_code ? "Failed" : "Succeeded";
    return p->phase == PT_LOCAL_POD_PREPARING || (!p->process && !p->ended) ? "Pending" : "Running";
}

static void put_container(struct pt_buf *b, const struct pt_local_pod *p)
{
    const char *image = pt_obj_text(p->object, "spec.containers.0.image");
    pt_buf_puts(b, "{\"name\":");
    pt_buf_json_string(b, pt_str(pt_obj_text(p->object, "spec.containers.0.name")));
    pt_buf_puts(b, ",\"image\":");
    pt_buf_json_string(b, pt_str(image));
    pt_buf_printf(b, ",\"imageID\":\"\",\"ready\":%s,\"started\":%s,\"restartCount\":%d,\"state\":", p->ready ? "true" : "false",
                  p->process ? "true" : "false", p->restarts);
    if (p->process) {
        pt_buf_puts(b, "{\"waiting\":null,\"terminated\":null,\"running\":{");
        put_time(b, "startedAt", p->started_wall_ms);
        pt_buf_puts(b, "}}");
    } else if (is_over(p)) {
        put_terminated(b, p);
    } else {
        pt_buf_puts(b, "{\"running\":null,\"terminated\":null,\"waiting\":{\"reason\":");
        pt_buf_json_string(b, pt_str(*p->waiting_reason ? p->waiting_reason : "ContainerCreating"));
        pt_buf_puts(b, ",\"message\":");
        pt_buf_json_string(b, pt_str(p->waiting_message));
        pt_buf_puts(b, "}}");
    }
    if (p->ended && !is_over(p)) { /* also while it waits, as a kubelet says it */
        pt_buf_puts(b, ",\"lastState\":");
        put_terminated(b, p);
    }
    pt_buf_putc(b, '}');
}

static bool gates_are_open(const struct pt_local_pod *p)
{
    const cJSON *gate, *condition;
    cJSON_ArrayForEach(gate, pt_obj_get(p->object, "spec.readinessGates"))
    {
        bool open = false;
        cJSON_ArrayForEach(condition, pt_obj_get(p->object, "status.conditions"))
        {
            if (strcmp(pt_obj_text(condition, "type"), pt_obj_text(gate, "conditionType")) == 0)
                open = strcmp(pt_obj_text(condition, "status"), "True") == 0;
        }
        if (!open)
            return false;
    }
    return true;
}

/* Keeps the time at which a condition last changed. */
static void track(bool was, bool is, int64_t now, int64_t created, int64_t *since)
{
    if (*since == 0)
        *since = created;
    if (was != is)
        *since = now;
}

static bool was_true(const struct pt_local_pod *p, const char *type)
{
    const cJSON *condition;
    cJSON_ArrayForEach(condition, pt_obj_get(p->object, "status.conditions")) if (strcmp(pt_obj_text(condition, "type"), type) == 0) return strcmp(
        pt_obj_text(condition, "status"), "True") == 0;
    return false;
}

void pt_local_pod_write_status(struct pt_local_pod *p)
{
    int64_t now = pt_wall_ms(pt_loop_sched(p->o->loop));
    bool gates = gates_are_open(p), ready = p->ready && gates;
    track(was_true(p, "ContainersReady"), p->ready, now, p->created_wall_ms, &p->container_ready_wall_ms);
    track(p->pod_ready, ready, now, p->created_wall_ms, &p->ready_wall_ms);
    p->pod_ready = ready;
    pt_auto_buf b = PT_BUF_INIT(64 << 10);
    pt_buf_printf(&b, "{\"status\":{\"phase\":\"%s\",\"hostIP\":\"127.0.0.1\",\"podIP\":\"%s\",\"podIPs\":[{\"ip\":\"%s\"}],",
                  phase_of(p), p->address, p->address);
    put_time(&b, "startTime", p->created_wall_ms);
    pt_buf_puts(&b, ",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\",");
    put_time(&b, "lastTransitionTime", p->created_wall_ms);
    pt_buf_putc(&b, '}');
    put_condition(&b, "Initialized", true, p->created_wall_ms, "");
    put_condition(&b, "ContainersReady", p->ready, p->container_ready_wall_ms, "ContainersNotReady");
    put_condition(&b, "Ready", ready, p->ready_wall_ms, p->ready ? "ReadinessGatesNotReady" : "ContainersNotReady");
    pt_buf_puts(&b, "],\"containerStatuses\":[");
    put_container(&b, p);
    pt_buf_puts(&b, "]}}");
    struct pt_err err;
    if (pt_buf_check(&b, "pod status", &err) < 0 || (p->written && strcmp(p->written, pt_buf_cstr(&b)) == 0))
        return;
    struct pt_api_request req = {.verb = PT_VERB_STRATEGIC, .resource = &pt_res_pods, .ns = p->ns, .name = p->name, .subresource = "status",
                                 .body = {b.data, b.len}, .field_manager = "pintle-agent"};
    pt_free(p->written);
    p->written = pt_strdup(pt_buf_cstr(&b));
    pt_memapi_do(p->o->memapi, &req, NULL, &err);
}
