/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_onnx.c: any bytes as a model: opened, described, and run once on zeros with little memory and time, as compiled and as the reference. What
 * both accept must give outputs of one type and size.
 */
#include "tests/fuzz/fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t dims[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    struct pt_session *s[2] = {0};
    struct pt_run *r[2] = {0};
    struct pt_threads *threads;
    if (pt_threads_create(1, &threads, NULL) < 0)
        return 0;
    for (int k = 0; k < 2; k++) {
        struct pt_session_options o = {.threads = threads, .max_arena_bytes = FUZZ_MEMORY, .no_opt = k};
        if (pt_session_open_memory(data, size, &o, &s[k], NULL) == 0)
            fuzz_run(s[k], dims, 1, (struct pt_run_options){0}, &r[k], NULL);
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
