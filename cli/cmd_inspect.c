/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_inspect.c: pintle inspect MODEL.onnx: what a model is made of, for people as tables, for programs as JSON.
 */
#include "cli/commands.h"
#include "cli/options.h"

#include "base/buf.h"
#include "pintle/runtime.h"

#include <stdio.h>

static const char help[] = "usage: pintle inspect MODEL.onnx [--optimized] [--disable NAME,...] [--json]\n"
                           "\n"
                           "Shows inputs, outputs, operator sets, operators with their counts, parameters, multiply-accumulates, planned memory, and the operators\n"
                           "that Pintle lacks. Multiply-accumulates and memory are those of one run with free dimensions set to 1.\n"
                           "\n"
                           "      --optimized      count operators as the optimiser leaves them\n"
                           "      --disable NAMES  leave out these rewrites of the optimiser: gelu,pad,... (pintle-run(1) lists them)\n"
                           "      --json           one JSON object\n";

static const char *domain_of(const char *domain)
{
    return *domain ? domain : "ai.onnx";
}

/* --- tables ------------------------------------------------------------------------------------------------------------------ */

enum { COLUMNS_MAX = 5 };

/* Cells are rows of `columns` strings, each ended by a zero byte; prints them aligned. */
static void print_table(const struct pt_buf *cells, int columns)
{
    int width[COLUMNS_MAX] = {0}, c = 0;
    for (const char *p = cells->data, *end = p + cells->len; p < end; p += strlen(p) + 1, c = (c + 1) % columns)
        width[c] = (int)strlen(p) > width[c] ? (int)strlen(p) : width[c];
    c = 0;
    for (const char *p = cells->data, *end = p + cells->len; p < end; p += strlen(p) + 1, c = (c + 1) % columns)
        printf("%s%-*s%s", c ? "   " : "  ", c + 1 < columns ? width[c] : 0, p, c + 1 < columns ? "" : "\n");
}

static void put_cell(struct pt_buf *cells, const char *text)
{
    pt_buf_append(cells, text, strlen(text) + 1);
}

static void put_shape(struct pt_buf *out, const struct pt_value_info *v)
{
    if (v->rank < 0) {
        pt_buf_puts(out, "unknown shape");
        return;
    }
    pt_buf_putc(out, '[');
    for (int i = 0; i < v->rank; i++) {
        if (i)
            pt_buf_puts(out, ", ");
        if (v->dims[i] >= 0)
            pt_buf_printf(out, "%lld", (long long)v->dims[i]);
        else
            pt_buf_puts(out, v->dim_names[i] ? v->dim_names[i] : "?");
    }
    pt_buf_putc(out, ']');
}

/* "sequence(float32)" */
static void put_type(struct pt_buf *out, const struct pt_value_info *v)
{
    pt_buf_puts(out, pt_dtype_name(v->dtype));
    if (!v->elem)
        return;
    pt_buf_putc(out, '(');
    if (v->dtype == PT_MAP)
        pt_buf_printf(out, "%s: ", pt_dtype_name(v->key_dtype));
    put_type(out, v->elem);
    pt_buf_putc(out, ')');
}

static void print_values(const char *title, const struct pt_value_info *values, size_t count)
{
    pt_auto_buf cells = PT_BUF_INIT(0);
    for (size_t i = 0; i < count; i++) {
        put_cell(&cells, values[i].name);
        put_type(&cells, &values[i]);
        pt_buf_putc(&cells, '\0');
        put_shape(&cells, values[i].elem ? values[i].elem : &values[i]);
        pt_buf_putc(&cells, '\0');
    }
    printf("\n%s (%zu)\n", title, count);
    if (count && !cells.failed)
        print_table(&cells, 3);
}

static void print_ops(const struct pt_model_summary *m)
{
    pt_auto_buf cells = PT_BUF_INIT(0);
    for (size_t i = 0; i < m->op_count; i++) {
        const struct pt_op_count *op = &m->ops[i];
        char text[32];
        snprintf(text, sizeof text, "%zu", op->count);
        put_cell(&cells, text);
        put_cell(&cells, op->op_type);
        put_cell(&cells, domain_of(op->domain));
        snprintf(text, sizeof text, "since %d", op->since_version);
        put_cell(&cells, op->supported ? text : "NOT SUPPORTED");
    }
    printf("\noperators (%zu)\n", m->op_count);
    if (m->op_count && !cells.failed)
        print_table(&cells, 4);
}

/* "11.7 M" */
static void print_scaled(const char *what, uint64_t v, const char *unit)
{
    static const char prefixes[] = " kMGTPE";
    double scaled = (double)v;
    size_t i = 0;
    while (scaled >= 1000 && i + 2 < sizeof prefixes)
        scaled /= 1000, i++;
    if (i == 0)
        printf("%-12s %llu%s%s\n", what, (unsigned long long)v, *unit ? " " : "", unit);
    else
        printf("%-12s %.3g %c%s (%llu)\n", what, scaled, prefixes[i], unit, (unsigned long long)v);
}

static void print_text(const char *path, const struct pt_model_summary *m)
{
    printf("%-12s %s\n", "model", path);
    if (*m->producer)
        printf("%-12s %s\n", "producer", m->producer);
    printf("%-12s %lld\n%-12s", "ir version", (long long)m->ir_version, "opsets");
    for (size_t i = 0; i < m->opset_count; i++)
        printf("%s %s %lld", i ? "," : "", domain_of(m->opsets[i].domain), (long long)m->opsets[i].version);
    putchar('\n');
    print_scaled("parameters", m->parameters, "");
    print_scaled("weights", m->weight_bytes, "B");
    if (*m->plan_error) {
        printf("%-12s cannot be planned: %s\n", "run", m->plan_error);
    } else {
        print_scaled("MACs", m->macs, "");
        print_scaled("peak memory", m->peak_bytes, "B");
        if (m->dynamic_nodes)
            printf("%-12s %zu nodes, whose shapes depend on data: not in the two figures above\n", "dynamic", m->dynamic_nodes);
    }
    print_values("inputs", m->inputs, m->input_count);
    print_values("outputs", m->outputs, m->output_count);
    print_ops(m);
}

