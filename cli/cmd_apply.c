/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_apply.c: pintle apply -f FILE: server-side apply of manifests to a running `pintle up`.
 */
#include "cli/commands.h"
#include "cli/manifests.h"
#include "cli/printer.h"

#include <stdio.h>

static const char help[] = "usage: pintle apply -f FILE|- [-n NAMESPACE] [--socket PATH | --kubeconfig FILE]\n"
                           "\n"
                           "Creates or changes the objects of a YAML or JSON file in a running `pintle up`.\n";

static int apply_object(const struct pt_cli_options *o, const struct pt_cli_object *object, struct pt_err *err)
{
    char label[96];
    struct pt_cli_response r;
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(object->kind, object->ns, object->name, &path);
    pt_buf_puts(&path, "?fieldManager=pintle&force=true");
    char *body = cJSON_PrintUnformatted(object->json);
    if (!body)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = pt_cli_request(o, "PATCH", pt_buf_cstr(&path), "application/apply-patch+yaml", pt_str(body), NULL, NULL, &r, err);
    cJSON_free(body);
    if (rc == PT_OK && r.status >= 300)
        rc = pt_cli_server_error(&r, err);
    if (rc == PT_OK) {
        pt_cli_kind_label(object->kind, label, sizeof label);
        printf("%s/%s %s\n", label, object->name, r.status == 201 ? "created" : "configured");
    }
    pt_buf_finish(&r.body);
    return rc;
}

static int apply_one(void *arg, const struct pt_cli_object *object, struct pt_err *err)
{
    return apply_object(arg, object, err);
}

int pt_cmd_apply(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    int rc = pt_cli_parse(argc, argv, "f", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK && (!o.filename || o.arg_count))
        rc = pt_fail(&err, PT_EINVAL, "-f FILE is needed, and nothing else");
    if (rc == PT_OK)
        rc = pt_cli_manifests(o.filename, o.ns, apply_one, &o, &err);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
