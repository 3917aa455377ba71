/* SPDX-License-Identifier: Apache-2.0
 *
 * repository_internal.h: what the files of the repository share: repository.c keeps the versions, repository_want.c says which there should be,
 * repository_control.c lets clients say.
 */
#ifndef PT_SIDECAR_REPOSITORY_INTERNAL_H
#define PT_SIDECAR_REPOSITORY_INTERNAL_H

#include "sidecar/repository.h"

struct pt_sched *pt_repository_clock(const struct pt_repository *r);
void pt_repository_sweep_soon(struct pt_repository *r); /* brings what is and what should be together */
bool pt_version_up(const struct pt_version *v);         /* serves, or could at once */
bool pt_version_failed(const struct pt_version *v);

/* path NULL: the one that the server's configuration names. */
int pt_repository_add_version(struct pt_repository *r, struct pt_model *m, const char *text, int64_t number, const char *path, uint64_t print,
                              struct pt_err *err);
struct pt_model *pt_repository_add_model(struct pt_repository *r, const char *name, struct pt_err *err);
void pt_repository_remove_model(struct pt_repository *r, struct pt_model *m);
void pt_version_retire(struct pt_version *v);

void pt_model_settle(struct pt_model *m);       /* when all that is wanted is there, the rest goes */
void pt_model_adopt_labels(struct pt_model *m); /* those of its configuration hold from now on */
void pt_repository_drop_unwanted(struct pt_repository *r);
void pt_repository_scan(struct pt_repository *r);         /* looks at the folder, again if it is just looking */
void pt_repository_end_controls(struct pt_repository *r); /* those that are decided */

#endif
