/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_onnx.c: any bytes as a model: opened, described, and run once on zeros with little memory and time, as compiled and as the reference. What
 * both accept must give outputs of one type and size.
 */
#include "pintle/runtime.h"

#include <stdint.h>
#include <stdlib.h>

#define MEMORY (256u << 10)
#define MAX_VALUES 16
#define TIME_MS 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A tensor of zeros that the input takes, free dims 1 or 2; false when there is no small one. */
static bool make_input(const struct pt_value_info *vi, size_t i, struct pt_tensor *t)
{
    *t = (struct pt_tensor){.dtype = vi->dtype, .rank = vi->rank < 0 ? 1 : vi->rank};
    for (int k = 0; k < t->rank; k++)
        t->dims[k] = vi->rank < 0 || vi->dims[k] < 0 ? 1 + (int64_t)(i + (size_t)k) % 2 : vi->dims[k];
    int64_t n = pt_tensor_count(t);
    unsigned bits = pt_dtype_bits(t->dtype);
    if (n < 0 || n > MEMORY || bits == 0)
        return false;
    t->size_bytes = ((size_t)n * bits + 7) / 8;
    t->data = calloc(1, t->size_bytes + 1);
    return t->data != NULL;
}

/* A sequence of two such tensors, an optional with one. */
struct holder {
    struct pt_tensor item[2];
    struct pt_sequence sequence;
    struct pt_optional optional;
};

static bool make_value(const struct pt_value_info *vi, size_t i, struct holder *h, struct pt_tensor *t)
{
    if (vi->dtype != PT_SEQUENCE && vi->dtype != PT_OPTIONAL)
        return make_input(vi, i, t);
    if (!vi->elem || !make_input(vi->elem, i, &h->item[0]))
        return false;
    h->item[1] = h->item[0];
    h->sequence = (struct pt_sequence){.count = 2, .items = h->item, .elem = h->item[0].dtype};
    h->optional = (struct pt_optional){.value = h->item};
    bool sequence = vi->dtype == PT_SEQUENCE;
    *t = (struct pt_tensor){.dtype = vi->dtype,
                            .data = sequence ? (void *)&h->sequence : (void *)&h->optional,
                            .size_bytes = sequence ? sizeof h->sequence : sizeof h->optional};
    return true;
}

static struct pt_run *run(struct pt_session *s)
{
    struct pt_tensor in[MAX_VALUES] = {0};
    struct holder held[MAX_VALUES] = {0};
    struct pt_run_options options = {.size = sizeof options, .deadline_ms = TIME_MS};
    size_t n = pt_session_input_count(s);
    struct pt_run *r = NULL;
    bool ok = n <= MAX_VALUES && pt_run_create(s, &r, NULL) == 0;
    for (size_t i = 0; ok && i < n; i++)
        ok = make_value(pt_session_input(s, i), i, &held[i], &in[i]) && pt_run_set_input(r, i, &in[i], NULL) == 0;
    ok = ok && pt_run_execute_with(r, &options, NULL) == 0;
    for (size_t i = 0; i < MAX_VALUES; i++)
        free(held[i].item[0].data ? held[i].item[0].data : in[i].data);
    if (!ok) {
        pt_run_destroy(r);
        r = NULL;
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_session *s[2] = {0};
    struct pt_run *r[2] = {0};
    struct pt_threads *threads;
    if (pt_threads_create(1, &threads, NULL) < 0)
        return 0;
    for (int k = 0; k < 2; k++) {
        struct pt_session_options o = {.threads = threads, .max_arena_bytes = MEMORY, .no_opt = k};
        if (pt_session_open_memory(data, size, &o, &s[k], NULL) == 0)
            r[k] = run(s[k]);
    }
    for (size_t i = 0; r[0] && r[1] && i < pt_session_output_count(s[0]); i++) {
        const struct pt_tensor *a = pt_run_output(r[0], i), *b = pt_run_output(r[1], i);
        if (a->dtype != b->dtype || a->size_bytes != b->size_bytes)
            abort();
    }
    for (int k = 0; k < 2; k++) {
        pt_run_destroy(r[k]);
        pt_session_close(s[k]);
    }
    pt_threads_destroy(threads);
    return 0;
}
