/* SPDX-License-Identifier: Apache-2.0
 *
 * model_list.c: see model_list.h.
 */
#include "sidecar/model_list.h"

#include "base/mem.h"

static void finish_entry(struct pt_model_entry *e)
{
    pt_free(e->name);
    pt_free(e->base_path);
}

struct pt_model_entry *pt_model_list_find(const struct pt_model_list *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->entries[i].name, name))
            return &l->entries[i];
    return NULL;
}

struct pt_model_entry *pt_model_list_add(struct pt_model_list *l, struct pt_str name, struct pt_str base_path, struct pt_err *err)
{
    struct pt_model_entry e = {.name = pt_strndup(name.p ? name.p : "", name.len),
                               .base_path = base_path.len ? pt_strndup(base_path.p, base_path.len) : NULL},
                          *more = NULL;
    if (e.name && (e.base_path || !base_path.len))
        more = pt_reallocarray(l->entries, l->count + 1, sizeof *more);
    if (!more) {
        finish_entry(&e);
        pt_fail(err, PT_ENOMEM, "list of models: out of memory");
        return NULL;
    }
    pt_model_config_init(&e.config);
    l->entries = more;
    more[l->count] = e;
    return &more[l->count++];
}

void pt_model_list_remove(struct pt_model_list *l, const char *name)
{
    struct pt_model_entry *e = pt_model_list_find(l, name);
    if (!e)
        return;
    finish_entry(e);
    *e = l->entries[--l->count];
}

int pt_model_list_merge(struct pt_model_list *l, const struct pt_model_list *from, struct pt_err *err)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct pt_model_entry *e = &from->entries[i];
        if (pt_model_list_find(l, e->name))
            continue;
        struct pt_model_entry *added = pt_model_list_add(l, pt_str(e->name), pt_str(e->base_path), err);
        if (!added)
            return PT_ENOMEM;
        added->config = e->config;
    }
    return PT_OK;
}

void pt_model_list_finish(struct pt_model_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        finish_entry(&l->entries[i]);
    pt_free(l->entries);
    *l = (struct pt_model_list){0};
}
