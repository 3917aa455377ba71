/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_shapes.c: 8 bytes for what the model leaves free, then any bytes as a model. What is inferred of its values before any run must be what every
 * step of a run gives, for any choice of the free dims.
 */
#include "tests/fuzz/fuzz_model.h"
#include "tests/graphs/types.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nodes of the model's own graph are told apart by where their operator's name stands in the file; of nodes out of a function all calls share it. */
static const struct pt_node *node_of(const struct pt_graph *g, const struct pt_profile_event *e)
{
    const struct pt_node *found = NULL;
    for (int i = 0; i < g->node_count; i++) {
        if (g->nodes[i].dead || g->nodes[i].op_type.p != e->op_type.p)
            continue;
        if (found)
            return NULL;
        found = &g->nodes[i];
    }
    return found;
}

static void behind_step(void *arg, const struct pt_profile_event *e)
{
    const struct pt_rewriter *r = arg;
    const struct pt_node *n = e->depth == 0 && e->op_type.len ? node_of(r->g, e) : NULL;
    struct pt_err err = {0};
    for (size_t i = 0; n && i < e->output_count && i < (size_t)n->output_count; i++)
        if (e->outputs[i] && n->outputs[i] >= 0 && types_check(r, n->outputs[i], e->outputs[i], &err) < 0) {
            printf("%s: %s\n", pt_node_text(n).s, err.msg);
            fflush(stdout);
            abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_session_options o = {.max_arena_bytes = FUZZ_MEMORY, .no_opt = true};
    struct pt_rewriter types = {0};
    struct pt_session *s = NULL;
    struct pt_run *r = NULL;
    struct pt_err err = {0};
    if (size < 8 || pt_threads_create(1, &o.threads, NULL) < 0)
        return 0;
    if (pt_session_open_memory(data + 8, size - 8, &o, &s, NULL) == 0 && types_infer(&types, s, &err) == PT_OK)
        fuzz_run(s, data, 15, (struct pt_run_options){.profile = behind_step, .profile_arg = &types}, &r, NULL);
    pt_run_destroy(r);
    types_finish(&types);
    pt_session_close(s);
    pt_threads_destroy(o.threads);
    return 0;
}
