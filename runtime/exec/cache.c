/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.c: the programs of a session. A run that holds one that has left the cache frees it when it lets go; a child holds its parent.
 */
#include "runtime/exec/session.h"

int pt_session_init_units(struct pt_session *s, struct pt_err *err)
{
    s->unit_count = s->graph.graph_count;
    s->units = pt_calloc((size_t)s->unit_count, sizeof *s->units);
    return s->units ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for a session");
}

static void put(struct pt_program *p)
{
    while (p && --p->refs == 0) {
        struct pt_program *parent = p->parent;
        pt_program_destroy(p);
        p = parent;
    }
}

void pt_session_finish_units(struct pt_session *s)
{
    for (int i = 0; s->units && i < s->unit_count; i++) {
        for (int k = 0; k < s->units[i].count; k++)
            put(s->units[i].programs[k]);
        pt_free(s->units[i].programs);
    }
    pt_free(s->units);
}

/* Takes the program out, and what was compiled to follow it: nobody finds that any more. */
static void evict(struct pt_unit *u, int at)
{
    struct pt_program *gone = u->programs[at];
    u->programs[at] = u->programs[--u->count];
    for (int i = 0; i < u->count;) {
        if (u->programs[i]->parent == gone) {
            evict(u, i);
            i = 0;
        } else {
            i++;
        }
    }
    put(gone);
}

static int make_room(struct pt_session *s, struct pt_unit *u, int depth, struct pt_err *err)
{
    int same = 0, oldest = -1;
    for (int i = 0; i < u->count; i++) {
        if (u->programs[i]->depth != depth)
            continue;
        same++;
        if (oldest < 0 || u->programs[i]->used < u->programs[oldest]->used)
            oldest = i;
    }
    if (same >= s->max_programs)
        evict(u, oldest);
    if (u->count < u->room)
        return PT_OK;
    int room = u->room ? u->room * 2 : s->max_programs;
    struct pt_program **p = pt_reallocarray(u->programs, (size_t)room, sizeof(struct pt_program *));
    if (!p)
        return pt_fail(err, PT_ENOMEM, "out of memory for programs");
    u->programs = p;
    u->room = room;
    return PT_OK;
}

static int compile(struct pt_session *s, const struct pt_graph *g, struct pt_program *parent, const struct pt_tensor *const *inputs,
                   struct pt_program **out, struct pt_err *err)
{
    struct pt_unit *u = &s->units[g->index];
    struct pt_compile_options o = {.max_arena_bytes = s->max_arena_bytes,
                                   .threads = pt_threads_count(s->threads),
                                   .pool = s->threads,
                                   .packs = s->packs,
                                   .no_opt = s->no_opt,
                                   .off = s->off};
    int rc = pt_program_create(g, parent, inputs, &o, out, err);
    if (rc == PT_OK && (rc = make_room(s, u, (*out)->depth, err)) < 0) {
        put(*out);
        *out = NULL;
    }
    if (rc == PT_OK)
        u->programs[u->count++] = *out;
    return rc;
}

int pt_session_get(struct pt_session *s, const struct pt_graph *g, struct pt_program *parent, const struct pt_tensor *const *inputs,
                   struct pt_program **out, struct pt_err *err)
{
    struct pt_unit *u = &s->units[g->index];
    struct pt_program *p = NULL;
    int rc = PT_OK;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < u->count && !p; i++)
        if (u->programs[i]->parent == parent && pt_program_is_for(u->programs[i], inputs))
            p = u->programs[i];
    if (!p)
        rc = compile(s, g, parent, inputs, &p, err);
    if (rc == PT_OK) {
        p->refs++;
        for (struct pt_program *used = p; used; used = used->parent)
            used->used = ++s->clock;
    }
    pthread_mutex_unlock(&s->lock);
    *out = p;
    return rc;
}

void pt_session_put(struct pt_session *s, struct pt_program *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&s->lock);
    put(p);
    pthread_mutex_unlock(&s->lock);
}
