/* SPDX-License-Identifier: Apache-2.0
 *
 * warmup.h: the run that a model has to do before it is ready, on inputs that are made up.
 *
 * Zeros, or ones if it does not take zeros. Free dimensions are 1; a model with windows refuses that, so longer ones are tried. What a model takes it
 * does not say: one that refuses all of these needs to be told (`text`).
 */
#ifndef PT_SIDECAR_WARMUP_H
#define PT_SIDECAR_WARMUP_H

#include "sidecar/request.h"

#include <pintle/runtime.h>

/* text: "input=1x256, state=2x1x128": shapes of inputs; those it does not name have free dimensions of 1. NULL: none. PT_EINVAL names what is wrong
 * with it; another error is that of the plainest attempt. */
int pt_warmup_run(const struct pt_model_info *m, struct pt_run *run, const char *text, struct pt_err *err);

#endif
