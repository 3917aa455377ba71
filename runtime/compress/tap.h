/* SPDX-License-Identifier: Apache-2.0
 *
 * tap.h: running a model that is being changed and looking at values inside it: shapes, calibration, activations for a criterion, a teacher's hidden
 * layers. The model is compiled as any other, with the values tapped as further outputs. A tap is a picture of the model as it was when opened.
 */
#ifndef PT_RUNTIME_COMPRESS_TAP_H
#define PT_RUNTIME_COMPRESS_TAP_H

#include "pintle/runtime.h"
#include "runtime/compress/edit.h"

struct pt_tap;
/* threads may be NULL: one made for it. A name that is no value of the model is PT_ENOTFOUND. */
int pt_tap_open(struct pt_edit *e, const struct pt_str *names, size_t count, struct pt_threads *threads, struct pt_tap **out, struct pt_err *err);
void pt_tap_close(struct pt_tap *t);
/* Inputs of the model in their order. PT_ETIMEDOUT after the time that the edit allows. */
int pt_tap_run(struct pt_tap *t, const struct pt_tensor *inputs, size_t count, struct pt_err *err);
/* Valid until the next run. */
const struct pt_tensor *pt_tap_output(const struct pt_tap *t, size_t i); /* output i of the model */
const struct pt_tensor *pt_tap_value(const struct pt_tap *t, size_t i);  /* names[i] */
struct pt_session *pt_tap_session(const struct pt_tap *t);

#endif
