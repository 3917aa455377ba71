/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c: how well memory is planned: memory MODEL.onnx...
 *
 * For each model, with free dims set to 1: the arena that was planned for values, the least that any plan needs (the most bytes alive at one step), their
 * ratio, and the allocations that a third execution makes. Exit 1 when a ratio is over 1.15 or an execution on seen shapes allocates.
 */
#include "runtime/exec/session.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST 1.15

/* The most bytes alive at one step, each value rounded up as the plan does. */
static size_t least_bytes(const struct pt_program *p)
{
    size_t most = 0;
    for (int step = 0; step < p->step_count; step++) {
        size_t alive = 0;
        for (int i = 0; i < p->slot_count; i++) {
            const struct pt_slot *s = &p->slots[i];
            if (s->place == PT_PLACE_ARENA && !s->kept && s->first >= 0 && s->first <= step && step <= s->last)
                alive += s->t.size_bytes ? (s->t.size_bytes + 63) / 64 * 64 : 64;
        }
        most = alive > most ? alive : most;
    }
    return most;
}

static int set_inputs(struct pt_session *s, struct pt_run *r, void **data, struct pt_err *err)
{
    for (size_t i = 0; i < pt_session_input_count(s); i++) {
        const struct pt_value_info *vi = pt_session_input(s, i);
        struct pt_tensor t = {.dtype = vi->dtype, .rank = vi->rank < 0 ? 0 : vi->rank};
        for (int k = 0; k < t.rank; k++)
            t.dims[k] = vi->dims[k] < 0 ? 1 : vi->dims[k];
        if (!pt_tensor_need(t.dtype, t.rank, t.dims, &t.size_bytes))
            return pt_fail(err, PT_EINVAL, "input '%s' has no size", vi->name);
        t.data = data[i] = calloc(1, t.size_bytes + 1);
        int rc = pt_run_set_input(r, i, &t, err);
        if (rc < 0)
            return rc;
    }
    return PT_OK;
}

/* Prints the model's line. 0 good, 1 not, negative: it does not run. */
static int measure(const char *path, struct pt_err *err)
{
    struct pt_session *s;
    struct pt_run *r = NULL;
    void *data[64] = {0};
    const char *name = strrchr(path, '/');
    int rc = pt_session_open(path, &(struct pt_session_options){.thread_count = 1}, &s, err);
    if (rc < 0)
        return rc;
    rc = pt_session_input_count(s) <= 64 ? pt_run_create(s, &r, err) : pt_fail(err, PT_ELIMIT, "too many inputs");
    if (rc == PT_OK)
        rc = set_inputs(s, r, data, err);
    for (int i = 0; rc == PT_OK && i < 2; i++)
        rc = pt_run_execute(r, err);
    if (rc == PT_OK) {
        uint64_t before = pt_mem_count();
        rc = pt_run_execute(r, err);
        uint64_t allocations = pt_mem_count() - before;
        const struct pt_program *p = s->units[0].programs[0];
        size_t least = least_bytes(p);
        double ratio = least ? (double)p->scratch_offset / (double)least : 1;
        printf("%-28s %9.2f MB planned %9.2f MB at least  %.3f  %9.2f MB workspace  %llu allocations\n", name ? name + 1 : path,
               (double)p->scratch_offset * 0x1p-20, (double)least * 0x1p-20, ratio, (double)(p->arena_bytes - p->scratch_offset) * 0x1p-20,
               (unsigned long long)allocations);
        rc = rc == PT_OK ? ratio > MOST || allocations : rc;
    }
    for (size_t i = 0; i < 64; i++)
        free(data[i]);
    pt_run_destroy(r);
    pt_session_close(s);
    return rc;
}

int main(int argc, char **argv)
{
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        struct pt_err err = {0};
        int rc = measure(argv[i], &err);
        if (rc < 0)
            printf("%s: %s\n", argv[i], err.msg);
        bad += rc != 0;
    }
    return bad ? 1 : 0;
}
