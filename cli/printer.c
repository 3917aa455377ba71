/* SPDX-License-Identifier: Apache-2.0
 *
 * printer.c: a column is a row of a table: header, where its value is, how it is shown. Cells are collected first, so that every
 * column is as wide as its widest cell.
 */
#include "cli/printer.h"

#include "base/mem.h"
#include "base/sched.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_COLUMNS = 12, CELL = 256 };

typedef void (*cell_fn)(const cJSON *object, const char *path, char *out);

struct column {
    const char *kind, *header, *path;
    cell_fn cell;
    bool wide;
};

void pt_print_age_of(const cJSON *object, const char *member, char *out, size_t size)
{
    int64_t wall;
    if (pt_parse_time(pt_str(pt_obj_text(object, member)), &wall, NULL) < 0)
        snprintf(out, size, "<unknown>");
    else
        pt_format_age((pt_clock_wall_ms() - wall) / 1000, out, size);
}

static void cell_value(const cJSON *object, const char *path, char *out)
{
    const cJSON *v = pt_obj_get(object, path);
    if (cJSON_IsString(v))
        snprintf(out, CELL, "%s", v->valuestring);
    else if (cJSON_IsNumber(v))
        snprintf(out, CELL, "%.15g", v->valuedouble);
    else if (cJSON_IsBool(v))
        snprintf(out, CELL, "%s", cJSON_IsTrue(v) ? "true" : "false");
}

static void cell_count(const cJSON *object, const char *path, char *out)
{
    const cJSON *v = pt_obj_get(object, path);
    snprintf(out, CELL, "%.15g", cJSON_IsNumber(v) ? v->valuedouble : 0);
}

static void cell_age(const cJSON *object, const char *path, char *out)
{
    pt_print_age_of(object, path, out, CELL);
}

static void cell_members(const cJSON *object, const char *path, char *out)
{
    snprintf(out, CELL, "%d", cJSON_GetArraySize(pt_obj_get(object, path)));
}

static void cell_pod_ready(const cJSON *pod, const char *path, char *out)
{
    int ready = 0;
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(pod, path)) ready += cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "ready"));
    snprintf(out, CELL, "%d/%d", ready, cJSON_GetArraySize(pt_obj_get(pod, "spec.containers")));
}

static void cell_pod_status(const cJSON *pod, const char *path, char *out)
{
    const char *waiting = pt_obj_text(pod, "status.containerStatuses.0.state.waiting.reason");
    const char *reason = pt_obj_text(pod, "status.reason");
    snprintf(out, CELL, "%s",
             pt_obj_get(pod, "metadata.deletionTimestamp") ? "Terminating" : *reason ? reason : *waiting ? waiting : pt_obj_text(pod, path));
}

static void cell_pod_gate(const cJSON *pod, const char *path, char *out)
{
    int total = 0, met = 0;
    const cJSON *gate, *condition;
    cJSON_ArrayForEach(gate, pt_obj_get(pod, path))
    {
        total++;
        cJSON_ArrayForEach(condition, pt_obj_get(pod, "status.conditions")) met +=
            strcmp(pt_obj_text(condition, "type"), pt_obj_text(gate, "conditionType")) == 0 && strcmp(pt_obj_text(condition, "status"), "True") == 0;
    }
    snprintf(out, CELL, "%d/%d", met, total);
}

static void cell_ports(const cJSON *service, const char *path, char *out)
{
    const cJSON *p;
    size_t n = 0;
    cJSON_ArrayForEach(p, pt_obj_get(service, path))
    {
        const cJSON *port = cJSON_GetObjectItemCaseSensitive(p, "port");
        n += (size_t)snprintf(out + n, CELL - n, "%s%.0f/TCP", n ? "," : "", cJSON_IsNumber(port) ? port->valuedouble : 0);
        if (n >= CELL)
            return;
    }
}

static void cell_condition_reason(const cJSON *object, const char *path, char *out)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(object, "status.conditions"))
    {
        if (strcmp(pt_obj_text(c, "type"), path) == 0)
            snprintf(out, CELL, "%s", pt_obj_text(c, "reason"));
    }
}

static void cell_reference(const cJSON *event, const char *path, char *out)
{
    const cJSON *o = pt_obj_get(event, path);
    snprintf(out, CELL, "%s/%s", pt_obj_text(o, "kind"), pt_obj_text(o, "name"));
}

