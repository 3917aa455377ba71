/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c: cells are measured, then written: a column is as wide as its widest cell of the first call and a gap. A cell is text up to its first
 * line's end, a number, or nothing; control characters never reach the terminal.
 */
#include "cli/table.h"

#include "base/buf.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>

enum { GAP = 3, MIN_WIDTH = 6 };

static void put_text(struct pt_buf *b, const char *s)
{
    size_t line = strcspn(s, "\f\n\r");
    for (size_t i = 0; i < line; i++)
        pt_buf_putc(b, (unsigned char)s[i] < ' ' || s[i] == 127 ? '?' : s[i]);
    if (s[line])
        pt_buf_puts(b, "...");
}

static void put_cell(struct pt_buf *b, const cJSON *cell)
{
    pt_buf_reset(b);
    if (cJSON_IsString(cell))
        put_text(b, cell->valuestring);
    else if (cJSON_IsNumber(cell))
        pt_buf_printf(b, "%.15g", cell->valuedouble);
    else if (cJSON_IsBool(cell))
        pt_buf_puts(b, cJSON_IsTrue(cell) ? "true" : "false");
}

static void put_header(struct pt_buf *b, const cJSON *column)
{
    pt_buf_reset(b);
    for (const char *s = pt_obj_text(column, "name"); *s; s++)
        pt_buf_putc(b, *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s);
}

/* Characters, not bytes. */
static int width_of(const struct pt_buf *b)
{
    int n = 0;
    for (size_t i = 0; i < b->len; i++)
        n += ((unsigned char)b->data[i] & 0xC0) != 0x80;
    return n;
}

/* What is in place `at` of a line: 0 is the namespace. row NULL: the header. */
static void put_place(const cJSON *table, const cJSON *row, size_t at, struct pt_buf *b)
{
    if (at > 0 && row)
        put_cell(b, cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(row, "cells"), (int)at - 1));
    else if (at > 0)
        put_header(b, cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(table, "columnDefinitions"), (int)at - 1));
    else {
        pt_buf_reset(b);
        put_text(b, row ? pt_obj_text(row, "object.metadata.namespace") : "NAMESPACE");
    }
}

static bool is_shown(const struct pt_table *t, size_t at)
{
    return at == 0 ? t->namespaces : t->shown[at - 1];
}

static void print_line(const struct pt_table *t, const cJSON *table, const cJSON *row, struct pt_buf *b)
{
    size_t last = t->columns;
    while (last > 0 && !is_shown(t, last))
        last--;
    for (size_t at = 0; at <= last; at++) {
        if (!is_shown(t, at))
            continue;
        put_place(table, row, at, b);
        int pad = at == last ? 0 : t->widths[at] - width_of(b);
        printf("%s%*s", pt_buf_cstr(b), pad > 0 ? pad : at == last ? 0 : GAP, "");
    }
    putchar('\n');
}

static int begin(struct pt_table *t, const cJSON *table, struct pt_buf *b, struct pt_err *err)
{
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(table, "columnDefinitions"), *column, *row;
    if (cJSON_GetArraySize(columns) > PT_TABLE_COLUMNS)
        return pt_fail(err, PT_ELIMIT, "the server's table has %d columns, at most %d are shown", cJSON_GetArraySize(columns), PT_TABLE_COLUMNS);
    cJSON_ArrayForEach(column, columns) t->shown[t->columns++] = t->wide || pt_obj_int(column, "priority", 0) == 0;
    for (size_t at = 0; at <= t->columns; at++) {
        t->widths[at] = MIN_WIDTH;
        put_place(table, NULL, at, b);
        t->widths[at] = width_of(b) + GAP > t->widths[at] ? width_of(b) + GAP : t->widths[at];
        cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(table, "rows"))
        {
            put_place(table, row, at, b);
            t->widths[at] = width_of(b) + GAP > t->widths[at] ? width_of(b) + GAP : t->widths[at];
        }
    }
    t->begun = true;
    print_line(t, table, NULL, b);
    return PT_OK;
}

int pt_table_print(struct pt_table *t, const cJSON *table, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(1 << 20);
    const cJSON *row, *rows = cJSON_GetObjectItemCaseSensitive(table, "rows");
    if (strcmp(pt_obj_text(table, "kind"), "Table") != 0 || !cJSON_IsArray(rows))
        return pt_fail(err, PT_EPARSE, "the server sent a %s where a Table was asked for",
                       *pt_obj_text(table, "kind") ? pt_obj_text(table, "kind") : "document");
    int rc = t->begun ? PT_OK : begin(t, table, &b, err);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(row, rows) print_line(t, table, row, &b);
    return pt_buf_check(&b, "table", err);
}
