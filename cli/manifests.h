/* SPDX-License-Identifier: Apache-2.0
 *
 * manifests.h: the objects of a -f FILE for apply, delete and up.
 */
#ifndef PT_CLI_MANIFESTS_H
#define PT_CLI_MANIFESTS_H

#include "cli/kubeclient.h"

struct pt_cli_object {
    const struct pt_cli_kind *kind;
    const char *name, *ns; /* ns: of the object, else the -n one; point into json or options */
    cJSON *json;
};
typedef int (*pt_cli_object_fn)(void *arg, const struct pt_cli_object *o, struct pt_err *err);
/* Calls fn for each object of the YAML or JSON file ("-": standard input), lists expanded. An object of an unknown kind or without a name is an error
 * that names file and line; nothing is called before the whole file was read well. */
int pt_cli_manifests(const char *file, const char *default_ns, pt_cli_object_fn fn, void *arg, struct pt_err *err);

#endif
