/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_compress.c: eight bytes of choices, then a model as it might come from anywhere: it is pruned, quantised or clustered, or refused. What comes
 * out must open where the model itself did, and so must what is written of it. Runs of the model have a second and little memory.
 */
#include "tests/fuzz/fuzz_model.h"

#include "runtime/compress/cluster.h"
#include "runtime/compress/prune.h"
#include "runtime/compress/quantize.h"

#include <stdio.h>
#include <string.h>

#define CHOICES 8
#define MEMORY (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pt_threads *threads(void)
{
    static struct pt_threads *one;
    struct pt_err err;
    if (!one && pt_threads_create(1, &one, &err) < 0)
        abort();
    return one;
}

static struct pt_session *opened(const void *model, size_t len)
{
    struct pt_session_options o = {.size = sizeof o, .threads = threads(), .max_arena_bytes = MEMORY};
    struct pt_session *s = NULL;
    struct pt_err err = {0};
    return pt_session_open_memory(model, len, &o, &s, &err) == PT_OK ? s : NULL;
}

static int pruned(struct pt_edit *e, const uint8_t *c, struct pt_err *err)
{
    struct pt_prune_report r;
    struct pt_buf json = {0};
    const struct pt_prune_options o = {.kind = (enum pt_prune_kind)(c[1] % 5),
                                       .criterion = c[2] % 4 < 2   ? (enum pt_prune_criterion)(c[2] % 2)
                                                    : c[2] % 4 < 3 ? PT_PRUNE_BN_SCALE
                                                                   : PT_PRUNE_RANDOM,
                                       .scope = (enum pt_prune_scope)(c[3] & 1),
                                       .amount = c[4] / 256.0,
                                       .n = 1 + c[5] % 3,
                                       .m = 4,
                                       .block_rows = 1 + c[5] % 5,
                                       .block_cols = 1 + c[5] / 64,
                                       .round_to = c[6] % 9,
                                       .lamp = c[3] & 2,
                                       .through_norms = c[3] & 4,
                                       .zeros_only = c[3] & 8,
                                       .threads = threads()};
    int rc = pt_prune(e, NULL, &o, &r, err);
    if (rc == PT_OK)
        (void)pt_prune_report_json(&r, &json, err);
    pt_buf_finish(&json);
    pt_prune_report_finish(&r);
    return rc;
}

/* Zeros for calibration, one sample; the count is 0 where the model has no small inputs. */
static struct pt_data sample_of(struct pt_session *s, const uint8_t *c, struct pt_tensor *in)
{
    struct pt_data d = {.inputs = in, .input_count = s ? pt_session_input_count(s) : 0, .count = 1};
    bool fits = s && d.input_count <= FUZZ_MAX_VALUES;
    for (size_t i = 0; fits && i < d.input_count; i++) {
        const struct pt_value_info *vi = pt_session_input(s, i);
        fits = vi->dtype != PT_SEQUENCE && vi->dtype != PT_OPTIONAL && fuzz_input(vi, i, c, 3, &in[i]);
        d.count = fits && in[i].rank ? in[i].dims[0] : 1;
    }
    d.count = fits ? d.count : 0;
    return d;
}

static int quantised(struct pt_edit *e, struct pt_session *s, const uint8_t *c, struct pt_err *err)
{
    static const enum pt_dtype weights[] = {PT_INT8, PT_UINT8, PT_INT4, PT_UINT4};
    struct pt_tensor in[FUZZ_MAX_VALUES] = {0};
    struct pt_quantize_report r = {0};
    struct pt_data d = sample_of(s, c, in);
    const struct pt_quantize_options o = {.mode = (enum pt_quantize_mode)(c[1] % 3),
                                          .form = (enum pt_quantize_form)(c[2] & 1),
                                          .activation_type = c[2] & 2 ? PT_INT8 : PT_UINT8,
                                          .weight_type = weights[c[3] % 4],
                                          .activation_symmetric = c[2] & 4,
                                          .weight_asymmetric = c[2] & 8,
                                          .per_tensor = c[2] & 16,
                                          .reduce_range = c[2] & 32,
                                          .vendor = c[2] & 64,
                                          .no_measure = c[2] & 128,
                                          .block = c[4] % 40,
                                          .calibration = {.method = (enum pt_calibration)(c[5] % 5)},
                                          .threads = threads()};
    int rc = d.count > 0 || c[1] % 3 ? pt_quantize(e, d.count > 0 ? &d : NULL, &o, &r, err) : PT_EUNSUPPORTED;
    pt_quantize_report_finish(&r);
    for (size_t i = 0; i < FUZZ_MAX_VALUES; i++)
        free(in[i].data);
    return rc;
}

static int clustered(struct pt_edit *e, const uint8_t *c, struct pt_err *err)
{
    struct pt_cluster_report r = {0};
    const struct pt_cluster_options o = {
        .clusters = 2 + c[1] % 32, .start = (enum pt_cluster_start)(c[2] & 1), .keep_zeros = c[2] & 2, .rounds = c[3] % 4, .min_elements = 1 + c[4]};
    int rc = pt_cluster(e, &o, &r, err);
    pt_cluster_report_finish(&r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_edit e = {0};
    struct pt_err err = {0};
    struct pt_buf made = {0};
    if (size <= CHOICES)
        return 0;
    struct pt_session *before = opened(data + CHOICES, size - CHOICES), *after = NULL;
    int rc = pt_edit_open_memory(&e, data + CHOICES, size - CHOICES, &err);
    e.run_ms = FUZZ_TIME_MS;
    e.run_bytes = MEMORY;
    if (rc == PT_OK)
        rc = data[0] % 4 < 2 ? pruned(&e, data, &err) : data[0] % 4 < 3 ? quantised(&e, before, data, &err) : clustered(&e, data, &err);
    if (rc == PT_OK)
        rc = pt_onnx_write(&e.model, &made, &err);
    if (rc == PT_OK && before && !(after = opened(made.data, made.len))) {
        fprintf(stderr, "what came of a model that opens does not open\n");
        abort();
    }
    pt_session_close(before);
    pt_session_close(after);
    pt_buf_finish(&made);
    pt_edit_finish(&e);
    return 0;
}
