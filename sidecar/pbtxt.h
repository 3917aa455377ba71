/* SPDX-License-Identifier: Apache-2.0
 *
 * pbtxt.h: protobuf's text format, as much of it as configuration files use: a pull reader over a complete text. No schema: names and values are
 * handed to the caller, messages are entered, lists are seen as repeated fields. `#` comments, `,` and `;` separators, both quotes with escapes,
 * adjacent strings joined. Nesting is bounded by the caller's recursion: a message is entered by calling pt_pbtxt_field() inside it.
 */
#ifndef PT_SIDECAR_PBTXT_H
#define PT_SIDECAR_PBTXT_H

#include "base/buf.h"

struct pt_pbtxt {
    const char *p, *end;
    int line, depth;
    bool listed;        /* the current field's value is one of a list [a, b] */
    struct pt_str name; /* of the current field */
};
void pt_pbtxt_init(struct pt_pbtxt *t, struct pt_str text);
/* 1: t->name has a value next; 0: the message (or the text) is over and left; PT_EPARSE names the line. */
int pt_pbtxt_field(struct pt_pbtxt *t, struct pt_err *err);
bool pt_pbtxt_is(const struct pt_pbtxt *t, const char *name);
/* The value of the current field; a wrong kind is PT_EPARSE with line and name. */
int pt_pbtxt_message(struct pt_pbtxt *t, struct pt_err *err); /* enters */
int pt_pbtxt_string(struct pt_pbtxt *t, struct pt_buf *out, struct pt_err *err);
int pt_pbtxt_int(struct pt_pbtxt *t, int64_t min, int64_t max, int64_t *out, struct pt_err *err);
int pt_pbtxt_word(struct pt_pbtxt *t, struct pt_str *out, struct pt_err *err); /* an enum value, true, a number */
int pt_pbtxt_skip(struct pt_pbtxt *t, struct pt_err *err);                     /* any value */

#endif
