/* SPDX-License-Identifier: Apache-2.0
 *
 * profile.h: what an execution spent its time on, as a trace for viewers and as a table.
 */
#ifndef PT_CLI_PROFILE_H
#define PT_CLI_PROFILE_H

#include "base/buf.h"
#include "pintle/runtime.h"

struct pt_cli_profile {
    struct pt_buf trace; /* events, each behind a comma */
    struct pt_cli_profile_op {
        char name[48];
        int64_t ns;
        size_t count;
    } * ops;
    size_t op_count, op_room;
    int64_t start_ns, total_ns;
    int deepest;
    bool failed;
};
void pt_cli_profile_init(struct pt_cli_profile *p);
void pt_cli_profile_finish(struct pt_cli_profile *p);
/* A pt_profile_fn; arg is the profile. */
void pt_cli_profile_add(void *arg, const struct pt_profile_event *e);
/* Chrome's trace format, which Perfetto and chrome://tracing read. */
int pt_cli_profile_write(struct pt_cli_profile *p, const char *path, struct pt_err *err);
/* One line per operator type, the slowest first, to stdout. */
void pt_cli_profile_print(struct pt_cli_profile *p);

#endif
