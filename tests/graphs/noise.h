/* SPDX-License-Identifier: Apache-2.0
 *
 * noise.h: is a difference only rounding, magnified by the model?
 *
 * Some models make much of little: a convolution of constants that cancel, normalised, is rounding divided by rounding. So on a difference the
 * reference runs again, several times, with every result of a node that depends on rounding (gen_value.inexact) nudged a little more than rounding
 * would, up or down by chance; how far each element of each output moves is what may be forgiven there. Elements that do not move are held to
 * the bound as ever, exact values are never nudged, and how many models needed it is counted by whoever asks.
 */
#ifndef PT_TESTS_NOISE_H
#define PT_TESTS_NOISE_H

#include "tests/graphs/generate.h"

struct noise {
    double **moves; /* per output, per element */
    size_t outputs;
};

/* reference: has run. False when memory is short or the model does not run again. Finish in any case. */
bool noise_measure(struct noise *n, const struct gen *g, const struct pt_buf *model, const struct pt_session *s, const struct pt_run *reference);
void noise_finish(struct noise *n);

#endif
