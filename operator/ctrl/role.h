/* SPDX-License-Identifier: Apache-2.0
 *
 * role.h: the label that says which of several operator pods leads, so that a Service finds that one. All of them are ready: a standby is no fault.
 *
 * Set to "standby" when a process begins and to "leader" when it leads; a leader also takes the label from any pod that died with it. Tried
 * again until it works. One thread.
 */
#ifndef PT_CTRL_ROLE_H
#define PT_CTRL_ROLE_H

#include "operator/ctrl/api.h"

struct pt_role;
struct pt_role_options {
    struct pt_api *api;
    struct pt_sched *sched;
    const char *ns, *pod; /* ours; copied */
    const char *label;    /* its key; static */
};
int pt_role_create(const struct pt_role_options *o, struct pt_role **out, struct pt_err *err);
void pt_role_set(struct pt_role *r, bool leader);
void pt_role_destroy(struct pt_role *r); /* NULL is fine */

#endif
