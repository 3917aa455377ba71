/* SPDX-License-Identifier: Apache-2.0
 *
 * health.c: grpc.health.v1.Health. "" is the whole server, as are the names of its inference services; any other name is a model's.
 */
#include "base/mem.h"
#include "sidecar/grpc_front.h"

enum status { UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN };

static const char *const services[] = {"", "inference.GRPCInferenceService", "tensorflow.serving.PredictionService",
                                       "tensorflow.serving.ModelService", "grpc.health.v1.Health"};

static enum status status_of(struct pt_frontend *f, struct pt_str service)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (pt_str_eq(service, pt_str(services[i])))
            return pt_frontend_ready(f) ? SERVING : NOT_SERVING;
    struct pt_model_ref ref = {.name = service};
    struct pt_model_view v;
    if (pt_frontend_find(f, &ref, &v, NULL) < 0)
        return SERVICE_UNKNOWN;
    return v.state == PT_MODEL_READY ? SERVING : NOT_SERVING;
}

static void put_status(struct pt_buf *b, enum status s)
{
    pt_grpc_begin_message(b);
    pt_pb_put_varint(b, 1, s);
}

static void check(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct pt_str service = pt_pb_find_str(m, 1);
    enum status s = status_of(arg, service);
    struct pt_err err;
    if (s == SERVICE_UNKNOWN) {
        pt_fail(&err, PT_ENOTFOUND, "no service or model \"" PT_STR_FMT "\"", (int)(service.len < 64 ? service.len : 64), service.p);
        pt_grpc_fail(c, &err, 0);
        return;
    }
    put_status(&b, s);
    pt_grpc_reply(c, &b);
}

/* --- Watch: the status now, and each other one from then on ------------------------------------------------------------------------- */

struct watch {
    struct pt_frontend_watch on; /* first member */
    struct pt_frontend *frontend;
    struct pt_grpc_call *grpc;
    enum status last;
    size_t len;
    char service[];
};

static void tell(struct watch *w)
{
    struct pt_buf b = {0};
    enum status now = status_of(w->frontend, (struct pt_str){w->service, w->len});
    if (now == w->last)
        return;
    w->last = now;
    put_status(&b, now);
    pt_grpc_send(w->grpc, &b);
}

static void changed(struct pt_frontend_watch *on)
{
    tell((struct watch *)on);
}

static void gone(void *arg)
{
    struct watch *w = arg;
    pt_frontend_unwatch(&w->on);
    pt_free(w);
}

static void watch(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    struct pt_str service = pt_pb_find_str(m, 1);
    if (pt_grpc_data(c)) {
        gone(pt_grpc_data(c));
        pt_grpc_finish(c, pt_err_grpc(PT_EINVAL), "Watch takes one request");
        return;
    }
    struct watch *w = pt_calloc(1, sizeof *w + service.len);
    if (!w) {
        pt_grpc_finish(c, pt_err_grpc(PT_ENOMEM), "out of memory");
        return;
    }
    w->on.changed = changed;
    w->frontend = arg;
    w->grpc = c;
    w->len = service.len;
    memcpy(w->service, service.p, service.len);
    pt_grpc_set_data(c, w);
    pt_grpc_on_cancel(c, gone, w);
    pt_frontend_watch(arg, &w->on);
    tell(w);
}

/* The client's side has ended with its one request; without one there is nothing to watch. */
static void watch_end(void *arg, struct pt_grpc_call *c)
{
    (void)arg;
    if (!pt_grpc_data(c))
        pt_grpc_finish(c, pt_err_grpc(PT_EINVAL), "Watch takes one request");
}

const struct pt_grpc_method pt_health_grpc_methods[] = {
    {"/grpc.health.v1.Health/Check", false, check, NULL},
    {"/grpc.health.v1.Health/Watch", true, watch, watch_end},
};
const size_t pt_health_grpc_method_count = sizeof pt_health_grpc_methods / sizeof pt_health_grpc_methods[0];
