/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_get.c: pintle get KIND [NAME...]: objects of a running `pintle up`, or of a cluster, as the server's table, YAML, JSON or names.
 */
#include "cli/commands.h"
#include "cli/printer.h"
#include "cli/table.h"

#include "base/mem.h"

#include <stdio.h>

static const char help[] =
    "usage: pintle get KIND[,KIND...] [NAME...] | KIND/NAME... [-n NAMESPACE | -A] [-o wide|yaml|json|name] [-l SELECTOR] [-w]\n"
    "\n"
    "Shows objects of a running `pintle up` or of a cluster. Kinds: modeldeployments (mdep), pods (po), services (svc), configmaps (cm), events "
    "(ev),\n"
    "controllerrevisions. The columns are the server's.\n"
    "\n"
    "  -n, --namespace NS     namespace (default: that of --kubeconfig, else \"default\")\n"
    "  -A, --all-namespaces   all of them\n"
    "  -o, --output FORMAT    wide, yaml, json or name; a table by default\n"
    "  -l, --selector S       only objects whose labels match\n"
    "  -w, --watch            then a line at each change, until the server ends it\n"
    "      --socket PATH      of the `pintle up` to ask (default PINTLE_SOCKET, then $XDG_RUNTIME_DIR/pintle/api.sock)\n"
    "      --kubeconfig FILE  of the cluster to ask instead\n";

/* --- asking ------------------------------------------------------------------------------------------------------------------ */

static void put_query(struct pt_buf *path, const char *name, const char *value)
{
    pt_buf_printf(path, "%c%s=", strchr(pt_buf_cstr(path), '?') ? '&' : '?', name);
    for (const char *p = value; *p; p++)
        pt_buf_printf(path, strchr("=,!()&+%#?", *p) || *p <= ' ' ? "%%%02X" : "%c", (unsigned char)*p);
}

static void put_path(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_buf *path)
{
    pt_cli_path(k, o->all_namespaces ? NULL : o->ns, name, path);
    if (o->selector && !name)
        put_query(path, "labelSelector", o->selector);
}

/* Whatever was asked for: objects, lists or tables; one answer for each name, or one. */
static int fetch(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *const *names, size_t count, cJSON *answers,
                 struct pt_err *err)
{
    for (size_t i = 0; i == 0 || i < count; i++) {
        cJSON *answer = NULL;
        pt_auto_buf path = PT_BUF_INIT(4096);
        put_path(o, k, count ? names[i] : NULL, &path);
        int rc = pt_cli_request_json(o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, &answer, err);
        if (rc < 0)
            return rc;
        cJSON_AddItemToArray(answers, answer);
    }
    return PT_OK;
}

static void say_none(const struct pt_cli_options *o)
{
    if (o->all_namespaces)
        fprintf(stderr, "No resources found\n");
    else
        fprintf(stderr, "No resources found in %s namespace.\n", o->ns);
}

/* --- tables -------------------------------------------------------------------------------------------------------------------- */

struct watch {
    struct pt_table *table;
    struct pt_buf line;
    struct pt_err err;
};

static int on_line(struct watch *w, struct pt_str line)
{
    cJSON *event = cJSON_ParseWithLength(line.p, line.len);
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(event, "object");
    int rc;
    if (strcmp(pt_obj_text(event, "type"), "ERROR") == 0)
        rc = pt_fail(&w->err, PT_EIO, "Error from server (%s): %s", pt_obj_text(object, "reason"), pt_obj_text(object, "message"));
    else
        rc = pt_table_print(w->table, object, &w->err);
    cJSON_Delete(event);
    fflush(stdout);
    return rc;
}

static int on_watch_data(void *arg, const void *p, size_t len)
{
    struct watch *w = arg;
    struct pt_str rest = {p, len};
    for (const char *end; (end = memchr(rest.p, '\n', rest.len)); rest = (struct pt_str){end + 1, rest.len - (size_t)(end + 1 - rest.p)}) {
        if (!pt_buf_append(&w->line, rest.p, (size_t)(end - rest.p)))
            return pt_fail(&w->err, PT_ELIMIT, "a line of the watch is too long");
        int rc = on_line(w, (struct pt_str){w->line.data, w->line.len});
        if (rc < 0)
            return rc;
        pt_buf_reset(&w->line);
    }
    return pt_buf_append(&w->line, rest.p, rest.len) ? 0 : pt_fail(&w->err, PT_ELIMIT, "a line of the watch is too long");
}

static int watch(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, const char *from, struct pt_table *t,
                 struct pt_err *err)
{
    struct watch w = {.table = t, .line = PT_BUF_INIT(8 << 20)};
    struct pt_cli_response r;
    pt_auto_buf path = PT_BUF_INIT(4096);
    put_path(o, k, NULL, &path);
    put_query(&path, "watch", "true");
    put_query(&path, "resourceVersion", from);
    if (name) {
        pt_auto_buf field = PT_BUF_INIT(1024);
        pt_buf_printf(&field, "metadata.name=%s", name);
        put_query(&path, "fieldSelector", pt_buf_cstr(&field));
    }
    fflush(stdout);
    int rc = pt_cli_request(o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, on_watch_data, &w, &r, err);
    if (w.err.code) {
        *err = w.err;
        rc = err->code;
    } else if (rc == PT_OK && r.status >= 300) {
        rc = pt_cli_server_error(&r, err);
    }
    pt_buf_finish(&w.line);
    pt_buf_finish(&r.body);
    return rc;
}

