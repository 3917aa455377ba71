/* SPDX-License-Identifier: Apache-2.0
 *
 * pod.c: the life of one pod: lay out volumes, start the process, probe it, restart it with back-off, stop it.
 *
 * Restart policy is Always, or Never of a pod that compresses (it runs `pintle compress`, this program). A process that ends is started again at once the first time and then after 1 s, 2 s, 4 s ... (a
 * kubelet begins at 10 s; here somebody watches), at most MAX_BACKOFF_MS; ten minutes without a crash reset it.
 */
#include "operator/local/pod.h"

#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "operator/ctrl/obj.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RETRY_MS = 1000, MAX_BACKOFF_MS = 60000, STEADY_MS = 600000, FAST_PROBE_MS = 20, MAX_LOG = 16 << 20, MAX_ENV = 64, MAX_ARGS = 64 };

#define POD_OF(t, member) ((struct pt_local_pod *)(void *)((char *)(t) - offsetof(struct pt_local_pod, member)))

static void start_process(struct pt_timer *t);
static void restart_later(struct pt_local_pod *p, int64_t delay_ms, const char *reason, const char *message);

static struct pt_sched *sched_of(const struct pt_local_pod *p)
{
    return pt_loop_sched(p->o->loop);
}

static const cJSON *container_of(const struct pt_local_pod *p)
{
    return pt_obj_get(p->object, "spec.containers.0");
}

int pt_local_pod_port(const struct pt_local_pod *p, const cJSON *port)
{
    const cJSON *c;
    if (cJSON_IsNumber(port))
        return (int)port->valuedouble;
    cJSON_ArrayForEach(c, pt_obj_get(container_of(p), "ports"))
    {
        if (cJSON_IsString(port) && strcmp(pt_obj_text(c, "name"), port->valuestring) == 0)
            return (int)pt_obj_int(c, "containerPort", 0);
    }
    return 0;
}

/* --- probes ---------------------------------------------------------------------------------------------------------------- */

static void send_probe(struct pt_timer *t);

static void stop_probe(struct pt_local_probe *b)
{
    pt_timer_stop(sched_of(b->pod), &b->timer);
    if (b->call)
        pt_http_call_cancel(b->call);
    b->call = NULL;
}

static void probe_done(void *arg, const struct pt_http_response *r, const struct pt_err *err)
{
    struct pt_local_probe *b = arg;
    bool good = !err && r->status >= 200 && r->status < 400;
    b->call = NULL;
    b->failures = good ? 0 : b->failures + 1;
    b->succeeded |= good;
    pt_timer_start(sched_of(b->pod), &b->timer, b->succeeded ? b->period_ms : FAST_PROBE_MS, send_probe);
    if (good || b->failures >= b->failure_threshold)
        b->result(b->pod, good);
}

static void send_probe(struct pt_timer *t)
{
    struct pt_local_probe *b = (struct pt_local_probe *)(void *)((char *)t - offsetof(struct pt_local_probe, timer));
    struct pt_http_call_options o = {.method = "GET", .url = b->url, .timeout_ms = b->timeout_ms, .on_done = probe_done, .arg = b};
    struct pt_err err;
    if (pt_http_call_start(b->pod->o->http, &o, &b->call, &err) < 0)
        probe_done(b, NULL, &err);
}

bool pt_local_pod_uses_tls(const struct pt_local_pod *p)
{
    return strcmp(pt_obj_text(container_of(p), "readinessProbe.httpGet.scheme"), "HTTPS") == 0;
}

/* Before the first success a probe is repeated fast, whatever its period: a model is ready in milliseconds. Only failures after it count. */
static void start_probe(struct pt_local_pod *p, struct pt_local_probe *b, const char *member, void (*result)(struct pt_local_pod *, bool))
{
    const cJSON *probe = cJSON_GetObjectItemCaseSensitive(container_of(p), member), *get = pt_obj_get(probe, "httpGet");
    int number = pt_local_pod_port(p, pt_obj_get(get, "port"));
    *b = (struct pt_local_probe){.pod = p, .result = result};
    b->period_ms = pt_obj_int(probe, "periodSeconds", 10) * 1000;
    b->timeout_ms = pt_obj_int(probe, "timeoutSeconds", 1) * 1000;
    b->failure_threshold = (int)pt_obj_int(probe, "failureThreshold", 3);
    if (!get || number <= 0)
        return;
    snprintf(b->url, sizeof b->url, "%s://%s:%d%s", strcmp(pt_obj_text(get, "scheme"), "HTTPS") == 0 ? "https" : "http", p->address, number, pt_obj_text(get, "path"));
    pt_timer_start(sched_of(p), &b->timer, 1, send_probe);
}

