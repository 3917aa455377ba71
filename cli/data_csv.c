/* SPDX-License-Identifier: Apache-2.0
 *
 * data_csv.c: CSV (RFC 4180): a header of names, rows of numbers, one column with labels.
 */
#include "cli/data_files.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>

enum { COLUMNS = 65536, NAMES = 4096 };

struct csv {
    struct pt_str rest;
    char comma;
    size_t line; /* of what is read next, from 1 */
    struct pt_buf cell;
};
enum { CELL, LAST, NOTHING }; /* another cell follows in this row; it was the last; there is no row */

/* A cell into c->cell. */
static int next_cell(struct csv *c, struct pt_err *err)
{
    struct pt_str *s = &c->rest;
    pt_buf_reset(&c->cell);
    if (!s->len)
        return NOTHING;
    if (*s->p == '"') {
        for (s->p++, s->len--;; s->p++, s->len--) {
            if (!s->len)
                return pt_fail(err, PT_EPARSE, "line %zu: a quote is not closed", c->line);
            if (*s->p == '"' && !(s->len > 1 && s->p[1] == '"'))
                break;
            if (*s->p == '"')
                s->p++, s->len--;
            pt_buf_putc(&c->cell, *s->p);
        }
        s->p++, s->len--;
    } else {
        size_t n = 0;
        while (n < s->len && s->p[n] != c->comma && s->p[n] != '\n' && s->p[n] != '\r')
            n++;
        pt_buf_append(&c->cell, s->p, n);
        s->p += n, s->len -= n;
    }
    if (c->cell.failed == PT_ENOMEM)
        return pt_buf_check(&c->cell, "a cell", err);
    if (c->cell.failed)
        return pt_fail(err, PT_ELIMIT, "line %zu: a cell of more than %d bytes", c->line, NAMES);
    if (s->len && *s->p == c->comma) {
        s->p++, s->len--;
        return CELL;
    }
    if (s->len && *s->p == '\r')
        s->p++, s->len--;
    if (s->len && *s->p != '\n')
        return pt_fail(err, PT_EPARSE, "line %zu: text behind a closing quote", c->line);
    if (s->len)
        s->p++, s->len--;
    return LAST;
}

static struct pt_str cell_of(const struct csv *c)
{
    return pt_str_trim((struct pt_str){c->cell.data, c->cell.len});
}

static bool is_label_name(struct pt_str name)
{
    static const char *const names[] = {"label", "class", "target", "y"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pt_str_eq_nocase(name, pt_str(names[i])))
            return true;
    return false;
}

/* The header: how many columns, which of them is the label (-1: none). names: zero-terminated, for messages. */
static int read_header(struct csv *c, const char *label, int64_t *columns, int64_t *at, struct pt_buf *names, struct pt_err *err)
{
    int64_t number = 0;
    bool by_number = label && *label && pt_parse_i64(pt_str(label), 1, COLUMNS, "", &number, NULL) == PT_OK;
    *columns = 0;
    *at = by_number ? number - 1 : -1;
    for (int more = CELL; more == CELL; ++*columns) {
        if ((more = next_cell(c, err)) < 0)
            return more;
        if (more == NOTHING && *columns == 0)
            return pt_fail(err, PT_EPARSE, "line 1: no header");
        struct pt_str name = cell_of(c);
        double v;
        if (*columns == COLUMNS)
            return pt_fail(err, PT_ELIMIT, "line 1: more than %d columns", COLUMNS);
        struct pt_json j;
        pt_json_init(&j, name.p, name.len);
        if (name.len && pt_json_double(&j, &v, NULL) == PT_OK && pt_json_end(&j, NULL) == PT_OK)
            return pt_fail(err, PT_EPARSE, "line 1: \"" PT_STR_FMT "\" is a number; the first line must name the columns", PT_STR_ARG(name));
        if (!by_number && (label ? *label && pt_str_eq(name, pt_str(label)) : is_label_name(name))) {
            if (*at >= 0)
                return pt_fail(err, PT_EINVAL, "line 1: columns %lld and %lld are both \"" PT_STR_FMT "\"", (long long)*at + 1,
                               (long long)*columns + 1, PT_STR_ARG(name));
            *at = *columns;
        }
        pt_buf_append(names, name.p, name.len);
        pt_buf_putc(names, '\0');
    }
    c->line++;
    if (label && *label && (*at < 0 || *at >= *columns))
        return pt_fail(err, PT_ENOTFOUND, by_number ? "column %s: there are %lld" : "there is no column \"%s\"", label, (long long)*columns);
    return pt_buf_check(names, "names of columns", err);
}

