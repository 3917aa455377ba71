/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "base/mem.h"
#include "base/str.h"
#include "cli/commands.h"

#include <string.h>

enum { FIRST = 256 };

static int take(const char *command, const struct pt_cmd_option *row, const char *value, void *into)
{
    struct pt_err err;
    char *member = (char *)into + row->offset;
    switch (row->type) {
    case PT_CMD_FLAG:
        *(bool *)(void *)member = true;
        break;
    case PT_CMD_TEXT:
        memcpy(member, &value, sizeof value);
        break;
    case PT_CMD_NUMBER:
        if (pt_parse_i64(pt_str(value), row->min, row->max, row->name, (int64_t *)(void *)member, &err) < 0)
            return pt_cmd_usage(command, "--%s", err.msg);
        break;
    }
    return 0;
}

int pt_cmd_options(int argc, char **argv, const struct pt_cmd_option *rows, size_t count, void *into)
{
    pt_auto_free struct option *options = pt_calloc(count + 1, sizeof *options);
    int status = 0;
    size_t help = count;
    if (!options)
        return pt_cmd_fail(&(struct pt_err){.code = PT_ENOMEM, .msg = "out of memory"});
    for (size_t i = 0; i < count; i++) {
        options[i] = (struct option){rows[i].name, rows[i].type == PT_CMD_FLAG ? no_argument : required_argument, NULL, FIRST + (int)i};
        help = strcmp(rows[i].name, "help") == 0 ? i : help;
    }
    opterr = 0;
    for (int o; status == 0 && (o = getopt_long(argc, argv, help < count ? ":h" : ":", options, NULL)) != -1;) {
        if (o == '?' || o == ':')
            return pt_cmd_bad_option(argv, o);
        status = take(argv[0], &rows[o == 'h' ? help : (size_t)(o - FIRST)], optarg, into);
    }
    return status;
}
