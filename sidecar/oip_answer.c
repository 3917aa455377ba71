/* SPDX-License-Identifier: Apache-2.0
 *
 * oip_answer.c: what the server writes in the Open Inference Protocol's REST form: inference responses, and what it says of models.
 */
#include "base/json.h"
#include "sidecar/oip.h"

const char *const pt_oip_extensions[] = {"binary_tensor_data",
                                         "classification",
                                         "logging",
                                         "model_configuration",
                                         "model_repository",
                                         "model_repository(unload_dependents)",
                                         "parameters",
                                         "schedule_policy",
                                         "statistics",
                                         "trace",
                                         NULL};

/* --- inference --------------------------------------------------------------------------------------------------------------- */

static void put_head(const char *name, const char *datatype, const int64_t *dims, int rank, struct pt_buf *out)
{
    pt_buf_puts(out, "{\"name\":");
    pt_buf_json_string(out, pt_str(name));
    pt_buf_puts(out, ",\"datatype\":\"");
    pt_buf_puts(out, datatype);
    pt_buf_puts(out, "\",\"shape\":");
    pt_shape_put(out, dims, rank);
}

static int put_strings(const char *name, const struct pt_tensor *t, struct pt_buf *out, struct pt_err *err)
{
    const struct pt_string *s = t->data;
    for (size_t i = 0; i < t->size_bytes / sizeof *s; i++) {
        struct pt_str one = {s[i].p, s[i].len};
        if (!pt_utf8_valid(one))
            return pt_fail(err, PT_EINVAL, "output \"%s\": element %zu is not UTF-8, which JSON cannot carry: ask for it with binary_data", name, i);
        if (i)
            pt_buf_putc(out, ',');
        pt_buf_json_string(out, one);
    }
    return PT_OK;
}

static int put_output(struct pt_request *q, size_t i, const struct pt_tensor *t, struct pt_buf *out, struct pt_err *err)
{
    const char *name = q->model->outputs[i]->name;
    const struct pt_datatype *type = pt_datatype_of(t->dtype);
    int rc = PT_OK;
    put_head(name, type->name, t->dims, t->rank, out);
    if (q->outputs[i].binary) {
        pt_buf_printf(out, ",\"parameters\":{\"binary_data_size\":%zu}}", pt_tensor_raw_size(t));
        return rc;
    }
    pt_buf_puts(out, ",\"data\":[");
    if (type->width)
        pt_json_put_numbers(out, type->elem, t->data, t->size_bytes / type->width);
    else
        rc = put_strings(name, t, out, err);
    pt_buf_puts(out, "]}");
    return rc;
}

static int put_outputs(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, bool *binary, struct pt_err *err)
{
    const char *comma = "";
    for (size_t i = 0; i < q->model->output_count; i++) {
        if (!q->outputs[i].wanted)
            continue;
        const struct pt_tensor *t = outputs[i];
        struct pt_tensor classes;
        if (!t || !pt_datatype_of(t->dtype))
            return pt_fail(err, PT_EINTERNAL, "output \"%s\": the model gave nothing that can be sent", q->model->outputs[i]->name);
        int rc = q->outputs[i].classes ? pt_request_classify(q, i, t, &classes, err) : PT_OK;
        pt_buf_puts(out, comma);
        comma = ",";
        if (rc == PT_OK)
            rc = put_output(q, i, q->outputs[i].classes ? &classes : t, out, err);
        if (rc < 0)
            return rc;
        *binary |= q->outputs[i].binary;
    }
    return PT_OK;
}

static int put_blobs(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, struct pt_err *err)
{
    for (size_t i = 0; i < q->model->output_count; i++) {
        struct pt_tensor classes;
        if (!q->outputs[i].wanted || !q->outputs[i].binary)
            continue;
        if (q->outputs[i].classes && pt_request_classify(q, i, outputs[i], &classes, err) < 0)
            return err->code;
        pt_tensor_put_raw(q->outputs[i].classes ? &classes : outputs[i], out);
    }
    return PT_OK;
}

int pt_oip_encode(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, size_t *json_bytes, struct pt_err *err)
{
    const struct pt_model_info *m = q->model;
    bool binary = false;
    pt_buf_puts(out, "{\"model_name\":");
    pt_buf_json_string(out, pt_str(m->name));
    pt_buf_puts(out, ",\"model_version\":");
    pt_buf_json_string(out, pt_str(m->version));
    if (q->id.p) {
        pt_buf_puts(out, ",\"id\":");
        pt_buf_append(out, q->id.p, q->id.len);
    }
    pt_buf_puts(out, ",\"outputs\":[");
    int rc = put_outputs(q, outputs, out, &binary, err);
    pt_buf_puts(out, "]}");
    *json_bytes = binary ? out->len : PT_OIP_ALL_JSON;
    if (rc == PT_OK && binary)
        rc = put_blobs(q, outputs, out, err);
    return rc < 0 ? rc : pt_buf_check(out, "response", err);
}

/* --- models -------------------------------------------------------------------------------------------------------------------- */

