/* SPDX-License-Identifier: Apache-2.0
 *
 * unicode.h: code points of UTF-8, and the mapping between upper and lower case (Unicode's simple one: one code point to one), the same on every
 * machine whatever its locale. The table, unicode_case.inc, is written by scripts/unicode-case.
 */
#ifndef PT_RUNTIME_OPS_UNICODE_H
#define PT_RUNTIME_OPS_UNICODE_H

#include "runtime/ops/types.h"

#define PT_UNICODE_BAD 0xffffffffu /* a byte that begins no valid sequence */

/* The code point at the front of p (len > 0) and the bytes it takes; PT_UNICODE_BAD and 1 for a bad byte. */
uint32_t pt_utf8_next(const char *p, size_t len, size_t *used);
size_t pt_utf8_put(uint32_t code, char out[4]); /* bytes written; code is valid */

uint32_t pt_unicode_lower(uint32_t code);
uint32_t pt_unicode_upper(uint32_t code);
bool pt_unicode_is_space(uint32_t code); /* property White_Space */

#endif
