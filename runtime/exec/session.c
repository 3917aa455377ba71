/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c: opens a model and says what it is.
 */
#include "runtime/exec/session.h"

#include "runtime/compile/rewrite.h"
#include "runtime/graph/prepared.h"
#include "runtime/train/gradient.h"

static int prepare(struct pt_session *s, const void *model, size_t len, const struct pt_session_options *o, struct pt_err *err)
{
    struct pt_graph_source src = {
        .model = model, .len = len, .folder = s->folder, .const_cap = s->max_arena_bytes, .overridable = o ? o->overridable : NULL};
    s->model = model;
    s->model_len = len;
    int rc = pt_graph_init(&s->graph, &src, err);
    if (rc == PT_OK && o && o->prepared)
        rc = pt_session_open_prepared(s, o, err);
    if (rc == PT_OK)
        rc = pt_graph_expand_gradients(&s->graph, err);
    if (rc == PT_OK)
        rc = pt_graph_prune(&s->graph, err);
    if (rc == PT_OK)
        rc = pt_graph_check_supported(&s->graph, err);
    if (rc == PT_OK)
        rc = pt_graph_rewrite(&s->graph, s->off, err);
    if (rc == PT_OK)
        rc = pt_meta_read(&s->graph.model, &s->graph.arena, &s->meta, err);
    if (rc == PT_OK && s->prepared && o->adopt)
        rc = pt_session_adopt(s, err);
    return rc < 0 ? rc : pt_session_init_units(s, err);
}

static int init(struct pt_session *s, const struct pt_session_options *o, struct pt_err *err)
{
    pthread_mutex_init(&s->lock, NULL);
    s->max_arena_bytes = o && o->max_arena_bytes ? o->max_arena_bytes : PT_DEFAULT_ARENA;
    s->max_programs = o && o->max_programs > 0 ? o->max_programs : PT_DEFAULT_PROGRAMS;
    s->no_opt = o && o->no_opt;
    if (pt_rewrite_parse(o ? o->disable : NULL, &s->off, err) < 0)
        return pt_wrap(err, "option disable");
    s->off |= s->no_opt ? PT_REWRITE_NO_OPT : 0;
    s->threads = o ? o->threads : NULL;
    if (!(s->packs = pt_packs_create()))
        return pt_fail(err, PT_ENOMEM, "out of memory for a session");
    if (s->threads)
        return PT_OK;
    s->owns_threads = true;
    return pt_threads_create(o ? o->thread_count : 0, &s->threads, err);
}

/* The option, or where the model's file is. */
static int find_folder(struct pt_session *s, const char *path, const char *option, struct pt_err *err)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!path && !option)
        return PT_OK;
    s->folder = option ? pt_strdup(option) : slash == path ? pt_strdup("/") : slash ? pt_strndup(path, (size_t)(slash - path)) : pt_strdup(".");
    return s->folder ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for a session");
}

static int open_session(const char *path, const void *model, size_t len, const struct pt_session_options *given, struct pt_session **out,
                        struct pt_err *err)
{
    struct pt_session_options known, *o = &known;
    struct pt_session *s = pt_calloc(1, sizeof *s);
    struct pt_err local = {0};
    *out = NULL;
    err = err ? err : &local;
    if (!s)
        return pt_fail(err, PT_ENOMEM, "out of memory for a session");
    int rc = pt_options_read(given, offsetof(struct pt_session_options, disable), o, sizeof *o, "session options", err);
    if (rc < 0) {
        pt_free(s);
        return rc;
    }
    rc = init(s, o, err);
    if (rc == PT_OK)
        rc = find_folder(s, path, o ? o->folder : NULL, err);
    if (rc == PT_OK && path && (rc = pt_map_file_open(path, &s->file, err)) == PT_OK) {
        model = s->file.data;
        len = s->file.len;
    }
    if (rc == PT_OK)
        rc = prepare(s, model, len, o, err);
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
    pt_session_finish_units(s);
    pt_packs_destroy(s->packs);
    pt_graph_finish(&s->graph);
    pt_prepared_destroy(s->prepared);
    pt_map_file_close(&s->file);
    pt_free(s->folder);
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

const struct pt_model_meta *pt_session_meta(const struct pt_session *s)
{
    return &s->meta;
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
