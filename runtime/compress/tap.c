/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/compress/tap.h"

#include <string.h>

#define DEADLINE_MS 300000 /* of one run, which is of a few samples: a model that loops for ever ends with an error */

struct pt_tap {
    struct pt_buf model; /* what the session reads */
    struct pt_session *session;
    struct pt_run *run;
    size_t *at; /* which output of the session each name is */
    uint64_t deadline_ms;
};

/* The model with names as outputs behind its own; those that are outputs already are found there. */
static int with_outputs(struct pt_edit *e, const struct pt_str *names, size_t count, struct pt_tap *t, struct pt_err *err)
{
    struct pt_onnx_model m = e->model;
    size_t own = m.graph.output_count, n = own;
    pt_auto_free struct pt_onnx_value_info *outputs = pt_calloc(own + count + 1, sizeof *outputs);
    if (!outputs || !(t->at = pt_calloc(count + 1, sizeof *t->at)))
        return pt_fail(err, PT_ENOMEM, "out of memory for taps of the model");
    if (own)
        memcpy(outputs, m.graph.outputs, own * sizeof *outputs);
    for (size_t i = 0; i < count; i++) {
        int rc;
        if (!pt_edit_value(e, names[i], &rc))
            return rc == PT_ENOTFOUND ? pt_fail(err, rc, "the model has no value '" PT_STR_FMT "'", PT_STR_ARG(names[i]))
                                      : pt_fail(err, rc, "out of memory for taps of the model");
        size_t k = 0;
        while (k < n && !pt_str_eq(outputs[k].name, names[i]))
            k++;
        if (k == n)
            outputs[n++] = (struct pt_onnx_value_info){.name = names[i], .type = {.rank = -1}};
        t->at[i] = k;
    }
    m.graph.outputs = outputs;
    m.graph.output_count = n;
    return pt_onnx_write(&m, &t->model, err);
}

int pt_tap_open(struct pt_edit *e, const struct pt_str *names, size_t count, struct pt_threads *threads, struct pt_tap **out, struct pt_err *err)
{
    struct pt_session_options o = {.size = sizeof o, .threads = threads, .max_arena_bytes = e->run_bytes};
    struct pt_tap *t = pt_calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return pt_fail(err, PT_ENOMEM, "out of memory for taps of the model");
    t->deadline_ms = e->run_ms > 0 ? e->run_ms : DEADLINE_MS;
    int rc = with_outputs(e, names, count, t, err);
    if (rc == PT_OK)
        rc = pt_session_open_memory(t->model.data, t->model.len, &o, &t->session, err);
    if (rc == PT_OK)
        rc = pt_run_create(t->session, &t->run, err);
    if (rc == PT_OK)
        *out = t;
    else
        pt_tap_close(t);
    return rc;
}

void pt_tap_close(struct pt_tap *t)
{
    if (!t)
        return;
    pt_run_destroy(t->run);
    pt_session_close(t->session);
    pt_buf_finish(&t->model);
    pt_free(t->at);
    pt_free(t);
}

int pt_tap_run(struct pt_tap *t, const struct pt_tensor *inputs, size_t count, struct pt_err *err)
{
    size_t has = pt_session_input_count(t->session);
    if (count != has)
        return pt_fail(err, PT_EINVAL, "the model has %zu inputs; %zu were given", has, count);
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        rc = pt_run_set_input(t->run, i, &inputs[i], err);
    const struct pt_run_options o = {.size = sizeof o, .deadline_ms = t->deadline_ms};
    return rc < 0 ? rc : pt_run_execute_with(t->run, &o, err);
}

const struct pt_tensor *pt_tap_output(const struct pt_tap *t, size_t i)
{
    return pt_run_output(t->run, i);
}

const struct pt_tensor *pt_tap_value(const struct pt_tap *t, size_t i)
{
    return pt_run_output(t->run, t->at[i]);
}

struct pt_session *pt_tap_session(const struct pt_tap *t)
{
    return t->session;
}
