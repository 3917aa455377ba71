/* SPDX-License-Identifier: Apache-2.0
 *
 * profile.c: events become JSON as they come. A step inside a body of If, Loop, ... is also inside the step of that node, so only the outermost ones
 * add up to the whole.
 */
#include "cli/profile.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TRACE_MAX ((size_t)1 << 30)

void pt_cli_profile_init(struct pt_cli_profile *p)
{
    *p = (struct pt_cli_profile){.trace = PT_BUF_INIT(TRACE_MAX)};
}

void pt_cli_profile_finish(struct pt_cli_profile *p)
{
    pt_buf_finish(&p->trace);
    pt_free(p->ops);
}

static struct pt_cli_profile_op *find_op(struct pt_cli_profile *p, const struct pt_profile_event *e)
{
    char name[sizeof p->ops->name];
    snprintf(name, sizeof name, "%.*s%s%.*s", (int)(e->domain.len > 20 ? 20 : e->domain.len), e->domain.p, e->domain.len ? "::" : "",
             (int)(e->op_type.len > 24 ? 24 : e->op_type.len), e->op_type.p);
    for (size_t i = 0; i < p->op_count; i++)
        if (strcmp(p->ops[i].name, name) == 0)
            return &p->ops[i];
    if (p->op_count == p->op_room) {
        size_t room = p->op_room ? p->op_room * 2 : 32;
        struct pt_cli_profile_op *ops = pt_reallocarray(p->ops, room, sizeof *ops);
        if (!ops)
            return NULL;
        p->ops = ops;
        p->op_room = room;
    }
    struct pt_cli_profile_op *op = &p->ops[p->op_count++];
    *op = (struct pt_cli_profile_op){0};
    memcpy(op->name, name, sizeof name);
    return op;
}

static void put_tensors(struct pt_buf *b, const char *key, const struct pt_tensor *const *t, size_t count)
{
    pt_buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        pt_buf_puts(b, i ? "," : "");
        if (!t[i]) {
            pt_buf_puts(b, "null");
            continue;
        }
        pt_buf_printf(b, "\"%s[", pt_dtype_name(t[i]->dtype));
        for (int k = 0; k < t[i]->rank; k++)
            pt_buf_printf(b, "%s%" PRId64, k ? "," : "", t[i]->dims[k]);
        pt_buf_puts(b, "]\"");
    }
    pt_buf_putc(b, ']');
}

/* Microseconds with three digits behind the point. */
static void put_time(struct pt_buf *b, const char *key, int64_t ns)
{
    pt_buf_printf(b, ",\"%s\":%" PRId64 ".%03d", key, ns / 1000, (int)(ns % 1000));
}

void pt_cli_profile_add(void *arg, const struct pt_profile_event *e)
{
    struct pt_cli_profile *p = arg;
    struct pt_cli_profile_op *op = find_op(p, e);
    struct pt_str name = {e->name.p, e->name.len};
    if (!op) {
        p->failed = true;
        return;
    }
    p->start_ns = p->start_ns ? p->start_ns : e->start_ns;
    p->total_ns += e->depth ? 0 : e->end_ns - e->start_ns;
    p->deepest = e->depth > p->deepest ? e->depth : p->deepest;
    op->ns += e->end_ns - e->start_ns;
    op->count++;
    pt_buf_puts(&p->trace, p->trace.len ? ",\n{\"name\":" : "{\"name\":");
    pt_buf_json_string(&p->trace, name.len ? name : pt_str(op->name));
    pt_buf_puts(&p->trace, ",\"cat\":");
    pt_buf_json_string(&p->trace, pt_str(op->name));
    pt_buf_puts(&p->trace, ",\"ph\":\"X\",\"pid\":1,\"tid\":1");
    put_time(&p->trace, "ts", e->start_ns > p->start_ns ? e->start_ns - p->start_ns : 0);
    put_time(&p->trace, "dur", e->end_ns - e->start_ns);
    pt_buf_puts(&p->trace, ",\"args\":{\"op\":");
    pt_buf_json_string(&p->trace, pt_str(op->name));
    put_tensors(&p->trace, "inputs", e->inputs, e->input_count);
    put_tensors(&p->trace, "outputs", e->outputs, e->output_count);
    pt_buf_puts(&p->trace, "}}");
}

int pt_cli_profile_write(struct pt_cli_profile *p, const char *path, struct pt_err *err)
{
    pt_auto_buf file = PT_BUF_INIT(0);
    mode_t mask = umask(0);
    umask(mask);
    if (p->failed)
        return pt_fail(err, PT_ENOMEM, "out of memory for the profile");
    int rc = pt_buf_check(&p->trace, "profile", err);
    pt_buf_puts(&file, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    if (rc == PT_OK)
        pt_buf_append(&file, p->trace.data, p->trace.len);
    pt_buf_puts(&file, "\n]}\n");
    if (rc == PT_OK)
        rc = pt_buf_check(&file, "profile", err);
    return rc < 0 ? rc : pt_path_write_atomic(path, file.data, file.len, 0666 & ~mask, err);
}

static int by_time(const void *a, const void *b)
{
    const struct pt_cli_profile_op *x = a, *y = b;
    return x->ns != y->ns ? (x->ns < y->ns ? 1 : -1) : strcmp(x->name, y->name);
}

void pt_cli_profile_print(struct pt_cli_profile *p)
{
    if (p->op_count)
        qsort(p->ops, p->op_count, sizeof *p->ops, by_time);
    printf("%10s %6s %6s  %s\n", "ms", "%", "count", "operator");
    for (size_t i = 0; i < p->op_count; i++)
        printf("%10.3f %6.1f %6zu  %s\n", (double)p->ops[i].ns * 1e-6, p->total_ns ? 100 * (double)p->ops[i].ns / (double)p->total_ns : 0,
               p->ops[i].count, p->ops[i].name);
    printf("%10.3f  total%s\n", (double)p->total_ns * 1e-6, p->deepest ? "; steps inside If, Loop, ... are counted there too" : "");
}
