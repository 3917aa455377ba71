/* SPDX-License-Identifier: Apache-2.0
 *
 * known.h: tokens that were reviewed, each with the pod it belongs to, until then and then. Of both only half of their SHA-256 is kept: ten thousands
 * of pods have one each. It has a bound; past it all are forgotten, which costs one review per pod. One thread.
 */
#ifndef PT_REPORT_KNOWN_H
#define PT_REPORT_KNOWN_H

#include "base/str.h"

enum { PT_KNOWN_BYTES = 16 };
struct pt_known_id {
    uint8_t bytes[PT_KNOWN_BYTES];
};
/* false: out of memory. */
bool pt_known_id(struct pt_str text, struct pt_known_id *out);

struct pt_known_slot {
    struct pt_known_id token, pod;
    int64_t until_ms; /* 0: free */
};
struct pt_known {
    struct pt_known_slot *slots;
    size_t count, size, most; /* most: the bound */
};
/* The pod, or NULL; valid until the next call. */
const struct pt_known_id *pt_known_get(const struct pt_known *k, const struct pt_known_id *token, int64_t now_ms);
/* Without memory it is not remembered. */
void pt_known_put(struct pt_known *k, const struct pt_known_id *token, const struct pt_known_id *pod, int64_t until_ms, int64_t now_ms);
void pt_known_finish(struct pt_known *k);

#endif
