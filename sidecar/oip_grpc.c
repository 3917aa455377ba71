/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_grpc.c: inference.GRPCInferenceService, the Open Inference Protocol over gRPC with Triton's extensions: one table row per method.
 * ModelStreamInfer is in oip_stream.c.
 */
#include "sidecar/grpc_front.h"
#include "sidecar/oip.h"
#include "sidecar/oip_pb.h"
#include "sidecar/oip_stream.h"
#include "sidecar/settings.h"

#include <stdio.h>

static void put_bool(struct pt_buf *b, uint32_t number, bool v)
{
    if (v)
        pt_pb_put_varint(b, number, 1);
}

/* --- inference ------------------------------------------------------------------------------------------------------------------ */

static int decode(struct pt_grpc_infer *i, struct pt_str message, struct pt_err *err)
{
    return pt_oip_pb_decode(&i->call.request, message, &i->raw, err);
}

static int encode(struct pt_grpc_infer *i, const struct pt_tensor *const *outputs, struct pt_err *err)
{
    return pt_oip_pb_encode(&i->call.request, outputs, i->raw, false, &i->reply, err);
}

static const struct pt_grpc_protocol oip = {decode, encode};

static void model_infer(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    struct pt_model_ref ref = {0};
    struct pt_str id;
    struct pt_err err;
    if (pt_oip_pb_peek((struct pt_str){m->data, m->len}, &ref.name, &ref.version, &id, &err) < 0)
        pt_grpc_fail(c, &err, 0);
    else
        pt_grpc_infer(arg, c, m, &ref, &oip, 0);
}

/* --- server and models --------------------------------------------------------------------------------------------------------------- */

static void server_live(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    (void)arg;
    (void)m;
    pt_grpc_begin_message(&b);
    put_bool(&b, 1, true);
    pt_grpc_reply(c, &b);
}

static void server_ready(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    (void)m;
    pt_grpc_begin_message(&b);
    put_bool(&b, 1, pt_frontend_ready(arg));
    pt_grpc_reply(c, &b);
}

/* A model that is not here is not ready, as Triton answers. */
static void model_ready(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct pt_model_ref ref = pt_grpc_ref(m);
    struct pt_model_view v;
    pt_grpc_begin_message(&b);
    put_bool(&b, 1, pt_frontend_find(arg, &ref, &v, NULL) == PT_OK && v.state == PT_MODEL_READY);
    pt_grpc_reply(c, &b);
}

static void server_metadata(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    (void)arg;
    (void)m;
    pt_grpc_begin_message(&b);
    pt_pb_put_str(&b, 1, PT_STR("pintle"));
    pt_pb_put_str(&b, 2, PT_STR(PT_VERSION));
    for (const char *const *e = pt_oip_extensions; *e; e++)
        pt_pb_put_str(&b, 3, pt_str(*e));
    pt_grpc_reply(c, &b);
}

/* Finds a model that serves, or answers. */
static bool find(struct pt_frontend *f, struct pt_grpc_call *c, const struct pt_buf *m, struct pt_model_view *v)
{
    struct pt_model_ref ref = pt_grpc_ref(m);
    struct pt_err err;
    if (pt_frontend_find_serving(f, &ref, v, &err) == PT_OK)
        return true;
    pt_grpc_fail(c, &err, 0);
    return false;
}

static void put_dims(struct pt_buf *b, uint32_t number, const int64_t *dims, int rank)
{
    struct pt_tensor shape = {.dtype = PT_INT64, .data = (void *)(uintptr_t)dims, .size_bytes = (size_t)(rank > 0 ? rank : 0) * sizeof *dims};
    pt_pb_put_numbers(b, number, &shape);
}

static void put_values(struct pt_buf *b, uint32_t number, const struct pt_value_info *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = pt_pb_begin(b, number);
        pt_pb_put_str(b, 1, pt_str(values[i]->name));
        pt_pb_put_str(b, 2, pt_str(pt_datatype_of(values[i]->dtype)->name));
        put_dims(b, 3, values[i]->dims, values[i]->rank);
        pt_pb_end(b, at);
    }
}

static void put_version(void *arg, const struct pt_model_view *v)
{
    if (v->serving)
        pt_pb_put_str(arg, 2, pt_str(v->version));
}

static void model_metadata(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct pt_model_view v;
    if (!find(arg, c, m, &v))
        return;
    pt_grpc_begin_message(&b);
    pt_pb_put_str(&b, 1, pt_str(v.name));
    if (pt_grpc_ref(m).version.len)
        put_version(&b, &v);
    else
        pt_frontend_each(arg, pt_str(v.name), put_version, &b);
    pt_pb_put_str(&b, 3, PT_STR("onnx_onnxv1"));
    put_values(&b, 4, v.info->inputs, v.info->input_count);
    put_values(&b, 5, v.info->outputs, v.info->output_count);
    pt_grpc_reply(c, &b);
}

