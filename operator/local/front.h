/* SPDX-License-Identifier: Apache-2.0
 *
 * front.h: the API for kubectl and other clients that want an address: HTTPS on the loopback interface, a certificate of the CA of this run, a
 * bearer token that is made anew at each start, and a kubeconfig (mode 0600) with all of them.
 */
#ifndef PT_LOCAL_FRONT_H
#define PT_LOCAL_FRONT_H

#include "net/http_server.h"

struct pt_front;
struct pt_front_options {
    struct pt_loop *loop;
    int port; /* 0: any free one */
    const char *ca_cert_pem, *ca_key_pem;
    const char *kubeconfig;     /* the file; it is replaced, and removed by pt_front_destroy() */
    pt_http_handler_fn handler; /* gets every request: ask pt_front_admits() first */
    void *arg;
};
int pt_front_create(const struct pt_front_options *o, struct pt_front **out, struct pt_err *err);
void pt_front_destroy(struct pt_front *f);
/* Does the request carry the token? True also for requests of other servers than the front's. */
bool pt_front_admits(const struct pt_front *f, const struct pt_http_request *req);
int pt_front_port(const struct pt_front *f);

#endif
