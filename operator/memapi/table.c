/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c: answers in another form than the objects themselves: a Table with the kind's columns, as kubectl shows it, or metadata alone.
 *
 * A column is an additionalPrinterColumn of the kind's definition: a simple JSONPath (members, indices, [?(@.member=="text")]) or "@" and the name of
 * a function here, for what no path can say.
 */
#include "operator/memapi/internal.h"

#include <stdio.h>

enum { CELL = 1024 };

/* --- cells ----------------------------------------------------------------------------------------------------------------- */

static void cell_pod_ready(const cJSON *pod, int64_t now_ms, struct pt_buf *out)
{
    int ready = 0;
    const cJSON *c;
    (void)now_ms;
    cJSON_ArrayForEach(c, pt_obj_get(pod, "status.containerStatuses")) ready += pt_obj_true(c, "ready");
    pt_buf_printf(out, "%d/%d", ready, cJSON_GetArraySize(pt_obj_get(pod, "spec.containers")));
}

static void cell_pod_status(const cJSON *pod, int64_t now_ms, struct pt_buf *out)
{
    const char *status = pt_obj_text(pod, "status.phase"), *reason = pt_obj_text(pod, "status.reason");
    const cJSON *c;
    (void)now_ms;
    if (*reason)
        status = reason;
    cJSON_ArrayForEach(c, pt_obj_get(pod, "status.containerStatuses"))
    {
        const char *waiting = pt_obj_text(c, "state.waiting.reason"), *ended = pt_obj_text(c, "state.terminated.reason");
        if (*waiting || *ended)
            status = *waiting ? waiting : ended;
    }
    pt_buf_puts(out, pt_obj_get(pod, "metadata.deletionTimestamp") ? "Terminating" : status);
}

static void cell_pod_restarts(const cJSON *pod, int64_t now_ms, struct pt_buf *out)
{
    int64_t count = 0, last_ms = 0, t;
    const cJSON *c;
    char age[32];
    cJSON_ArrayForEach(c, pt_obj_get(pod, "status.containerStatuses"))
    {
        count += pt_obj_int(c, "restartCount", 0);
        if (pt_parse_time(pt_str(pt_obj_text(c, "lastState.terminated.finishedAt")), &t, NULL) == PT_OK && t > last_ms)
            last_ms = t;
    }
    pt_buf_printf(out, "%lld", (long long)count);
    if (count && last_ms) {
        pt_format_age((now_ms - last_ms) / 1000, age, sizeof age);
        pt_buf_printf(out, " (%s ago)", age);
    }
}

static void cell_pod_gates(const cJSON *pod, int64_t now_ms, struct pt_buf *out)
{
    int total = 0, met = 0;
    const cJSON *gate, *c;
    (void)now_ms;
    cJSON_ArrayForEach(gate, pt_obj_get(pod, "spec.readinessGates"))
    {
        total++;
        cJSON_ArrayForEach(c, pt_obj_get(pod, "status.conditions")) met +=
            !strcmp(pt_obj_text(c, "type"), pt_obj_text(gate, "conditionType")) && !strcmp(pt_obj_text(c, "status"), "True");
    }
    if (total)
        pt_buf_printf(out, "%d/%d", met, total);
}

static void cell_service_ports(const cJSON *service, int64_t now_ms, struct pt_buf *out)
{
    const cJSON *p;
    bool first = true;
    (void)now_ms;
    cJSON_ArrayForEach(p, pt_obj_get(service, "spec.ports"))
    {
        const char *protocol = pt_obj_text(p, "protocol");
        pt_buf_printf(out, "%s%lld/%s", first ? "" : ",", (long long)pt_obj_int(p, "port", 0), *protocol ? protocol : "TCP");
        first = false;
    }
}

static void cell_service_selector(const cJSON *service, int64_t now_ms, struct pt_buf *out)
{
    const cJSON *l;
    bool first = true;
    (void)now_ms;
    cJSON_ArrayForEach(l, pt_obj_get(service, "spec.selector"))
    {
        pt_buf_printf(out, "%s%s=%s", first ? "" : ",", l->string, cJSON_IsString(l) ? l->valuestring : "");
        first = false;
    }
}

