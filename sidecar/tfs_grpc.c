/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_grpc.c: tensorflow.serving.PredictionService and ModelService: one table row per method.
 */
#include "sidecar/grpc_front.h"
#include "sidecar/tfs_examples.h"
#include "sidecar/tfs_reload.h"

/* --- inference -------------------------------------------------------------------------------------------------------------------- */

static int decode(struct pt_grpc_infer *i, struct pt_str message, struct pt_err *err)
{
    return pt_tfs_pb_decode(&i->call.request, message, (enum pt_tfs_method)i->form, err);
}

static int encode(struct pt_grpc_infer *i, const struct pt_tensor *const *outputs, struct pt_err *err)
{
    struct pt_str message = {i->message.data, i->message.len};
    return pt_tfs_pb_encode(&i->call.request, outputs, (enum pt_tfs_method)i->form, message, i->signature, &i->reply, err);
}

static const struct pt_grpc_protocol tfs = {decode, encode};

/* The model of a request, its version resolved; or the call is answered. A model that is there but not ready is found too. */
static bool find(struct pt_frontend *f, struct pt_grpc_call *c, const struct pt_buf *m, struct pt_model_ref *ref, struct pt_model_view *v,
                 char version[24], bool serving)
{
    struct pt_str signature;
    struct pt_err err;
    int rc = pt_tfs_pb_spec((struct pt_str){m->data, m->len}, ref, &signature, version, &err);
    if (rc == PT_OK)
        rc = pt_tfs_check_signature(signature, &err);
    if (rc == PT_OK)
        rc = pt_tfs_find(f, ref, v, &err);
    if (rc == PT_OK || (rc == PT_EUNAVAILABLE && !serving))
        return true;
    pt_grpc_fail(c, &err, 0);
    return false;
}

static void infer(struct pt_frontend *f, struct pt_grpc_call *c, struct pt_buf *m, enum pt_tfs_method method)
{
    struct pt_model_ref ref;
    struct pt_model_view v;
    char version[24];
    if (find(f, c, m, &ref, &v, version, false)) /* a refusal is counted by the frontend */
        pt_grpc_infer(f, c, m, &ref, &tfs, (int)method);
}

static void predict(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    infer(arg, c, m, PT_TFS_PREDICT);
}

static void classify(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    infer(arg, c, m, PT_TFS_CLASSIFY);
}

static void regress(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    infer(arg, c, m, PT_TFS_REGRESS);
}

static void multi_inference(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    struct pt_model_ref ref;
    struct pt_model_view v;
    char version[24];
    struct pt_err err;
    int rc = pt_tfs_multi_spec((struct pt_str){m->data, m->len}, &ref, version, &err);
    if (rc == PT_OK)
        rc = pt_tfs_find(arg, &ref, &v, &err);
    if (rc == PT_OK || rc == PT_EUNAVAILABLE)
        pt_grpc_infer(arg, c, m, &ref, &tfs, PT_TFS_MULTI);
    else
        pt_grpc_fail(c, &err, 0);
}

static void session_run(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    infer(arg, c, m, PT_TFS_SESSION);
}

/* --- metadata ----------------------------------------------------------------------------------------------------------------------- */

/* A map<string, TensorInfo>. */
static void put_infos(struct pt_buf *b, uint32_t number, const struct pt_value_info *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pt_value_info *v = values[i];
        size_t entry = pt_pb_begin(b, number);
        pt_pb_put_str(b, 1, pt_str(v->name));
        size_t info = pt_pb_begin(b, 2);
        pt_pb_put_str(b, 1, pt_str(v->name));
        pt_pb_put_varint(b, 2, pt_datatype_of(v->dtype)->tf);
        size_t shape = pt_pb_begin(b, 3);
        for (int k = 0; k < v->rank; k++) {
            size_t dim = pt_pb_begin(b, 2);
            pt_pb_put_varint(b, 1, (uint64_t)v->dims[k]);
            pt_pb_end(b, dim);
        }
        if (v->rank < 0)
            pt_pb_put_varint(b, 3, 1);
        pt_pb_end(b, shape);
        pt_pb_end(b, info);
        pt_pb_end(b, entry);
    }
}