static const struct column columns[] = {
    {"ModelDeployment", "NAME", "metadata.name", cell_value, false},
    {"ModelDeployment", "DESIRED", "spec.replicas", cell_count, false},
    {"ModelDeployment", "READY", "status.readyReplicas", cell_count, false},
    {"ModelDeployment", "UPDATED", "status.updatedReplicas", cell_count, false},
    {"ModelDeployment", "MODEL", "status.model.state", cell_value, false},
    {"ModelDeployment", "REVISION", "status.updateRevision", cell_value, false},
    {"ModelDeployment", "AGE", "metadata.creationTimestamp", cell_age, false},
    {"ModelDeployment", "URI", "spec.model.uri", cell_value, true},
    {"ModelDeployment", "COMPRESSION", "status.compression.progress.summary", cell_value, true},
    {"ModelDeployment", "ENDPOINT", "status.endpoint", cell_value, true},
    {"ModelDeployment", "REASON", "Ready", cell_condition_reason, true},
    {"Pod", "NAME", "metadata.name", cell_value, false},
    {"Pod", "READY", "status.containerStatuses", cell_pod_ready, false},
    {"Pod", "STATUS", "status.phase", cell_pod_status, false},
    {"Pod", "RESTARTS", "status.containerStatuses.0.restartCount", cell_count, false},
    {"Pod", "AGE", "metadata.creationTimestamp", cell_age, false},
    {"Pod", "IP", "status.podIP", cell_value, true},
    {"Pod", "NODE", "spec.nodeName", cell_value, true},
    {"Pod", "READINESS GATES", "spec.readinessGates", cell_pod_gate, true},
    {"Service", "NAME", "metadata.name", cell_value, false},
    {"Service", "TYPE", "spec.type", cell_value, false},
    {"Service", "CLUSTER-IP", "spec.clusterIP", cell_value, false},
    {"Service", "PORT(S)", "spec.ports", cell_ports, false},
    {"Service", "AGE", "metadata.creationTimestamp", cell_age, false},
    {"ConfigMap", "NAME", "metadata.name", cell_value, false},
    {"ConfigMap", "DATA", "binaryData", cell_members, false},
    {"ConfigMap", "AGE", "metadata.creationTimestamp", cell_age, false},
    {"Secret", "NAME", "metadata.name", cell_value, false},
    {"Secret", "TYPE", "type", cell_value, false},
    {"Secret", "AGE", "metadata.creationTimestamp", cell_age, false},
    {"Event", "LAST SEEN", "lastTimestamp", cell_age, false},
    {"Event", "TYPE", "type", cell_value, false},
    {"Event", "REASON", "reason", cell_value, false},
    {"Event", "OBJECT", "involvedObject", cell_reference, false},
    {"Event", "MESSAGE", "message", cell_value, false},
    {"ControllerRevision", "NAME", "metadata.name", cell_value, false},
    {"ControllerRevision", "CONTROLLER", "metadata.ownerReferences.0", cell_reference, false},
    {"ControllerRevision", "REVISION", "revision", cell_value, false},
    {"ControllerRevision", "AGE", "metadata.creationTimestamp", cell_age, false},
};
static const struct column namespace_column = {NULL, "NAMESPACE", "metadata.namespace", cell_value, false};

static void print_row(char (*cells)[CELL], const size_t *widths, size_t count)
{
    for (size_t c = 0; c < count; c++)
        printf(c + 1 < count ? "%-*s   " : "%.0d%s", c + 1 < count ? (int)widths[c] : 0, cells[c]);
    putchar('\n');
}

void pt_print_table(const struct pt_cli_kind *k, const cJSON *const *items, size_t count, bool wide, bool namespaces)
{
    const struct column *shown[MAX_COLUMNS];
    size_t widths[MAX_COLUMNS], n = 0;
    if (namespaces)
        shown[n++] = &namespace_column;
    for (size_t i = 0; i < sizeof columns / sizeof *columns && n < MAX_COLUMNS; i++)
        if (strcmp(columns[i].kind, k->kind) == 0 && (wide || !columns[i].wide))
            shown[n++] = &columns[i];
    pt_auto_free char(*cells)[CELL] = pt_calloc((count + 1) * n, CELL);
    if (!cells) {
        fprintf(stderr, "error: out of memory\n");
        return;
    }
    for (size_t c = 0; c < n; c++) {
        snprintf(cells[c], CELL, "%s", shown[c]->header);
        widths[c] = strlen(cells[c]);
        for (size_t i = 0; i < count; i++) {
            char *cell = cells[(i + 1) * n + c];
            shown[c]->cell(items[i], shown[c]->path, cell);
            if (!*cell)
                snprintf(cell, CELL, "<none>");
            if (strlen(cell) > widths[c])
                widths[c] = strlen(cell);
        }
    }
    for (size_t i = 0; i <= count; i++)
        print_row(cells + i * n, widths, n);
}

/* --- YAML --------------------------------------------------------------------------------------------------------------- */

static void print_scalar(const cJSON *v)
{
    if (cJSON_IsString(v)) {
        /* a JSON string is a YAML string: quote whatever is not plainly a word */
        const char *s = v->valuestring;
        bool plain = *s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == strlen(s) && !strchr("-.0123456789", *s);
        static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
        for (size_t i = 0; plain && i < sizeof words / sizeof *words; i++)
            plain = !pt_str_eq_nocase(pt_str(s), pt_str(words[i]));
        if (plain) {
            printf("%s\n", s);
            return;
        }
    }
    char *text = cJSON_PrintUnformatted(v);
    printf("%s\n", text ? text : "null");
    cJSON_free(text);
}

static bool is_leaf(const cJSON *v)
{
    return (!cJSON_IsObject(v) && !cJSON_IsArray(v)) || !v->child;
}

void pt_print_yaml(const cJSON *object, int indent)
{
    const cJSON *v;
    bool first = true;
    cJSON_ArrayForEach(v, object)
    {
        /* the first line of an object inside a list follows its "- " */
        printf("%*s", first && indent < 0 ? 0 : abs(indent), "");
        if (cJSON_IsArray(object))
            printf("- ");
        else
            printf("%s:%s", v->string, is_leaf(v) ? " " : "\n");
        if (is_leaf(v))
            print_scalar(v);
        else if (cJSON_IsArray(object))
            pt_print_yaml(v, -(abs(indent) + 2));
        else
            pt_print_yaml(v, abs(indent) + (cJSON_IsArray(v) ? 0 : 2));
        first = false;
    }
}
