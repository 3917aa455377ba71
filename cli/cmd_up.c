/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_up.c: pintle up -f FILE: runs ModelDeployments here, without a cluster, until it is interrupted.
 */
#include "cli/commands.h"
#include "cli/manifests.h"
#include "cli/printer.h"

#include "base/log.h"
#include "base/mem.h"
#include "operator/local/up.h"

#include <stdio.h>

static const char help[] =
    "usage: pintle up [-f FILE] [--socket PATH] [--kubeconfig FILE] [--api-port N] [--status-port N] [--state-dir DIR]\n"
    "                 [--sidecar FILE] [--log-level LEVEL]\n"
    "\n"
    "Runs the operator without a cluster: pods are local processes on addresses 127.77.x.y, a Service answers on 127.0.0.1 at its own port. The "
    "same\n"
    "files work with kubectl apply. Stops everything on Ctrl-C. Meanwhile `pintle get|describe|scale|apply|delete|logs` talk to it, and so does\n"
    "kubectl with the kubeconfig that it writes: HTTPS on 127.0.0.1, with a token of this run.\n"
    "\n"
    "  -f, --filename FILE   objects to start with (YAML or JSON, - for standard input)\n"
    "  -n, --namespace NS    of objects that do not say (default \"default\")\n"
    "      --socket PATH     where it listens for those commands (default PINTLE_SOCKET, then $XDG_RUNTIME_DIR/pintle/api.sock)\n"
    "      --kubeconfig FILE where to write the kubeconfig (default: beside the socket, .kubeconfig instead of .sock; removed at the end)\n"
    "      --api-port N      of the API for kubectl on 127.0.0.1 (default: any free one)\n"
    "      --status-port N   of the status page on 127.0.0.1 (default: any free one)\n"
    "      --state-dir DIR   volumes and logs of pods (default: a temporary folder, removed at the end)\n"
    "      --sidecar FILE    the program that pods run (default: pintle-sidecar beside this one)\n"
    "      --log-level L     debug, info, warn (default), error or off\n";

enum { MAX_OBJECTS = 256 };

struct objects {
    struct pt_str list[MAX_OBJECTS];
    size_t count;
};

static int keep_object(void *arg, const struct pt_cli_object *o, struct pt_err *err)
{
    struct objects *all = arg;
    cJSON *metadata = cJSON_GetObjectItemCaseSensitive(o->json, "metadata");
    if (!cJSON_HasObjectItem(metadata, "namespace"))
        cJSON_AddStringToObject(metadata, "namespace", o->ns);
    char *printed = cJSON_PrintUnformatted(o->json), *text = printed ? pt_strdup(printed) : NULL;
    cJSON_free(printed);
    if (!text)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    if (all->count == MAX_OBJECTS) {
        pt_free(text);
        return pt_fail(err, PT_ELIMIT, "more than %d objects", MAX_OBJECTS);
    }
    all->list[all->count++] = pt_str(text);
    return PT_OK;
}

static void on_up(void *arg, const char *socket_path, const char *kubeconfig, int status_port)
{
    (void)arg;
    printf("pintle up: listening on %s\nkubectl:   export KUBECONFIG=%s\nstatus:    http://127.0.0.1:%d\n", socket_path, kubeconfig, status_port);
    fflush(stdout);
}

