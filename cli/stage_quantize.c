/* SPDX-License-Identifier: Apache-2.0
 *
 * stage_quantize.c: numbers of 8 or 4 bits. With the options of training it is quantisation-aware training.
 */
#include "cli/stage.h"

#include "runtime/compress/prune.h"
#include "runtime/compress/quantize.h"

#include <math.h>

struct quantize_settings {
    int mode, form, method, activations, weights;
    bool activation_symmetric, weight_asymmetric, per_tensor, reduce_range, vendor;
    int64_t block, samples, batch;
    double percentile, average, max_drop;
    struct pt_cmd_list skip;
};
#define AT(member) offsetof(struct quantize_settings, member)
static const char *const activation_names[] = {"uint8", "int8", NULL};
static const enum pt_dtype activation_types[] = {PT_UINT8, PT_INT8};
static const char *const weight_names[] = {"int8", "uint8", "int4", "uint4", NULL};
static const enum pt_dtype weight_types[] = {PT_INT8, PT_UINT8, PT_INT4, PT_UINT4};

static const struct pt_cmd_option rows[] = {
    {"mode", PT_CMD_CHOICE, AT(mode), .words = pt_quantize_modes, .def = "static",
     .help = "static: activations too, ranges from samples; dynamic: ranges found in every run; weights: stored as integers only"},
    {"form", PT_CMD_CHOICE, AT(form), .words = pt_quantize_forms, .def = "qdq",
     .help = "static: QuantizeLinear and DequantizeLinear around operators, or operators on integers"},
    {"calibration-method", PT_CMD_CHOICE, AT(method), .words = pt_calibration_names, .def = "mse", .help = "static: how a range comes from samples",
     .key = "method"},
    {"percentile", PT_CMD_REAL, AT(percentile), .low = 50, .high = 100, .def = "99.999",
     .help = "percentile: share of the samples within the range, in %"},
    {"average", PT_CMD_REAL, AT(average), .low = 1e-6, .high = 1, .def = "0.01", .help = "average: what a new batch weighs"},
    {"samples", PT_CMD_NUMBER, AT(samples), .max = 1000000000, .def = "0", .help = "use only so many samples for calibration; 0: all"},
    {"batch", PT_CMD_NUMBER, AT(batch), .max = 65536, .def = "0", .help = "samples run at once; 0: what the model fixes, or 8"},
    {"activations", PT_CMD_CHOICE, AT(activations), .words = activation_names, .def = "uint8", .help = "integers of activations"},
    {"weights", PT_CMD_CHOICE, AT(weights), .words = weight_names, .def = "int8", .help = "integers of weights; 4 bits: mode weights"},
    {"activation-symmetric", PT_CMD_FLAG, AT(activation_symmetric), .help = "zero in the middle of the range; a Relu then stays a node"},
    {"weight-asymmetric", PT_CMD_FLAG, AT(weight_asymmetric), .help = "weights with zero points"},
    {"per-tensor", PT_CMD_FLAG, AT(per_tensor), .help = "one scale for all channels of a weight"},
    {"reduce-range", PT_CMD_FLAG, AT(reduce_range),
     .help = "weights of 7 bits, for other runtimes on CPUs without VNNI, which saturate; Pintle does not"},
    {"vendor", PT_CMD_FLAG, AT(vendor), .help = "com.microsoft operators where standard ONNX has none"},
    {"block", PT_CMD_NUMBER, AT(block), .max = 65536, .def = "0", .help = "mode weights: so many weights share a scale; 0: int8 a channel, int4 32"},
    {"skip", PT_CMD_LIST, AT(skip), .help = "nodes, or types of operators, that stay floats"},
    {"max-drop", PT_CMD_REAL, AT(max_drop), .high = 1, .def = "1",
     .help = "static: layers stay floats until the held-out accuracy falls by no more (0.01 is one point); 1: none do"},
};

