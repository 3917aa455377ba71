/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_scale.c: pintle scale mdep/NAME --replicas=N: writes the scale subresource, as kubectl does.
 */
#include "cli/commands.h"
#include "cli/kubeclient.h"

#include <stdio.h>

static const char help[] = "usage: pintle scale mdep/NAME... --replicas=N [-n NAMESPACE] [--socket PATH | --kubeconfig FILE]\n"
                           "\n"
                           "Sets the number of replicas of ModelDeployments of a running `pintle up`.\n";

static int scale(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, int64_t replicas, struct pt_err *err)
{
    char label[96], body[64];
    cJSON *answer;
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(k, o->ns, name, &path);
    pt_buf_puts(&path, "/scale");
    snprintf(body, sizeof body, "{\"spec\":{\"replicas\":%lld}}", (long long)replicas);
    int rc = pt_cli_request_json(o, "PATCH", pt_buf_cstr(&path), "application/merge-patch+json", pt_str(body), &answer, err);
    if (rc < 0)
        return rc;
    cJSON_Delete(answer);
    pt_cli_kind_label(k, label, sizeof label);
    printf("%s/%s scaled\n", label, name);
    return PT_OK;
}

int pt_cmd_scale(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    const struct pt_cli_kind *k;
    const char *names[16];
    size_t count;
    int64_t replicas;
    int rc = pt_cli_parse(argc, argv, "r", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK)
        rc = pt_cli_resource_args(&o, &k, names, &count, &err);
    if (rc == PT_OK && !o.replicas)
        rc = pt_fail(&err, PT_EINVAL, "--replicas=N is needed");
    if (rc == PT_OK)
        rc = pt_parse_i64(pt_str(o.replicas), 0, 1000, "--replicas", &replicas, &err);
    if (rc == PT_OK && count == 0)
        rc = pt_fail(&err, PT_EINVAL, "a name is needed: %s/NAME", k->plural);
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        rc = scale(&o, k, names[i], replicas, &err);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