static void cell_data_count(const cJSON *o, int64_t now_ms, struct pt_buf *out)
{
    (void)now_ms;
    pt_buf_printf(out, "%d", cJSON_GetArraySize(pt_obj_get(o, "data")) + cJSON_GetArraySize(pt_obj_get(o, "binaryData")));
}

/* kind/name in lower case, as kubectl names things */
static void put_reference(const cJSON *o, const char *kind, const char *name, bool with_group, struct pt_buf *out)
{
    for (const char *k = pt_obj_text(o, kind); *k; k++)
        pt_buf_putc(out, (char)(*k >= 'A' && *k <= 'Z' ? *k | 32 : *k));
    const char *version = with_group ? pt_obj_text(o, "apiVersion") : "";
    const char *slash = strchr(version, '/');
    if (slash)
        pt_buf_printf(out, ".%.*s", (int)(slash - version), version);
    pt_buf_printf(out, "/%s", pt_obj_text(o, name));
}

static void cell_controller(const cJSON *o, int64_t now_ms, struct pt_buf *out)
{
    const cJSON *owner;
    (void)now_ms;
    cJSON_ArrayForEach(owner, pt_obj_get(o, "metadata.ownerReferences"))
    {
        if (!pt_obj_true(owner, "controller"))
            continue;
        put_reference(owner, "kind", "name", true, out);
        return;
    }
}

static void cell_event_object(const cJSON *e, int64_t now_ms, struct pt_buf *out)
{
    (void)now_ms;
    put_reference(pt_obj_get(e, "involvedObject"), "kind", "name", false, out);
}

static void cell_event_age(const cJSON *e, int64_t now_ms, struct pt_buf *out)
{
    static const char *const members[] = {"series.lastObservedTime", "lastTimestamp", "firstTimestamp", "eventTime", "metadata.creationTimestamp"};
    int64_t count = pt_obj_int(e, "series.count", pt_obj_int(e, "count", 1)), last, first;
    char age[32];
    size_t i = 0;
    while (i < sizeof members / sizeof *members && pt_parse_time(pt_str(pt_obj_text(e, members[i])), &last, NULL) < 0)
        i++;
    if (i == sizeof members / sizeof *members)
        return;
    pt_format_age((now_ms - last) / 1000, age, sizeof age);
    pt_buf_puts(out, age);
    if (count > 1 && pt_parse_time(pt_str(pt_obj_text(e, "firstTimestamp")), &first, NULL) == PT_OK) {
        pt_format_age((now_ms - first) / 1000, age, sizeof age);
        pt_buf_printf(out, " (x%lld over %s)", (long long)count, age);
    }
}

static void cell_nothing(const cJSON *o, int64_t now_ms, struct pt_buf *out)
{
    (void)o;
    (void)now_ms;
    (void)out;
}

static const struct function {
    const char *name;
    void (*cell)(const cJSON *o, int64_t now_ms, struct pt_buf *out);
} functions[] = {
    {"@podReady", cell_pod_ready},
    {"@podStatus", cell_pod_status},
    {"@podRestarts", cell_pod_restarts},
    {"@podGates", cell_pod_gates},
    {"@serviceLocal", cell_nothing},
    {"@servicePorts", cell_service_ports},
    {"@serviceSelector", cell_service_selector},
    {"@dataCount", cell_data_count},
    {"@controller", cell_controller},
    {"@eventAge", cell_event_age},
    {"@eventObject", cell_event_object},
};

/* --- paths ------------------------------------------------------------------------------------------------------------------- */

