/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.h: numbers of 8 or 4 bits in place of floats. Changes a model (edit.h) to another one of standard ONNX that computes, or only stores, with
 * integers: real = scale * (integer - zero).
 *
 * Three modes. Static: weights and activations, with ranges of activations from samples. Dynamic: weights, and activations with ranges
 * that every run finds anew; no samples needed; products of matrices and convolutions only. Weights: stored as integers and made floats again when
 * they are used; smaller, not faster; the only one for 4 bits.
 *
 * What a model is like behind static quantisation: BatchNormalization is folded into convolutions, a Relu or Clip that saturation does anyway is
 * gone, and every value that a quantised node reads or makes goes through QuantizeLinear -> DequantizeLinear (the form QDQ), which runtimes turn into
 * operators on integers; or those operators are written right away (the form OPERATORS: QLinearConv, QLinearMatMul). What is quantised is a table:
 * runtime/compress/quantize_ops.c. Everything else stays as it is.
 *
 *     struct pt_quantize_options o = {.calibration.method = PT_CALIBRATE_MSE};
 *     struct pt_quantize_report r;
 *     if (pt_quantize(&model, &samples, &o, &r, &err) < 0) ...
 *     pt_quantize_report_json(&r, &text, &err);
 *     pt_quantize_report_finish(&r);
 *
 * On a failure the model is what it was. On success it has been made anew: names and tensors that were taken from it before are not valid.
 */
#ifndef PT_RUNTIME_COMPRESS_QUANTIZE_H
#define PT_RUNTIME_COMPRESS_QUANTIZE_H

#include "runtime/compress/calibrate.h"
#include "runtime/compress/data.h"
#include "runtime/compress/edit.h"
#include "runtime/train/train.h"

enum pt_quantize_mode { PT_QUANTIZE_STATIC, PT_QUANTIZE_DYNAMIC, PT_QUANTIZE_WEIGHTS };
enum pt_quantize_form { PT_FORM_QDQ, PT_FORM_OPERATORS };
/* Words of the command line and of recipes, in the order of the enums, NULL behind the last. */
extern const char *const pt_quantize_modes[];    /* static, dynamic, weights */
extern const char *const pt_quantize_forms[];    /* qdq, operators */
extern const char *const pt_calibration_names[]; /* minmax, average, percentile, entropy, mse */

/* The largest loss of quality that mixed precision may leave; what costs most is kept in floats until it holds. */
struct pt_quantize_gate {
    const struct pt_data *held_out; /* labelled; NULL: no gate */
    enum pt_loss loss;
    double max_drop; /* accuracy may fall by so much, 0.01 is one point; PT_LOSS_MSE: the loss may rise by this share of itself */
};

struct pt_quantize_progress {
    const char *stage; /* "calibrate", "measure", "sensitivity", "gate" */
    int64_t done, total;
    const char *node; /* that is looked at, or NULL */
};

/* All zero is the default: static, QDQ, activations uint8 asymmetric, weights int8 symmetric, one scale per output channel, ranges by min and max. */
struct pt_quantize_options {
    enum pt_quantize_mode mode;
    enum pt_quantize_form form;
    enum pt_dtype activation_type; /* PT_UINT8 (or 0), PT_INT8 */
    enum pt_dtype weight_type;     /* PT_INT8 (or 0), PT_UINT8; with PT_QUANTIZE_WEIGHTS also PT_INT4, PT_UINT4 */
    bool activation_symmetric;     /* zero is in the middle of the range; a Relu is then not fused */
    bool weight_asymmetric;
    bool per_tensor;   /* one scale for all channels of a weight */
    bool reduce_range; /* weights of 7 bits: for runtimes that add pairs of 8-bit products in 16 bits, as CPUs without VNNI do */
    bool vendor;       /* com.microsoft operators where standard ONNX has none (QGemm, QLinearAdd, ..., MatMulNBits) */
    int64_t block;     /* PT_QUANTIZE_WEIGHTS: so many weights along the summed dim share a scale; 0: int8 a channel, int4 32 */
    struct pt_calibration_options calibration;
    const struct pt_str *skip; /* names of nodes or types of operators that stay floats */
    size_t skip_count;
    struct pt_quantize_gate gate;                                     /* static only */
    bool no_measure;                                                  /* leave SQNR out of the report: saves two runs over some of the samples */
    int (*progress)(void *arg, const struct pt_quantize_progress *p); /* non-zero: ends with PT_ECANCELED; may be NULL */
    void *progress_arg;
    struct pt_threads *threads; /* NULL: made */
};

enum pt_layer_state {
    PT_LAYER_QUANTISED,
    PT_LAYER_SKIPPED /* asked for */,
    PT_LAYER_GATED /* by the gate */,
    PT_LAYER_LEFT /* cannot be, see why */
};
struct pt_quantize_layer {
    struct pt_str node, op_type; /* the report's */
    enum pt_layer_state state;
    const char *why;                  /* PT_LAYER_LEFT: static text, else NULL */
    enum pt_dtype activation, weight; /* PT_UNDEFINED: none */
    float low, high;                  /* range of the output as calibrated; 0, 0: none */
    float scale;                      /* of the output */
    int32_t zero;
    size_t weight_scales;            /* how many the weight has */
    double weight_sqnr, output_sqnr; /* signal to noise in dB against floats: of the weight, of the output in the whole quantised model; NaN: not
                                        measured, infinite: no noise */
    double sensitivity; /* with a gate that did not hold at first: how much the loss rises when this layer alone is quantised; else NaN */
    uint64_t bytes_before, bytes_after; /* of its weights and bias */
};
struct pt_quantize_report {
    struct pt_quantize_layer *layers; /* in the order of the graph */
    size_t count, quantised;
    uint64_t bytes_before, bytes_after; /* of all initializers */
    double sqnr;                        /* dB, of the model's first output; NaN: not measured */
    int64_t samples;                    /* used for calibration */
    int64_t opset_before, opset_after;
    struct pt_arena arena;                /* of the names in it */
    double quality_before, quality_after; /* with a gate: accuracy or loss of the held-out data; else NaN */
};
void pt_quantize_report_finish(struct pt_quantize_report *r);
/* Appends the report as a JSON object; what was not measured is null. */
int pt_quantize_report_json(const struct pt_quantize_report *r, struct pt_buf *out, struct pt_err *err);

/* Quantises the model in place. calibration: for PT_QUANTIZE_STATIC, else NULL is fine. *report (may be NULL) is to be finished, also after a
 * failure. PT_EINVAL: options or samples that cannot be; PT_EUNSUPPORTED: nothing in the model can be quantised, it is quantised already, or it
 * cannot be brought to the operator set that this needs; PT_EPRECONDITION: the gate does not hold even with everything in floats. Errors name the
 * node or value. */
int pt_quantize(struct pt_edit *model, const struct pt_data *calibration, const struct pt_quantize_options *o, struct pt_quantize_report *report,
                struct pt_err *err);

/* Quantisation-aware training: the model is trained with rounded weights and activations (straight-through estimator) and comes out as
 * PT_QUANTIZE_STATIC would leave it. t: as for pt_train; weights that are zero and masked stay exactly zero. Ranges of weights follow
 * them; those of activations come from `train`. o->mode must be static; o->gate is not looked at. */
int pt_quantize_train(struct pt_edit *model, const struct pt_data *train, const struct pt_data *held_out, const struct pt_quantize_options *o,
                      const struct pt_train_options *t, struct pt_train_result *result, struct pt_quantize_report *report, struct pt_err *err);

#endif
