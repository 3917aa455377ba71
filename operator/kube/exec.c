/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c: see exec.h. The run is over when the program has exited and its output has ended, or when time is up.
 */
#include "operator/kube/exec.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_OUTPUT = 1 << 20, TIMEOUT_MS = 60000 };

extern char **environ;

struct pt_exec_run {
    struct pt_loop *loop;
    const struct pt_kube_config *config;
    struct pt_process *process;
    struct pt_poll *poll;
    struct pt_timer timer;
    int fd, status, term_signal;
    bool exited;
    struct pt_buf out;
    void (*done)(void *arg, struct pt_credential *c, const struct pt_err *err);
    void *arg;
};

void pt_credential_finish(struct pt_credential *c)
{
    pt_free(c->token);
    pt_free(c->cert_pem);
    pt_free(c->key_pem);
    *c = (struct pt_credential){0};
}

static int copy_member(const cJSON *status, const char *name, char **out, struct pt_err *err)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(status, name);
    if (!v || cJSON_IsNull(v) || (cJSON_IsString(v) && !*v->valuestring))
        return PT_OK;
    if (!cJSON_IsString(v))
        return pt_fail(err, PT_EINVAL, "status.%s must be text", name);
    *out = pt_strdup(v->valuestring);
    return *out ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory");
}

static int read_status(const cJSON *o, const char *api_version, struct pt_credential *out, struct pt_err *err)
{
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(o, "apiVersion"), *kind = cJSON_GetObjectItemCaseSensitive(o, "kind"),
                *status = cJSON_GetObjectItemCaseSensitive(o, "status"), *expires = cJSON_GetObjectItemCaseSensitive(status, "expirationTimestamp");
    if (!cJSON_IsString(kind) || strcmp(kind->valuestring, "ExecCredential") != 0 || !cJSON_IsString(version) || strcmp(version->valuestring, api_version) != 0)
        return pt_fail(err, PT_EINVAL, "it printed no ExecCredential of %s", api_version);
    if (copy_member(status, "token", &out->token, err) < 0 || copy_member(status, "clientCertificateData", &out->cert_pem, err) < 0 ||
        copy_member(status, "clientKeyData", &out->key_pem, err) < 0)
        return err ? err->code : PT_EINVAL;
    if (!out->cert_pem != !out->key_pem)
        return pt_fail(err, PT_EINVAL, "status.clientCertificateData and clientKeyData must be given together");
    if (!out->token && !out->cert_pem)
        return pt_fail(err, PT_EINVAL, "status has neither a token nor a client certificate");
    if (expires && !cJSON_IsNull(expires) && (!cJSON_IsString(expires) || pt_parse_time(pt_str(expires->valuestring), &out->expires_ms, NULL) < 0))
        return pt_fail(err, PT_EINVAL, "status.expirationTimestamp is not a time");
    return PT_OK;
}

int pt_credential_decode(struct pt_str text, const char *api_version, struct pt_credential *out, struct pt_err *err)
{
    *out = (struct pt_credential){0};
    cJSON *o = cJSON_ParseWithLength(text.p ? text.p : "", text.len);
    int rc = o ? read_status(o, api_version, out, err) : pt_fail(err, PT_EPARSE, "it did not print JSON");
    cJSON_Delete(o);
    if (rc < 0)
        pt_credential_finish(out);
    return rc;
}

static void put_text(struct pt_buf *b, const char *name, const char *value)
{
    if (!value)
        return;
    pt_buf_printf(b, ",\"%s\":", name);
    pt_buf_json_string(b, pt_str(value));
}

