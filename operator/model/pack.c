/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.c: see pack.h.
 */
#include "operator/model/pack.h"
#include "base/mem.h"

#include <string.h>

void pt_pack_put(struct pt_packer *p, const char **where, const char *text)
{
    if (!text || !*text) {
        *where = "";
        return;
    }
    p->item[p->count].text = text;
    p->item[p->count++].where = where;
    p->bytes += strlen(text) + 1;
}

void *pt_pack(struct pt_packer *p, void *draft, size_t size)
{
    char *memory = pt_malloc(size + p->bytes), *at = memory ? memory + size : NULL;
    if (!memory)
        return NULL;
    for (size_t i = 0; i < p->count; i++) {
        size_t n = strlen(p->item[i].text) + 1;
        memcpy(at, p->item[i].text, n);
        *p->item[i].where = at;
        at += n;
    }
    memcpy(memory, draft, size);
    return memory;
}
