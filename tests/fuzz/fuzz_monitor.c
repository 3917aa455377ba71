/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_monitor.c: any bytes as feedback, and as profile.json; what was taken can be reported. The first byte says which.
 */
#include "sidecar/monitor_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(struct pt_monitor *m)
{
    static const struct pt_value_info in = {.name = "x", .dtype = PT_FLOAT, .rank = 2}, out = {.name = "y", .dtype = PT_FLOAT, .rank = 2};
    static const struct pt_value_info *const ins[] = {&in}, *const outs[] = {&out};
    static const struct pt_model_info info = {.name = "m", .version = "1", .inputs = ins, .outputs = outs, .input_count = 1, .output_count = 1};
    float x[] = {1, 2, 3, 4}, y[] = {0.25F, 0.75F, 1, 0};
    struct pt_tensor given = {.dtype = PT_FLOAT, .rank = 2, .dims = {2, 2}, .data = x, .size_bytes = sizeof x};
    struct pt_tensor made = {.dtype = PT_FLOAT, .rank = 2, .dims = {2, 2}, .data = y, .size_bytes = sizeof y};
    const struct pt_request q = {.model = &info, .inputs = &given, .plain_id = {"a", 1}};
    const struct pt_tensor *const outputs[] = {&made};
    for (int i = 0; i < 20; i++)
        pt_monitor_observe(m, &q, outputs, 1000 + i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_config c;
    struct pt_monitor *m;
    struct pt_feedback_result result;
    struct pt_err err;
    pt_auto_buf b = PT_BUF_INIT(0);
    struct pt_metrics *registry = pt_metrics_create();
    struct pt_str text = {(const char *)data + 1, size ? size - 1 : 0};
    if (size == 0) {
        pt_metrics_destroy(registry);
        return 0;
    }
    if (pt_config_init(&c, &err) < 0 || pt_config_set(&c, "model", "name", "m", &err) < 0 || pt_monitor_create(&c, registry, 1, &m, &err) < 0)
        abort();
    answer(m);
    int rc = data[0] % 2 ? pt_mon_parse_profile(m, text, &err) : pt_monitor_feedback(m, text, 1100, &result, &err);
    if (rc >= 0 && pt_monitor_report(m, 1200, &b, &err) < 0)
        abort();
    pt_monitor_unref(m);
    pt_metrics_destroy(registry);
    pt_config_finish(&c);
    return 0;
}
