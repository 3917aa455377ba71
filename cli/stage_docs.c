/* SPDX-License-Identifier: Apache-2.0
 *
 * stage_docs.c: stage_docs --check|--write FILE...: lists of options in documents, kept equal to the rows that the programs read.
 *
 * A list stands between two marks, in a manual page (its name ends in .1) or in Markdown:
 *
 *     .\" options: training                    <!-- options: training -->
 *     .\" end                                  <!-- end -->
 */
#include "cli/cmd_report.h"
#include "cli/commands.h"

#include "base/path.h"

#include <stdio.h>

static void put(struct pt_buf *out, const struct pt_cmd_option *rows, size_t count, bool man)
{
    if (man)
        pt_cmd_help_man(out, rows, count);
    else
        pt_cmd_help_markdown(out, rows, count);
}

/* The list called `name`; false when there is none. */
static bool put_list(struct pt_buf *out, struct pt_str name, bool man)
{
    const struct {
        const char *name;
        const struct pt_cmd_option *rows;
        size_t count;
    } lists[] = {
        {"training", pt_train_rows, pt_train_row_count},
        {"data", pt_data_rows, pt_data_row_count},
        {"recipe", pt_recipe_rows, pt_recipe_row_count},
        {"settings", pt_recipe_rows + 1, pt_recipe_row_count - 1}, /* without the model, which is an argument */
        {"report", pt_recipe_report_rows, pt_recipe_report_row_count},
        {"stage command", pt_stage_command_rows, pt_stage_command_row_count},
        {"compress", pt_compress_rows, pt_compress_row_count},
        {"evaluate", pt_evaluate_rows, pt_evaluate_row_count},
        {"new", pt_new_rows, pt_new_row_count},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (pt_str_eq(name, pt_str(lists[i].name))) {
            put(out, lists[i].rows, lists[i].count, man);
            return true;
        }
    for (size_t i = 0; i < pt_stage_count; i++)
        if (pt_str_eq(name, pt_str(pt_stages[i]->name))) {
            put(out, pt_stages[i]->rows, pt_stages[i]->row_count, man);
            return true;
        }
    return false;
}

/* The text with its lists made anew. lists: how many. */
static int renew(struct pt_str text, bool man, struct pt_buf *out, size_t *lists, struct pt_err *err)
{
    struct pt_str begin = man ? PT_STR(".\\\" options: ") : PT_STR("<!-- options: "), end = man ? PT_STR(".\\\" end") : PT_STR("<!-- end -->"), line;
    bool inside = false;
    for (size_t n = 1; pt_str_split(&text, '\n', &line); n++) {
        if (inside && !(inside = !pt_str_starts(line, end)))
            ++*lists;
        if (inside)
            continue;
        pt_buf_append(out, line.p, line.len);
        if (text.p)
            pt_buf_putc(out, '\n');
        if (!pt_str_starts(line, begin))
            continue;
        struct pt_str name = {line.p + begin.len, line.len - begin.len - (man ? 0 : 4)};
        inside = true;
        if (!put_list(out, name, man))
            return pt_fail(err, PT_EINVAL, "line %zu: there is no list \"" PT_STR_FMT "\"", n, PT_STR_ARG(name));
    }
    return inside ? pt_fail(err, PT_EPARSE, "a list does not end") : pt_buf_check(out, "text", err);
}

static int do_file(const char *path, bool write, bool *same, struct pt_err *err)
{
    pt_auto_buf old = PT_BUF_INIT(0), new = PT_BUF_INIT(0);
    size_t n = strlen(path), lists = 0;
    int rc = pt_buf_read_file(&old, path, err);
    if (rc == PT_OK && (rc = renew((struct pt_str){old.data, old.len}, n > 2 && strcmp(path + n - 2, ".1") == 0, &new, &lists, err)) < 0)
        pt_wrap(err, "%s", path);
    if (rc == PT_OK && !lists)
        rc = pt_fail(err, PT_EINVAL, "%s: has no list of options", path);
    *same = rc == PT_OK && old.len == new.len &&memcmp(old.data, new.data, new.len) == 0;
    return rc == PT_OK && write && !*same ? pt_path_write_atomic(path, new.data, new.len, 0644, err) : rc;
}

int main(int argc, char **argv)
{
    bool write = argc > 1 && strcmp(argv[1], "--write") == 0, fine = true;
    if (argc < 3 || (!write && strcmp(argv[1], "--check") != 0)) {
        fputs("usage: stage_docs --check|--write FILE...\n", stderr);
        return 64;
    }
    for (int i = 2; i < argc; i++) {
        struct pt_err err;
        bool same;
        if (do_file(argv[i], write, &same, &err) < 0)
            return pt_cmd_fail(&err);
        if (!same)
            printf("%s: %s\n", argv[i], write ? "written" : "options differ from the rows: run stage_docs --write");
        fine &= same;
    }
    return write || fine ? 0 : 1;
}
