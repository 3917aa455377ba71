/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c: opens a model and keeps the programs compiled from it, one per set of input shapes, least recently used out first.
 */
#include "runtime/exec/session.h"

#include "runtime/compile/rewrite.h"

static int prepare(struct pt_session *s, const void *model, size_t len, struct pt_err *err)
{
    int rc = pt_graph_init(&s->graph, model, len, s->max_arena_bytes, err);
    if (rc == PT_OK)
        rc = pt_graph_prune(&s->graph, err);
    if (rc == PT_OK)
        rc = pt_graph_check_supported(&s->graph, err);
    if (rc == PT_OK)
        rc = pt_graph_rewrite(&s->graph, s->no_opt ? PT_REWRITE_NO_OPT : 0, err);
    return rc;
}

static int init(struct pt_session *s, const struct pt_session_options *o, struct pt_err *err)
{
    pthread_mutex_init(&s->lock, NULL);
    s->max_arena_bytes = o && o->max_arena_bytes ? o->max_arena_bytes : PT_DEFAULT_ARENA;
    s->max_programs = o && o->max_programs > 0 ? o->max_programs : PT_DEFAULT_PROGRAMS;
    s->no_opt = o && o->no_opt;
    s->threads = o ? o->threads : NULL;
    s->packs = pt_packs_create();
    s->programs = pt_calloc((size_t)s->max_programs, sizeof(struct pt_program *));
    if (!s->packs || !s->programs)
        return pt_fail(err, PT_ENOMEM, "out of memory for a session");
    if (s->threads)
        return PT_OK;
    s->owns_threads = true;
    return pt_threads_create(o ? o->thread_count : 0, &s->threads, err);
}

static int open_session(const char *path, const void *model, size_t len, const struct pt_session_options *o, struct pt_session **out,
                        struct pt_err *err)
{
    struct pt_session *s = pt_calloc(1, sizeof *s);
    struct pt_err local = {0};
    *out = NULL;
    err = err ? err : &local;
    if (!s)
        return pt_fail(err, PT_ENOMEM, "out of memory for a session");
    int rc = init(s, o, err);
    if (rc == PT_OK && path && (rc = pt_map_file_open(path, &s->file, err)) == PT_OK) {
        model = s->file.data;
        len = s->file.len;
    }
    if (rc == PT_OK)
        rc = prepare(s, model, len, err);
    if (rc < 0) {
        if (s->file.data) /* errors of opening it name it already */
            pt_wrap(err, "%s", path);
        pt_session_close(s);
        return rc;
    }
    *out = s;
    return PT_OK;
}

int pt_session_open(const char *path, const struct pt_session_options *opts, struct pt_session **out, struct pt_err *err)
{
    return open_session(path, NULL, 0, opts, out, err);
}

int pt_session_open_memory(const void *model, size_t len, const struct pt_session_options *opts, struct pt_session **out, struct pt_err *err)
{
    return open_session(NULL, model, len, opts, out, err);
}

void pt_session_close(struct pt_session *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->program_count; i++)
        pt_program_destroy(s->programs[i]);
    pt_free(s->programs);
    pt_packs_destroy(s->packs);
    pt_graph_finish(&s->graph);
    pt_map_file_close(&s->file);
    if (s->owns_threads)
        pt_threads_destroy(s->threads);
    pthread_mutex_destroy(&s->lock);
    pt_free(s);
}

/* --- what the model says of itself ---------------------------------------------------------------------------------------------- */

size_t pt_session_input_count(const struct pt_session *s)
{
    return (size_t)s->graph.input_count;
}

size_t pt_session_output_count(const struct pt_session *s)
{
    return (size_t)s->graph.output_count;
}

const struct pt_value_info *pt_session_input(const struct pt_session *s, size_t i)
{
    return i < (size_t)s->graph.input_count ? &s->graph.input_info[i] : NULL;
}

const struct pt_value_info *pt_session_output(const struct pt_session *s, size_t i)
{
    return i < (size_t)s->graph.output_count ? &s->graph.output_info[i] : NULL;
}

int pt_session_input_index(const struct pt_session *s, const char *name)
{
    for (int i = 0; i < s->graph.input_count; i++)
        if (strcmp(s->graph.input_info[i].name, name) == 0)
            return i;
    return -1;
}

int pt_session_output_index(const struct pt_session *s, const char *name)
{
    for (int i = 0; i < s->graph.output_count; i++)
        if (strcmp(s->graph.output_info[i].name, name) == 0)
            return i;
    return -1;
}

/* --- programs --------------------------------------------------------------------------------------------------------------------- */

bool pt_program_is_for(const struct pt_program *p, const struct pt_tensor *inputs)
{
    for (int i = 0; i < p->input_count; i++) {
        const struct pt_tensor *t = &p->slots[p->inputs[i]].t;
        if (t->dtype != inputs[i].dtype || !pt_dims_equal(t, &inputs[i]))
            return false;
        if (t->data && t->size_bytes && memcmp(t->data, inputs[i].data, t->size_bytes) != 0)
            return false;
    }
    return true;
}

static void put(struct pt_program *p)
{
    if (--p->refs == 0)
        pt_program_destroy(p);
}

/* Runs that still hold an evicted program free it when they let go. */
static void keep(struct pt_session *s, struct pt_program *p)
{
    if (s->program_count < s->max_programs) {
        s->programs[s->program_count++] = p;
        return;
    }
    int oldest = 0;
    for (int i = 1; i < s->program_count; i++)
        if (s->programs[i]->used < s->programs[oldest]->used)
            oldest = i;
    put(s->programs[oldest]);
    s->programs[oldest] = p;
}

static int compile(struct pt_session *s, const struct pt_tensor *inputs, struct pt_program **out, struct pt_err *err)
{
    struct pt_compile_options o = {.max_arena_bytes = s->max_arena_bytes,
                                   .threads = pt_threads_count(s->threads),
                                   .packs = s->packs,
                                   .no_opt = s->no_opt,
                                   .by_value = s->by_value};
    int rc = pt_program_create(&s->graph, inputs, &o, out, err);
    if (rc == PT_OK || !o.wants_values || o.by_value)
        return rc;
    o.by_value = true;
    rc = pt_program_create(&s->graph, inputs, &o, out, err);
    s->by_value = rc == PT_OK;
    return rc;
}

int pt_session_get(struct pt_session *s, const struct pt_tensor *inputs, struct pt_program **out, struct pt_err *err)
{
    struct pt_program *p = NULL;
    int rc = PT_OK;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->program_count && !p; i++)
        if (pt_program_is_for(s->programs[i], inputs))
            p = s->programs[i];
    if (!p) {
        rc = compile(s, inputs, &p, err);
        if (rc == PT_OK)
            keep(s, p);
    }
    if (rc == PT_OK) {
        p->refs++;
        p->used = ++s->clock;
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
