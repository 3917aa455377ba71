/* SPDX-License-Identifier: Apache-2.0
 *
 * unneeded.c: which of the model's bytes a session has done with. Rewrites make new weights out of old ones (a normalisation goes into the
 * convolution before it), and what nothing reads any more would stay in memory as long as the model. Only large initializers are looked at: the rest
 * is small.
 */
#include "runtime/exec/session.h"
#include "runtime/graph/prepared.h"

#include <stdlib.h>

#define WORTH ((size_t)64 << 10)

/* Where constants begin that nodes or outputs read. */
struct places {
    const char **list; /* NULL: they are only counted */
    size_t count;
};

static void note(const struct pt_graph *g, const int *values, int count, struct places *p)
{
    for (int i = 0; i < count; i++) {
        const struct pt_tensor *t = values[i] < 0 ? NULL : g->values[values[i]].constant;
        if (t && p->list)
            p->list[p->count] = t->data;
        p->count += t != NULL;
    }
}

/* Bodies too, also those of nodes that are gone: they are few. */
static void note_graph(const struct pt_graph *g, struct places *p)
{
    for (int i = 0; i < g->node_count; i++)
        if (!g->nodes[i].dead)
            note(g, g->nodes[i].inputs, g->nodes[i].input_count, p);
    note(g, g->outputs, g->output_count, p);
    for (const struct pt_graph *b = g->first_body; b; b = b->next_body)
        note_graph(b, p);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (const char *const *)a, y = (uintptr_t) * (const char *const *)b;
    return (x > y) - (x < y);
}

/* Does any constant begin in there? A view of a part does, as the whole would. */
static bool is_read(const struct places *p, const struct pt_tensor *t)
{
    uintptr_t begin = (uintptr_t)t->data, end = begin + t->size_bytes;
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)p->list[middle] < begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->count && (uintptr_t)p->list[low] < end;
}

/* Calls fn for each large initializer in the model's bytes that something reads, or that nothing does. */
static int each(const struct pt_session *s, bool read, void (*fn)(void *arg, const void *begin, size_t len), void *arg, struct pt_err *err)
{
    const struct pt_onnx_graph *g = &s->graph.model.graph;
    struct places p = {0};
    note_graph(&s->graph, &p);
    pt_auto_free const char **list = pt_calloc(p.count + 1, sizeof *list);
    if (!list)
        return pt_fail(err, PT_ENOMEM, "out of memory for %zu constants", p.count);
    p = (struct places){list, 0};
    note_graph(&s->graph, &p);
    qsort(list, p.count, sizeof *list, by_address);
    for (size_t i = 0; i < g->initializer_count; i++) {
        const struct pt_tensor *t = &g->initializers[i].t;
        uintptr_t at = (uintptr_t)t->data, model = (uintptr_t)s->model;
        bool inside = at >= model && at - model < s->model_len && t->size_bytes <= s->model_len - (at - model);
        if (t->dtype != PT_STRING && t->size_bytes >= WORTH && inside && is_read(&p, t) == read)
            fn(arg, t->data, t->size_bytes);
    }
    return PT_OK;
}

int pt_session_unneeded(const struct pt_session *s, void (*fn)(void *arg, const void *begin, size_t len), void *arg, struct pt_err *err)
{
    return each(s, false, fn, arg, err);
}

struct adopting {
    struct pt_prepared *prepared;
    struct pt_err err;
};

static void adopt(void *arg, const void *begin, size_t len)
{
    struct adopting *a = arg;
    if (!a->err.code)
        pt_prepared_adopt(a->prepared, (void *)(uintptr_t)begin, len, &a->err);
}

int pt_session_adopt(struct pt_session *s, struct pt_err *err)
{
    struct adopting a = {s->prepared, {0}};
    int rc = each(s, true, adopt, &a, err);
    if (rc == PT_OK && a.err.code)
        *err = a.err;
    return rc < 0 ? rc : a.err.code;
}
