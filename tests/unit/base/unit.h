/* SPDX-License-Identifier: Apache-2.0
 *
 * unit.h: cmocka and what the tests of base/ and cli/ share.
 */
#ifndef PT_TESTS_UNIT_H
#define PT_TESTS_UNIT_H

#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* For calls that must fail: checks code and a part of the message. */
#define assert_fails(call, wanted_code, part) \
    do { \
        struct pt_err err = {0}; \
        int rc_ = (call); \
        assert_int_equal(rc_, wanted_code); \
        assert_int_equal(err.code, wanted_code); \
        if (!strstr(err.msg, part)) \
            fail_msg("\"%s\" does not say \"%s\"", err.msg, (part)); \
    } while (0)
/* For calls that take &err and must not fail. */
#define assert_works(call) \
    do { \
        struct pt_err err = {0}; \
        if ((call) < 0) \
            fail_msg("%s: %s", #call, err.msg); \
    } while (0)

/* Runs body, which sets rc and must leave nothing behind, with allocation 1, 2, ... failing, until none fails any more. */
#define with_failing_memory(body) \
    do { \
        int64_t n_ = 0; \
        for (int all_ = 0; all_ < 2; all_++) { \
            int rc = PT_ENOMEM; \
            for (n_ = 1; rc != PT_OK; n_++) { \
                assert_true(n_ < 100000); \
                pt_mem_fail_at(n_, all_); \
                body; \
                pt_mem_fail_at(0, 0); \
                if (rc != PT_OK) \
                    assert_int_equal(rc, PT_ENOMEM); \
            } \
        } \
        assert_true(n_ > 2); /* at least one allocation did fail */ \
    } while (0)

/* A file or folder name below a fresh temporary directory, which is removed with everything in it by temp_remove(). */
const char *temp_dir(void);
char *temp_path(const char *name); /* static buffers, in turn */
void temp_remove(void);
void temp_write(const char *name, const void *data, size_t len);

#endif