static int print_tables(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, const cJSON *answers, struct pt_err *err)
{
    struct pt_table t = {.wide = o->output != NULL, .namespaces = o->all_namespaces};
    const cJSON *answer;
    int rows = 0, rc = PT_OK;
    cJSON_ArrayForEach(answer, answers)
    {
        int n = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(answer, "rows"));
        if (n > 0 || strcmp(pt_obj_text(answer, "kind"), "Table") != 0)
            rc = pt_table_print(&t, answer, err);
        if (rc < 0)
            return rc;
        rows += n;
    }
    if (rows == 0 && !o->watch)
        say_none(o);
    return o->watch ? watch(o, k, name, pt_obj_text(answers, "0.metadata.resourceVersion"), &t, err) : PT_OK;
}

/* --- objects ------------------------------------------------------------------------------------------------------------------- */

/* Lists become their items, each with its kind. */
static cJSON *items_of(const struct pt_cli_kind *k, cJSON *answers)
{
    cJSON *all = cJSON_CreateArray(), *answer;
    while (all && (answer = cJSON_DetachItemFromArray(answers, 0))) {
        cJSON *items = cJSON_DetachItemFromObjectCaseSensitive(answer, "items");
        if (!items) {
            cJSON_AddItemToArray(all, answer);
            continue;
        }
        for (cJSON *item; (item = cJSON_DetachItemFromArray(items, 0)); cJSON_AddItemToArray(all, item)) {
            if (cJSON_HasObjectItem(item, "kind"))
                continue;
            cJSON_AddStringToObject(item, "kind", k->kind);
            cJSON_AddStringToObject(item, "apiVersion", pt_obj_text(answer, "apiVersion"));
        }
        cJSON_Delete(items);
        cJSON_Delete(answer);
    }
    return all;
}

static void print_json(const cJSON *object)
{
    char *text = cJSON_Print(object);
    printf("%s\n", text ? text : "null");
    cJSON_free(text);
}

static void print_names(const struct pt_cli_kind *k, const cJSON *items)
{
    char label[96];
    const cJSON *item;
    pt_cli_kind_label(k, label, sizeof label);
    cJSON_ArrayForEach(item, items) printf("%s/%s\n", label, pt_obj_text(item, "metadata.name"));
}

static void print_documents(bool yaml, const cJSON *items, bool single)
{
    cJSON *whole = single ? cJSON_Duplicate(items->child, 1) : cJSON_CreateObject();
    if (!single) {
        cJSON_AddStringToObject(whole, "apiVersion", "v1");
        cJSON_AddStringToObject(whole, "kind", "List");
        cJSON_AddItemToObject(whole, "items", cJSON_Duplicate(items, 1));
    }
    if (yaml)
        pt_print_yaml(whole, 0);
    else
        print_json(whole);
    cJSON_Delete(whole);
}

static int print_objects(const struct pt_cli_options *o, const struct pt_cli_kind *k, cJSON *answers, bool single, struct pt_err *err)
{
    cJSON *items = items_of(k, answers);
    if (!items)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    if (cJSON_GetArraySize(items) == 0)
        say_none(o);
    else if (strcmp(o->output, "name") == 0)
        print_names(k, items);
    else
        print_documents(strcmp(o->output, "yaml") == 0, items, single);
    cJSON_Delete(items);
    return PT_OK;
}

/* --- the command --------------------------------------------------------------------------------------------------------------- */

static int get(struct pt_cli_options *o, struct pt_err *err)
{
    const struct pt_cli_kind *k;
    const char *names[16];
    size_t count;
    bool table = !o->output || strcmp(o->output, "wide") == 0;
    int rc = pt_cli_resource_args(o, &k, names, &count, err);
    if (rc == PT_OK && !table && strcmp(o->output, "name") != 0 && strcmp(o->output, "yaml") != 0 && strcmp(o->output, "json") != 0)
        rc = pt_fail(err, PT_EINVAL, "-o %s: wide, yaml, json or name", o->output);
    if (rc == PT_OK && o->watch && (!table || count > 1))
        rc = pt_fail(err, PT_EINVAL, "--watch shows tables, of a kind or of one object");
    if (rc < 0)
        return rc;
    o->accept = table ? PT_TABLE_ACCEPT : NULL;
    cJSON *answers = cJSON_CreateArray();
    rc = answers ? fetch(o, k, names, count, answers, err) : pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc == PT_OK)
        rc = table ? print_tables(o, k, count ? names[0] : NULL, answers, err) : print_objects(o, k, answers, count == 1, err);
    cJSON_Delete(answers);
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
    int rc = pt_cli_parse(argc, argv, "Aolw", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK)
        rc = o.arg_count && strchr(o.args[0], ',') && !strchr(o.args[0], '/') ? get_each(&o, &err) : get(&o, &err);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
