/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared_id.h: what decides besides the model how weights are made ready.
 */
#ifndef PT_RUNTIME_PREPARED_ID_H
#define PT_RUNTIME_PREPARED_ID_H

#include "base/buf.h"

#include <stdbool.h>

/* The linker's hash of the program or library that this code is in; false: it was linked without (--build-id). */
bool pt_prepared_build(struct pt_buf *out);
/* The level of kernels, and the features of the CPU that they may look at. */
void pt_prepared_cpu(struct pt_buf *out);

#endif