/* "[...]" at the front of a path: an index, or the first element whose member equals a text. NULL: there is none. */
static const cJSON *select_element(const cJSON *list, const char *inside, size_t n)
{
    char member[128], text[128];
    int64_t index;
    const cJSON *e;
    if (pt_parse_i64((struct pt_str){inside, n}, 0, INT32_MAX, "index", &index, NULL) == PT_OK)
        return cJSON_GetArrayItem(list, (int)index);
    if (sscanf(inside, "?(@.%127[^=]==\"%127[^\"]\")", member, text) != 2 && sscanf(inside, "?(@.%127[^=]=='%127[^']')", member, text) != 2)
        return NULL;
    cJSON_ArrayForEach(e, list) if (!strcmp(pt_obj_text(e, member), text)) return e;
    return NULL;
}

static const cJSON *follow(const cJSON *o, const char *path)
{
    while (o && *path) {
        if (*path == '[') {
            size_t n = strcspn(path, "]");
            o = select_element(o, path + 1, n - 1);
            path += n + (path[n] == ']');
            continue;
        }
        path += *path == '.';
        size_t n = strcspn(path, ".[");
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        o = cJSON_GetObjectItemCaseSensitive(o, name);
        path += n;
    }
    return o;
}

/* --- tables ------------------------------------------------------------------------------------------------------------------ */

static bool has_name_column(const cJSON *columns)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, columns) if (!strcmp(pt_obj_text(c, "name"), "Name")) return true;
    return false;
}

static void put_columns(struct pt_buf *b, const cJSON *columns)
{
    const cJSON *c;
    bool first = has_name_column(columns);
    if (!first)
        pt_buf_puts(b, "{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\",\"description\":\"Its name.\",\"priority\":0}");
    cJSON_ArrayForEach(c, columns)
    {
        pt_buf_printf(b, "%s{\"name\":\"%s\",\"type\":\"%s\",\"format\":\"\",\"priority\":%lld,\"description\":", first ? "" : ",",
                      pt_obj_text(c, "name"), pt_obj_text(c, "type"), (long long)pt_obj_int(c, "priority", 0));
        pt_buf_json_string(b, pt_str(pt_obj_text(c, "description")));
        pt_buf_putc(b, '}');
        first = false;
    }
}

static void put_function_cell(struct pt_buf *b, const cJSON *o, const char *name, bool number, int64_t now_ms)
{
    size_t i = 0;
    pt_auto_buf text = PT_BUF_INIT(CELL);
    while (i < sizeof functions / sizeof *functions && strcmp(functions[i].name, name) != 0)
        i++;
    if (i < sizeof functions / sizeof *functions)
        functions[i].cell(o, now_ms, &text);
    if (!text.len)
        pt_buf_puts(b, "\"<none>\"");
    else if (number)
        pt_buf_append(b, text.data, text.len);
    else
        pt_buf_json_string(b, (struct pt_str){text.data, text.len});
}

static void put_path_cell(struct pt_buf *b, const cJSON *o, const char *path, const char *type, int64_t now_ms)
{
    const cJSON *v = follow(o, path);
    int64_t t;
    char text[64];
    if (!v || cJSON_IsNull(v)) {
        pt_buf_puts(b, "null");
    } else if (!strcmp(type, "date")) {
        if (!cJSON_IsString(v) || pt_parse_time(pt_str(v->valuestring), &t, NULL) < 0)
            snprintf(text, sizeof text, "<invalid>");
        else
            pt_format_age((now_ms - t) / 1000, text, sizeof text);
        pt_buf_json_string(b, pt_str(text));
    } else if (!strcmp(type, "string") && cJSON_IsNumber(v)) {
        snprintf(text, sizeof text, "%.15g", v->valuedouble);
        pt_buf_json_string(b, pt_str(text));
    } else {
        (void)pt_obj_print(v, b, NULL);
    }
}

