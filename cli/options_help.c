/* SPDX-License-Identifier: Apache-2.0
 *
 * options_help.c: what rows of options say of themselves, in three forms.
 */
#include "cli/options.h"

#include "cli/commands.h"

#include <stdio.h>

enum { COLUMN = 30, WIDTH = 118 };

static const char *value_of(const struct pt_cmd_option *row)
{
    static const char *const by_type[] = {[PT_CMD_TEXT] = "TEXT",     [PT_CMD_NUMBER] = "N",      [PT_CMD_REAL] = "X",
                                          [PT_CMD_CHOICE] = "CHOICE", [PT_CMD_LIST] = "NAME,...", [PT_CMD_PAIRS] = "NAME=VALUE"};
    return row->type == PT_CMD_FLAG ? "" : row->value ? row->value : by_type[row->type];
}

/* "one of a, b; from 0 to 1; default 0.5", or nothing. */
static void put_bounds(struct pt_buf *out, const struct pt_cmd_option *row)
{
    const char *gap = "";
    if (row->type == PT_CMD_CHOICE) {
        for (int i = 0; row->words[i]; i++)
            pt_buf_cat(out, i ? ", " : "", row->words[i], NULL);
        gap = "; ";
    } else if (row->type == PT_CMD_NUMBER) {
        if (row->max < INT64_MAX)
            pt_buf_printf(out, "%lld to %lld", (long long)row->min, (long long)row->max);
        else
            pt_buf_printf(out, "%lld or more", (long long)row->min);
        gap = "; ";
    } else if (row->type == PT_CMD_REAL) {
        if (row->high > row->low)
            pt_buf_printf(out, "%g to %g", row->low, row->high);
        else
            pt_buf_printf(out, "%g or more", row->low);
        gap = "; ";
    }
    if (row->def)
        pt_buf_printf(out, "%sdefault %s", gap, row->def);
}

/* Words of text, with `column` blanks at the beginning of further lines. */
static void wrap(struct pt_buf *out, struct pt_str text)
{
    size_t at = COLUMN;
    struct pt_str word;
    for (bool first = true; pt_str_split(&text, ' ', &word); first = false) {
        if (!first && at + 1 + word.len > WIDTH) {
            pt_buf_printf(out, "\n%*s", COLUMN, "");
            at = COLUMN;
        } else if (!first) {
            pt_buf_putc(out, ' ');
            at++;
        }
        pt_buf_append(out, word.p, word.len);
        at += word.len;
    }
    pt_buf_putc(out, '\n');
}

void pt_cmd_help_text(struct pt_buf *out, const struct pt_cmd_option *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pt_cmd_option *row = &rows[i];
        char head[96];
        pt_auto_buf text = PT_BUF_INIT(0), bounds = PT_BUF_INIT(0);
        if (!row->help)
            continue;
        char letter[6] = "    ";
        if (row->letter || strcmp(row->name, "help") == 0)
            snprintf(letter, sizeof letter, "-%c, ", row->letter ? row->letter : 'h');
        int n = snprintf(head, sizeof head, "  %s--%s%s%s", letter, row->name, row->type == PT_CMD_FLAG ? "" : " ", value_of(row));
        pt_buf_puts(out, head);
        pt_buf_printf(out, n + 1 < COLUMN ? "%*s" : "\n%*s", n + 1 < COLUMN ? COLUMN - n : COLUMN, "");
        put_bounds(&bounds, row);
        pt_buf_puts(&text, row->help);
        if (bounds.len)
            pt_buf_printf(&text, " (%s)", pt_buf_cstr(&bounds));
        wrap(out, (struct pt_str){text.data, text.len});
    }
}

static void put_roff(struct pt_buf *out, const char *s)
{
    for (; *s; s++)
        if (*s == '-')
            pt_buf_puts(out, "\\-");
        else if (*s == '\\')
            pt_buf_puts(out, "\\e");
        else
            pt_buf_putc(out, *s);
}

void pt_cmd_help_man(struct pt_buf *out, const struct pt_cmd_option *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pt_cmd_option *row = &rows[i];
        pt_auto_buf bounds = PT_BUF_INIT(0);
        if (!row->help)
            continue;
        pt_buf_puts(out, ".TP\n");
        if (row->letter || strcmp(row->name, "help") == 0)
            pt_buf_printf(out, "\\fB\\-%c\\fR, ", row->letter ? row->letter : 'h');
        pt_buf_puts(out, "\\fB\\-\\-");
        put_roff(out, row->name);
        pt_buf_puts(out, "\\fR");
        if (row->type != PT_CMD_FLAG) {
            pt_buf_puts(out, " \\fI");
            put_roff(out, value_of(row));
            pt_buf_puts(out, "\\fR");
        }
        pt_buf_putc(out, '\n');
        put_roff(out, row->help);
        put_bounds(&bounds, row);
        if (bounds.len) {
            pt_buf_puts(out, " (");
            put_roff(out, pt_buf_cstr(&bounds));
            pt_buf_putc(out, ')');
        }
        pt_buf_puts(out, ".\n");
    }
}

void pt_cmd_help_markdown(struct pt_buf *out, const struct pt_cmd_option *rows, size_t count)
{
    pt_buf_puts(out, "| key | option | allowed | what it is |\n|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        const struct pt_cmd_option *row = &rows[i];
        char key[64];
        if (!row->help)
            continue;
        pt_auto_buf bounds = PT_BUF_INIT(0);
        put_bounds(&bounds, row);
        pt_cmd_key(row, key);
        pt_buf_printf(out, "| `%s` | `--%s%s%s` | %s | %s |\n", key, row->name, row->type == PT_CMD_FLAG ? "" : " ", value_of(row),
                      pt_buf_cstr(&bounds), row->help);
    }
}

int pt_cmd_help(const char *usage, const struct pt_cmd_group *groups, size_t count)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    struct pt_err err;
    pt_buf_puts(&text, usage);
    for (size_t g = 0; g < count; g++)
        pt_cmd_help_text(&text, groups[g].rows, groups[g].count);
    if (pt_buf_check(&text, "help", &err) < 0)
        return pt_cmd_fail(&err);
    fwrite(text.data, 1, text.len, stdout);
    return pt_cmd_finish();
}
