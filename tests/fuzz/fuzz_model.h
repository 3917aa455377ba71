/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_model.h: inputs for a model that nobody knows: zeros, with little memory.
 */
#ifndef PT_TESTS_FUZZ_MODEL_H
#define PT_TESTS_FUZZ_MODEL_H

#include "base/err.h"
#include "pintle/runtime.h"

#include <stdlib.h>

#define FUZZ_MEMORY (256u << 10)
#define FUZZ_MAX_VALUES 16
#define FUZZ_TIME_MS 200

/* A tensor of zeros that the input takes; free dims are 1 to 1 + most by the given bytes, in turn. False when there is no small one. */
static inline bool fuzz_input(const struct pt_value_info *vi, size_t i, const uint8_t choices[8], int most, struct pt_tensor *t)
{
    *t = (struct pt_tensor){.dtype = vi->dtype, .rank = vi->rank < 0 ? 1 : vi->rank};
    for (int k = 0; k < t->rank; k++)
        t->dims[k] = vi->rank < 0 || vi->dims[k] < 0 ? 1 + choices[(i + (size_t)k) % 8] % (most + 1) : vi->dims[k];
    int64_t n = pt_tensor_count(t);
    unsigned bits = pt_dtype_bits(t->dtype);
    if (n < 0 || n > FUZZ_MEMORY || bits == 0)
        return false;
    t->size_bytes = ((size_t)n * bits + 7) / 8;
    t->data = calloc(1, t->size_bytes + 1);
    return t->data != NULL;
}

/* A sequence of two such tensors, an optional with one. */
struct fuzz_holder {
    struct pt_tensor item[2];
    struct pt_sequence sequence;
    struct pt_optional optional;
};

static inline bool fuzz_value(const struct pt_value_info *vi, size_t i, const uint8_t choices[8], int most, struct fuzz_holder *h,
                              struct pt_tensor *t)
{
    if (vi->dtype != PT_SEQUENCE && vi->dtype != PT_OPTIONAL)
        return fuzz_input(vi, i, choices, most, t);
    if (!vi->elem || !fuzz_input(vi->elem, i, choices, most, &h->item[0]))
        return false;
    h->item[1] = h->item[0];
    h->sequence = (struct pt_sequence){.count = 2, .items = h->item, .elem = h->item[0].dtype};
    h->optional = (struct pt_optional){.value = h->item};
    bool sequence = vi->dtype == PT_SEQUENCE;
    *t = (struct pt_tensor){.dtype = vi->dtype,
                            .data = sequence ? (void *)&h->sequence : (void *)&h->optional,
                            .size_bytes = sequence ? sizeof h->sequence : sizeof h->optional};
    return true;
}

/* The session, run once on such inputs. *out is NULL after a failure; PT_EUNSUPPORTED, without a message: there are no such inputs. */
static inline int fuzz_run(struct pt_session *s, const uint8_t choices[8], int most, struct pt_run_options options, struct pt_run **out,
                           struct pt_err *err)
{
    struct pt_tensor in[FUZZ_MAX_VALUES] = {0};
    struct fuzz_holder held[FUZZ_MAX_VALUES] = {0};
    size_t n = pt_session_input_count(s);
    options.size = sizeof options;
    options.deadline_ms = options.deadline_ms ? options.deadline_ms : FUZZ_TIME_MS;
    *out = NULL;
    int rc = n > FUZZ_MAX_VALUES ? PT_EUNSUPPORTED : pt_run_create(s, out, err);
    for (size_t i = 0; rc == PT_OK && i < n; i++)
        rc = fuzz_value(pt_session_input(s, i), i, choices, most, &held[i], &in[i]) ? pt_run_set_input(*out, i, &in[i], err) : PT_EUNSUPPORTED;
    if (rc == PT_OK)
        rc = pt_run_execute_with(*out, &options, err);
    for (size_t i = 0; i < FUZZ_MAX_VALUES; i++)
        free(held[i].item[0].data ? held[i].item[0].data : in[i].data);
    if (rc < 0) {
        pt_run_destroy(*out);
        *out = NULL;
    }
    return rc;
}

#endif
