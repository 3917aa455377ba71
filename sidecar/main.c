/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: pintle-sidecar, the server of one model in a pod. Options only say where the configuration is and how to log.
 */
#include "base/contract.h"
#include "base/log.h"
#include "sidecar/server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: pintle-sidecar [--config FILE] [--check] [--log-level LEVEL] [--log-format FORMAT]\n"
                            "\n"
                            "Serves the model that the configuration names until SIGTERM. Variables PINTLE_SECTION_KEY override its members.\n"
                            "\n"
                            "      --config FILE        YAML or JSON (default " PT_PATH_CONFIG ")\n"
                            "      --check              read the configuration, say what is wrong with it, and exit\n"
                            "      --log-level LEVEL    debug, info (default), warn, error or off\n"
                            "      --log-format FORMAT  text, json, or auto (default): text on a terminal\n"
                            "      --version            print the version and exit\n";

static int fail(const struct pt_err *err, int status)
{
    fprintf(stderr, "error: %s\n", err->msg);
    return status;
}

static int log_format(const char *s)
{
    return strcmp(s, "auto") == 0 ? PT_LOG_AUTO : strcmp(s, "text") == 0 ? PT_LOG_TEXT : strcmp(s, "json") == 0 ? PT_LOG_JSON : -1;
}

int main(int argc, char **argv)
{
    enum { CONFIG = 256, CHECK, LEVEL, FORMAT, VERSION, HELP };
    static const struct option options[] = {{"config", required_argument, NULL, CONFIG},    {"check", no_argument, NULL, CHECK},
                                            {"log-level", required_argument, NULL, LEVEL}, {"log-format", required_argument, NULL, FORMAT},
                                            {"version", no_argument, NULL, VERSION},       {"help", no_argument, NULL, HELP},
                                            {NULL, 0, NULL, 0}};
    const char *path = PT_PATH_CONFIG;
    bool check = false;
    int level = PT_LOG_INFO, format = PT_LOG_AUTO;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == CONFIG)
            path = optarg;
        else if (c == CHECK)
            check = true;
        else if (c == LEVEL)
            level = pt_log_level_parse(optarg);
        else if (c == FORMAT)
            format = log_format(optarg);
        else if (c == VERSION) {
            puts("pintle-sidecar " PT_VERSION);
            return 0;
        } else {
            fputs(usage, c == HELP || c == 'h' ? stdout : stderr);
            return c == HELP || c == 'h' ? 0 : 2;
        }
    }
    if (optind < argc || level < 0 || format < 0) {
        fputs(usage, stderr);
        return 2;
    }
    pt_log_setup("pintle-sidecar", (enum pt_log_level)level, (enum pt_log_format)format);
    struct pt_err err;
    struct pt_config config;
    if (pt_config_load(&config, path, environ, &err) < 0)
        return fail(&err, 2);
    struct pt_sidecar_options o = {.config = &config, .cache_dir = PT_PATH_CACHE};
    int rc = check ? PT_OK : pt_sidecar_run(&o, &err);
    if (rc == PT_ECANCELED)
        _exit(fail(&err, 1));
    pt_config_finish(&config);
    return rc < 0 ? fail(&err, 1) : 0;
}
