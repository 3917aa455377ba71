/* SPDX-License-Identifier: Apache-2.0
 *
 * prune.h: making weights zero, or channels and attention heads go away.
 *
 * The first three kinds make zeros in weights of Conv, ConvTranspose, Gemm and MatMul, and give masks that keep them zero through fine-tuning
 * (train.h). Channels and heads are removed physically: weights, biases, norms and all that depends on their number become smaller, so that any
 * runtime is faster with the result; there is nothing to keep zero afterwards.
 *
 *     struct pt_prune_options o = {.kind = PT_PRUNE_CHANNELS, .amount = 0.5};
 *     struct pt_prune_report r;
 *     if (pt_prune(&model, NULL, &o, &r, &err) < 0) ...
 *     pt_prune_report_json(&r, &text);
 *     pt_prune_report_finish(&r);
 *
 * Layers are named by their node, or by its first output where the node has no name. Only float32 initializers are pruned; what is not is in the
 * report with a reason. On a failure the model is what it was.
 */
#ifndef PT_RUNTIME_COMPRESS_PRUNE_H
#define PT_RUNTIME_COMPRESS_PRUNE_H

#include "base/buf.h"
#include "runtime/compress/data.h"
#include "runtime/compress/edit.h"
#include "runtime/train/train.h"

enum pt_prune_kind {
    PT_PRUNE_UNSTRUCTURED, /* single weights */
    PT_PRUNE_N_OF_M,       /* of every m weights along the input channels, n stay; a rest shorter than m keeps min(n, its length) */
    PT_PRUNE_BLOCKS,       /* block_rows output channels x block_cols input weights at a time; blocks at the edge are as large as what is there */
    PT_PRUNE_CHANNELS,     /* output channels of Conv, ConvTranspose, Gemm, MatMul, with all that is coupled to them */
    PT_PRUNE_HEADS         /* attention heads */
};
enum pt_prune_criterion {
    PT_PRUNE_L1,       /* |w|, sum over a unit */
    PT_PRUNE_L2,       /* w^2, root of the sum over a unit. For single weights the same as L1 */
    PT_PRUNE_BN_SCALE, /* channels only: |scale| of the BatchNormalization (Liu et al. 2017); units without one: an error */
    PT_PRUNE_TAYLOR,   /* |w dL/dw| (Molchanov et al. 2019); needs labelled samples */
    PT_PRUNE_WANDA, /* |w| * root mean square of what it is multiplied with (Sun et al. 2024); needs samples. Per layer it compares within an output
                     */
    PT_PRUNE_RANDOM /* by seed */
};
enum pt_prune_scope {
    PT_PRUNE_PER_LAYER, /* every layer (group of coupled layers) loses `amount` */
    PT_PRUNE_GLOBAL     /* all together lose `amount`, the least important first */
};
/* Words of the command line and of recipes, in the order of the enums, NULL behind the last. */
extern const char *const pt_prune_kinds[];    /* unstructured, n:m, blocks, channels, heads */
extern const char *const pt_prune_criteria[]; /* l1, l2, bn-scale, taylor, wanda, random */
extern const char *const pt_prune_scopes[];   /* per-layer, global */
extern const char *const pt_sparsity_kinds[]; /* of enum pt_sparsity_kind */

/* Another amount for layers whose name, or weight's name, matches: * and ? as in file names. The last that matches counts; 0 leaves it alone. */
struct pt_prune_rule {
    const char *pattern;
    double amount;
};

struct pt_prune_options {
    enum pt_prune_kind kind;
    enum pt_prune_criterion criterion;
    enum pt_prune_scope scope;
    double amount;              /* [0, 1) of weights, blocks, channels or heads; not for PT_PRUNE_N_OF_M */
    int n, m;                   /* PT_PRUNE_N_OF_M; 0: 2 of 4 */
    int block_rows, block_cols; /* PT_PRUNE_BLOCKS; 0: 4 x 1 */
    int64_t round_to;           /* channels: what stays is a multiple of this where there is that much; 0: 1 */
    double max_per_layer;       /* global: no layer loses more; 0: 0.98 */
    bool lamp;                  /* global, unstructured, L1 or L2: scores w^2 / sum of those not smaller, per layer (Lee et al. 2021) */
    bool through_norms; /* channels: also where LayerNormalization or another mean over the channels would then be over fewer, which is not the
                           model with zeros; fine-tune afterwards */
    bool zeros_only;    /* channels, heads: zeros where they would be removed; the model keeps its shape */
    const struct pt_prune_rule *rules; /* a pattern that matches no layer is an error */
    size_t rule_count;
    uint64_t seed;
    enum pt_loss loss;          /* PT_PRUNE_TAYLOR, pt_prune_sensitivity */
    struct pt_threads *threads; /* NULL: made */
};

struct pt_prune_layer {
    struct pt_str name, weight, op;                             /* the edit's */
    int64_t units_before, units;                                /* output channels; heads for PT_PRUNE_HEADS */
    int64_t parameters_before, parameters, zeros_before, zeros; /* of weight and bias */
    int64_t macs_before, macs;                                  /* of one sample; zeros count */
    int64_t bytes_before, bytes;
    struct pt_str reason; /* why it was left as it is; empty: it was not */
};
struct pt_prune_report {
    struct pt_prune_layer *layers;
    size_t count;
    struct pt_prune_layer total; /* of the whole model: all float initializers, all nodes with MACs; name "total" */
    struct pt_train_mask *masks; /* of the kinds that make zeros: give them to pt_train; the report's */
    size_t mask_count;
};

