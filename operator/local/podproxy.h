/* SPDX-License-Identifier: Apache-2.0
 *
 * podproxy.h: GET .../pods/NAME:PORT/proxy/PATH, as an API server answers it: what the pod itself answers at that port and path. It is how a client
 * with nothing but the API's address reads the metrics of a pod.
 */
#ifndef PT_LOCAL_PODPROXY_H
#define PT_LOCAL_PODPROXY_H

#include "net/http_client.h"
#include "net/http_server.h"
#include "operator/local/agent.h"

/* false: the path is another one. Else the request is answered, now or later. */
bool pt_podproxy_handle(struct pt_agent *agent, struct pt_http_client *http, struct pt_http_request *req);

#endif
