/* SPDX-License-Identifier: Apache-2.0
 *
 * new.h: a model out of nothing, for who has data and no model yet: a chain of layers in a line of text, with random weights.
 *
 *     input  1x28x28 (channels, height, width) or 20 (columns of a table)
 *     layers conv:16:3,relu,maxpool:2,conv:32:3,relu,maxpool:2,flatten,dense:64,relu,dense:10
 *
 * What residual or recurrent networks need is not said in a line: such models come from elsewhere.
 */
#ifndef PT_CLI_NEW_H
#define PT_CLI_NEW_H

#include "base/buf.h"
#include "runtime/compress/edit.h"

/* Values are called by their layer, "relu2" being the output of the second layer if that is a relu; the input is "x", the output "y". Finish *e also
 * after a failure; *bytes must outlive it. */
int pt_new_model(struct pt_edit *e, struct pt_buf *bytes, const char *input, const char *layers, uint64_t seed, struct pt_err *err);
/* Lines that say which layers there are. */
void pt_new_help(struct pt_buf *out);

#endif
