/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c: structures of callers that were compiled with another version of the header.
 */
#include "runtime/exec/session.h"

int pt_options_read(const void *given, size_t first_size, void *out, size_t out_size, const char *what, struct pt_err *err)
{
    size_t size = 0;
    memset(out, 0, out_size);
    if (!given)
        return PT_OK;
    memcpy(&size, given, sizeof size);
    size = size ? size : first_size;
    if (size < first_size)
        return pt_fail(err, PT_EINVAL, "%s: size is %zu, must be 0 or at least %zu", what, size, first_size);
    for (size_t i = out_size; i < size; i++)
        if (((const char *)given)[i])
            return pt_fail(err, PT_EUNSUPPORTED, "%s: byte %zu is set, this version of the library knows %zu", what, i, out_size);
    memcpy(out, given, size < out_size ? size : out_size);
    return PT_OK;
}

static const char *text(struct pt_str s, struct pt_arena *mem, int *rc)
{
    const char *t = pt_arena_strndup(mem, s.p ? s.p : "", s.len);
    if (!t)
        *rc = PT_ENOMEM;
    return t;
}

int pt_meta_read(const struct pt_onnx_model *m, struct pt_arena *mem, struct pt_model_meta *out, struct pt_err *err)
{
    struct pt_opset *opsets = pt_arena_alloc(mem, (m->opset_count + 1) * sizeof *opsets);
    struct pt_metadata *pairs = pt_arena_alloc(mem, (m->metadata_count + 1) * sizeof *pairs);
    int rc = opsets && pairs ? PT_OK : PT_ENOMEM;
    for (size_t i = 0; rc == PT_OK && i < m->opset_count; i++)
        opsets[i] = (struct pt_opset){text(m->opsets[i].domain, mem, &rc), m->opsets[i].version};
    for (size_t i = 0; rc == PT_OK && i < m->metadata_count; i++)
        pairs[i] = (struct pt_metadata){text(m->metadata[i].key, mem, &rc), text(m->metadata[i].value, mem, &rc)};
    *out = (struct pt_model_meta){.producer_name = text(m->producer, mem, &rc),
                                  .producer_version = text(m->producer_version, mem, &rc),
                                  .domain = text(m->domain, mem, &rc),
                                  .graph_name = text(m->graph.name, mem, &rc),
                                  .description = text(m->description, mem, &rc),
                                  .model_version = m->model_version,
                                  .ir_version = m->ir_version,
                                  .opsets = opsets,
                                  .opset_count = m->opset_count,
                                  .metadata = pairs,
                                  .metadata_count = m->metadata_count};
    return rc < 0 ? pt_fail(err, rc, "out of memory for what the model says of itself") : PT_OK;
}

int pt_set_allocator(const struct pt_allocator *given, struct pt_err *err)
{
    struct pt_allocator a;
    int rc = pt_options_read(given, sizeof a, &a, sizeof a, "allocator", err);
    if (rc < 0)
        return rc;
    if (!a.malloc || !a.realloc || !a.free || !a.aligned_alloc)
        return pt_fail(err, PT_EINVAL, "allocator: all four functions are needed");
    if (pt_mem_set_hooks(&(struct pt_mem_hooks){a.malloc, a.realloc, a.free, a.aligned_alloc}) < 0)
        return pt_fail(err, PT_EBUSY, "allocator: memory was allocated already; it must be set before any other call");
    return PT_OK;
}
