/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.h: YAML as Kubernetes reads it (kubeconfig, manifests), turned into JSON text.
 */
#ifndef PT_CTRL_MANIFEST_H
#define PT_CTRL_MANIFEST_H

#include "base/buf.h"

/* One document of a stream as JSON text, valid in the callback; line is where it starts (1-based). Non-zero stops and is returned. */
typedef int (*pt_manifest_fn)(void *arg, struct pt_str json, size_t line, struct pt_err *err);

/* Calls fn for each document that is not empty. Plain scalars are typed as go-yaml v2 (and so kubectl) types them (a !!str tag on one does not
 * change that: quote it); merge keys (<<) are merged; duplicate keys, unknown
 * tags, nesting over 100 levels and documents over 8 MiB of JSON (aliases expanded) are PT_EPARSE/PT_ELIMIT that name `what` and the line. */
int pt_manifest_parse(struct pt_str text, const char *what, pt_manifest_fn fn, void *arg, struct pt_err *err);

#endif