static void put_metadata_object(struct pt_buf *b, const cJSON *o)
{
    pt_buf_puts(b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
    (void)pt_obj_print(pt_obj_get(o, "metadata"), b, NULL);
    pt_buf_putc(b, '}');
}

static void put_row(struct pt_buf *b, const cJSON *o, const cJSON *columns, enum pt_mem_include include, int64_t now_ms)
{
    const cJSON *c;
    bool first = has_name_column(columns);
    pt_buf_puts(b, "{\"cells\":[");
    if (!first)
        pt_buf_json_string(b, pt_str(pt_obj_text(o, "metadata.name")));
    cJSON_ArrayForEach(c, columns)
    {
        const char *path = pt_obj_text(c, "jsonPath"), *type = pt_obj_text(c, "type");
        pt_buf_puts(b, first ? "" : ",");
        first = false;
        if (*path == '@')
            put_function_cell(b, o, path, !strcmp(type, "integer"), now_ms);
        else
            put_path_cell(b, o, path, type, now_ms);
    }
    pt_buf_puts(b, "]");
    if (include != PT_MEM_INCLUDE_NONE)
        pt_buf_puts(b, ",\"object\":");
    if (include == PT_MEM_INCLUDE_METADATA)
        put_metadata_object(b, o);
    else if (include == PT_MEM_INCLUDE_OBJECT)
        (void)pt_obj_print(o, b, NULL);
    pt_buf_putc(b, '}');
}

static void put_list_meta(struct pt_buf *b, const cJSON *o, bool is_list)
{
    const char *rv = pt_obj_text(o, "metadata.resourceVersion");
    pt_buf_puts(b, "\"metadata\":");
    if (is_list)
        (void)pt_obj_print(pt_obj_get(o, "metadata"), b, NULL);
    else
        pt_buf_printf(b, "{\"resourceVersion\":\"%s\"}", rv);
}

/* Items of a list carry no kind where they are stored with one anyway; each is a row. */
static void put_rows(struct pt_buf *b, const cJSON *o, const cJSON *items, const cJSON *columns, enum pt_mem_include include, int64_t now_ms)
{
    const cJSON *item;
    bool first = true;
    if (!items) {
        put_row(b, o, columns, include, now_ms);
        return;
    }
    cJSON_ArrayForEach(item, items)
    {
        pt_buf_puts(b, first ? "" : ",");
        first = false;
        put_row(b, item, columns, include, now_ms);
    }
}

static void put_metadata(struct pt_buf *b, const cJSON *o, const cJSON *items)
{
    const cJSON *item;
    bool first = true;
    if (!items) {
        put_metadata_object(b, o);
        return;
    }
    pt_buf_puts(b, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",");
    put_list_meta(b, o, true);
    pt_buf_puts(b, ",\"items\":[");
    cJSON_ArrayForEach(item, items)
    {
        pt_buf_puts(b, first ? "" : ",");
        first = false;
        put_metadata_object(b, item);
    }
    pt_buf_puts(b, "]}");
}

int pt_mem_put_form(struct pt_memapi *m, const struct pt_mem_type *t, enum pt_mem_form form, enum pt_mem_include include, struct pt_str object,
                    struct pt_buf *b, struct pt_err *err)
{
    pt_auto_obj *o = NULL;
    const cJSON *columns = pt_obj_get(t->def, "versions.0.additionalPrinterColumns");
    if (pt_obj_parse(object, "answer", &o, err) < 0)
        return err ? err->code : PT_EPARSE;
    const char *kind = pt_obj_text(o, "kind");
    size_t n = strlen(kind), k = strlen(t->res->kind);
    bool is_list = n == k + 4 && !strcmp(kind + k, "List");
    const cJSON *items = is_list ? pt_obj_get(o, "items") : NULL;
    if (strncmp(kind, t->res->kind, k) != 0) { /* a Status or a Scale has no other form */
        pt_buf_append(b, object.p, object.len);
    } else if (form == PT_MEM_METADATA) {
        put_metadata(b, o, items);
    } else {
        pt_buf_puts(b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",");
        put_list_meta(b, o, is_list);
        pt_buf_puts(b, ",\"columnDefinitions\":[");
        put_columns(b, columns);
        pt_buf_puts(b, "],\"rows\":[");
        put_rows(b, o, items, columns, include, pt_wall_ms(m->o.sched));
        pt_buf_puts(b, "]}");
    }
    return pt_buf_check(b, "answer", err);
}
