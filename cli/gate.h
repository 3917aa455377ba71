/* SPDX-License-Identifier: Apache-2.0
 *
 * gate.h: what a compressed model must hold before it is published: bounds on its own figures and on how they compare with the model that came in.
 *
 *     gate:
 *       accuracy: {maxDrop: 0.01, min: 0.97}      # of held-out samples; 0.01 is one point
 *       recall: {maxDrop: 0.02, perClass: 0.05}   # macro; perClass: the drop that no class may exceed
 *       loss: {maxRise: 0.1, max: 0.5}
 *       latency: {max: 0.5x}                      # of the input's, or 3ms
 *       size: {max: 0.3x}                         # of the file, or bytes: 500000, 500KB, 2MB
 *       macs: {max: 0.3x}                         # or a number
 *       reference: teacher.onnx                   # compare with this model, not with the one that came in
 */
#ifndef PT_CLI_GATE_H
#define PT_CLI_GATE_H

#include "base/mem.h"
#include "cli/quality.h"

enum pt_gate_figure { PT_GATE_ACCURACY, PT_GATE_RECALL, PT_GATE_LOSS, PT_GATE_LATENCY, PT_GATE_SIZE, PT_GATE_MACS, PT_GATE_FIGURES };
/* A bound that is not set is NaN. */
struct pt_gate_rule {
    double max_drop, min, per_class, max_rise, max;
    bool relative; /* max is a share of the input's */
};
struct pt_gate {
    struct pt_gate_rule rules[PT_GATE_FIGURES];
    const char *reference; /* file, or NULL: the model that came in */
    bool set;              /* any rule */
};
/* o: the recipe's map, or NULL for no bounds. */
int pt_gate_read(struct pt_gate *g, const cJSON *o, struct pt_err *err);
/* Does it need held-out samples with labels? */
bool pt_gate_needs_samples(const struct pt_gate *g);
/* Whether `after` may be published. PT_EPRECONDITION names the first figure that does not hold, its value and its bound. checks (may be NULL): an
 * array that gets {"figure", "rule", "value", "bound", "holds"} for every bound. */
int pt_gate_check(const struct pt_gate *g, const struct pt_quality *before, const struct pt_quality *after, char *const *names, size_t name_count,
                  cJSON *checks, struct pt_err *err);

#endif
