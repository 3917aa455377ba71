/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_serve.c: pintle serve MODEL: the server of a pod, started by hand. Each option is a member of the sidecar's configuration.
 */
#include "cli/commands.h"

#include "base/buf.h"
#include "base/contract.h"
#include "base/log.h"
#include "base/mem.h"
#include "sidecar/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help[] =
    "usage: pintle serve MODEL.onnx|URL [--name N] [--port 8080] [--grpc-port N] [--metrics-port 8082] [OPTION...]\n"
    "\n"
    "Serves one model over HTTP (Open Inference Protocol) until SIGTERM or Ctrl-C. URL: https://..., http://... or file:///...\n"
    "\n"
    "      --name NAME            name of the model in URLs (default: the file's, without its ending)\n"
    "      --model-version V      its version (default 1)\n"
    "      --digest sha256:HEX    serve it only if it has this digest\n"
    "      --port N               predictions (default 8080; 0: any free port)\n"
    "      --grpc-port N          a second port for the same protocols; the first takes gRPC too (default none)\n"
    "      --metrics-port N       /metrics for Prometheus (default 8082; 0: any free port)\n"
    "      --threads N            CPUs to use (default 0: the limit of this process)\n"
    "      --concurrency N        requests in flight (default 8)\n"
    "      --queue N              requests that wait beyond those before new ones get 429 (default 256)\n"
    "      --timeout-ms MS        longest time of a request, waiting included (default 60000)\n"
    "      --drain-timeout-ms MS  longest time from SIGTERM to the end (default 30000)\n"
    "      --cache DIR            where downloaded models are kept (default $XDG_CACHE_HOME/pintle or ~/.cache/pintle)\n";

/* The options that are members of the configuration; getopt's value is FIRST + the row. */
static const struct {
    const char *option, *section, *key;
} rows[] = {
    {"name", PT_CONFIG_MODEL, "name"},
    {"model-version", PT_CONFIG_MODEL, "version"},
    {"digest", PT_CONFIG_MODEL, "digest"},
    {"port", PT_CONFIG_SERVING, "port"},
    {"grpc-port", PT_CONFIG_SERVING, "grpcPort"},
    {"metrics-port", PT_CONFIG_SERVING, "metricsPort"},
    {"threads", PT_CONFIG_RUNTIME, "threads"},
    {"concurrency", PT_CONFIG_RUNTIME, "concurrency"},
    {"queue", PT_CONFIG_RUNTIME, "queue"},
    {"timeout-ms", PT_CONFIG_SERVING, "timeoutMs"},
    {"drain-timeout-ms", PT_CONFIG_DRAIN, "timeoutMs"},
};
enum { ROWS = sizeof rows / sizeof *rows, FIRST = 256, CACHE = FIRST + ROWS };

struct arguments {
    const char *model, *cache;
    bool help;
};

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct arguments *a, struct pt_config *c)
{
    struct option options[ROWS + 3] = {{"cache", required_argument, NULL, CACHE}, {"help", no_argument, NULL, 'h'}};
    struct pt_err err;
    for (int i = 0; i < ROWS; i++)
        options[2 + i] = (struct option){rows[i].option, required_argument, NULL, FIRST + i};
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        if (o == '?' || o == ':')
            return pt_cmd_bad_option(argv, o);
        if (o == 'h')
            a->help = true;
        else if (o == CACHE)
            a->cache = optarg;
        else if (pt_config_set(c, rows[o - FIRST].section, rows[o - FIRST].key, optarg, &err) < 0)
            return pt_cmd_usage(argv[0], "--%s: %s", rows[o - FIRST].option, err.msg);
    }
    if (!a->help && argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    a->model = argv[optind];
    return 0;
}

/* "models/digits.onnx" -> model.uri file:///.../models/digits.onnx; the name "digits", unless one was given. */
static int set_model(struct pt_config *c, const char *model, struct pt_err *err)
{
    pt_auto_buf uri = PT_BUF_INIT(8192);
    char *real = NULL;
    if (strstr(model, "://")) {
        pt_buf_puts(&uri, model);
    } else {
        real = realpath(model, NULL);
        if (!real)
            return pt_fail(err, errno == ENOENT ? PT_ENOTFOUND : PT_EIO, "%s: %s", model, strerror(errno));
        pt_buf_printf(&uri, "file://%s", real);
        free(real);
    }
    int rc = pt_config_set(c, PT_CONFIG_MODEL, "uri", pt_buf_cstr(&uri), err);
    if (rc < 0 || c->model.name)
        return rc;
    size_t len = strstr(model, "://") ? strcspn(model, "?#") : strlen(model);
    const char *base = memrchr(model, '/', len), *end = model + len;
    base = base ? base + 1 : model;
    const char *dot = memrchr(base, '.', (size_t)(end - base));
    char *name = pt_strndup(base, (size_t)((dot && dot > base ? dot : end) - base));
    rc = name ? pt_config_set(c, PT_CONFIG_MODEL, "name", name, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    pt_free(name);
    return rc < 0 ? pt_wrap(err, "model name") : PT_OK;
}

static char *default_cache(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache)
        return pt_asprintf("%s/pintle", cache);
    return home && *home ? pt_asprintf("%s/.cache/pintle", home) : pt_strdup(PT_PATH_CACHE);
}

static int serve(const struct arguments *a, struct pt_config *c)
{
    struct pt_err err;
    pt_auto_free char *cache = a->cache ? pt_strdup(a->cache) : default_cache();
    int rc = cache ? set_model(c, a->model, &err) : pt_fail(&err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = pt_config_check(c, "serve", &err);
    if (rc < 0)
        return pt_cmd_fail(&err);
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
    if (pt_config_init(&c, &err) < 0)
        return pt_cmd_fail(&err);
    int status = parse(argc, argv, &a, &c);
    if (status == 0 && a.help) {
        fputs(help, stdout);
        status = pt_cmd_finish();
    } else if (status == 0)
        status = serve(&a, &c);
    pt_config_finish(&c);
    return status;
}
