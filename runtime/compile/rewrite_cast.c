/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite_cast.c: a Cast to the type that its operand has is nothing. A Cast of a Cast is one, when the type in between holds every value of the
 * first exactly, so that the way over it cannot be seen.
 */
#include "runtime/compile/rewrite.h"
#include "runtime/ops/table.h"

/* The types that hold every value of t. */
static uint32_t wider_than(enum pt_dtype t)
{
    const uint32_t f64 = PT_T(PT_DOUBLE), f32 = PT_T(PT_FLOAT) | f64, i64 = PT_T(PT_INT64), i32 = PT_T(PT_INT32) | i64 | f64;
    const uint32_t u64 = PT_T(PT_UINT64), u32 = PT_T(PT_UINT32) | u64 | i64 | f64;
    switch (t) {
    case PT_INT8:
        return PT_T(PT_INT16) | i32 | f32 | PT_T(PT_FLOAT16);
    case PT_UINT8:
        return PT_T(PT_INT16) | PT_T(PT_UINT16) | i32 | u32 | f32 | PT_T(PT_FLOAT16);
    case PT_BOOL:
        return PT_TS_ALLINT | f32 | PT_TS_HALF;
    case PT_INT16:
        return i32 | f32;
    case PT_UINT16:
        return i32 | u32 | f32;
    case PT_INT32:
        return i64 | f64;
    case PT_UINT32:
        return u64 | i64 | f64;
    case PT_FLOAT16:
    case PT_BFLOAT16:
        return f32;
    case PT_FLOAT:
        return f64;
    default:
        return 0;
    }
}

int pt_rewrite_cast(struct pt_rewriter *r, int node)
{
    const struct pt_node *n = node < 0 ? NULL : &r->g->nodes[node];
    if (!n || n->op != &pt_op_cast)
        return PT_OK;
    struct pt_type from = pt_type_of(r, n->inputs[0]);
    if (from.dtype != PT_UNDEFINED && pt_node_int(n, "to", -1) == (int64_t)from.dtype) {
        pt_bypass(r, node, n->inputs[0]);
        return PT_OK;
    }
    const struct pt_node *first = pt_producer_of(r, n->inputs[0], &pt_op_cast, false);
    struct pt_type source = pt_type_of(r, first ? first->inputs[0] : -1);
    if (first && from.dtype != PT_UNDEFINED && wider_than(source.dtype) & PT_T(from.dtype))
        pt_set_input(r, node, 0, first->inputs[0]);
    return PT_OK;
}