static const char *column_name(const struct pt_buf *names, int64_t i)
{
    const char *p = names->data;
    while (i-- > 0)
        p += strlen(p) + 1;
    return p;
}

static int number_of(const struct csv *c, const struct pt_buf *names, int64_t column, double *v, struct pt_err *err)
{
    struct pt_str text = cell_of(c);
    struct pt_json j;
    if (!text.len)
        return pt_fail(err, PT_EPARSE, "line %zu, column \"%.60s\": the value is missing", c->line, column_name(names, column));
    if (*text.p == '+')
        text.p++, text.len--;
    pt_json_init(&j, text.p, text.len);
    if (pt_json_double(&j, v, NULL) < 0 || pt_json_end(&j, NULL) < 0 || !isfinite((float)*v))
        return pt_fail(err, PT_EPARSE, "line %zu, column \"%.60s\": \"%.*s\" is no number", c->line, column_name(names, column),
                       (int)(text.len > 60 ? 60 : text.len), text.p);
    return PT_OK;
}

/* Labels: ends of their texts in `text`; what they are is seen at the end. */
struct labels {
    struct pt_buf text, ends;
};

static int read_rows(struct csv *c, const struct pt_buf *names, int64_t columns, int64_t at, struct pt_buf *values, struct labels *labels,
                     int64_t *rows, struct pt_err *err)
{
    for (*rows = 0;; ++*rows, c->line++) {
        while (c->rest.len && (*c->rest.p == '\n' || *c->rest.p == '\r')) { /* lines of nothing */
            c->line += *c->rest.p == '\n';
            c->rest.p++, c->rest.len--;
        }
        int more = CELL;
        for (int64_t i = 0; more == CELL; i++) {
            double v;
            if ((more = next_cell(c, err)) < 0)
                return more;
            if (more == NOTHING && i == 0)
                return pt_buf_check(values, "values", err);
            more = more == NOTHING ? LAST : more; /* a comma ends the file: an empty cell */
            if (i == columns || (more == LAST && i + 1 < columns))
                return pt_fail(err, PT_EPARSE, "line %zu: %lld%s columns, the header has %lld", c->line, (long long)i + 1,
                               more == CELL ? " or more" : "", (long long)columns);
            if (i == at) {
                struct pt_str text = cell_of(c);
                if (!text.len)
                    return pt_fail(err, PT_EPARSE, "line %zu: the label is missing", c->line);
                pt_buf_append(&labels->text, text.p, text.len);
                pt_buf_append(&labels->ends, &labels->text.len, sizeof labels->text.len);
                continue;
            }
            int rc = number_of(c, names, i, &v, err);
            if (rc < 0)
                return rc;
            pt_buf_append(values, &(float){(float)v}, sizeof(float));
        }
    }
}

static struct pt_str label_at(const struct labels *l, int64_t i)
{
    size_t end, start = 0;
    memcpy(&end, l->ends.data + (size_t)i * sizeof end, sizeof end);
    if (i)
        memcpy(&start, l->ends.data + (size_t)(i - 1) * sizeof start, sizeof start);
    return (struct pt_str){l->text.data + start, end - start};
}