/* Inputs (dims is field 4) and outputs (3) of a ModelConfig, without the batch dimension where Triton leaves it out. */
static void put_config_values(struct pt_buf *b, uint32_t number, uint32_t dims_field, const struct pt_value_info *const *values, size_t count,
                              bool batched)
{
    for (size_t i = 0; i < count; i++) {
        int skip = batched && values[i]->rank > 0;
        size_t at = pt_pb_begin(b, number);
        pt_pb_put_str(b, 1, pt_str(values[i]->name));
        pt_pb_put_varint(b, 2, pt_datatype_of(values[i]->dtype)->config);
        put_dims(b, dims_field, values[i]->dims + skip, values[i]->rank - skip);
        pt_pb_end(b, at);
    }
}

static void model_config(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct pt_model_view v;
    if (!find(arg, c, m, &v))
        return;
    bool batched = v.info->max_batch > 0;
    pt_grpc_begin_message(&b);
    size_t config = pt_pb_begin(&b, 1);
    pt_pb_put_str(&b, 1, pt_str(v.name));
    pt_pb_put_str(&b, 2, PT_STR("onnxruntime_onnx"));
    if (batched)
        pt_pb_put_varint(&b, 4, (uint64_t)v.info->max_batch);
    put_config_values(&b, 5, 4, v.info->inputs, v.info->input_count, batched);
    put_config_values(&b, 6, 3, v.info->outputs, v.info->output_count, batched);
    pt_pb_put_str(&b, 8, PT_STR("model.onnx"));
    if (batched) {
        size_t batching = pt_pb_begin(&b, 11);
        if (v.max_delay_us)
            pt_pb_put_varint(&b, 2, (uint64_t)v.max_delay_us);
        pt_pb_end(&b, batching);
    }
    pt_pb_put_str(&b, 17, PT_STR("pintle"));
    pt_pb_end(&b, config);
    pt_grpc_reply(c, &b);
}

/* --- statistics and repository ---------------------------------------------------------------------------------------------------------- */

struct list {
    struct pt_buf *out;
    struct pt_str version; /* only this one; empty: all */
    bool ready_only;
};

static void put_stat(struct pt_buf *b, uint32_t number, const struct pt_stat *s)
{
    size_t at = pt_pb_begin(b, number);
    pt_pb_put_varint(b, 1, s->count);
    pt_pb_put_varint(b, 2, s->ns);
    pt_pb_end(b, at);
}

static void put_stats(void *arg, const struct pt_model_view *v)
{
    struct list *l = arg;
    struct pt_buf *b = l->out;
    const struct pt_model_stats *s = v->stats;
    if (l->version.len && !pt_str_eq(l->version, pt_str(v->version)))
        return;
    size_t model = pt_pb_begin(b, 1);
    pt_pb_put_str(b, 1, pt_str(v->name));
    pt_pb_put_str(b, 2, pt_str(v->version));
    pt_pb_put_varint(b, 3, (uint64_t)s->last_ms);
    pt_pb_put_varint(b, 4, s->inferences);
    pt_pb_put_varint(b, 5, s->executions);
    size_t stats = pt_pb_begin(b, 6);
    const struct pt_stat *const all[] = {&s->success, &s->fail, &s->queue, &s->input, &s->infer, &s->output};
    for (uint32_t i = 0; i < sizeof all / sizeof all[0]; i++)
        put_stat(b, i + 1, all[i]);
    pt_pb_end(b, stats);
    pt_pb_end(b, model);
}

static void model_statistics(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct pt_model_ref ref = pt_grpc_ref(m);
    struct pt_model_view v;
    struct pt_err err;
    struct list l = {.out = &b, .version = ref.version};
    if (ref.name.len && pt_frontend_find(arg, &ref, &v, &err) < 0) {
        pt_grpc_fail(c, &err, 0);
        return;
    }
    pt_grpc_begin_message(&b);
    pt_frontend_each(arg, ref.name, put_stats, &l);
    pt_grpc_reply(c, &b);
}

static void put_index(void *arg, const struct pt_model_view *v)
{
    struct list *l = arg;
    if (l->ready_only && v->state != PT_MODEL_READY)
        return;
    size_t at = pt_pb_begin(l->out, 1);
    pt_pb_put_str(l->out, 1, pt_str(v->name));
    pt_pb_put_str(l->out, 2, pt_str(v->version));
    pt_pb_put_str(l->out, 3, pt_str(pt_oip_state(v)));
    pt_pb_put_str(l->out, 4, pt_str(v->message));
    pt_pb_end(l->out, at);
}

static void repository_index(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct list l = {.out = &b};
    struct pt_pb_reader r = pt_pb_reader(m->data, m->len);
    struct pt_pb_field f;
    struct pt_err err;
    int rc;
    while ((rc = pt_pb_next(&r, &f, &err)) == 1)
        if (f.number == 2 && f.type == PT_PB_VARINT)
            l.ready_only = f.value != 0;
    if (rc < 0) {
        pt_grpc_fail(c, &err, 0);
        return;
    }
    pt_grpc_begin_message(&b);
    pt_frontend_each(arg, PT_STR(""), put_index, &l);
    pt_grpc_reply(c, &b);
}

/* --- control ------------------------------------------------------------------------------------------------------------------------------ */

