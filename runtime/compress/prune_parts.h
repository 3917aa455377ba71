/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_parts.h: what the files of pruning share. prune_layers.c finds weights, prune_score.c says what they are worth, prune_mask.c makes zeros;
 * prune_units.c finds what channels are coupled to (prune_rules.c: what each operator does to them), prune_choose.c picks, prune_remove.c removes.
 */
#ifndef PT_RUNTIME_COMPRESS_PRUNE_PARTS_H
#define PT_RUNTIME_COMPRESS_PRUNE_PARTS_H

#include "runtime/compress/prune.h"

/* --- layers --------------------------------------------------------------------------------------------------------------- */

/* A product with constant weights. Element e of the weights belongs to output channel (e / out_stride) % outs. */
struct pt_layer {
    int node, weight, bias; /* weight, bias: initializers; bias -1: none */
    int out_axis, in_axis;  /* of the initializer as it is stored */
    int64_t outs, ins;      /* dims of those; ins of one group */
    int64_t out_stride, in_stride, count;
    int64_t groups;
    struct pt_str name, input; /* input: the value that the weights are multiplied with */
    double amount;             /* after rules */
    int rule;                  /* the one that says so, from 1; 0: the options */
    const char *reason;        /* why it cannot be pruned, or NULL */
};
struct pt_layers {
    struct pt_layer *list;
    size_t count;
};
/* All products of the model with weights, also those that cannot be pruned. PT_EUNSUPPORTED when the model is quantised. */
int pt_layers_find(struct pt_edit *e, struct pt_layers *out, struct pt_err *err);
/* Amounts by the options' rules. */
int pt_layers_apply_rules(struct pt_edit *e, struct pt_layers *l, const struct pt_prune_options *o, struct pt_err *err);
void pt_layers_finish(struct pt_layers *l);
static inline int64_t pt_layer_out(const struct pt_layer *l, int64_t e)
{
    return e / l->out_stride % l->outs;
}
static inline int64_t pt_layer_in(const struct pt_layer *l, int64_t e)
{
    return e / l->in_stride % l->ins;
}
struct pt_str pt_node_label(const struct pt_onnx_node *n);
bool pt_node_is(const struct pt_onnx_node *n, const char *domain, const char *op);
int pt_prune_check(const struct pt_prune_options *o, const struct pt_data *samples, struct pt_err *err);

/* --- shapes --------------------------------------------------------------------------------------------------------------- */

/* Types and dims of all values; data are not there. */
struct pt_shapes {
    struct pt_map values; /* name -> struct pt_tensor */
};
/* By running the model once: on the first `batch` samples, or on zeros, where free dims are `batch` in front and else as large as it takes. */
int pt_shapes_find(struct pt_edit *e, const struct pt_data *samples, int64_t batch, struct pt_threads *threads, struct pt_shapes *out,
                   struct pt_err *err);
const struct pt_tensor *pt_shape_of(const struct pt_shapes *s, struct pt_str name);
void pt_shapes_finish(struct pt_shapes *s);
/* Multiply-accumulates of a node, 0 for what is no product. */
int64_t pt_node_macs(const struct pt_shapes *s, const struct pt_onnx_node *n);

/* --- scores --------------------------------------------------------------------------------------------------------------- */

struct pt_scores; /* what samples say */
int pt_scores_open(struct pt_edit *e, const struct pt_layers *l, const struct pt_data *samples, const struct pt_prune_options *o,
                   struct pt_scores **out, struct pt_err *err);
void pt_scores_close(struct pt_scores *s);
/* What each weight of layer i is worth: not negative; squares of importance with PT_PRUNE_L2 and PT_PRUNE_TAYLOR. out: layer's count. */
int pt_scores_get(struct pt_scores *s, size_t i, float *out, struct pt_err *err);

/* --- zeros ---------------------------------------------------------------------------------------------------------------- */

/* keep[i] of each layer (NULL: left alone) from scores[i]; amounts are the layers', for kinds that make zeros. */
int pt_masks_choose(const struct pt_layers *l, float *const *scores, const struct pt_prune_options *o, uint8_t *const *keep, struct pt_err *err);

/* --- channels ------------------------------------------------------------------------------------------------------------- */

int pt_prune_channels(struct pt_edit *e, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_prune_report *report,
                      struct pt_err *err);

/* --- report --------------------------------------------------------------------------------------------------------------- */

/* Fills the "before" of layers and total; shapes NULL: MACs are -1. */
int pt_report_begin(struct pt_edit *e, const struct pt_layers *l, const struct pt_shapes *s, struct pt_prune_report *r, struct pt_err *err);
/* And what they are now. Layers are found by their nodes' names again. */
int pt_report_end(struct pt_edit *e, const struct pt_layers *l, const struct pt_shapes *s, struct pt_prune_report *r, struct pt_err *err);

#endif
