/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_serve.c: pintle serve MODEL: the server of a pod, started by hand. Each option is a member of the sidecar's configuration, and
 * comes after the file of --config and the environment.
 */
#include "cli/commands.h"
#include "cli/options.h"

#include "base/buf.h"
#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "sidecar/cache.h"
#include "sidecar/scan.h"
#include "sidecar/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "usage: pintle serve MODEL.onnx|URL|FOLDER [--name N] [--port 8080] [--grpc-port N] [--metrics-port 8082] [OPTION...]\n"
    "\n"
    "Serves until SIGTERM or Ctrl-C, over HTTP and gRPC: one model (a file, or https://, http://, s3://, oci:// or file:///), or all models of a\n"
    "folder (NAME/VERSION/model.onnx and, if need be, NAME/config.pbtxt; or the versions of one model: VERSION/model.onnx). Options come before\n"
    "variables PINTLE_SECTION_KEY, and those before the file of --config.\n"
    "\n"
    "      --config FILE          YAML or JSON with the same settings; then no model need be given here\n"
    "      --name NAME            name of the model in URLs (default: the file's, without its ending)\n"
    "      --model-version V      its version (default 1)\n"
    "      --digest sha256:HEX    serve it only if it has this digest\n"
    "      --warmup SHAPES        of its run before it is ready, such as x=1x256 (default: guessed, docs/configuration.md)\n"
    "      --port N               predictions (default 8080; 0: any free port)\n"
    "      --grpc-port N          a second port for the same protocols; the first takes gRPC too (default none)\n"
    "      --metrics-port N       /metrics for Prometheus (default 8082; 0: any free port)\n"
    "      --metrics-aliases L    also count under names of other servers: triton, tensorflow or both (default none)\n"
    "      --threads N            CPUs to use (default 0: the limit of this process)\n"
    "      --concurrency N        requests that are always taken, run at once as far as there are CPUs (default 0: as many as keep the CPUs busy)\n"
    "      --queue N              requests that wait beyond those before new ones get 429 (default 256)\n"
    "      --max-wait-ms MS       a request that cannot be expected to begin within this gets 429 too (default 1000; 0: any may wait)\n"
    "      --batch-size N         join requests into runs of up to N rows (default 1: each runs alone)\n"
    "      --batch-delay-us US    let a request wait so long for others to join (default 0)\n"
    "      --batch-preferred L    numbers of rows that need not wait, such as 4,8\n"
    "      --batch-sizes L        numbers of rows that a run may have: it is filled up to the next of them\n"
    "      --priority-levels N    requests have a parameter \"priority\" from 1, the highest, to N (default 0: they have none)\n"
    "      --model-control C      of a folder: poll (default), none (looked at once) or explicit (clients load and unload)\n"
    "      --load-model L         with explicit: names of models to begin with\n"
    "      --versions V           latest (default), latest:N, all, or numbers such as 1,3; unless config.pbtxt says\n"
    "      --poll-ms MS           with poll: how often the folder is looked at (default 2000)\n"
    "      --memory-budget BYTES  of a folder: models used longest ago are unloaded, and come back on demand (default 0: no limit)\n"
    "      --timeout-ms MS        longest time of a request, waiting included (default 60000)\n"
    "      --max-connection-age-ms MS  connections end politely at this age, so that new servers get their share (default 300000; 0: never)\n"
    "      --tls-cert FILE        TLS on all ports with this certificate chain (PEM), read again when it changes; with --tls-key\n"
    "      --tls-key FILE         its private key\n"
    "      --tls-client-ca FILE   and clients must show a certificate of one of these CAs\n"
    "      --auth-tokens FILE     only bearers of these tokens may use models: lines sha256:HEX [comment], read again when it changes\n"
    "      --monitoring 1         watch drift, quality and bias (docs/monitoring.md; default 0)\n"
    "      --access-log 1         a line of JSON per request (default 0: none)\n"
    "      --access-log-sample N  of those that went well one in N (default 1: all)\n"
    "      --access-log-path FILE appended to this file (default: standard output)\n"
    "      --drain-timeout-ms MS  longest time from SIGTERM to the end (default 30000)\n"
    "      --check                say what is wrong with the options, or with the configurations in the folder, and exit without serving\n"
    "      --cache DIR            where downloaded models are kept (default $XDG_CACHE_HOME/pintle or ~/.cache/pintle)\n"
    "      --cache-max-bytes N    of all models there: unused ones go, the one used longest ago first (default 0: no limit)\n"
    "      --prepared-bytes N     of weights made ready for this CPU, kept there for the next start (default 2147483648; 0: none are)\n"
    "      --idle-ms MS           a model that nobody asked for so long gives memory back (default 60000; 0: never)\n";

