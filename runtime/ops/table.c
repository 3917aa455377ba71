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

/* Operators of com.microsoft that the standard took over as they were, and the version in which it has them so. */
static const struct alias {
    const char *type;
    const struct pt_op *op;
    int version;
} aliases[] = {
    {"DequantizeLinear", &pt_op_dequantize_linear, 21},
    {"GatherND", &pt_op_gather_nd, 13},
    {"GridSample", &pt_op_grid_sample, 16},
    {"Pad", &pt_op_pad, 13},
    {"QuantizeLinear", &pt_op_quantize_linear, 21},
    {"Range", &pt_op_range, 11},
    {"Trilu", &pt_op_trilu, 14},
};

static const struct alias *find_alias(struct pt_str domain, struct pt_str type)
{
    if (!pt_str_eq(domain, PT_STR("com.microsoft")))
        return NULL;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (pt_str_eq(type, pt_str(aliases[i].type)))
            return &aliases[i];
    return NULL;
}

int pt_op_version(struct pt_str domain, struct pt_str type, int version)
{
    const struct alias *a = find_alias(domain, type);
    return a ? a->version : version;
}

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
    const struct alias *a = find_alias(domain, type);
    if (a && since)
        *since = 1;
    return a ? a->op : pt_custom_find(domain, type, version, since);
}
