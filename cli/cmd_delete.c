/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_delete.c: pintle delete KIND NAME... | -f FILE: deletes objects of a running `pintle up`; what they own goes with them.
 */
#include "cli/commands.h"
#include "cli/manifests.h"

#include <stdio.h>

static const char help[] = "usage: pintle delete KIND NAME... | KIND/NAME... | -f FILE [-n NAMESPACE] [--socket PATH | --kubeconfig FILE]\n"
                           "\n"
                           "Deletes objects of a running `pintle up`. The pods and the Service of a ModelDeployment go with it.\n";

static int delete_one(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *ns, const char *name, struct pt_err *err)
{
    char label[96];
    cJSON *answer;
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(k, ns, name, &path);
    int rc = pt_cli_request_json(o, "DELETE", pt_buf_cstr(&path), NULL, (struct pt_str){0}, &answer, err);
    if (rc < 0)
        return rc;
    cJSON_Delete(answer);
    pt_cli_kind_label(k, label, sizeof label);
    printf("%s \"%s\" deleted\n", label, name);
    return PT_OK;
}

static int delete_object(void *arg, const struct pt_cli_object *object, struct pt_err *err)
{
    return delete_one(arg, object->kind, object->ns, object->name, err);
}

int pt_cmd_delete(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    const struct pt_cli_kind *k;
    const char *names[16];
    size_t count;
    int rc = pt_cli_parse(argc, argv, "f", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK && o.filename) {
        rc = o.arg_count ? pt_fail(&err, PT_EINVAL, "names and -f exclude each other") : pt_cli_manifests(o.filename, o.ns, delete_object, &o, &err);
        return rc < 0 ? pt_cli_exit(&err) : 0;
    }
    if (rc == PT_OK)
        rc = pt_cli_resource_args(&o, &k, names, &count, &err);
    if (rc == PT_OK && count == 0)
        rc = pt_fail(&err, PT_EINVAL, "a name is needed: %s NAME", k->plural);
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        rc = delete_one(&o, k, o.ns, names[i], &err);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