static void get_metadata(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct pt_model_ref ref;
    struct pt_model_view v;
    char version[24];
    struct pt_str field = pt_pb_find_str(m, 2);
    struct pt_err err;
    if (!pt_str_eq(field, PT_STR("signature_def"))) {
        pt_fail(&err, PT_EINVAL, "metadata_field: want \"signature_def\", got \"" PT_STR_FMT "\"", (int)(field.len < 64 ? field.len : 64), field.p);
        pt_grpc_fail(c, &err, 0);
        return;
    }
    if (!find(arg, c, m, &ref, &v, version, true))
        return;
    pt_grpc_begin_message(&b);
    pt_tfs_pb_put_spec(&b, 1, v.name, v.version, PT_STR(""));
    size_t entry = pt_pb_begin(&b, 2);
    pt_pb_put_str(&b, 1, PT_STR("signature_def"));
    size_t any = pt_pb_begin(&b, 2);
    pt_pb_put_str(&b, 1, PT_STR("type.googleapis.com/tensorflow.serving.SignatureDefMap"));
    size_t map = pt_pb_begin(&b, 2), signature = pt_pb_begin(&b, 1);
    pt_pb_put_str(&b, 1, PT_STR(PT_TFS_SIGNATURE));
    size_t def = pt_pb_begin(&b, 2);
    put_infos(&b, 1, v.info->inputs, v.info->input_count);
    put_infos(&b, 2, v.info->outputs, v.info->output_count);
    pt_pb_put_str(&b, 3, pt_str(pt_tfs_method_name(PT_TFS_PREDICT)));
    pt_pb_end(&b, def);
    pt_pb_end(&b, signature);
    pt_pb_end(&b, map);
    pt_pb_end(&b, any);
    pt_pb_end(&b, entry);
    pt_grpc_reply(c, &b);
}

/* --- ModelService ------------------------------------------------------------------------------------------------------------------- */

struct status {
    struct pt_buf *out;
    struct pt_str version; /* only this; empty: all */
};

static void add_status(void *arg, const struct pt_model_view *v)
{
    struct status *s = arg;
    unsigned state;
    int64_t version;
    if (s->version.len && !pt_str_eq(s->version, pt_str(v->version)))
        return;
    size_t at = pt_pb_begin(s->out, 1);
    if (pt_parse_i64(pt_str(v->version), 0, INT64_MAX, "version", &version, NULL) == PT_OK)
        pt_pb_put_varint(s->out, 1, (uint64_t)version);
    pt_tfs_state(v, &state);
    pt_pb_put_varint(s->out, 2, state);
    size_t status = pt_pb_begin(s->out, 3);
    if (v->state == PT_MODEL_FAILED) {
        pt_pb_put_varint(s->out, 1, PT_GRPC_UNKNOWN);
        pt_pb_put_str(s->out, 2, pt_str(v->message));
    }
    pt_pb_end(s->out, status);
    pt_pb_end(s->out, at);
}

static void get_status(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_auto_buf b = {0};
    struct pt_model_ref ref;
    struct pt_model_view v;
    char version[24];
    if (!find(arg, c, m, &ref, &v, version, false))
        return;
    struct status s = {.out = &b, .version = ref.label ? pt_str(v.version) : ref.version};
    pt_grpc_begin_message(&b);
    pt_frontend_each(arg, ref.name, add_status, &s);
    pt_grpc_reply(c, &b);
}

static int reload(struct pt_frontend *f, struct pt_str message, struct pt_control *c, struct pt_err *err)
{
    struct pt_model_list list = {0};
    int rc = pt_tfs_reload_decode(message, &list, err);
    if (rc == PT_OK)
        rc = pt_frontend_reload(f, &list, c, err);
    pt_model_list_finish(&list);
    return rc;
}

static void reload_config(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    pt_grpc_control(arg, c, (struct pt_str){m->data, m->len}, reload, PT_STR("\x0a\x00")); /* an empty status: OK */
}

#define PREDICTION(name) "/tensorflow.serving.PredictionService/" name
#define MODEL(name) "/tensorflow.serving.ModelService/" name
const struct pt_grpc_method pt_tfs_grpc_methods[] = {
    {PREDICTION("Predict"), false, predict, NULL},
    {PREDICTION("Classify"), false, classify, NULL},
    {PREDICTION("Regress"), false, regress, NULL},
    {PREDICTION("MultiInference"), false, multi_inference, NULL},
    {PREDICTION("GetModelMetadata"), false, get_metadata, NULL},
    {MODEL("GetModelStatus"), false, get_status, NULL},
    {MODEL("HandleReloadConfigRequest"), false, reload_config, NULL},
    {"/tensorflow.serving.SessionService/SessionRun", false, session_run, NULL},
};
const size_t pt_tfs_grpc_method_count = sizeof pt_tfs_grpc_methods / sizeof pt_tfs_grpc_methods[0];