/* --- JSON ---------------------------------------------------------------------------------------------------------------------- */

static void put_values(struct pt_buf *b, const char *key, const struct pt_value_info *values, size_t count)
{
    pt_buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        const struct pt_value_info *v = &values[i];
        pt_buf_puts(b, i ? ",{\"name\":" : "{\"name\":");
        pt_buf_json_string(b, pt_str(v->name));
        pt_buf_puts(b, ",\"dtype\":\"");
        put_type(b, v);
        v = v->elem ? v->elem : v;
        pt_buf_printf(b, "\",\"shape\":%s", v->rank < 0 ? "null}" : "[");
        for (int d = 0; d < v->rank; d++) {
            if (d)
                pt_buf_putc(b, ',');
            if (v->dims[d] >= 0)
                pt_buf_printf(b, "%lld", (long long)v->dims[d]);
            else if (v->dim_names[d])
                pt_buf_json_string(b, pt_str(v->dim_names[d]));
            else
                pt_buf_puts(b, "null");
        }
        pt_buf_puts(b, v->rank < 0 ? "" : "]}");
    }
    pt_buf_putc(b, ']');
}

static void put_ops(struct pt_buf *b, const struct pt_model_summary *m)
{
    pt_buf_puts(b, ",\"operators\":[");
    for (size_t i = 0; i < m->op_count; i++) {
        const struct pt_op_count *op = &m->ops[i];
        pt_buf_puts(b, i ? ",{\"domain\":" : "{\"domain\":");
        pt_buf_json_string(b, pt_str(domain_of(op->domain)));
        pt_buf_puts(b, ",\"op_type\":");
        pt_buf_json_string(b, pt_str(op->op_type));
        pt_buf_printf(b, ",\"since_version\":%d,\"count\":%zu,\"supported\":%s}", op->since_version, op->count, op->supported ? "true" : "false");
    }
    pt_buf_putc(b, ']');
}

static int print_json(const char *path, const struct pt_model_summary *m)
{
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    pt_buf_puts(&b, "{\"model\":");
    pt_buf_json_string(&b, pt_str(path));
    pt_buf_puts(&b, ",\"producer\":");
    pt_buf_json_string(&b, pt_str(m->producer));
    pt_buf_printf(&b, ",\"ir_version\":%lld,\"opsets\":[", (long long)m->ir_version);
    for (size_t i = 0; i < m->opset_count; i++) {
        pt_buf_puts(&b, i ? ",{\"domain\":" : "{\"domain\":");
        pt_buf_json_string(&b, pt_str(domain_of(m->opsets[i].domain)));
        pt_buf_printf(&b, ",\"version\":%lld}", (long long)m->opsets[i].version);
    }
    pt_buf_putc(&b, ']');
    put_values(&b, "inputs", m->inputs, m->input_count);
    put_values(&b, "outputs", m->outputs, m->output_count);
    put_ops(&b, m);
    pt_buf_printf(&b, ",\"parameters\":%llu,\"weight_bytes\":%llu", (unsigned long long)m->parameters, (unsigned long long)m->weight_bytes);
    if (*m->plan_error) {
        pt_buf_puts(&b, ",\"macs\":null,\"peak_bytes\":null,\"plan_error\":");
        pt_buf_json_string(&b, pt_str(m->plan_error));
    } else {
        pt_buf_printf(&b, ",\"macs\":%llu,\"peak_bytes\":%llu,\"dynamic_nodes\":%zu", (unsigned long long)m->macs, (unsigned long long)m->peak_bytes,
                      m->dynamic_nodes);
    }
    pt_buf_puts(&b, "}\n");
    if (pt_buf_check(&b, "JSON", &err) < 0)
        return pt_cmd_fail(&err);
    fwrite(b.data, 1, b.len, stdout);
    return 0;
}

int pt_cmd_inspect(int argc, char **argv)
{
    struct arguments {
        const char *disable;
        bool json, optimized, help;
    } a = {0};
    static const struct pt_cmd_option options[] = {{"json", PT_CMD_FLAG, offsetof(struct arguments, json), .help = NULL},
                                                   {"optimized", PT_CMD_FLAG, offsetof(struct arguments, optimized), .help = NULL},
                                                   {"disable", PT_CMD_TEXT, offsetof(struct arguments, disable), .help = NULL},
                                                   {"help", PT_CMD_FLAG, offsetof(struct arguments, help), .help = NULL}};
    struct pt_model_summary *m;
    struct pt_err err;
    int status = pt_cmd_options(argc, argv, options, sizeof options / sizeof *options, &a);
    if (status)
        return status;
    if (a.help) {
        fputs(help, stdout);
        return pt_cmd_finish();
    }
    if (argc - optind != 1)
        return pt_cmd_usage(argv[0], argc == optind ? "a model is needed" : "one model is needed, not also \"%s\"", argv[argc - 1]);
    const char *path = argv[optind];
    if (a.disable && !a.optimized)
        return pt_cmd_usage(argv[0], "--disable is for --optimized");
    if ((a.optimized ? pt_model_inspect_optimized(path, a.disable, &m, &err) : pt_model_inspect(path, &m, &err)) < 0)
        return pt_cmd_fail(&err);
    if (a.json)
        status = print_json(path, m);
    else
        print_text(path, m);
    pt_model_summary_free(m);
    return status ? status : pt_cmd_finish();
}
