/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c: looks operators up by name and version.
 */
#include "runtime/ops/table.h"

#include "runtime/ops/custom.h"

#define PT_OP(name) &pt_op_##name,
static const struct pt_op *const table[] = {
#include "runtime/ops/rows.inc"
};
#undef PT_OP

const struct pt_op *pt_op_find(struct pt_str domain, struct pt_str type, int64_t version, int *since)
{
    if (since)
        *since = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct pt_op *op = table[i];
        if (!pt_str_eq(type, pt_str(op->type)) || !pt_str_eq(domain, pt_str(op->domain ? op->domain : "")))
            continue;
        int best = 0;
        for (int k = 0; k < 16 && op->since[k]; k++)
            if (op->since[k] <= version)
                best = op->since[k];
        if (since)
            *since = best;
        return best ? op : NULL;
    }
    return pt_custom_find(domain, type, version, since);
}