static void model_load(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    if (pt_pb_find_str(m, 3).len) {
        pt_grpc_finish(c, PT_GRPC_UNIMPLEMENTED, "load: parameters (a configuration or files in the request) are not supported");
        return;
    }
    pt_grpc_control(arg, c, pt_pb_find_str(m, 2), pt_frontend_load, PT_STR(""));
}

static void model_unload(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_grpc_control(arg, c, pt_pb_find_str(m, 2), pt_frontend_unload, PT_STR(""));
}

static void shared_memory_status(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0}; /* there are no regions */
    (void)arg;
    (void)m;
    pt_grpc_begin_message(&b);
    pt_grpc_reply(c, &b);
}

static void no_shared_memory(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    (void)arg;
    (void)m;
    pt_grpc_finish(c, PT_GRPC_UNIMPLEMENTED, "shared memory is not supported: send the data in the request");
}

/* --- settings ------------------------------------------------------------------------------------------------------------------------------ */

static void put_setting(void *arg, const struct pt_setting *s, bool log)
{
    struct pt_buf *b = arg;
    size_t entry = pt_pb_begin(b, 1);
    pt_pb_put_str(b, 1, pt_str(s->name));
    size_t value = pt_pb_begin(b, 2);
    if (!log || s->kind == PT_SETTING_STRING)
        pt_pb_put_bytes(b, log ? 3 : 1, s->text, strlen(s->text));
    else
        pt_pb_put_varint(b, s->kind == PT_SETTING_BOOL ? 1 : 2, (uint64_t)s->number);
    pt_pb_end(b, value);
    pt_pb_end(b, entry);
}

/* Entries of the request's map, each checked or set; then all as they are. */
static void settings(struct pt_grpc_call *c, const struct pt_buf *m, bool log)
{
    pt_auto_buf b = {0};
    struct pt_pb_reader r = pt_pb_reader(m->data, m->len);
    struct pt_pb_field f, v;
    struct pt_err err;
    int rc;
    while ((rc = pt_pb_next(&r, &f, &err)) == 1 && f.type == PT_PB_LEN) {
        if (f.number != 1)
            continue;
        struct pt_buf entry = {.data = (char *)(uintptr_t)f.bytes.p, .len = f.bytes.len};
        struct pt_str name = pt_pb_find_str(&entry, 1), value = pt_pb_find_str(&entry, 2), text = PT_STR("");
        struct pt_pb_reader in = pt_pb_reader(value.p, value.len);
        char number[24];
        while ((rc = pt_pb_next(&in, &v, &err)) == 1) {
            text = v.bytes;
            if (v.type == PT_PB_VARINT) {
                snprintf(number, sizeof number, "%llu", (unsigned long long)v.value);
                text = pt_str(v.number == 1 ? (v.value ? "true" : "false") : number);
            }
        }
        if (rc < 0 || (rc = pt_settings_set(log, name, text, &err)) < 0)
            break;
    }
    if (rc < 0) {
        pt_grpc_fail(c, &err, 0);
        return;
    }
    pt_grpc_begin_message(&b);
    pt_settings_each(log, put_setting, &b);
    pt_grpc_reply(c, &b);
}

static void trace_setting(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    (void)arg;
    settings(c, m, false);
}

static void log_settings(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    (void)arg;
    settings(c, m, true);
}

#define METHOD(name) "/inference.GRPCInferenceService/" name
const struct pt_grpc_method pt_oip_grpc_methods[] = {
    {METHOD("ModelInfer"), false, model_infer, NULL},
    {METHOD("ModelStreamInfer"), true, pt_oip_stream_message, pt_oip_stream_end},
    {METHOD("ServerLive"), false, server_live, NULL},
    {METHOD("ServerReady"), false, server_ready, NULL},
    {METHOD("ModelReady"), false, model_ready, NULL},
    {METHOD("ServerMetadata"), false, server_metadata, NULL},
    {METHOD("ModelMetadata"), false, model_metadata, NULL},
    {METHOD("ModelConfig"), false, model_config, NULL},
    {METHOD("ModelStatistics"), false, model_statistics, NULL},
    {METHOD("RepositoryIndex"), false, repository_index, NULL},
    {METHOD("RepositoryModelLoad"), false, model_load, NULL},
    {METHOD("RepositoryModelUnload"), false, model_unload, NULL},
    {METHOD("SystemSharedMemoryStatus"), false, shared_memory_status, NULL},
    {METHOD("SystemSharedMemoryRegister"), false, no_shared_memory, NULL},
    {METHOD("SystemSharedMemoryUnregister"), false, no_shared_memory, NULL},
    {METHOD("CudaSharedMemoryStatus"), false, shared_memory_status, NULL},
    {METHOD("CudaSharedMemoryRegister"), false, no_shared_memory, NULL},
    {METHOD("CudaSharedMemoryUnregister"), false, no_shared_memory, NULL},
    {METHOD("TraceSetting"), false, trace_setting, NULL},
    {METHOD("LogSettings"), false, log_settings, NULL},
};
const size_t pt_oip_grpc_method_count = sizeof pt_oip_grpc_methods / sizeof pt_oip_grpc_methods[0];
