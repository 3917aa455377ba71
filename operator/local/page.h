/* SPDX-License-Identifier: Apache-2.0
 *
 * page.h: the status page of `pintle up`: ModelDeployments with conditions, revisions, pods, events and what their Services' ports are asked for. One
 * page of plain HTML, drawn by the server and asked for again by the browser every two seconds: no script, nothing from elsewhere. Only on the
 * loopback interface, only to read.
 */
#ifndef PT_LOCAL_PAGE_H
#define PT_LOCAL_PAGE_H

#include "operator/local/proxy.h"

struct pt_page;
/* port 0: any free one. */
int pt_page_create(struct pt_loop *loop, int port, struct pt_memapi *memapi, struct pt_proxy *proxy, struct pt_page **out, struct pt_err *err);
void pt_page_destroy(struct pt_page *p);
int pt_page_port(const struct pt_page *p);

#endif
