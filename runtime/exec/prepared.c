/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared.c: a session's prepared weights (graph/prepared.h): what names the model, and what else decides how it is compiled.
 */
#include "runtime/graph/prepared.h"

#include "runtime/exec/session.h"
#include "runtime/graph/prepared_file.h"
#include "runtime/ops/custom.h"

#include <stdio.h>

#define FORMAT "pintle weights 1"
#define CHUNK ((size_t)1 << 20)

/* --- the hash of a file, by all threads ------------------------------------------------------------------------------------------------- */

struct hashing {
    const char *data;
    size_t len;
    uint64_t (*sums)[8];
};

static void hash_chunk(void *arg, size_t begin, size_t end)
{
    const struct hashing *h = arg;
    for (size_t i = begin; i < end; i++)
        pt_prepared_digest(h->data + i * CHUNK, h->len - i * CHUNK < CHUNK ? h->len - i * CHUNK : CHUNK, h->sums[i]);
}

struct naming {
    struct pt_session *s;
    struct pt_buf *text;
    struct pt_err *err;
    uint64_t sources;
};

static int add_bytes(void *arg, const void *data, size_t len)
{
    struct naming *n = arg;
    size_t chunks = (len + CHUNK - 1) / CHUNK;
    struct hashing h = {data, len, (uint64_t(*)[8])(void *)pt_buf_reserve(n->text, (chunks + 1) * sizeof *h.sums)};
    if (!h.sums)
        return pt_fail(n->err, PT_ENOMEM, "out of memory naming the model");
    n->text->len += chunks * sizeof *h.sums;
    pt_parallel_for(n->s->threads, chunks, 1, hash_chunk, &h);
    return PT_OK;
}

static int add_source(void *arg, const void *data, size_t len)
{
    struct naming *n = arg;
    return pt_prepared_add_source(n->s->prepared, data, len, ++n->sources, n->err);
}

/* --- opening ------------------------------------------------------------------------------------------------------------------------------ */

static void add_options(const struct pt_session *s, const struct pt_session_options *o, struct pt_buf *text)
{
    pt_buf_printf(text, "%s %d %llu %zu %s", FORMAT, s->no_opt, (unsigned long long)s->off, s->model_len, o->prepared_name ? o->prepared_name : "");
    for (const char *const *name = o->overridable; name && *name; name++)
        pt_buf_printf(text, " %s", *name);
    pt_buf_append(text, "", 1);
}

static void keep_constants(struct pt_graph *g, struct pt_prepared *p)
{
    g->consts.prepared = p;
    for (struct pt_graph *b = g->first_body; b; b = b->next_body)
        keep_constants(b, p);
}

int pt_session_open_prepared(struct pt_session *s, const struct pt_session_options *o, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    struct naming n = {s, &text, err, 0};
    if (pt_custom_any()) { /* what they make of constants depends on the program */
        snprintf(s->prepared_note, sizeof s->prepared_note, "the program has operators of its own: weights are not kept");
        return PT_OK;
    }
    int rc = add_bytes(&n, s->model, s->model_len);
    if (rc == PT_OK)
        rc = pt_onnx_files_each(&s->graph.files, add_bytes, &n);
    add_options(s, o, &text);
    if (rc == PT_OK && (rc = pt_buf_check(&text, "prepared weights", err)) == PT_OK)
        rc = pt_prepared_create(o->prepared, text.data, text.len, s->threads, &s->prepared, err);
    if (rc == PT_EUNSUPPORTED) {
        snprintf(s->prepared_note, sizeof s->prepared_note, "%s", err->msg);
        return PT_OK;
    }
    if (rc == PT_OK)
        rc = add_source(&n, s->model, s->model_len);
    if (rc == PT_OK)
        rc = pt_onnx_files_each(&s->graph.files, add_source, &n);
    if (rc == PT_OK) {
        keep_constants(&s->graph, s->prepared);
        pt_packs_keep_in(s->packs, s->prepared);
    }
    return rc;
}

/* --- afterwards --------------------------------------------------------------------------------------------------------------------------- */

int pt_session_prepared(const struct pt_session *s, struct pt_prepared_info *out, struct pt_err *err)
{
    struct pt_prepared_info info = {.size = sizeof info};
    struct pt_prepared_state state = {0};
    const size_t known = out->size && out->size < sizeof info ? out->size : sizeof info;
    if (known < offsetof(struct pt_prepared_info, note) + 1)
        return pt_fail(err, PT_EINVAL, "prepared info: size is %zu, must be 0 or at least %zu", known, sizeof info);
    if (s->prepared) {
        pt_prepared_get_state(s->prepared, &state);
        info.path = state.path;
        info.found_bytes = state.found;
        info.made_bytes = state.made;
        info.file_bytes = pt_prepared_bytes(s->prepared);
    }
    snprintf(info.note, sizeof info.note, "%s", s->prepared ? state.ignored : s->prepared_note);
    memcpy(out, &info, known);
    out->size = known;
    return PT_OK;
}

int pt_session_save(struct pt_session *s, struct pt_err *err)
{
    return s->prepared ? pt_prepared_save(s->prepared, err) : PT_OK;
}

void pt_session_rest(struct pt_session *s)
{
    if (s->prepared)
        pt_prepared_rest(s->prepared);
}
