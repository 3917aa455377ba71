/* SPDX-License-Identifier: Apache-2.0
 *
 * pairs.h: repeated options of the form NAME=VALUE; they point into argv.
 */
#ifndef PT_CLI_PAIRS_H
#define PT_CLI_PAIRS_H

#include "base/str.h"

struct pt_cli_pairs {
    struct pt_cli_pair {
        struct pt_str name;
        const char *value;
    } list[256];
    size_t count;
};
/* Adds "NAME=VALUE"; PT_EINVAL without '=', for a name that is there already, or when there are too many. */
int pt_cli_pairs_add(struct pt_cli_pairs *pairs, const char *text, struct pt_err *err);

#endif
