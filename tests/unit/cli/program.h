/* SPDX-License-Identifier: Apache-2.0
 *
 * program.h: the program `pintle` as tests run it.
 */
#ifndef PT_TESTS_PROGRAM_H
#define PT_TESTS_PROGRAM_H

#include "base/buf.h"
#include "tests/unit/base/unit.h"

#include <sys/types.h>

extern struct pt_buf out, errors;
/* Runs pintle with these arguments (split at blanks, "@" stands for the temporary directory); its output in `out` and `errors`. The exit status. */
int pintle(const char *line);
/* The same in two: a process that runs, its errors going to `fd` (-1: to `errors` in the end), and its end; 128 + the signal that killed it. */
pid_t pintle_start(const char *line, int fd);
int pintle_end(pid_t pid);
/* Exits with this status, one line of error that has `part`, and no output. */
void fails(const char *line, int status, const char *part);

#endif