static int check(const void *options, const struct pt_train_settings *train, struct pt_err *err)
{
    const struct quantize_settings *s = options;
    if (s->mode != PT_QUANTIZE_WEIGHTS && s->weights >= 2)
        return pt_fail(err, PT_EINVAL, "weights %s: only in mode weights", weight_names[s->weights]);
    if (train && s->mode != PT_QUANTIZE_STATIC)
        return pt_fail(err, PT_EINVAL, "training with rounded numbers is for mode static, not %s", pt_quantize_modes[s->mode]);
    if (train && s->weight_asymmetric)
        return pt_fail(err, PT_EINVAL, "training with rounded numbers has symmetric weights");
    return PT_OK;
}

static int at(void *arg, const struct pt_quantize_progress *p)
{
    pt_progress_at(arg, p->stage, p->done, p->total);
    return pt_progress_interrupted();
}

static int finish(struct pt_stage_work *w, struct pt_quantize_report *r, int rc, struct pt_err *err)
{
    struct pt_buf text = {0};
    if (rc == PT_OK)
        rc = pt_quantize_report_json(r, &text, err);
    if (rc == PT_OK)
        rc = pt_stage_report(w, "quantize", &text, err);
    pt_buf_finish(&text);
    pt_quantize_report_finish(r);
    return rc;
}

static int train_quantised(struct pt_stage_work *w, const struct pt_quantize_options *o, const struct pt_train_settings *s,
                           struct pt_quantize_report *r, struct pt_err *err)
{
    struct pt_training t;
    struct pt_train_result result = {0};
    struct pt_train_mask *masks = NULL;
    size_t count = 0;
    int rc = pt_training_init(&t, w, s, err);
    if (rc == PT_OK)
        rc = pt_prune_masks_of(w->model, 0.05, &masks, &count, err); /* what was pruned stays so */
    t.options.masks = masks;
    t.options.mask_count = count;
    if (rc == PT_OK)
        rc = pt_quantize_train(w->model, w->train, w->held_out, o, &t.options, &result, r, err);
    rc = pt_training_report(w, &result, rc, err);
    pt_training_finish(&t);
    pt_prune_masks_free(masks, count);
    return rc;
}

static int run(struct pt_stage_work *w, const void *options, const struct pt_train_settings *train, struct pt_err *err)
{
    const struct quantize_settings *s = options;
    struct pt_quantize_report r = {0};
    struct pt_quantize_options o = {.mode = (enum pt_quantize_mode)s->mode,
                                    .form = (enum pt_quantize_form)s->form,
                                    .activation_type = activation_types[s->activations],
                                    .weight_type = weight_types[s->weights],
                                    .activation_symmetric = s->activation_symmetric,
                                    .weight_asymmetric = s->weight_asymmetric,
                                    .per_tensor = s->per_tensor,
                                    .reduce_range = s->reduce_range,
                                    .vendor = s->vendor,
                                    .block = s->block,
                                    .calibration = {.method = (enum pt_calibration)s->method,
                                                    .percentile = s->percentile,
                                                    .average = s->average,
                                                    .batch = s->batch,
                                                    .samples = s->samples},
                                    .skip = s->skip.items,
                                    .skip_count = s->skip.count,
                                    .progress = at,
                                    .progress_arg = w->progress,
                                    .threads = w->threads};
    if (s->max_drop < 1) {
        if (!w->held_out || !w->held_out->labels.dtype)
            return pt_fail(err, PT_EINVAL, "max-drop %g: labelled held-out data are needed to see it", s->max_drop);
        o.gate = (struct pt_quantize_gate){.held_out = w->held_out, .loss = w->loss, .max_drop = s->max_drop};
    }
    int rc = train ? train_quantised(w, &o, train, &r, err) : pt_quantize(w->model, w->calibration, &o, &r, err);
    return finish(w, &r, rc, err);
}

const struct pt_stage pt_stage_quantize = {.name = "quantize",
                                           .summary = "compute, or store, with integers of 8 or 4 bits",
                                           .rows = rows,
                                           .row_count = sizeof rows / sizeof *rows,
                                           .size = sizeof(struct quantize_settings),
                                           .trains = true,
                                           .check = check,
                                           .run = run};
