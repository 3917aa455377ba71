/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h: structured logs: one line per record on stderr, text for people (a terminal) or JSON for collectors.
 *
 *     pt_log(PT_LOG_INFO, "model ready", "model", name, "load_ms", pt_log_int(buf, ms), NULL);
 *
 * Thread-safe: a record is one write(2). Never put a secret in a value.
 */
#ifndef PT_BASE_LOG_H
#define PT_BASE_LOG_H

#include <stdint.h>

enum pt_log_level { PT_LOG_DEBUG, PT_LOG_INFO, PT_LOG_WARN, PT_LOG_ERROR, PT_LOG_OFF };
enum pt_log_format { PT_LOG_AUTO, PT_LOG_TEXT, PT_LOG_JSON }; /* auto: text on a terminal, JSON otherwise */

void pt_log_setup(const char *program, enum pt_log_level level, enum pt_log_format format);
/* "debug", "info", "warn", "error", "off" -> level, or -1. */
int pt_log_level_parse(const char *s);
enum pt_log_level pt_log_level_get(void);
void pt_log_level_set(enum pt_log_level level);
/* msg, then key, value pairs (const char *), then NULL. A NULL value is written as null. */
void pt_log(enum pt_log_level level, const char *msg, ...) __attribute__((sentinel));
/* For values that are numbers: formats into the caller's buffer and returns it. */
const char *pt_log_int(char buf[24], int64_t v);

#endif
