/* SPDX-License-Identifier: Apache-2.0
 *
 * datatype.c: see datatype.h. The most frequent types stand first.
 */
#include "sidecar/datatype.h"

/* clang-format off */
const struct pt_datatype pt_datatypes[] = {
    /* type         name    width  JSON  contents config tf field */
    {PT_FLOAT, "FP32", 4, PT_JE_F32, 6, 11, 1, 5},
    {PT_INT64, "INT64", 8, PT_JE_I64, 3, 9, 9, 10},
    {PT_INT32, "INT32", 4, PT_JE_I32, 2, 8, 3, 7},
    {PT_UINT8, "UINT8", 1, PT_JE_U8, 4, 2, 4, 7},
    {PT_STRING, "BYTES", 0, 0, 8, 13, 7, 8},
    {PT_DOUBLE, "FP64", 8, PT_JE_F64, 7, 12, 2, 6},
    {PT_FLOAT16, "FP16", 2, PT_JE_F16, 0, 10, 19, 13},
    {PT_BFLOAT16, "BF16", 2, PT_JE_BF16, 0, 14, 14, 13},
    {PT_BOOL, "BOOL", 1, PT_JE_BOOL, 1, 1, 10, 11},
    {PT_INT8, "INT8", 1, PT_JE_I8, 2, 6, 6, 7},
    {PT_INT16, "INT16", 2, PT_JE_I16, 2, 7, 5, 7},
    {PT_UINT16, "UINT16", 2, PT_JE_U16, 4, 3, 17, 7},
    {PT_UINT32, "UINT32", 4, PT_JE_U32, 4, 4, 22, 16},
    {PT_UINT64, "UINT64", 8, PT_JE_U64, 5, 5, 23, 17},
};
/* clang-format on */
const size_t pt_datatype_count = sizeof pt_datatypes / sizeof pt_datatypes[0];

const struct pt_datatype *pt_datatype_of(enum pt_dtype t)
{
    for (size_t i = 0; i < pt_datatype_count; i++)
        if (pt_datatypes[i].dtype == t)
            return &pt_datatypes[i];
    return NULL;
}

const struct pt_datatype *pt_datatype_named(struct pt_str name)
{
    for (size_t i = 0; i < pt_datatype_count; i++)
        if (pt_str_eq(name, pt_str(pt_datatypes[i].name)))
            return &pt_datatypes[i];
    return NULL;
}

const struct pt_datatype *pt_datatype_of_tf(uint64_t tf)
{
    for (size_t i = 0; i < pt_datatype_count; i++)
        if (pt_datatypes[i].tf == tf)
            return &pt_datatypes[i];
    return NULL;
}
