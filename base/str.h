/* SPDX-License-Identifier: Apache-2.0
 *
 * str.h: slices (pointer + length, not terminated) and the strict parsers that flags, headers and manifests share.
 */
#ifndef PT_BASE_STR_H
#define PT_BASE_STR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pt_str {
    const char *p;
    size_t len;
};
#define PT_STR(literal) ((struct pt_str){("" literal), sizeof(literal) - 1})
#define PT_STR_FMT "%.*s"
#define PT_STR_ARG(s) (int)((s).len), ((s).p ? (s).p : "")

static inline struct pt_str pt_str(const char *s) { return (struct pt_str){s, s ? strlen(s) : 0}; }
bool pt_str_eq(struct pt_str a, struct pt_str b);
bool pt_str_eq_nocase(struct pt_str a, struct pt_str b);
bool pt_str_starts(struct pt_str s, struct pt_str prefix);
struct pt_str pt_str_trim(struct pt_str s); /* ASCII blanks */
/* Cuts the part before `sep` off the front of *rest; false when *rest is exhausted (p == NULL). */
bool pt_str_split(struct pt_str *rest, char sep, struct pt_str *part);

/* Whole string or PT_EPARSE; `what` names the value in the message ("--port"). */
int pt_parse_i64(struct pt_str s, int64_t min, int64_t max, const char *what, int64_t *out, struct pt_err *err);
/* Go-style duration: "500ms", "1m30s", "2h", "0"; result in milliseconds (fractions of one are refused). */
int pt_parse_duration_ms(struct pt_str s, const char *what, int64_t *out_ms, struct pt_err *err);
/* "sha256:" + 64 lower-case hex digits -> 32 bytes. */
int pt_parse_digest(struct pt_str s, const char *what, uint8_t out[32], struct pt_err *err);
void pt_format_digest(const uint8_t digest[32], char out[72]); /* "sha256:..." terminated */
/* RFC 3339 UTC, seconds resolution, as Kubernetes writes metav1.Time: "2026-01-31T12:00:00Z". */
void pt_format_time(int64_t wall_ms, char out[24]);
int pt_parse_time(struct pt_str s, int64_t *out_wall_ms, struct pt_err *err); /* accepts fractions and offsets */
void pt_format_age(int64_t seconds, char *out, size_t size); /* "5d3h", "3m12s", "45s": kubectl's short form */
/* DNS-1123 subdomain/label check, as Kubernetes names need. */
bool pt_is_dns_label(struct pt_str s);
bool pt_is_dns_subdomain(struct pt_str s);
bool pt_utf8_valid(struct pt_str s);
size_t pt_utf8_sequence(struct pt_str s); /* bytes of the code point at the front; 0 when it is not valid or s is empty */
/* Standard base64 (RFC 4648, padding required, no blanks). Decode needs len/4*3 bytes at most; *out_len <- bytes. */
void pt_base64_encode(const void *p, size_t len, char *out); /* (len + 2) / 3 * 4 bytes and a zero */
int pt_base64_decode(struct pt_str s, uint8_t *out, size_t cap, size_t *out_len, struct pt_err *err);

/* FNV-1a, for hash tables (64) and revision names (32). */
uint64_t pt_hash64(const void *p, size_t len, uint64_t seed);
/* Eight bytes at a time, for long texts: never stored, it may become another one. */
uint64_t pt_hash_words(const void *p, size_t len);
uint32_t pt_fnv32a(const void *p, size_t len, uint32_t seed); /* seed 2166136261 to start, or the last result to go on */

#endif
