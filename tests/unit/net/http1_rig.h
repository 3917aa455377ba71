/* SPDX-License-Identifier: Apache-2.0
 *
 * http1_rig.h: what the tests of the server over HTTP/1.1 share: the rig, one request and its answer.
 */
#ifndef PT_TESTS_NET_HTTP1_RIG_H
#define PT_TESTS_NET_HTTP1_RIG_H

#include "base/mem.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define assert_body(body, text) assert_string_equal(pt_buf_cstr(&(body)), text)

static struct rig rig;

static inline int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static inline int64_t now_ms(void)
{
    return pt_clock_mono_ns() / 1000000;
}

/* Sends, reads one response, checks its status; body in `body`. */
static struct pt_buf head, body;
static inline int ask(int fd, const char *request)
{
    pt_buf_reset(&head);
    pt_buf_reset(&body);
    send_all(fd, request);
    return read_response(fd, &head, &body);
}

static inline bool head_has(const char *text)
{
    return strcasestr(pt_buf_cstr(&head), text) != NULL;
}

static inline int finish(void **state)
{
    (void)state;
    pt_buf_finish(&head);
    pt_buf_finish(&body);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
