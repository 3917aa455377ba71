/* SPDX-License-Identifier: Apache-2.0
 *
 * path.h: file paths as a pod sees them. In a container a path is what it says; a pod that runs as a plain process
 * under `pintle up` has no mount namespace, so its node agent lists the volumes in PINTLE_MOUNTS
 * ("/models=/run/.../volumes/model:/etc/pintle=/run/...") and paths below a mount point are looked up there.
 */
#ifndef PT_BASE_PATH_H
#define PT_BASE_PATH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The real path in out (longest matching mount wins, whole components only); path itself where no mount matches.
 * PT_ELIMIT when it does not fit. Reads the environment once; thread-safe. */
int pt_path_resolve(const char *path, char *out, size_t out_size, struct pt_err *err);
/* mkdir -p. */
int pt_path_mkdirs(const char *path, unsigned mode, struct pt_err *err);
/* Writes to a temporary name beside it, fsyncs and renames: readers see the old file or the new one, never half. */
int pt_path_write_atomic(const char *path, const void *data, size_t len, unsigned mode, struct pt_err *err);
/* Changes when the path names another file or the file was written to; a missing file is a value of its own. A symbolic link is followed: mounted
 * Secrets and ConfigMaps are switched by one. Chains of them go by `seed`. */
uint64_t pt_path_fingerprint(const char *path, uint64_t seed);

#endif