static void on_readiness(struct pt_local_pod *p, bool good)
{
    if (p->phase != PT_LOCAL_POD_RUNNING || (!good && !p->readiness.succeeded))
        return;
    p->ready = good;
    pt_local_pod_write_status(p);
}

static void on_liveness(struct pt_local_pod *p, bool good)
{
    struct stat st;
    if (stat(p->log, &st) == 0 && st.st_size > MAX_LOG && truncate(p->log, 0) != 0)
        pt_log(PT_LOG_WARN, "log could not be cut", "pod", p->name, NULL);
    if (good || p->phase != PT_LOCAL_POD_RUNNING || !p->liveness.succeeded || !p->process)
        return;
    pt_log(PT_LOG_WARN, "liveness probe failed, restarting", "pod", p->name, NULL);
    pt_process_signal(p->process, SIGKILL);
}

/* --- process --------------------------------------------------------------------------------------------------------------- */

static bool never_again(const struct pt_local_pod *p)
{
    return strcmp(pt_obj_text(p->object, "spec.restartPolicy"), "Never") == 0;
}

static void termination_path(const struct pt_local_pod *p, char out[600])
{
    snprintf(out, 600, "%s/termination-log", p->dir);
}

/* What it wrote to PT_PATH_TERMINATION; a kubelet takes as much of it. */
static void read_message(struct pt_local_pod *p)
{
    char path[600], text[4097];
    termination_path(p, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    pt_free(p->said);
    p->said = n > 0 ? pt_strndup(text, (size_t)n) : NULL;
}

static void on_process_exit(void *arg, int status, int term_signal)
{
    struct pt_local_pod *p = arg;
    struct pt_sched *s = sched_of(p);
    pt_process_release(p->process);
    p->process = NULL;
    stop_probe(&p->readiness);
    stop_probe(&p->liveness);
    p->ready = false;
    p->ended = true;
    p->exit_code = term_signal ? 128 + term_signal : status;
    p->exit_signal = term_signal;
    p->finished_wall_ms = pt_wall_ms(s);
    if (p->phase == PT_LOCAL_POD_STOPPING) {
        p->phase = PT_LOCAL_POD_ENDED;
        pt_timer_stop(s, &p->timer);
        pt_agent_pod_ended(p->agent, p);
        return;
    }
    if (never_again(p)) {
        p->phase = PT_LOCAL_POD_DONE;
        read_message(p);
        pt_local_pod_write_status(p);
        return;
    }
    if (pt_now_ms(s) - p->started_ms > STEADY_MS)
        p->backoff_ms = 0;
    char message[128];
    snprintf(message, sizeof message, "back-off %llds restarting failed container sidecar", (long long)(p->backoff_ms / 1000));
    int64_t delay = p->backoff_ms;
    p->restarts++;
    p->backoff_ms = p->backoff_ms ? (p->backoff_ms * 2 < MAX_BACKOFF_MS ? p->backoff_ms * 2 : MAX_BACKOFF_MS) : 1000;
    restart_later(p, delay, "CrashLoopBackOff", message);
}

static void restart_later(struct pt_local_pod *p, int64_t delay_ms, const char *reason, const char *message)
{
    p->phase = PT_LOCAL_POD_WAITING;
    snprintf(p->waiting_reason, sizeof p->waiting_reason, "%s", reason);
    snprintf(p->waiting_message, sizeof p->waiting_message, "%s", message);
    pt_timer_start(sched_of(p), &p->timer, delay_ms, start_process);
    pt_local_pod_write_status(p);
}

static int add_env(char **env, size_t *count, const char *name, const char *value, struct pt_err *err)
{
    if (*count + 1 >= MAX_ENV)
        return pt_fail(err, PT_ELIMIT, "more than %d environment variables", MAX_ENV - 1);
    env[*count] = pt_asprintf("%s=%s", name, value);
    return env[*count] ? ((*count)++, PT_OK) : pt_fail(err, PT_ENOMEM, "out of memory");
}

static int fill_env(struct pt_local_pod *p, const cJSON *container, const char *mounts, char **env, size_t *count, struct pt_err *err)
{
    static const char *const inherited[] = {"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "PINTLE_ISA"};
    const cJSON *e;
    int rc = add_env(env, count, PT_ENV_MOUNTS, mounts, err);
    if (rc == PT_OK)
        rc = add_env(env, count, PT_ENV_POD_IP, p->address, err);
    for (size_t i = 0; rc == PT_OK && i < sizeof inherited / sizeof *inherited; i++)
        if (getenv(inherited[i]))
            rc = add_env(env, count, inherited[i], getenv(inherited[i]), err);
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(container, "env"))
    {
        const char *field = pt_obj_text(e, "valueFrom.fieldRef.fieldPath"), *value = *field ? pt_local_pod_field(p, field) : pt_obj_text(e, "value");
        if (rc < 0)
            return rc;
        if (!value || (pt_obj_get(e, "valueFrom") && !*field))
            return pt_fail(err, PT_EUNSUPPORTED, "env \"%s\": this valueFrom is not supported by pintle up", pt_obj_text(e, "name"));
        rc = add_env(env, count, pt_obj_text(e, "name"), value, err);
    }
    return rc;
}

static bool compresses(const cJSON *container)
{
    return strcmp(pt_obj_text(container, "name"), PT_CONTAINER_COMPRESS) == 0;
}

static int spawn(struct pt_local_pod *p, const cJSON *container, char **env, struct pt_err *err)
{
    static const char *const default_args[] = {"--config", PT_PATH_CONFIG, NULL};
    const char *program = compresses(container) ? p->o->program : p->o->sidecar, *argv[MAX_ARGS] = {program};
    const cJSON *arg, *args = cJSON_GetObjectItemCaseSensitive(container, "args");
    size_t n = 1;
    cJSON_ArrayForEach(arg, args) if (cJSON_IsString(arg) && n + 1 < MAX_ARGS) argv[n++] = arg->valuestring;
    for (size_t i = 0; n == 1 && default_args[i]; i++)
        argv[1 + i] = default_args[i];
    int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        return pt_fail(err, PT_EIO, "cannot open %s", p->log);
    struct pt_process_options o = {.file = program, .argv = argv, .env = (const char *const *)env, .stdout_fd = log, .stderr_fd = log, .die_with_parent = true};
    int rc = pt_process_spawn(p->o->loop, &o, on_process_exit, p, &p->process, err);
    close(log);
    return rc;
}

static int check_containers(const struct pt_local_pod *p, struct pt_err *err)
{
    const cJSON *containers = pt_obj_get(p->object, "spec.containers");
    if (cJSON_GetArraySize(containers) != 1 || cJSON_GetArraySize(pt_obj_get(p->object, "spec.initContainers")) != 0 ||
        (strcmp(pt_obj_text(containers, "0.name"), PT_CONTAINER) != 0 && !compresses(pt_obj_get(containers, "0"))))
        return pt_fail(err, PT_EUNSUPPORTED, "pintle up runs only the container \"" PT_CONTAINER "\"; pods with others need a cluster");
    return PT_OK;
}

static int try_start(struct pt_local_pod *p, struct pt_err *err)
{
    const cJSON *container = container_of(p);
    char *env[MAX_ENV] = {0};
    size_t count = 0;
    pt_auto_buf mounts = PT_BUF_INIT(64 << 10);
    int rc = check_containers(p, err);
    if (rc == PT_OK)
        rc = pt_local_pod_volumes(p, container, &mounts, err);
    if (rc == PT_OK && compresses(container)) {
        char path[600];
        termination_path(p, path);
        pt_buf_cat(&mounts, mounts.len ? ":" : "", PT_PATH_TERMINATION "=", path, NULL);
        rc = pt_buf_check(&mounts, PT_ENV_MOUNTS, err);
    }
    if (rc == PT_OK)
        rc = fill_env(p, container, pt_buf_cstr(&mounts), env, &count, err);
    if (rc == PT_OK)
        rc = spawn(p, container, env, err);
    for (size_t i = 0; i < count; i++)
        pt_free(env[i]);
    return rc;
}

static void start_process(struct pt_timer *t)
{
    struct pt_local_pod *p = POD_OF(t, timer);
    struct pt_err err;
    if (try_start(p, &err) < 0) {
        restart_later(p, RETRY_MS, err.code == PT_EUNSUPPORTED ? "CreateContainerError" : "CreateContainerConfigError", err.msg);
        return;
    }
    p->phase = PT_LOCAL_POD_RUNNING;
    p->started_ms = pt_now_ms(sched_of(p));
    p->started_wall_ms = pt_wall_ms(sched_of(p));
    start_probe(p, &p->readiness, "readinessProbe", on_readiness);
    start_probe(p, &p->liveness, "livenessProbe", on_liveness);
    if (!*p->readiness.url)
        p->ready = true;
    pt_local_pod_write_status(p);
}

static void kill_process(struct pt_timer *t)
{
    struct pt_local_pod *p = POD_OF(t, timer);
    if (p->process)
        pt_process_signal(p->process, SIGKILL);
}

void pt_local_pod_stop(struct pt_local_pod *p, int64_t grace_ms)
{
    if (p->phase == PT_LOCAL_POD_STOPPING || p->phase == PT_LOCAL_POD_ENDED)
        return;
    pt_timer_stop(sched_of(p), &p->timer);
    if (!p->process) {
        p->phase = PT_LOCAL_POD_ENDED;
        pt_agent_pod_ended(p->agent, p);
        return;
    }
    p->phase = PT_LOCAL_POD_STOPPING;
    pt_process_signal(p->process, grace_ms > 0 ? SIGTERM : SIGKILL);
    pt_timer_start(sched_of(p), &p->timer, grace_ms, kill_process);
}

/* --- the pod ----------------------------------------------------------------------------------------------------------------- */

int pt_local_pod_create(struct pt_agent *a, const struct pt_agent_options *o, cJSON *object, const char *address, struct pt_local_pod **out, struct pt_err *err)
{
    struct pt_local_pod *p = pt_calloc(1, sizeof *p);
    if (!p) {
        cJSON_Delete(object);
        return pt_fail(err, PT_ENOMEM, "pod: out of memory");
    }
    *p = (struct pt_local_pod){.agent = a, .o = o, .object = object, .phase = PT_LOCAL_POD_PREPARING, .created_wall_ms = pt_wall_ms(pt_loop_sched(o->loop))};
    p->readiness.pod = p->liveness.pod = p;
    snprintf(p->ns, sizeof p->ns, "%s", pt_obj_text(object, "metadata.namespace"));
    snprintf(p->name, sizeof p->name, "%s", pt_obj_text(object, "metadata.name"));
    snprintf(p->uid, sizeof p->uid, "%s", pt_obj_text(object, "metadata.uid"));
    snprintf(p->address, sizeof p->address, "%s", address);
    if (snprintf(p->dir, sizeof p->dir, "%s/pods/%s", o->state_dir, p->uid) >= (int)sizeof p->dir ||
        snprintf(p->log, sizeof p->log, "%s/logs/%s_%s.log", o->state_dir, p->ns, p->name) >= (int)sizeof p->log) {
        pt_local_pod_destroy(p);
        return pt_fail(err, PT_ELIMIT, "pod: the state folder's path is too long");
    }
    pt_timer_start(sched_of(p), &p->timer, 0, start_process);
    *out = p;
    return PT_OK;
}

void pt_local_pod_update(struct pt_local_pod *p, cJSON *object)
{
    cJSON_Delete(p->object);
    p->object = object;
    if (pt_obj_get(object, "metadata.deletionTimestamp"))
        pt_local_pod_stop(p, pt_obj_int(object, "metadata.deletionGracePeriodSeconds", 30) * 1000);
    else
        pt_local_pod_write_status(p);
}

void pt_local_pod_destroy(struct pt_local_pod *p)
{
    if (!p)
        return;
    struct pt_sched *s = sched_of(p);
    if (p->process) {
        pt_process_signal(p->process, SIGKILL);
        pt_process_release(p->process);
    }
    stop_probe(&p->readiness);
    stop_probe(&p->liveness);
    pt_timer_stop(s, &p->timer);
    if (*p->token)
        pt_memapi_remove_token(p->o->memapi, p->token);
    pt_local_pod_remove_dir(p->dir);
    cJSON_Delete(p->object);
    pt_free(p->said);
    pt_free(p->written);
    pt_free(p);
}

bool pt_local_pod_is_endpoint(const struct pt_local_pod *p)
{
    return p->pod_ready && p->process && !pt_obj_get(p->object, "metadata.deletionTimestamp");
}
