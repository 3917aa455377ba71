/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint.h: all that a training is between two steps, in a file.
 */
#ifndef PT_RUNTIME_TRAIN_CHECKPOINT_H
#define PT_RUNTIME_TRAIN_CHECKPOINT_H

#include "base/buf.h"

/* An array that the file holds; saved in order. */
struct pt_checkpoint_part {
    void *data;
    size_t bytes;
};
/* "PTTRAIN1", fingerprint, number of parts, for each its length and bytes, SHA-1 of all before; little endian. Written atomically. */
int pt_checkpoint_save(const char *path, uint64_t fingerprint, const struct pt_checkpoint_part *parts, size_t count, struct pt_err *err);
/* Fills the parts. PT_ENOTFOUND: no file. PT_ECONFLICT: of another training (fingerprint, number or lengths of parts). PT_EPARSE: damaged. Parts are
 * changed only when all is well. */
int pt_checkpoint_load(const char *path, uint64_t fingerprint, const struct pt_checkpoint_part *parts, size_t count, struct pt_err *err);
/* The same of bytes; where begins the message. */
int pt_checkpoint_parse(struct pt_str bytes, const char *where, uint64_t fingerprint, const struct pt_checkpoint_part *parts, size_t count,
                        struct pt_err *err);

#endif