/* The options that are members of the configuration. */
static const struct {
    const char *option, *section, *key;
} rows[] = {
    {"name", PT_CONFIG_MODEL, "name"},
    {"model-version", PT_CONFIG_MODEL, "version"},
    {"digest", PT_CONFIG_MODEL, "digest"},
    {"warmup", PT_CONFIG_MODEL, "warmup"},
    {"port", PT_CONFIG_SERVING, "port"},
    {"grpc-port", PT_CONFIG_SERVING, "grpcPort"},
    {"metrics-port", PT_CONFIG_SERVING, "metricsPort"},
    {"threads", PT_CONFIG_RUNTIME, "threads"},
    {"concurrency", PT_CONFIG_RUNTIME, "concurrency"},
    {"queue", PT_CONFIG_RUNTIME, "queue"},
    {"max-wait-ms", PT_CONFIG_RUNTIME, "maxWaitMs"},
    {"priority-levels", PT_CONFIG_RUNTIME, "priorityLevels"},
    {"batch-size", PT_CONFIG_BATCHING, "maxSize"},
    {"batch-delay-us", PT_CONFIG_BATCHING, "maxDelayUs"},
    {"batch-preferred", PT_CONFIG_BATCHING, "preferredSizes"},
    {"batch-sizes", PT_CONFIG_BATCHING, "sizes"},
    {"model-control", PT_CONFIG_REPOSITORY, "control"},
    {"load-model", PT_CONFIG_REPOSITORY, "load"},
    {"versions", PT_CONFIG_REPOSITORY, "versions"},
    {"poll-ms", PT_CONFIG_REPOSITORY, "pollMs"},
    {"memory-budget", PT_CONFIG_REPOSITORY, "memoryBytes"},
    {"timeout-ms", PT_CONFIG_SERVING, "timeoutMs"},
    {"max-connection-age-ms", PT_CONFIG_SERVING, "maxConnectionAgeMs"},
    {"tls-cert", PT_CONFIG_SERVING_TLS, "certFile"},
    {"tls-key", PT_CONFIG_SERVING_TLS, "keyFile"},
    {"tls-client-ca", PT_CONFIG_SERVING_TLS, "clientCaFile"},
    {"metrics-aliases", PT_CONFIG_METRICS, "aliases"},
    {"monitoring", PT_CONFIG_MONITORING, "enabled"},
    {"access-log", PT_CONFIG_ACCESS_LOG, "enabled"},
    {"access-log-sample", PT_CONFIG_ACCESS_LOG, "sample"},
    {"access-log-path", PT_CONFIG_ACCESS_LOG, "path"},
    {"auth-tokens", PT_CONFIG_SERVING_AUTH, "tokenFile"},
    {"cache", PT_CONFIG_CACHE, "path"},
    {"cache-max-bytes", PT_CONFIG_CACHE, "maxBytes"},
    {"prepared-bytes", PT_CONFIG_CACHE, "preparedBytes"},
    {"idle-ms", PT_CONFIG_RUNTIME, "idleMs"},
    {"drain-timeout-ms", PT_CONFIG_DRAIN, "timeoutMs"},
};
enum { ROWS = sizeof rows / sizeof *rows };

struct arguments {
    const char *model, *config;
    const char *values[ROWS]; /* of options that were given */
    bool help, check;
};

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct arguments *a)
{
    struct pt_cmd_option options[ROWS + 3] = {{"help", PT_CMD_FLAG, offsetof(struct arguments, help), .help = NULL},
                                              {"check", PT_CMD_FLAG, offsetof(struct arguments, check), .help = NULL},
                                              {"config", PT_CMD_TEXT, offsetof(struct arguments, config), .help = NULL}};
    for (size_t i = 0; i < ROWS; i++)
        options[3 + i] =
            (struct pt_cmd_option){rows[i].option, PT_CMD_TEXT, offsetof(struct arguments, values) + i * sizeof *a->values, .help = NULL};
    int status = pt_cmd_options(argc, argv, options, ROWS + 3, a);
    if (status)
        return status;
    if (!a->help && argc - optind > 1)
        return pt_cmd_usage(argv[0], "one model is needed, not also \"%s\"", argv[argc - 1]);
    a->model = argv[optind];
    return 0;
}

