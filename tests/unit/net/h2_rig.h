/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_rig.h: nghttp2's client side, blocking, for tests of HTTP/2 and gRPC: one server, one connection.
 */
#ifndef PT_TESTS_NET_H2_RIG_H
#define PT_TESTS_NET_H2_RIG_H

#include "rig.h"

#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_STREAMS = 1100 };
extern struct rig rig;
extern const struct pt_str none;

struct answer {
    int32_t id;
    int status, grpc_status; /* -1: none */
    char grpc_message[256], encoding[16];
    struct pt_buf body;
    const char *sent; /* of the request's body, still to go */
    size_t sent_len;
    bool closed;
    uint32_t error;
};
extern struct client {
    int fd;
    nghttp2_session *session;
    struct answer answers[MAX_STREAMS];
    int count;
    bool goaway;
    bool hold; /* do not give windows back */
} client;

/* Of a request whose source is its answer. */
ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t room, uint32_t *flags, nghttp2_data_source *source, void *arg);

void connect_client(void);
void disconnect(void);
/* extra: name, value, ..., NULL. body must stay until it is sent. */
struct answer *ask_with(const char *method, const char *path, struct pt_str body, const char *const *extra);
struct answer *ask(const char *method, const char *path, struct pt_str body);
bool turn(void); /* sends and receives once; false when the server has closed */
void finish(struct answer *a);
int setup(void **state);
int teardown(void **state);

#define NV(n, v)                                                                                                                                     \
    {                                                                                                                                                \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0                                                                \
    }
#define assert_body(a, text) assert_string_equal(pt_buf_cstr(&(a)->body), text)
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
