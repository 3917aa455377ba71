/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h: what the server says to show: a Table of meta.k8s.io, printed as kubectl prints it.
 */
#ifndef PT_CLI_TABLE_H
#define PT_CLI_TABLE_H

#include "base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

#define PT_TABLE_ACCEPT "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

enum { PT_TABLE_COLUMNS = 32 };

/* Kept from one call to the next, so that rows of a watch stand below those of the list. Begins zeroed but for the first two. */
struct pt_table {
    bool wide, namespaces; /* columns of lower priority too; NAMESPACE in front */
    bool begun;
    size_t columns; /* of the server's, */
    bool shown[PT_TABLE_COLUMNS];
    int widths[PT_TABLE_COLUMNS + 1];
};
/* The header, once, and the rows. PT_EPARSE: that is no Table. */
int pt_table_print(struct pt_table *t, const cJSON *table, struct pt_err *err);

#endif
