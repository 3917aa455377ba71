/* SPDX-License-Identifier: Apache-2.0
 *
 * known.c: linear probing over a power-of-two table at most half full. Nothing is removed alone: what has expired goes when the table is made anew.
 */
#include "operator/report/known.h"

#include "base/mem.h"
#include "net/tls.h"

#include <string.h>

bool pt_known_id(struct pt_str text, struct pt_known_id *out)
{
    uint8_t hash[32];
    struct pt_sha256 *sha = pt_sha256_create();
    if (!sha)
        return false;
    pt_sha256_update(sha, text.p, text.len);
    pt_sha256_finish(sha, hash);
    memcpy(out->bytes, hash, sizeof out->bytes);
    return true;
}

/* Where the token is, or belongs. size > 0. */
static struct pt_known_slot *find(const struct pt_known *k, const struct pt_known_id *token)
{
    uint64_t h;
    memcpy(&h, token->bytes, sizeof h);
    for (size_t i = h & (k->size - 1);; i = (i + 1) & (k->size - 1)) {
        struct pt_known_slot *s = &k->slots[i];
        if (!s->until_ms || !memcmp(&s->token, token, sizeof *token))
            return s;
    }
}

const struct pt_known_id *pt_known_get(const struct pt_known *k, const struct pt_known_id *token, int64_t now_ms)
{
    const struct pt_known_slot *s = k->size ? find(k, token) : NULL;
    return s && s->until_ms > now_ms ? &s->pod : NULL;
}

/* A table with room for one more. */
static bool grow(struct pt_known *k, int64_t now_ms)
{
    struct pt_known next = {.size = 64, .most = k->most};
    size_t valid = 0;
    for (size_t i = 0; i < k->size; i++)
        valid += k->slots[i].until_ms > now_ms;
    while (next.size < 2 * (valid + 1) + valid / 2) /* some room, or it would be made anew at once */
        next.size *= 2;
    next.slots = pt_calloc(next.size, sizeof *next.slots);
    if (!next.slots)
        return false;
    for (size_t i = 0; i < k->size; i++)
        if (k->slots[i].until_ms > now_ms) {
            *find(&next, &k->slots[i].token) = k->slots[i];
            next.count++;
        }
    pt_free(k->slots);
    *k = next;
    return true;
}

void pt_known_put(struct pt_known *k, const struct pt_known_id *token, const struct pt_known_id *pod, int64_t until_ms, int64_t now_ms)
{
    if (k->count >= k->most)
        pt_known_finish(k);
    struct pt_known_slot *s = k->size ? find(k, token) : NULL;
    if (!s || !s->until_ms) {
        if ((k->count + 1) * 2 > k->size && !grow(k, now_ms))
            return;
        s = find(k, token);
        k->count++;
    }
    *s = (struct pt_known_slot){*token, *pod, until_ms};
}

void pt_known_finish(struct pt_known *k)
{
    pt_free(k->slots);
    *k = (struct pt_known){.most = k->most};
}