/* File < environment < options. 0, or the exit status. */
static int configure(const char *command, const struct arguments *a, struct pt_config *c)
{
    struct pt_err err;
    if ((a->config && pt_config_read(c, a->config, &err) < 0) || pt_config_env(c, environ, &err) < 0)
        return pt_cmd_fail(&err);
    for (int i = 0; i < ROWS; i++)
        if (a->values[i] && pt_config_set(c, rows[i].section, rows[i].key, a->values[i], &err) < 0)
            return pt_cmd_usage(command, "--%s: %s", rows[i].option, err.msg);
    return a->model || c->model.uri || c->repository.path ? 0 : pt_cmd_usage(command, "a model is needed");
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* "models/digits.onnx" -> model.uri file:///.../models/digits.onnx, or repository.path of a folder, instead of what file and environment say. */
static int set_place(struct pt_config *c, const char *model, struct pt_err *err)
{
    pt_auto_buf uri = PT_BUF_INIT(8192);
    bool folder = is_folder(model);
    if (strstr(model, "://")) {
        pt_buf_puts(&uri, model);
    } else {
        char *real = realpath(model, NULL);
        if (!real)
            return pt_fail(err, errno == ENOENT ? PT_ENOTFOUND : PT_EIO, "%s: %s", model, strerror(errno));
        pt_buf_printf(&uri, "%s%s", folder ? "" : "file://", real);
        free(real);
    }
    pt_free(folder ? c->model.uri : c->repository.path);
    *(folder ? &c->model.uri : &c->repository.path) = NULL;
    return folder ? pt_config_set(c, PT_CONFIG_REPOSITORY, "path", pt_buf_cstr(&uri), err)
                  : pt_config_set(c, PT_CONFIG_MODEL, "uri", pt_buf_cstr(&uri), err);
}

/* Where the model is, and the name "digits" for ".../digits.onnx" unless one was given. */
static int set_model(struct pt_config *c, const char *model, struct pt_err *err)
{
    int rc = model ? set_place(c, model, err) : PT_OK;
    if (rc < 0 || c->repository.path || c->model.name)
        return rc;
    size_t len = strcspn(c->model.uri, model && !strstr(model, "://") ? "" : "?#");
    const char *base = memrchr(c->model.uri, '/', len), *end = c->model.uri + len;
    base = base ? base + 1 : c->model.uri;
    const char *dot = memrchr(base, '.', (size_t)(end - base));
    char *name = pt_strndup(base, (size_t)((dot && dot > base ? dot : end) - base));
    rc = name ? pt_config_set(c, PT_CONFIG_MODEL, "name", name, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    pt_free(name);
    return rc < 0 ? pt_wrap(err, "model name") : PT_OK;
}

/* Every model of the folder whose configuration cannot be used, or that has no version; 0, or the exit status of the last. */
static int check_folder(const struct pt_config *c)
{
    struct pt_model_config defaults;
    struct pt_scan scan = {0};
    struct pt_err err;
    int status = 0;
    pt_model_config_init(&defaults);
    if ((c->repository.versions && pt_model_config_policy(&defaults, c->repository.versions, &err) < 0) ||
        pt_scan_run(c->repository.path, c->model.name ? c->model.name : "model", &defaults, &scan, &err) < 0)
        return pt_cmd_fail(&err);
    if (scan.count == 0) {
        pt_fail(&err, PT_ENOTFOUND, "%s: no model in it (NAME/VERSION/model.onnx)", c->repository.path);
        status = pt_cmd_fail(&err);
    }
    for (const struct pt_scan_model *m = scan.models; m < scan.models + scan.count; m++) {
        err = m->err;
        if (!err.code && m->version_count == 0)
            pt_fail(&err, PT_ENOTFOUND, "model \"%s\": no VERSION/%s in its folder", m->name, m->config.file);
        if (err.code)
            status = pt_cmd_fail(&err);
    }
    pt_scan_finish(&scan);
    return status;
}

static int serve(const struct arguments *a, struct pt_config *c)
{
    struct pt_err err;
    pt_auto_free char *cache = pt_default_cache();
    int rc = cache ? set_model(c, a->model, &err) : pt_fail(&err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = pt_config_check(c, "serve", &err);
    if (rc < 0)
        return pt_cmd_fail(&err);
    if (a->check)
        return c->repository.path ? check_folder(c) : 0;
    pt_log_setup("pintle", PT_LOG_INFO, PT_LOG_AUTO);
    struct pt_sidecar_options o = {.config = c, .cache_dir = cache, .fail_fast = true};
    rc = pt_sidecar_run(&o, &err);
    if (rc == PT_ECANCELED)
        _exit(pt_cmd_fail(&err));
    return rc < 0 ? pt_cmd_fail(&err) : 0;
}

int pt_cmd_serve(int argc, char **argv)
{
    struct arguments a = {0};
    struct pt_config c;
    struct pt_err err;
    int status = parse(argc, argv, &a);
    if (status)
        return status;
    if (a.help) {
        fputs(help, stdout);
        return pt_cmd_finish();
    }
    if (pt_config_init(&c, &err) < 0)
        return pt_cmd_fail(&err);
    status = configure(argv[0], &a, &c);
    if (status == 0)
        status = serve(&a, &c);
    pt_config_finish(&c);
    return status;
}