/* Whole numbers are classes, other numbers are values, anything else is a name; unless the task says so. */
static int make_labels(const struct labels *l, int64_t rows, enum pt_task task, struct pt_tensor_file *out, struct pt_err *err)
{
    bool whole = task != PT_TASK_REGRESSION, number = task != PT_TASK_CLASSIFICATION;
    for (int64_t i = 0; i < rows && (whole || number); i++) {
        int64_t n;
        double v;
        struct pt_json j;
        struct pt_str text = label_at(l, i);
        whole = whole && pt_parse_i64(text, 0, INT32_MAX, "", &n, NULL) == PT_OK;
        pt_json_init(&j, text.p, text.len);
        number = number && pt_json_double(&j, &v, NULL) == PT_OK && pt_json_end(&j, NULL) == PT_OK;
        if (!number && task == PT_TASK_REGRESSION)
            return pt_fail(err, PT_EINVAL, "sample %lld: \"%.*s\" is no number to learn", (long long)i, (int)(text.len > 60 ? 60 : text.len), text.p);
    }
    enum pt_dtype dtype = whole ? PT_INT64 : number ? PT_FLOAT : PT_STRING;
    int rc = pt_tensor_file_alloc(out, dtype, 1, &rows, err);
    if (rc == PT_OK && dtype == PT_STRING && !(out->text = pt_malloc(l->text.len + 1)))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc < 0)
        return rc;
    if (dtype == PT_STRING)
        memcpy(out->text, l->text.data, l->text.len);
    for (int64_t i = 0; i < rows; i++) {
        struct pt_str text = label_at(l, i);
        double v = 0;
        struct pt_json j;
        if (dtype == PT_INT64)
            pt_parse_i64(text, 0, INT32_MAX, "", (int64_t *)out->t.data + i, NULL);
        else if (dtype == PT_STRING)
            ((struct pt_string *)out->t.data)[i] = (struct pt_string){.p = out->text + (text.p - l->text.data), .len = text.len};
        else {
            pt_json_init(&j, text.p, text.len);
            pt_json_double(&j, &v, NULL);
            ((float *)out->t.data)[i] = (float)v;
        }
    }
    return PT_OK;
}

static int parse(struct csv *c, const char *label, enum pt_task task, struct pt_data_file *out, struct pt_err *err)
{
    pt_auto_buf names = PT_BUF_INIT(1 << 22), values = PT_BUF_INIT(PT_DATA_MAX);
    struct labels labels = {PT_BUF_INIT(PT_DATA_MAX), PT_BUF_INIT(PT_DATA_MAX)};
    int64_t columns = 0, at = -1, rows = 0;
    int rc = read_header(c, label, &columns, &at, &names, err);
    if (rc == PT_OK)
        rc = read_rows(c, &names, columns, at, &values, &labels, &rows, err);
    if (rc == PT_OK && rows == 0)
        rc = pt_fail(err, PT_EINVAL, "no rows behind the header");
    if (rc == PT_OK && (rc = pt_buf_check(&labels.text, "labels", err)) == PT_OK)
        rc = pt_buf_check(&labels.ends, "labels", err);
    if (rc == PT_OK && at >= 0)
        rc = make_labels(&labels, rows, task, &out->labels, err);
    int64_t dims[] = {rows, columns - (at >= 0)};
    struct pt_tensor_file *to = rc == PT_OK ? pt_data_file_add(out, PT_STR(""), err) : NULL;
    if (rc == PT_OK)
        rc = to ? pt_tensor_file_alloc(to, PT_FLOAT, 2, dims, err) : PT_ENOMEM;
    if (rc == PT_OK && values.len)
        memcpy(to->t.data, values.data, values.len);
    pt_buf_finish(&labels.text);
    pt_buf_finish(&labels.ends);
    return rc;
}

int pt_csv_parse(const void *bytes, size_t len, const char *label, enum pt_task task, struct pt_data_file *out, struct pt_err *err)
{
    struct csv c = {.rest = {bytes, len}, .line = 1, .cell = PT_BUF_INIT(NAMES)};
    *out = (struct pt_data_file){0};
    if (pt_str_starts(c.rest, PT_STR("\xef\xbb\xbf")))
        c.rest.p += 3, c.rest.len -= 3;
    const char *end = len ? memchr(c.rest.p, '\n', c.rest.len) : NULL;
    size_t header = end ? (size_t)(end - c.rest.p) : c.rest.len;
    c.comma = header && memchr(c.rest.p, ',', header)    ? ','
              : header && memchr(c.rest.p, ';', header)  ? ';'
              : header && memchr(c.rest.p, '\t', header) ? '\t'
                                                         : ',';
    int rc = parse(&c, label, task, out, err);
    pt_buf_finish(&c.cell);
    if (rc < 0)
        pt_data_file_finish(out);
    return rc;
}
