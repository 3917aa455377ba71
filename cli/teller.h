/* SPDX-License-Identifier: Apache-2.0
 *
 * teller.h: tells an operator how far a compression is, from a thread of its own: what pt_progress has told it last goes out with each report
 * (sidecar/sender.h), at once when a stage begins. Nobody waits for it: a run without an operator within reach is a run like any other.
 */
#ifndef PT_CLI_TELLER_H
#define PT_CLI_TELLER_H

#include "cli/progress.h"

struct pt_teller;
/* file: PT_CONFIG_REPORT as a file of its own, JSON. */
int pt_teller_create(const char *file, struct pt_teller **out, struct pt_err *err);
/* As pt_progress.tell, arg is the teller. Any thread. */
void pt_teller_tell(void *arg, const struct pt_progress_now *now);
void pt_teller_destroy(struct pt_teller *t);

#endif
