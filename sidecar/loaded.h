/* SPDX-License-Identifier: Apache-2.0
 *
 * loaded.h: a model in memory, ready to run: its mapped file, the session over exactly those bytes, and one run per scheduler slot.
 *
 * Each step may take long and runs on a pool thread, one after the other; afterwards everything is read-only but the slots, of which
 * each belongs to one running job at a time.
 */
#ifndef PT_SIDECAR_LOADED_H
#define PT_SIDECAR_LOADED_H

#include "base/err.h"
#include "sidecar/batch.h"
#include "sidecar/padding.h"
#include "sidecar/request.h"

#include <pintle/runtime.h>
#include <stdatomic.h>

struct pt_loaded_slot {
    struct pt_run *run;
    struct pt_batch batch;
    struct pt_tensor *parts;          /* one per output: a request's rows of it */
    const struct pt_tensor **outputs; /* one per output of the model: what a call encodes */
    const struct pt_tensor **whole;   /* the same of a whole batch */
};

struct pt_loaded {
    void *data; /* the file, mapped, or a copy of its bytes */
    size_t len;
    bool copied;
    uint8_t digest[32];
    struct pt_session *session;
    struct pt_model_info info;
    const struct pt_value_info **values; /* inputs, then outputs */
    struct pt_pad *pads;                 /* info's */
    struct pt_loaded_slot *slots;
    int slot_count;
    atomic_uint_fast64_t runs; /* executions so far: whoever looks twice knows whether the model is idle */
    atomic_bool ragged; /* an output did not have as many rows as the inputs: requests are not joined any more */
};

/* Maps the file; fd may be closed afterwards. copy: takes its bytes instead, so that whoever writes into the file in place changes nothing. */
int pt_loaded_map(struct pt_loaded *l, int fd, const char *path, bool copy, struct pt_err *err);
/* SHA-256 of the mapped bytes into l->digest; PT_ECANCELED soon after *stop is set. */
int pt_loaded_hash(struct pt_loaded *l, const atomic_bool *stop, struct pt_err *err);
struct pt_loaded_options {
    const char *name, *version; /* borrowed */
    struct pt_threads *threads; /* borrowed */
    int slots;
    int64_t max_batch;   /* rows of one run; more than 1: PT_EINVAL if the model's requests cannot be joined, */
    bool batch_optional; /* unless this is set: then they run alone */
    const char *padding; /* "ids=0, mask=0" (padding.h); NULL: none */
    const char *prepared, *prepared_name; /* as the runtime's options: where weights made ready are kept; NULL: nowhere */
};
/* Session and slots. */
int pt_loaded_open(struct pt_loaded *l, const struct pt_loaded_options *o, struct pt_err *err);
/* Runs the model once (warmup.h; shapes may be NULL). So the first requests find compiled programs and packed weights. The other slots get their
 * memory when they are first needed: most servers never have that many requests at once. */
int pt_loaded_warm(struct pt_loaded *l, const char *shapes, struct pt_err *err);
/* Gives memory back that is read again, out of files, by the next run. */
void pt_loaded_rest(struct pt_loaded *l);
void pt_loaded_close(struct pt_loaded *l); /* zeroed memory is fine */

#endif