/* Prunes once. samples: for criteria that need them and for shapes of free dims; may be NULL. threads, samples and options need to live no longer
 * than the call. report may not be NULL; finish it, also after a failure (then it is empty). */
int pt_prune(struct pt_edit *model, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_prune_report *report,
             struct pt_err *err);
void pt_prune_report_finish(struct pt_prune_report *r);
/* Appends one JSON object: {"layers": [{"name", "weight", "op", "units": [before, after], "parameters": [..], "zeros", "macs", "bytes", "reason"}],
 * "total"}. */
int pt_prune_report_json(const struct pt_prune_report *r, struct pt_buf *out, struct pt_err *err);
/* Masks of a model that has zeros already: weights of the prunable layers whose share of zeros is at least min_share. *masks: pt_prune_masks_free().
 */
int pt_prune_masks_of(struct pt_edit *model, double min_share, struct pt_train_mask **masks, size_t *count, struct pt_err *err);
void pt_prune_masks_free(struct pt_train_mask *masks, size_t count);

/* --- during training ------------------------------------------------------------------------------------------------------ */
/* How sparsity goes from `initial` to `final` while step t goes from begin to end; u = (t - begin) / (end - begin). Conventions of tools differ, so:
 * "polynomial" is Zhu & Gupta 2017, TensorFlow Model Optimization's PolynomialDecay and NNI's AGP (power 3); Intel Neural Compressor's "cube" is
 * "polynomial-slow" with power 3. */
enum pt_sparsity_kind {
    PT_SPARSITY_CONSTANT,        /* "constant": final from begin on */
    PT_SPARSITY_POLYNOMIAL,      /* "polynomial": final + (initial - final) (1 - u)^power; most goes at first */
    PT_SPARSITY_POLYNOMIAL_SLOW, /* "polynomial-slow": initial + (final - initial) u^power; most goes at the end */
    PT_SPARSITY_LINEAR,          /* "linear" */
    PT_SPARSITY_EXPONENTIAL,     /* "exponential": 1 - (1 - initial) ((1 - final) / (1 - initial))^u; the same share of what is left each time */
    PT_SPARSITY_COSINE,          /* "cosine": initial + (final - initial) (1 - cos(pi u / 2)) */
    PT_SPARSITY_OF_REMAINING     /* "of-remaining": every update takes `final` of the weights that are left (torch.nn.utils.prune again and again):
                                    1 - (1 - initial) (1 - final)^k behind update k; `final` is not the sparsity at the end */
};
struct pt_sparsity_schedule {
    enum pt_sparsity_kind kind;
    double initial, final, power;  /* power 0: 3 */
    int64_t begin, end, frequency; /* steps; updates at begin, begin + frequency, ... and at end. frequency 0: 100 */
};
int pt_sparsity_check(const struct pt_sparsity_schedule *s, struct pt_err *err);
/* Sparsity that holds behind step t, and whether t is a step with an update. */
double pt_sparsity_at(const struct pt_sparsity_schedule *s, int64_t t);
bool pt_sparsity_is_due(const struct pt_sparsity_schedule *s, int64_t t);

/* Pruning while training, of the kinds that make zeros; n:m and amounts of rules do not follow the schedule and hold from begin on. Wanda and Taylor
 * are refused: they would need samples at every update. Goes on where a checkpoint left off. */
struct pt_pruner;
int pt_pruner_create(struct pt_edit *model, const struct pt_prune_options *o, const struct pt_sparsity_schedule *s, struct pt_pruner **out,
                     struct pt_err *err);
/* Sets t->masks, t->mask_count and t->after_step, which calls the one that was there. p must outlive the training. */
int pt_pruner_attach(struct pt_pruner *p, struct pt_train_options *t, struct pt_err *err);
/* What became of the layers; masks are for further training. */
int pt_pruner_report(struct pt_pruner *p, struct pt_prune_report *out, struct pt_err *err);
void pt_pruner_destroy(struct pt_pruner *p);

/* --- sensitivity ---------------------------------------------------------------------------------------------------------- */
struct pt_prune_trial {
    struct pt_str layer;           /* the edit's */
    double amount, loss, accuracy; /* accuracy: NaN with PT_LOSS_MSE */
    int64_t parameters, macs;      /* of the model: that are not zero; of one sample */
};
/* Prunes every layer alone (channels: with those coupled to it) by each amount, on a copy, and evaluates that on labelled samples. The first trial is
 * the model as it is: layer "", amount 0. *trials: pt_free(). progress may be NULL; non-zero stops with PT_ECANCELED. */
int pt_prune_sensitivity(struct pt_edit *model, const struct pt_data *samples, const struct pt_prune_options *o, const double *amounts,
                         size_t amount_count, int (*progress)(void *arg, size_t done, size_t total), void *progress_arg,
                         struct pt_prune_trial **trials, size_t *trial_count, struct pt_err *err);
/* Appends a JSON array of objects {"layer", "amount", "loss", "accuracy", "parameters", "macs"}. */
int pt_prune_trials_json(const struct pt_prune_trial *t, size_t count, struct pt_buf *out, struct pt_err *err);

#endif
