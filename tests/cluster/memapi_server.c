/* SPDX-License-Identifier: Apache-2.0
 *
 * memapi_server.c: memapi alone, without operator and node agent, as an API server on a unix socket and on a port: memapi-server SOCKET KUBECONFIG.
 * For `compare`, which asks it and a real one the same.
 */
#include "base/buf.h"
#include "net/loop.h"
#include "operator/local/apiserver.h"
#include "operator/memapi/memapi.h"
#include "operator/model/spec.h"
#include "operator/report/ca.h"

#include <signal.h>
#include <stdio.h>

static void on_signal(void *arg, int signum)
{
    (void)signum;
    pt_loop_stop(arg);
}

static int admit(void *arg, const struct pt_resource *res, cJSON *object, const cJSON *old, struct pt_err *err)
{
    (void)arg;
    (void)old;
    return res == &pt_res_modeldeployments ? pt_spec_admit(object, err) : PT_OK;
}

int main(int argc, char **argv)
{
    struct pt_loop *loop = NULL;
    struct pt_memapi *memapi = NULL;
    struct pt_apiserver *server = NULL;
    pt_auto_buf cert = PT_BUF_INIT(0), key = PT_BUF_INIT(0);
    struct pt_err err;
    if (argc != 3) {
        fprintf(stderr, "usage: memapi-server SOCKET KUBECONFIG\n");
        return 2;
    }
    int rc = pt_loop_create(&loop, &err);
    if (rc == PT_OK)
        rc = pt_memapi_create(&(struct pt_memapi_options){.sched = pt_loop_sched(loop), .seed = 1, .managed_fields = true, .admit = admit}, &memapi, &err);
    if (rc == PT_OK)
        rc = pt_ca_create("memapi", 1, &cert, &key, &err);
    if (rc == PT_OK)
        rc = pt_apiserver_create(&(struct pt_apiserver_options){.loop = loop, .memapi = memapi, .socket_path = argv[1], .ca_cert_pem = pt_buf_cstr(&cert),
                                                                .ca_key_pem = pt_buf_cstr(&key), .kubeconfig = argv[2]},
                                 &server, &err);
    if (rc == PT_OK)
        rc = pt_loop_on_signal(loop, SIGTERM, on_signal, loop, &err);
    if (rc == PT_OK)
        pt_loop_run(loop);
    else
        fprintf(stderr, "memapi-server: %s\n", err.msg);
    pt_apiserver_destroy(server);
    pt_memapi_destroy(memapi);
    if (loop)
        pt_loop_destroy(loop);
    return rc < 0;
}
