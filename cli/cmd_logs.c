/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_logs.c: pintle logs POD | mdep/NAME: what a pod wrote.
 */
#include "cli/commands.h"
#include "cli/printer.h"

#include <stdio.h>

static const char help[] = "usage: pintle logs POD | mdep/NAME [-f] [--tail N] [-n NAMESPACE] [--socket PATH | --kubeconfig FILE]\n"
                           "\n"
                           "Prints the log of a pod of a running `pintle up`; of the first pod when a ModelDeployment is named.\n"
                           "\n"
                           "  -f, --follow   go on as it is written\n"
                           "      --tail N   only the last N lines\n";

static int write_out(void *arg, const void *p, size_t len)
{
    (void)arg;
    return fwrite(p, 1, len, stdout) == len && fflush(stdout) == 0 ? 0 : -1;
}

/* The name of the pod that the arguments mean. */
static int find_pod(const struct pt_cli_options *o, char *out, size_t size, struct pt_err *err)
{
    const struct pt_cli_kind *k, *pods = pt_cli_kind_find("pods");
    const char *names[16];
    size_t count;
    cJSON *list;
    if (o->arg_count != 1)
        return pt_fail(err, PT_EINVAL, "one pod, or mdep/NAME, is needed");
    snprintf(out, size, "%s", o->args[0]);
    if (!strchr(o->args[0], '/'))
        return pt_is_dns_subdomain(pt_str(out)) ? PT_OK : pt_fail(err, PT_EINVAL, "\"%s\" is not a name", out);
    int rc = pt_cli_resource_args(o, &k, names, &count, err);
    if (rc < 0)
        return rc;
    snprintf(out, size, "%s", names[0]);
    if (k == pods)
        return PT_OK;
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(pods, o->ns, NULL, &path);
    pt_buf_printf(&path, "?labelSelector=pintle.dev/model-deployment%%3D%s", names[0]);
    rc = pt_cli_request_json(o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, &list, err);
    if (rc < 0)
        return rc;
    const char *pod = pt_obj_text(list, "items.0.metadata.name");
    snprintf(out, size, "%s", pod);
    rc = *pod ? PT_OK : pt_fail(err, PT_ENOTFOUND, "%s has no pods", o->args[0]);
    cJSON_Delete(list);
    return rc;
}

int pt_cmd_logs(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    char pod[256];
    int64_t tail = -1;
    int rc = pt_cli_parse(argc, argv, "Ft", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK && o.tail)
        rc = pt_parse_i64(pt_str(o.tail), 0, INT32_MAX, "--tail", &tail, &err);
    if (rc == PT_OK)
        rc = find_pod(&o, pod, sizeof pod, &err);
    if (rc < 0)
        return pt_cli_exit(&err);
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(pt_cli_kind_find("pods"), o.ns, pod, &path);
    pt_buf_printf(&path, "/log?follow=%s", o.follow ? "true" : "false");
    if (tail >= 0)
        pt_buf_printf(&path, "&tailLines=%lld", (long long)tail);
    struct pt_cli_response r;
    rc = pt_cli_request(&o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, write_out, NULL, &r, &err);
    if (rc == PT_OK && r.status >= 300)
        rc = pt_cli_server_error(&r, &err);
    pt_buf_finish(&r.body);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
