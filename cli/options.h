/* SPDX-License-Identifier: Apache-2.0
 *
 * options.h: the options of a subcommand as a table: each row is a long option and the member that it fills.
 */
#ifndef PT_CLI_OPTIONS_H
#define PT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pt_cmd_option_type { PT_CMD_FLAG, PT_CMD_TEXT, PT_CMD_NUMBER }; /* bool, const char *, int64_t */
struct pt_cmd_option {
    const char *name; /* without --; -h is short for "help" where there is such a row */
    enum pt_cmd_option_type type;
    size_t offset; /* of the member */
    int64_t min, max;
};
/* Fills the members of `into`; what is not given stays. 0, or the exit status after a message. optind is then the first argument that is no option.
 */
int pt_cmd_options(int argc, char **argv, const struct pt_cmd_option *rows, size_t count, void *into);

#endif