/* One line when a ModelDeployment becomes ready, stops being so, or fails. */
static void on_status(void *arg, const char *ns, const char *name, struct pt_str text, int http_port, int grpc_port)
{
    static struct {
        char key[330], line[600];
    } last[64];
    char key[330], line[600];
    const cJSON *c;
    cJSON *object = cJSON_ParseWithLength(text.p, text.len);
    (void)arg;
    snprintf(key, sizeof key, "%s/%s", ns, name);
    *line = 0;
    cJSON_ArrayForEach(c, pt_obj_get(object, "status.conditions"))
    {
        bool ready = strcmp(pt_obj_text(c, "type"), "Ready") == 0, yes = strcmp(pt_obj_text(c, "status"), "True") == 0;
        if (ready && yes)
            snprintf(line, sizeof line, "ready, %d of %d replicas, http://127.0.0.1:%d, grpc://127.0.0.1:%d",
                     (int)pt_obj_int(object, "status.readyReplicas", 0), (int)pt_obj_int(object, "spec.replicas", 0), http_port, grpc_port);
        else if (ready)
            snprintf(line, sizeof line, "not ready (%s): %.400s", pt_obj_text(c, "reason"), pt_obj_text(c, "message"));
    }
    cJSON_Delete(object);
    size_t i = 0;
    while (i + 1 < sizeof last / sizeof *last && *last[i].key && strcmp(last[i].key, key) != 0)
        i++;
    if (!*line || (strcmp(last[i].key, key) == 0 && strcmp(last[i].line, line) == 0))
        return;
    snprintf(last[i].key, sizeof last[i].key, "%s", key);
    snprintf(last[i].line, sizeof last[i].line, "%s", line);
    printf("%s: %s\n", key, line);
    fflush(stdout);
}

struct up_texts {
    const char *level, *api_port, *status_port;
};

/* Takes the options that only `up` has out of argv. */
static int take_options(int *argc, char **argv, struct pt_up_options *up, struct up_texts *t, struct pt_err *err)
{
    const struct {
        const char *name, **value;
    } rows[] = {{"--state-dir", &up->state_dir},   {"--sidecar", &up->sidecar},  {"--log-level", &t->level},
                {"--kubeconfig", &up->kubeconfig}, {"--api-port", &t->api_port}, {"--status-port", &t->status_port}};
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        size_t r = 0, len = 0;
        for (; r < sizeof rows / sizeof *rows; r++) {
            len = strlen(rows[r].name);
            if (strncmp(argv[i], rows[r].name, len) == 0 && (!argv[i][len] || argv[i][len] == '='))
                break;
        }
        if (r == sizeof rows / sizeof *rows) {
            argv[kept++] = argv[i];
        } else if (argv[i][len]) {
            *rows[r].value = argv[i] + len + 1;
        } else if (i + 1 < *argc) {
            *rows[r].value = argv[++i];
        } else {
            return pt_fail(err, PT_EINVAL, "%s needs a value", rows[r].name);
        }
    }
    *argc = kept;
    return PT_OK;
}

static int read_port(const char *name, const char *text, int *out, struct pt_err *err)
{
    int64_t n = 0;
    int rc = pt_parse_i64(pt_str(text), 0, 65535, name, &n, err);
    *out = (int)n;
    return rc;
}

int pt_cmd_up(int argc, char **argv)
{
    static struct objects objects;
    struct pt_up_options up = {.on_up = on_up, .on_status = on_status};
    struct pt_cli_options o;
    struct pt_err err;
    struct up_texts t = {"warn", "0", "0"};
    int rc = take_options(&argc, argv, &up, &t, &err);
    if (rc == PT_OK)
        rc = read_port("--api-port", t.api_port, &up.api_port, &err);
    if (rc == PT_OK)
        rc = read_port("--status-port", t.status_port, &up.status_port, &err);
    if (rc == PT_OK)
        rc = pt_cli_parse(argc, argv, "f", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK && o.arg_count)
        rc = pt_fail(&err, PT_EINVAL, "unexpected argument \"%s\" (files are given with -f)", o.args[0]);
    if (rc == PT_OK && pt_log_level_parse(t.level) < 0)
        rc = pt_fail(&err, PT_EINVAL, "--log-level %s: debug, info, warn, error or off", t.level);
    if (rc == PT_OK && o.filename)
        rc = pt_cli_manifests(o.filename, o.ns, keep_object, &objects, &err);
    if (rc < 0)
        return pt_cli_exit(&err);
    pt_log_setup("pintle up", (enum pt_log_level)pt_log_level_parse(t.level), PT_LOG_AUTO);
    up.socket_path = o.socket_path;
    up.objects = objects.list;
    up.object_count = objects.count;
    rc = pt_up_run(&up, &err);
    for (size_t i = 0; i < objects.count; i++)
        pt_free((char *)(uintptr_t)objects.list[i].p);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
