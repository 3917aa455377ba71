/* SPDX-License-Identifier: Apache-2.0
 *
 * share.c: trees that share what they have in common, for a store of objects that change a little at a time.
 *
 *     next = pt_obj_share(was);                      two trees, one set of nodes; was stays as it is
 *     pt_obj_merge(next, patch, err);                only what is on the way to a change is copied, a level at a time (pt_obj_own)
 *     pt_obj_store(next, text_of_was, &text, err);   what is shared is not printed again: its text is taken from that of was
 *     pt_obj_take_over(next); pt_obj_free(was);      next is whole, as if it had been printed from the start
 *
 * For that a node that was printed by pt_obj_store() knows where: `at` bytes behind the beginning of what it is in, `len` bytes long. That holds
 * wherever the value around it stands, so nothing moves when only a sibling changes. cJSON has no room for such things, but values other than numbers
 * leave their number alone: valueint is at, and valuedouble is len. In a node that shares (cJSON_IsReference) they are the place in the text of was,
 * and the node that it shares with.
 */
#include "operator/ctrl/obj.h"

#include <limits.h>

_Static_assert(sizeof(double) == sizeof(size_t) && sizeof(cJSON *) == sizeof(size_t), "a number has room for a length, or for a pointer");

static size_t len_of(const cJSON *o)
{
    size_t len;
    memcpy(&len, &o->valuedouble, sizeof len);
    return len;
}

static void set_len(cJSON *o, size_t len)
{
    memcpy(&o->valuedouble, &len, sizeof len);
}

static cJSON *origin_of(const cJSON *o)
{
    cJSON *origin;
    memcpy(&origin, &o->valuedouble, sizeof origin);
    return origin;
}

static bool shares(const cJSON *o)
{
    return o->type & cJSON_IsReference;
}

/* o as an element of something else, whose text begins at `start`; what it holds is shared. NULL: out of memory. */
static cJSON *share_node(const cJSON *o, int start)
{
    cJSON *n = cJSON_malloc(sizeof *n);
    if (!n)
        return NULL;
    *n = (cJSON){.type = o->type,
                 .valueint = o->valueint,
                 .valuedouble = o->valuedouble,
                 .child = o->child,
                 .valuestring = o->valuestring,
                 .string = o->string};
    if (o->child || o->valuestring) {
        n->type |= cJSON_IsReference;
        n->valueint = start + o->valueint;
        memcpy(&n->valuedouble, &o, sizeof o);
    }
    if (o->string && !(o->type & cJSON_StringIsConst)) {
        size_t size = strlen(o->string) + 1;
        n->string = cJSON_malloc(size);
        if (!n->string) {
            pt_obj_free(n);
            return NULL;
        }
        memcpy(n->string, o->string, size);
    }
    return n;
}

/* Gives o nodes of its own for the elements that it shares; what is in them stays shared. */
static bool own_elements(cJSON *o, const cJSON *elements, int start)
{
    cJSON *first = NULL, *last = NULL;
    for (const cJSON *c = elements; c; c = c->next) {
        cJSON *n = share_node(c, start);
        if (!n) {
            pt_obj_free(first);
            return false;
        }
        n->prev = last;
        if (last)
            last->next = n;
        else
            first = n;
        last = n;
    }
    if (first)
        first->prev = last;
    o->child = first;
    o->type &= ~cJSON_IsReference;
    o->valueint = 0;
    set_len(o, 0);
    return true;
}

static bool own_text(cJSON *o)
{
    cJSON *copy = cJSON_CreateString(o->valuestring);
    if (!copy)
        return false;
    o->valuestring = copy->valuestring;
    o->type &= ~cJSON_IsReference;
    copy->valuestring = NULL;
    pt_obj_free(copy);
    return true;
}

bool pt_obj_own(cJSON *o)
{
    return !shares(o) || (cJSON_IsString(o) ? own_text(o) : own_elements(o, o->child, o->valueint));
}

cJSON *pt_obj_share(const cJSON *o)
{
    cJSON *copy = cJSON_CreateObject();
    if (copy && own_elements(copy, o->child, 0))
        return copy;
    pt_obj_free(copy);
    return NULL;
}

/* parent: where the text of what o is in begins. */
static void store(cJSON *o, size_t parent, struct pt_str was, struct pt_buf *out)
{
    size_t start = out->len;
    bool object = cJSON_IsObject(o);
    if (shares(o)) {
        pt_buf_append(out, was.p + o->valueint, len_of(origin_of(o)));
        o->valueint = (int)(start - parent);
        return;
    }
    if (!object && !cJSON_IsArray(o)) {
        (void)pt_obj_print(o, out, NULL);
    } else {
        pt_buf_putc(out, object ? '{' : '[');
        for (cJSON *c = o->child; c; c = c->next) {
            if (object)
                pt_obj_print_name(c, out);
            store(c, start, was, out);
            if (c->next)
                pt_buf_putc(out, ',');
        }
        pt_buf_putc(out, object ? '}' : ']');
    }
    if (!cJSON_IsNumber(o)) {
        o->valueint = (int)(start - parent);
        set_len(o, out->len - start);
    }
}

int pt_obj_store(cJSON *o, struct pt_str was, struct pt_buf *out, struct pt_err *err)
{
    size_t start = out->len;
    store(o, start, was, out);
    if (!out->failed && out->len - start > INT_MAX)
        return pt_fail(err, PT_ELIMIT, "store object: %zu bytes of text", out->len - start);
    return pt_buf_check(out, "store object", err);
}

void pt_obj_take_over(cJSON *o)
{
    for (cJSON *c = o->child; c; c = c->next) {
        if (shares(c)) {
            cJSON *origin = origin_of(c);
            c->type &= ~cJSON_IsReference;
            set_len(c, len_of(origin));
            origin->child = NULL;
            origin->valuestring = NULL;
        } else {
            pt_obj_take_over(c);
        }
    }
}