int pt_kube_exec_info(const struct pt_kube_config *c, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_puts(out, "{\"apiVersion\":");
    pt_buf_json_string(out, pt_str(c->exec->api_version));
    pt_buf_puts(out, ",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false");
    if (c->exec->cluster_info) {
        pt_buf_puts(out, ",\"cluster\":{\"server\":");
        pt_buf_json_string(out, pt_str(c->server));
        put_text(out, "tls-server-name", c->tls_server_name);
        put_text(out, "proxy-url", c->proxy_url);
        if (c->insecure)
            pt_buf_puts(out, ",\"insecure-skip-tls-verify\":true");
        if (c->ca_pem) {
            size_t n = strlen(c->ca_pem);
            pt_auto_free char *base64 = pt_malloc((n + 2) / 3 * 4 + 1);
            if (!base64)
                return pt_fail(err, PT_ENOMEM, "out of memory");
            pt_base64_encode(c->ca_pem, n, base64);
            put_text(out, "certificate-authority-data", base64);
        }
        pt_buf_putc(out, '}');
    }
    pt_buf_puts(out, "}}");
    return pt_buf_check(out, "KUBERNETES_EXEC_INFO", err);
}

/* --- running it ------------------------------------------------------------------------------------------------------------ */

static char *find_program(const char *command)
{
    if (strchr(command, '/'))
        return access(command, X_OK) == 0 ? pt_strdup(command) : NULL;
    struct pt_str rest = pt_str(getenv("PATH")), dir;
    while (rest.len && pt_str_split(&rest, ':', &dir)) {
        char *path = dir.len ? pt_asprintf(PT_STR_FMT "/%s", PT_STR_ARG(dir), command) : NULL;
        if (path && access(path, X_OK) == 0)
            return path;
        pt_free(path);
    }
    return NULL;
}

static bool is_set(char *const *env, const char *entry)
{
    size_t n = strcspn(entry, "=") + 1;
    for (; *env; env++)
        if (!strncmp(*env, entry, n))
            return true;
    return false;
}

/* Ours, but for what the plugin's own list says. The strings are borrowed. */
static const char **make_env(const struct pt_kube_exec *x, const char *info)
{
    size_t n = 0, room = 2;
    for (char **e = environ; *e; e++)
        room++;
    for (char **e = x->env; *e; e++)
        room++;
    const char **env = pt_calloc(room, sizeof *env);
    if (!env)
        return NULL;
    for (char **e = environ; *e; e++)
        if (!is_set(x->env, *e) && strncmp(*e, "KUBERNETES_EXEC_INFO=", 21) != 0)
            env[n++] = *e;
    for (char **e = x->env; *e; e++)
        env[n++] = *e;
    env[n] = info;
    return env;
}

void pt_kube_exec_cancel(struct pt_exec_run *r)
{
    if (!r)
        return;
    pt_timer_stop(pt_loop_sched(r->loop), &r->timer);
    if (r->process) {
        if (!r->exited)
            (void)pt_process_signal(r->process, SIGKILL);
        pt_process_release(r->process);
    }
    pt_poll_destroy(r->poll);
    if (r->fd >= 0)
        close(r->fd);
    pt_buf_finish(&r->out);
    pt_free(r);
}

static void finish(struct pt_exec_run *r, struct pt_err *failure)
{
    const struct pt_kube_exec *x = r->config->exec;
    struct pt_credential c = {0};
    struct pt_err err = {0};
    int rc = PT_OK;
    if (failure)
        rc = pt_fail(&err, failure->code, "%s", failure->msg);
    else if (r->term_signal || r->status)
        rc = pt_fail(&err, PT_EUNAUTHENTICATED, "it ended with %s %d", r->term_signal ? "signal" : "exit code", r->term_signal ? r->term_signal : r->status);
    else
        rc = pt_credential_decode((struct pt_str){r->out.data, r->out.len}, x->api_version, &c, &err);
    if (rc < 0)
        pt_wrap(&err, "credential plugin %s", x->command);
    void (*done)(void *, struct pt_credential *, const struct pt_err *) = r->done;
    void *arg = r->arg;
    pt_kube_exec_cancel(r);
    done(arg, rc < 0 ? NULL : &c, rc < 0 ? &err : NULL);
    pt_credential_finish(&c);
}

