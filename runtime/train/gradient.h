/* SPDX-License-Identifier: Apache-2.0
 *
 * gradient.h: derivatives of a graph, as nodes of the same graph.
 */
#ifndef PT_RUNTIME_TRAIN_GRADIENT_H
#define PT_RUNTIME_TRAIN_GRADIENT_H

#include "runtime/graph/graph.h"

/* Replaces each Gradient node (ai.onnx.preview.training) of g by the nodes that compute it. Call it before anything prunes the graph: what a Gradient
 * differentiates, it refers to by name only. */
int pt_graph_expand_gradients(struct pt_graph *g, struct pt_err *err);

#endif
