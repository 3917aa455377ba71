/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_get.c: pintle get KIND [NAME...]: objects of a running `pintle up` as a table, YAML, JSON or names.
 */
#include "cli/commands.h"
#include "cli/printer.h"

#include "base/mem.h"

#include <stdio.h>

static const char help[] =
    "usage: pintle get KIND[,KIND...] [NAME...] | KIND/NAME... [-n NAMESPACE | -A] [-o wide|yaml|json|name] [-l SELECTOR]\n"
    "\n"
    "Shows objects of a running `pintle up`. Kinds: modeldeployments (mdep), pods (po), services (svc), configmaps (cm), events (ev),\n"
    "controllerrevisions.\n"
    "\n"
    "  -n, --namespace NS    namespace (default \"default\")\n"
    "  -A, --all-namespaces  all of them\n"
    "  -o, --output FORMAT   wide, yaml, json or name; a table by default\n"
    "  -l, --selector S      only objects whose labels match\n"
    "      --socket PATH     of the `pintle up` to ask (default PINTLE_SOCKET, then $XDG_RUNTIME_DIR/pintle/api.sock)\n";

static int fetch(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *const *names, size_t count, cJSON *list, struct pt_err *err)
{
    for (size_t i = 0; i == 0 || i < count; i++) {
        cJSON *answer = NULL, *items;
        pt_auto_buf path = PT_BUF_INIT(2048);
        pt_cli_path(k, o->all_namespaces ? NULL : o->ns, count ? names[i] : NULL, &path);
        if (o->selector && !count) {
            pt_buf_puts(&path, "?labelSelector=");
            for (const char *p = o->selector; *p; p++)
                pt_buf_printf(&path, strchr("=,!()", *p) || *p <= ' ' ? "%%%02X" : "%c", (unsigned char)*p);
        }
        int rc = pt_cli_request_json(o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, &answer, err);
        if (rc < 0)
            return rc;
        if (count) {
            cJSON_AddItemToArray(list, answer);
            continue;
        }
        items = cJSON_DetachItemFromObjectCaseSensitive(answer, "items");
        for (cJSON *item; items && (item = cJSON_DetachItemFromArray(items, 0));) {
            if (!cJSON_HasObjectItem(item, "kind")) {
                cJSON_AddStringToObject(item, "kind", k->kind);
                cJSON_AddStringToObject(item, "apiVersion", pt_obj_text(answer, "apiVersion"));
            }
            cJSON_AddItemToArray(list, item);
        }
        cJSON_Delete(items);
        cJSON_Delete(answer);
    }
    return PT_OK;
}

static void print_json(const cJSON *object)
{
    char *text = cJSON_Print(object);
    printf("%s\n", text ? text : "null");
    cJSON_free(text);
}

static int print_list(const struct pt_cli_options *o, const struct pt_cli_kind *k, cJSON *list, bool single, struct pt_err *err)
{
    size_t n = (size_t)cJSON_GetArraySize(list), i = 0;
    char label[96];
    const cJSON *item;
    if (n == 0) {
        if (o->all_namespaces)
            fprintf(stderr, "No resources found\n");
        else
            fprintf(stderr, "No resources found in %s namespace.\n", o->ns);
        return PT_OK;
    }
    if (o->output && strcmp(o->output, "name") == 0) {
        pt_cli_kind_label(k, label, sizeof label);
        cJSON_ArrayForEach(item, list) printf("%s/%s\n", label, pt_obj_text(item, "metadata.name"));
        return PT_OK;
    }
    if (o->output && strcmp(o->output, "wide") != 0) {
        bool yaml = strcmp(o->output, "yaml") == 0;
        if (!yaml && strcmp(o->output, "json") != 0)
            return pt_fail(err, PT_EINVAL, "-o %s: wide, yaml, json or name", o->output);
        cJSON *whole = single ? cJSON_Duplicate(list->child, 1) : cJSON_CreateObject();
        if (!single) {
            cJSON_AddStringToObject(whole, "apiVersion", "v1");
            cJSON_AddStringToObject(whole, "kind", "List");
            cJSON_AddItemToObject(whole, "items", cJSON_Duplicate(list, 1));
        }
        if (yaml)
            pt_print_yaml(whole, 0);
        else
            print_json(whole);
        cJSON_Delete(whole);
        return PT_OK;
    }
    pt_auto_free const cJSON **items = pt_calloc(n, sizeof *items);
    if (!items)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    cJSON_ArrayForEach(item, list) items[i++] = item;
    pt_print_table(k, items, n, o->output != NULL, o->all_namespaces);
    return PT_OK;
}

static int get(const struct pt_cli_options *o, struct pt_err *err)
{
    const struct pt_cli_kind *k;
    const char *names[16];
    size_t count;
    int rc = pt_cli_resource_args(o, &k, names, &count, err);
    if (rc < 0)
        return rc;
    cJSON *list = cJSON_CreateArray();
    rc = list ? fetch(o, k, names, count, list, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = print_list(o, k, list, count == 1, err);
    cJSON_Delete(list);
    return rc;
}

/* "pods,svc": one table after the other */
static int get_each(struct pt_cli_options *o, struct pt_err *err)
{
    struct pt_str rest = pt_str(o->args[0]), kind;
    int rc = PT_OK;
    for (bool first = true; rc == PT_OK && pt_str_split(&rest, ',', &kind); first = false) {
        char name[64];
        snprintf(name, sizeof name, PT_STR_FMT, PT_STR_ARG(kind));
        o->args[0] = name;
        if (!first)
            putchar('\n');
        rc = get(o, err);
    }
    return rc;
}

int pt_cmd_get(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    int rc = pt_cli_parse(argc, argv, "Aol", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK)
        rc = o.arg_count && strchr(o.args[0], ',') && !strchr(o.args[0], '/') ? get_each(&o, &err) : get(&o, &err);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
