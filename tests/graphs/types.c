/* SPDX-License-Identifier: Apache-2.0
 *
 * types.c: see types.h.
 */
#include "tests/graphs/types.h"

int types_infer(struct pt_rewriter *r, struct pt_session *s, struct pt_err *err)
{
    *r = (struct pt_rewriter){.g = &s->graph, .err = err};
    return pt_rewriter_probe(r);
}

void types_finish(struct pt_rewriter *r)
{
    pt_free(r->types);
    r->types = NULL;
}

int types_check(const struct pt_rewriter *r, int value, const struct pt_tensor *t, struct pt_err *err)
{
    struct pt_type type = pt_type_of(r, value);
    struct pt_str name = r->g->values[value].name;
    if (!type.exact || type.dtype == PT_UNDEFINED)
        return PT_OK;
    if (type.dtype != t->dtype || (type.rank >= 0 && type.rank != t->rank))
        return pt_fail(err, PT_EINTERNAL, "value " PT_STR_FMT ": inferred %s of rank %d, but it is %s", PT_STR_ARG(name), pt_dtype_name(type.dtype),
                       type.rank, PT_SHAPE(t));
    for (int i = 0; i < type.rank; i++)
        if (type.dims[i] >= 0 && type.dims[i] != t->dims[i])
            return pt_fail(err, PT_EINTERNAL, "value " PT_STR_FMT ": dim %d is inferred as %lld, but it is %s", PT_STR_ARG(name), i,
                           (long long)type.dims[i], PT_SHAPE(t));
    return PT_OK;
}