static void time_is_up(struct pt_timer *t)
{
    struct pt_exec_run *r = (struct pt_exec_run *)(void *)((char *)t - offsetof(struct pt_exec_run, timer));
    struct pt_err err;
    pt_fail(&err, PT_ETIMEDOUT, "it did not end within %d s", TIMEOUT_MS / 1000);
    finish(r, &err);
}

static void on_exit_of_plugin(void *arg, int status, int term_signal)
{
    struct pt_exec_run *r = arg;
    r->exited = true;
    r->status = status;
    r->term_signal = term_signal;
    if (!r->poll)
        finish(r, NULL);
}

static void on_output(void *arg, int events)
{
    struct pt_exec_run *r = arg;
    struct pt_err err;
    (void)events;
    for (;;) {
        char *p = pt_buf_reserve(&r->out, 4096);
        ssize_t n = p ? read(r->fd, p, 4096) : -1;
        if (!p) {
            pt_fail(&err, PT_ELIMIT, "it printed more than %d bytes", MAX_OUTPUT);
            finish(r, &err);
            return;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            break;
        r->out.len += (size_t)n;
    }
    pt_poll_destroy(pt_steal(r->poll));
    if (r->exited)
        finish(r, NULL);
}

static int spawn(struct pt_exec_run *r, struct pt_err *err)
{
    const struct pt_kube_exec *x = r->config->exec;
    int pipe_fds[2];
    size_t argc = 0;
    pt_auto_buf info = PT_BUF_INIT(0);
    pt_auto_free char *program = find_program(x->command);
    if (!program)
        return pt_fail(err, PT_ENOTFOUND, "credential plugin %s: not found, or not executable%s%s", x->command, *x->install_hint ? ": " : "", x->install_hint);
    while (x->args[argc])
        argc++;
    pt_auto_free const char **argv = pt_calloc(argc + 2, sizeof *argv);
    pt_buf_puts(&info, "KUBERNETES_EXEC_INFO=");
    if (!argv || pt_kube_exec_info(r->config, &info, err) < 0)
        return pt_fail(err, PT_ENOMEM, "credential plugin: out of memory");
    pt_auto_free const char **env = make_env(x, pt_buf_cstr(&info));
    if (!env)
        return pt_fail(err, PT_ENOMEM, "credential plugin: out of memory");
    argv[0] = x->command;
    for (size_t i = 0; i < argc; i++)
        argv[i + 1] = x->args[i];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return pt_fail(err, pt_err_from_errno(errno), "credential plugin: pipe: %s", strerror(errno));
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    r->fd = pipe_fds[0];
    struct pt_process_options o = {.file = program, .argv = argv, .env = env, .stdout_fd = pipe_fds[1], .stderr_fd = STDERR_FILENO, .die_with_parent = true};
    int rc = pt_process_spawn(r->loop, &o, on_exit_of_plugin, r, &r->process, err);
    close(pipe_fds[1]);
    if (rc == PT_OK)
        rc = pt_poll_create(r->loop, r->fd, on_output, r, &r->poll, err);
    if (rc == PT_OK)
        rc = pt_poll_set(r->poll, PT_READABLE);
    return rc;
}

int pt_kube_exec_start(struct pt_loop *loop, const struct pt_kube_config *config, void (*done)(void *arg, struct pt_credential *c, const struct pt_err *err),
                       void *arg, struct pt_exec_run **out, struct pt_err *err)
{
    struct pt_exec_run *r = pt_calloc(1, sizeof *r);
    if (!r)
        return pt_fail(err, PT_ENOMEM, "credential plugin: out of memory");
    *r = (struct pt_exec_run){.loop = loop, .config = config, .fd = -1, .out = PT_BUF_INIT(MAX_OUTPUT), .done = done, .arg = arg};
    int rc = spawn(r, err);
    if (rc < 0) {
        pt_kube_exec_cancel(r);
        return rc;
    }
    pt_timer_start(pt_loop_sched(loop), &r->timer, TIMEOUT_MS, time_is_up);
    *out = r;
    return PT_OK;
}
