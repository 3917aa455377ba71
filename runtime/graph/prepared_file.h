/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared_file.h: the file of prepared weights, as bytes. Only the build that wrote it, on such a CPU, reads it (its identity says so), so it is laid
 * out as memory is:
 *
 *     header      one page
 *     spans       memory of weights as it was, each from a page's beginning on
 *     entries     what lies where in them, in the order of their keys, to the end of the file
 *
 * Every entry has a checksum of its bytes and the header has one of the entries and of itself: a file that was cut or changed is not used.
 */
#ifndef PT_RUNTIME_PREPARED_FILE_H
#define PT_RUNTIME_PREPARED_FILE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { PT_IDENTITY_BYTES = 20 };

/* source: out of which weights it was made; what: how. Both are hashes (prepared.h). */
struct pt_prepared_entry {
    uint64_t source, what;
    uint64_t bytes, at; /* at: in the file, a multiple of 64 */
    uint64_t sum;
};

/* Checks everything but the sums of the weights. *entries is a view of data, which is 8-byte aligned: they begin at a page, and what they name lies
 * between the first page and there. PT_EPARSE says what is wrong. */
int pt_prepared_parse(const void *data, size_t len, const uint8_t identity[PT_IDENTITY_BYTES], const struct pt_prepared_entry **entries,
                      size_t *count, struct pt_err *err);
/* In the order of their keys? below 0, 0 or above 0. */
int pt_prepared_compare(const struct pt_prepared_entry *a, const struct pt_prepared_entry *b);

/* Checksum of any number of bytes, at the speed of memory. Tells every change of up to 8 bytes in a row, and others but for one in 2^64; not proof
 * against forgery. */
uint64_t pt_prepared_sum(const void *data, size_t len);
/* What it is made of, for whoever wants more than 64 bits. */
void pt_prepared_digest(const void *data, size_t len, uint64_t out[8]);

struct pt_prepared_span {
    const void *base;
    size_t len;
};
/* Where each span will lie in the file, given where the one before lies (NULL: the first). */
uint64_t pt_prepared_place(uint64_t before_at, size_t before_len);
/* Writes folder/name through a temporary file; readers see the old one or the new one. Returns a descriptor of it: what is mapped of it is on the
 * disk, and may be dropped from memory. entries are sorted. */
int pt_prepared_write(const char *folder, const char *name, const uint8_t identity[PT_IDENTITY_BYTES], const struct pt_prepared_span *spans,
                      size_t span_count, const struct pt_prepared_entry *entries, size_t count, struct pt_err *err);

#endif