static void put_values(struct pt_buf *out, const struct pt_value_info *const *values, size_t count)
{
    pt_buf_putc(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            pt_buf_putc(out, ',');
        put_head(values[i]->name, pt_datatype_of(values[i]->dtype)->name, values[i]->dims, values[i]->rank, out);
        pt_buf_putc(out, '}');
    }
    pt_buf_putc(out, ']');
}

void pt_oip_write_metadata(const struct pt_model_info *m, const char *const *versions, size_t version_count, struct pt_buf *out)
{
    pt_buf_puts(out, "{\"name\":");
    pt_buf_json_string(out, pt_str(m->name));
    pt_buf_puts(out, ",\"versions\":[");
    for (size_t i = 0; i < version_count; i++) {
        if (i)
            pt_buf_putc(out, ',');
        pt_buf_json_string(out, pt_str(versions[i]));
    }
    pt_buf_puts(out, "],\"platform\":\"onnx_onnxv1\",\"inputs\":");
    put_values(out, m->inputs, m->input_count);
    pt_buf_puts(out, ",\"outputs\":");
    put_values(out, m->outputs, m->output_count);
    pt_buf_putc(out, '}');
}

/* Triton's names of types: TYPE_FP32, and TYPE_STRING for BYTES. */
static void put_config_values(struct pt_buf *out, const struct pt_value_info *const *values, size_t count, bool batched)
{
    pt_buf_putc(out, '[');
    for (size_t i = 0; i < count; i++) {
        const struct pt_value_info *v = values[i];
        int skip = batched && v->rank > 0;
        pt_buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        pt_buf_json_string(out, pt_str(v->name));
        pt_buf_printf(out, ",\"data_type\":\"TYPE_%s\",\"dims\":", v->dtype == PT_STRING ? "STRING" : pt_datatype_of(v->dtype)->name);
        pt_shape_put(out, v->dims + skip, v->rank - skip);
        pt_buf_putc(out, '}');
    }
    pt_buf_putc(out, ']');
}

void pt_oip_write_config(const struct pt_model_view *v, struct pt_buf *out)
{
    const struct pt_model_info *m = v->info;
    bool batched = m->max_batch > 0;
    pt_buf_puts(out, "{\"name\":");
    pt_buf_json_string(out, pt_str(v->name));
    pt_buf_printf(out, ",\"platform\":\"onnxruntime_onnx\",\"backend\":\"pintle\",\"max_batch_size\":%lld,\"input\":", (long long)m->max_batch);
    put_config_values(out, m->inputs, m->input_count, batched);
    pt_buf_puts(out, ",\"output\":");
    put_config_values(out, m->outputs, m->output_count, batched);
    if (batched)
        pt_buf_printf(out, ",\"dynamic_batching\":{\"max_queue_delay_microseconds\":%lld}", (long long)v->max_delay_us);
    pt_buf_puts(out, ",\"default_model_filename\":\"model.onnx\"}");
}

static void put_stat(struct pt_buf *out, const char *before, const char *name, const struct pt_stat *s)
{
    pt_buf_printf(out, "%s\"%s\":{\"count\":%llu,\"ns\":%llu}", before, name, (unsigned long long)s->count, (unsigned long long)s->ns);
}

void pt_oip_write_stats(const struct pt_model_view *v, struct pt_buf *out)
{
    const struct pt_model_stats *s = v->stats;
    pt_buf_puts(out, "{\"name\":");
    pt_buf_json_string(out, pt_str(v->name));
    pt_buf_puts(out, ",\"version\":");
    pt_buf_json_string(out, pt_str(v->version));
    pt_buf_printf(out, ",\"last_inference\":%lld,\"inference_count\":%llu,\"execution_count\":%llu,\"inference_stats\":{", (long long)s->last_ms,
                  (unsigned long long)s->inferences, (unsigned long long)s->executions);
    put_stat(out, "", "success", &s->success);
    put_stat(out, ",", "fail", &s->fail);
    put_stat(out, ",", "queue", &s->queue);
    put_stat(out, ",", "compute_input", &s->input);
    put_stat(out, ",", "compute_infer", &s->infer);
    put_stat(out, ",", "compute_output", &s->output);
    const struct pt_stat none = {0};
    put_stat(out, ",", "cache_hit", &none);
    put_stat(out, ",", "cache_miss", &none);
    pt_buf_puts(out, "},\"batch_stats\":[],\"memory_usage\":[],\"response_stats\":{}}");
}

const char *pt_oip_state(const struct pt_model_view *v)
{
    switch (v->state) {
    case PT_MODEL_READY:
        return "READY";
    case PT_MODEL_DRAINING:
        return "UNLOADING";
    case PT_MODEL_FAILED:
        return "UNAVAILABLE";
    default:
        return "LOADING";
    }
}

void pt_oip_write_index(const struct pt_model_view *v, struct pt_buf *out)
{
    pt_buf_puts(out, "{\"name\":");
    pt_buf_json_string(out, pt_str(v->name));
    pt_buf_puts(out, ",\"version\":");
    pt_buf_json_string(out, pt_str(v->version));
    pt_buf_printf(out, ",\"state\":\"%s\",\"reason\":", pt_oip_state(v));
    pt_buf_json_string(out, pt_str(v->message));
    pt_buf_putc(out, '}');
}
