/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared.h: weights that were made ready - normalisations folded in, packed for the CPU - kept in a file, so that the next start of the same model
 * neither makes them nor has them in memory of its own.
 *
 * What is made is a function of the model's bytes, the options that decide how it is compiled, this build, and what the CPU can do: together the
 * identity, whose hash names the file and stands in it. Within a model a piece has a key of two hashes: of which weights it was made (`source`: a place
 * in the model's bytes, or the how-manieth constant that the rewrites made; they always go the same way) and what was made of them.
 *
 * Pieces that are not in the file lie in chunks of anonymous memory, from whole pages on. pt_prepared_save() writes the chunks as they are, and maps the
 * file over them in place: nobody's pointer changes, and from then on their pages are those of the file, shared by all processes of a node and to be
 * had again whenever the kernel, or pt_prepared_rest(), takes them away. They are mapped for reading only: nothing is ever written there.
 *
 * A file that is damaged, or not the right one, is as good as none: what it should have had is made, and saving replaces it.
 *
 * Any function may be called from any thread.
 */
#ifndef PT_RUNTIME_PREPARED_H
#define PT_RUNTIME_PREPARED_H

#include "base/err.h"
#include "runtime/exec/threads.h"

#include <stdbool.h>
#include <stdint.h>

struct pt_prepared;

/* Below that nothing is worth an entry: it is made anew each time. */
#define PT_PREPARED_WORTH ((size_t)1024)

/* text: all that the identity is made of, besides build and CPU. The file is looked for in folder and checked by the pool (NULL: here); that there is
 * none, or a bad one, is no failure. PT_EUNSUPPORTED: this build has no ID. */
int pt_prepared_create(const char *folder, const char *text, size_t text_len, struct pt_threads *pool, struct pt_prepared **out, struct pt_err *err);
void pt_prepared_destroy(struct pt_prepared *p); /* after all that reads its memory; NULL is fine */

/* Memory [base, base + len) has what `id` and the offset in it name: the model's bytes, or a constant that was made of them. */
int pt_prepared_add_source(struct pt_prepared *p, const void *base, size_t len, uint64_t id, struct pt_err *err);
/* Names what lies there; false: nobody knows what it was made of. */
bool pt_prepared_source(struct pt_prepared *p, const void *data, uint64_t *id);
/* The id of the next constant that the rewrites make. */
uint64_t pt_prepared_next_id(struct pt_prepared *p);

/* The piece of that key: *ready: it is there, for reading only. Else it is memory to be filled, until pt_prepared_filled(); asked for again before
 * that, it is the same memory. NULL: out of memory. */
void *pt_prepared_get(struct pt_prepared *p, uint64_t source, uint64_t what, size_t bytes, bool *ready, struct pt_err *err);
void pt_prepared_filled(struct pt_prepared *p, void *data);

/* Bytes of the model, in anonymous memory of whole pages that nobody writes to any more: they are read from the file instead where it has them, now or
 * once it is saved. Only the pages that lie wholly in it. */
int pt_prepared_adopt(struct pt_prepared *p, void *base, size_t len, struct pt_err *err);

/* Writes the file if there is anything new. PT_EBUSY: another thread does. */
int pt_prepared_save(struct pt_prepared *p, struct pt_err *err);
/* Bytes that the file has, or will have when it is saved. */
uint64_t pt_prepared_bytes(struct pt_prepared *p);
/* Gives the memory of all that is in the file back to the kernel: it comes again as it is read. */
void pt_prepared_rest(struct pt_prepared *p);

struct pt_prepared_state {
    const char *path;
    uint64_t found, made; /* bytes of the file that are used; bytes that are not in it yet */
    const char *ignored;  /* why the file that was there was not used, or not all of it; "" */
};
void pt_prepared_get_state(struct pt_prepared *p, struct pt_prepared_state *out);

#endif
