/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_describe.c: pintle describe KIND NAME: what an object is and what happened to it: fields, conditions, events.
 */
#include "cli/commands.h"
#include "cli/printer.h"

#include <stdio.h>

static const char help[] = "usage: pintle describe KIND NAME | KIND/NAME [-n NAMESPACE] [--socket PATH | --kubeconfig FILE]\n"
                           "\n"
                           "Shows one object of a running `pintle up` with its conditions and events.\n";

static void print_map(const char *title, const cJSON *map)
{
    const cJSON *v;
    const char *head = title;
    if (!map || !map->child)
        printf("%-14s<none>\n", title);
    cJSON_ArrayForEach(v, map)
    {
        printf("%-14s%s=%.100s%s\n", head, v->string, cJSON_IsString(v) ? v->valuestring : "", cJSON_IsString(v) && strlen(v->valuestring) > 100 ? "..." : "");
        head = "";
    }
}

static void print_conditions(const cJSON *conditions)
{
    const cJSON *c;
    if (!cJSON_GetArraySize(conditions))
        return;
    printf("Conditions:\n  %-26s %-8s %-28s %-8s %s\n", "Type", "Status", "Reason", "Age", "Message");
    cJSON_ArrayForEach(c, conditions)
    {
        char age[32];
        pt_print_age_of(c, "lastTransitionTime", age, sizeof age);
        printf("  %-26s %-8s %-28s %-8s %s\n", pt_obj_text(c, "type"), pt_obj_text(c, "status"), pt_obj_text(c, "reason"), age, pt_obj_text(c, "message"));
    }
}

static int print_events(const struct pt_cli_options *o, const char *uid, struct pt_err *err)
{
    cJSON *list;
    const cJSON *e;
    bool any = false;
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(pt_cli_kind_find("events"), o->ns, NULL, &path);
    int rc = pt_cli_request_json(o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, &list, err);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(list, "items"))
    {
        char age[32];
        if (strcmp(pt_obj_text(e, "involvedObject.uid"), uid) != 0)
            continue;
        if (!any)
            printf("Events:\n  %-8s %-24s %-8s %s\n", "Type", "Reason", "Age", "Message");
        any = true;
        pt_print_age_of(e, "lastTimestamp", age, sizeof age);
        printf("  %-8s %-24s %-8s %s\n", pt_obj_text(e, "type"), pt_obj_text(e, "reason"), age, pt_obj_text(e, "message"));
    }
    if (!any)
        printf("Events:       <none>\n");
    cJSON_Delete(list);
    return PT_OK;
}

static void print_section(const char *title, const cJSON *object, const char *without)
{
    cJSON *copy = cJSON_Duplicate(object, 1);
    if (without)
        cJSON_DeleteItemFromObjectCaseSensitive(copy, without);
    if (copy && copy->child) {
        printf("%s\n", title);
        pt_print_yaml(copy, 2);
    }
    cJSON_Delete(copy);
}

static int describe(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err)
{
    cJSON *object;
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(k, o->ns, name, &path);
    int rc = pt_cli_request_json(o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, &object, err);
    if (rc < 0)
        return rc;
    printf("%-14s%s\n%-14s%s\n%-14s%s\n", "Name:", name, "Namespace:", pt_obj_text(object, "metadata.namespace"), "Kind:", k->kind);
    print_map("Labels:", pt_obj_get(object, "metadata.labels"));
    print_map("Annotations:", pt_obj_get(object, "metadata.annotations"));
    printf("%-14s%s\n", "Created:", pt_obj_text(object, "metadata.creationTimestamp"));
    print_section("Spec:", pt_obj_get(object, "spec"), NULL);
    print_section("Status:", pt_obj_get(object, "status"), "conditions");
    print_conditions(pt_obj_get(object, "status.conditions"));
    rc = print_events(o, pt_obj_text(object, "metadata.uid"), err);
    cJSON_Delete(object);
    return rc;
}

int pt_cmd_describe(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    const struct pt_cli_kind *k;
    const char *names[16];
    size_t count;
    int rc = pt_cli_parse(argc, argv, "", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK)
        rc = pt_cli_resource_args(&o, &k, names, &count, &err);
    if (rc == PT_OK && count == 0)
        rc = pt_fail(&err, PT_EINVAL, "a name is needed: %s NAME", k->plural);
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        rc = describe(&o, k, names[i], &err);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
