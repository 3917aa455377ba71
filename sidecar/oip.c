/* SPDX-License-Identifier: Apache-2.0
 *
 * oip.c: one pass over the body. An input's numbers go straight into typed memory when its name, shape and datatype stand before its
 * data, as clients write them; in any other order the data's text is remembered and read when the object ends.
 */
#include "sidecar/oip.h"

#include "base/json.h"
#include "base/mem.h"

enum { MAX_ID = 1024, KEEP_BYTES = 8 << 20 };

struct datatype {
    const char *name;
    enum pt_dtype dtype;
    enum pt_json_elem elem;
};
static const struct datatype datatypes[] = {
    {"FP32", PT_FLOAT, PT_JE_F32},    {"INT64", PT_INT64, PT_JE_I64},   {"INT32", PT_INT32, PT_JE_I32},    {"UINT8", PT_UINT8, PT_JE_U8},
    {"FP64", PT_DOUBLE, PT_JE_F64},   {"FP16", PT_FLOAT16, PT_JE_F16},  {"BF16", PT_BFLOAT16, PT_JE_BF16}, {"BOOL", PT_BOOL, PT_JE_BOOL},
    {"INT8", PT_INT8, PT_JE_I8},      {"INT16", PT_INT16, PT_JE_I16},   {"UINT16", PT_UINT16, PT_JE_U16},  {"UINT32", PT_UINT32, PT_JE_U32},
    {"UINT64", PT_UINT64, PT_JE_U64},
};

static const struct datatype *datatype_of(enum pt_dtype t)
{
    for (size_t i = 0; i < sizeof datatypes / sizeof datatypes[0]; i++)
        if (datatypes[i].dtype == t)
            return &datatypes[i];
    return NULL;
}

static const struct datatype *datatype_named(struct pt_str name)
{
    for (size_t i = 0; i < sizeof datatypes / sizeof datatypes[0]; i++)
        if (pt_str_eq(name, pt_str(datatypes[i].name)))
            return &datatypes[i];
    return NULL;
}

/* Parameters that ask for what is not there. Any other parameter is taken without effect, as the protocol wants it. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"binary_data_size", "the binary tensor extension is not supported yet: send data as JSON"},
    {"binary_data", "the binary tensor extension is not supported yet: ask for JSON"},
    {"binary_data_output", "the binary tensor extension is not supported yet: ask for JSON"},
    {"shared_memory_region", "shared memory is not supported"},
    {"classification", "classification is not supported yet"},
    {"sequence_id", "sequences are not supported yet"},
    {"sequence_start", "sequences are not supported yet"},
    {"sequence_end", "sequences are not supported yet"},
};

/* false, 0 and null ask for nothing. */
static bool asks(struct pt_str value)
{
    return !pt_str_eq(value, PT_STR("false")) && !pt_str_eq(value, PT_STR("null")) && !pt_str_eq(value, PT_STR("0"));
}

static int read_parameters(struct pt_json *j, struct pt_err *err)
{
    struct pt_str key, value;
    int rc = pt_json_object(j, err);
    if (rc < 0)
        return pt_wrap(err, "parameters");
    while ((rc = pt_json_member(j, &key, err)) == 1) {
        if (pt_json_value(j, &value, err) < 0)
            return pt_wrap(err, "parameters");
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
            if (pt_json_key_is(&key, refused[i].name) && asks(value))
                return pt_fail(err, PT_EINVAL, "parameter \"%s\": %s", refused[i].name, refused[i].why);
    }
    return rc;
}

/* --- inputs ---------------------------------------------------------------------------------------------------------------- */

struct input {
    int index; /* in the model; -1 until named */
    const struct datatype *type;
    bool has_shape;
    struct pt_tensor shape; /* rank and dims */
    struct pt_str data;     /* text not read yet */
    bool done;
};

static void put_shape(struct pt_buf *b, const int64_t *dims, int rank)
{
    pt_buf_putc(b, '[');
    pt_json_put_numbers(b, PT_JE_I64, dims, rank < 0 ? 0 : (size_t)rank);
    pt_buf_putc(b, ']');
}

static int wrong_shape(const struct pt_value_info *v, const struct pt_tensor *got, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(2048);
    pt_buf_puts(&b, "want ");
    put_shape(&b, v->dims, v->rank);
    pt_buf_puts(&b, ", got ");
    put_shape(&b, got->dims, got->rank);
    return pt_fail(err, PT_EINVAL, "input \"%s\": shape: %s", v->name, pt_buf_cstr(&b));
}

static int check_shape(const struct pt_value_info *v, const struct pt_tensor *got, struct pt_err *err)
{
    if (v->rank >= 0 && v->rank != got->rank)
        return wrong_shape(v, got, err);
    for (int i = 0; i < v->rank; i++)
        if (v->dims[i] >= 0 && v->dims[i] != got->dims[i])
            return wrong_shape(v, got, err);
    return PT_OK;
}

/* Memory for count elements of input i, kept for the next request. */
static int reserve(struct pt_oip_request *q, int i, size_t bytes, struct pt_err *err)
{
    if (bytes > q->room[i] || !q->inputs[i].data) {
        pt_free(q->inputs[i].data);
        q->room[i] = 0;
        q->inputs[i].data = pt_alloc_aligned(bytes ? bytes : 1);
        if (!q->inputs[i].data)
            return pt_fail(err, PT_ENOMEM, "input \"%s\": out of memory for %zu bytes", q->model->inputs[i]->name, bytes);
        q->room[i] = bytes;
    }
    return PT_OK;
}

/* Reads the numbers at j into the model's input. */
static int read_data(struct pt_oip_request *q, struct input *in, struct pt_json *j, struct pt_err *err)
{
    const struct pt_value_info *v = q->model->inputs[in->index];
    if (in->type->dtype != v->dtype) {
        const struct datatype *want = datatype_of(v->dtype);
        return pt_fail(err, PT_EINVAL, "input \"%s\": datatype: want %s, got %s", v->name, want ? want->name : pt_dtype_name(v->dtype), in->type->name);
    }
    if (check_shape(v, &in->shape, err) < 0)
        return PT_EINVAL;
    int64_t count = pt_tensor_count(&in->shape);
    size_t text = (size_t)(j->end - j->p); /* a number takes a character and a separator at least: no room for more than that is made */
    if (count < 0 || (uint64_t)count > text)
        return pt_fail(err, PT_EINVAL, "input \"%s\": data: fewer numbers than its shape has elements", v->name);
    size_t bytes = (size_t)count * pt_dtype_bits(v->dtype) / 8;
    int rc = reserve(q, in->index, bytes, err);
    if (rc < 0)
        return rc;
    struct pt_tensor *t = &q->inputs[in->index];
    t->dtype = v->dtype;
    t->rank = in->shape.rank;
    memcpy(t->dims, in->shape.dims, sizeof t->dims);
    t->size_bytes = bytes;
    rc = pt_json_numbers(j, in->type->elem, t->data, (size_t)count, err);
    in->done = true;
    return rc < 0 ? pt_wrap(err, "input \"%s\": data", v->name) : PT_OK;
}

static int read_shape(struct input *in, struct pt_json *j, struct pt_err *err)
{
    int rc = pt_json_array(j, err);
    in->shape.rank = 0;
    in->has_shape = true;
    while (rc >= 0 && (rc = pt_json_element(j, err)) == 1) {
        if (in->shape.rank == PT_MAX_RANK)
            return pt_fail(err, PT_EINVAL, "more than %d dimensions", PT_MAX_RANK);
        int64_t *dim = &in->shape.dims[in->shape.rank++];
        rc = pt_json_i64(j, dim, err);
        if (rc >= 0 && *dim < 0)
            return pt_fail(err, PT_EINVAL, "dimension %lld is negative", (long long)*dim);
    }
    return rc;
}

/* Decodes a short string into q->scratch. */
static int read_string(struct pt_oip_request *q, struct pt_json *j, struct pt_str *out, struct pt_err *err)
{
    pt_buf_reset(&q->scratch);
    int rc = pt_json_string(j, &q->scratch, err);
    *out = (struct pt_str){q->scratch.data ? q->scratch.data : "", q->scratch.len};
    return rc;
}

static int no_such(const char *what, struct pt_str name, const struct pt_value_info *const *have, size_t count, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(400);
    for (size_t i = 0; i < count; i++)
        pt_buf_printf(&b, "%s\"%s\"", i ? ", " : "", have[i]->name);
    return pt_fail(err, PT_EINVAL, "%s \"" PT_STR_FMT "\": the model has no such %s; it has %s", what, (int)(name.len < 64 ? name.len : 64), name.p, what,
                   pt_buf_cstr(&b));
}

static int find(const struct pt_value_info *const *values, size_t count, struct pt_str name)
{
    for (size_t i = 0; i < count; i++)
        if (pt_str_eq(pt_str(values[i]->name), name))
            return (int)i;
    return -1;
}

static int read_name(struct pt_oip_request *q, struct input *in, struct pt_json *j, struct pt_err *err)
{
    struct pt_str name;
    int rc = read_string(q, j, &name, err);
    if (rc < 0)
        return pt_wrap(err, "inputs: name");
    in->index = find(q->model->inputs, q->model->input_count, name);
    if (in->index < 0)
        return no_such("input", name, q->model->inputs, q->model->input_count, err);
    if (q->given[in->index])
        return pt_fail(err, PT_EINVAL, "input \"%s\" is given twice", q->model->inputs[in->index]->name);
    q->given[in->index] = true;
    return PT_OK;
}

static int read_datatype(struct pt_oip_request *q, struct input *in, struct pt_json *j, struct pt_err *err)
{
    struct pt_str name;
    int rc = read_string(q, j, &name, err);
    if (rc < 0)
        return rc;
    if (pt_str_eq(name, PT_STR("BYTES")))
        return pt_fail(err, PT_EINVAL, "datatype BYTES is not supported yet");
    in->type = datatype_named(name);
    return in->type ? PT_OK : pt_fail(err, PT_EINVAL, "unknown datatype \"" PT_STR_FMT "\"", (int)(name.len < 64 ? name.len : 64), name.p);
}

static bool can_read_data(const struct input *in)
{
    return in->index >= 0 && in->type && in->has_shape;
}

static int read_input_member(struct pt_oip_request *q, struct input *in, const struct pt_str *key, struct pt_json *j, struct pt_err *err)
{
    if (pt_json_key_is(key, "name") && in->index < 0)
        return read_name(q, in, j, err);
    const char *what = in->index >= 0 ? q->model->inputs[in->index]->name : "";
    if (pt_json_key_is(key, "data")) {
        if (in->done || in->data.p)
            return pt_fail(err, PT_EINVAL, "input \"%s\": data is given twice", what);
        return can_read_data(in) ? read_data(q, in, j, err) : pt_json_value(j, &in->data, err);
    }
    int rc;
    if (pt_json_key_is(key, "shape"))
        rc = read_shape(in, j, err);
    else if (pt_json_key_is(key, "datatype"))
        rc = read_datatype(q, in, j, err);
    else if (pt_json_key_is(key, "parameters"))
        rc = read_parameters(j, err);
    else
        return pt_json_skip(j, err);
    return rc < 0 ? pt_wrap(err, "input \"%s\": " PT_STR_FMT, what, PT_STR_ARG(*key)) : rc;
}

static int read_input(struct pt_oip_request *q, struct pt_json *j, struct pt_err *err)
{
    struct input in = {.index = -1};
    struct pt_str key;
    int rc = pt_json_object(j, err);
    if (rc < 0)
        return pt_wrap(err, "inputs");
    while ((rc = pt_json_member(j, &key, err)) == 1)
        if ((rc = read_input_member(q, &in, &key, j, err)) < 0)
            return rc;
    if (rc < 0 || in.done)
        return rc;
    if (in.index < 0)
        return pt_fail(err, PT_EINVAL, "inputs: an input without \"name\"");
    const char *missing = !in.has_shape ? "shape" : !in.type ? "datatype" : !in.data.p ? "data" : NULL;
    if (missing)
        return pt_fail(err, PT_EINVAL, "input \"%s\": \"%s\" is missing", q->model->inputs[in.index]->name, missing);
    struct pt_json data;
    pt_json_init(&data, in.data.p, in.data.len);
    return read_data(q, &in, &data, err);
}

/* --- outputs and the whole -------------------------------------------------------------------------------------------------- */

static int read_output(struct pt_oip_request *q, struct pt_json *j, struct pt_err *err)
{
    struct pt_str key, name;
    int rc = pt_json_object(j, err), index = -1;
    while (rc >= 0 && (rc = pt_json_member(j, &key, err)) == 1) {
        if (pt_json_key_is(&key, "name")) {
            if ((rc = read_string(q, j, &name, err)) < 0)
                break;
            index = find(q->model->outputs, q->model->output_count, name);
            if (index < 0)
                return no_such("output", name, q->model->outputs, q->model->output_count, err);
            q->wanted[index] = true;
        } else if (pt_json_key_is(&key, "parameters"))
            rc = read_parameters(j, err);
        else
            rc = pt_json_skip(j, err);
    }
    if (rc < 0)
        return pt_wrap(err, "outputs");
    return index < 0 ? pt_fail(err, PT_EINVAL, "outputs: an output without \"name\"") : PT_OK;
}

static int read_list(struct pt_oip_request *q, struct pt_json *j, const char *what, int (*read)(struct pt_oip_request *, struct pt_json *, struct pt_err *),
                     struct pt_err *err)
{
    int rc = pt_json_array(j, err);
    if (rc < 0)
        return pt_wrap(err, "%s", what);
    while ((rc = pt_json_element(j, err)) == 1)
        if ((rc = read(q, j, err)) < 0)
            return rc;
    return rc;
}

static int read_id(struct pt_oip_request *q, struct pt_json *j, struct pt_err *err)
{
    if (pt_json_kind(j, err) != PT_JSON_STRING)
        return pt_fail(err, PT_EINVAL, "id: want a string");
    int rc = pt_json_value(j, &q->id, err);
    if (rc >= 0 && q->id.len > MAX_ID)
        return pt_fail(err, PT_EINVAL, "id: longer than %d characters", MAX_ID);
    return rc;
}

static int read_request(struct pt_oip_request *q, struct pt_json *j, struct pt_err *err)
{
    struct pt_str key;
    bool has_inputs = false, has_outputs = false;
    int rc = pt_json_object(j, err);
    while (rc >= 0 && (rc = pt_json_member(j, &key, err)) == 1) {
        bool inputs = pt_json_key_is(&key, "inputs"), outputs = pt_json_key_is(&key, "outputs");
        if ((inputs && has_inputs) || (outputs && has_outputs))
            return pt_fail(err, PT_EINVAL, "\"" PT_STR_FMT "\" is given twice", PT_STR_ARG(key));
        has_inputs |= inputs;
        has_outputs |= outputs;
        if (inputs)
            rc = read_list(q, j, "inputs", read_input, err);
        else if (outputs) {
            memset(q->wanted, 0, q->model->output_count);
            rc = read_list(q, j, "outputs", read_output, err);
        } else if (pt_json_key_is(&key, "id"))
            rc = read_id(q, j, err);
        else if (pt_json_key_is(&key, "parameters"))
            rc = read_parameters(j, err);
        else
            rc = pt_json_skip(j, err);
    }
    if (rc < 0)
        return rc;
    if (!has_inputs)
        return pt_fail(err, PT_EINVAL, "\"inputs\" is missing");
    for (size_t i = 0; i < q->model->input_count; i++)
        if (!q->given[i])
            return pt_fail(err, PT_EINVAL, "input \"%s\" is missing", q->model->inputs[i]->name);
    bool any = false;
    for (size_t i = 0; i < q->model->output_count; i++)
        any |= q->wanted[i];
    if (!any) /* an empty list asks for all, as an absent one does */
        memset(q->wanted, 1, q->model->output_count);
    return pt_json_end(j, err);
}

int pt_oip_decode(struct pt_oip_request *q, struct pt_str body, struct pt_err *err)
{
    struct pt_json j;
    q->id = (struct pt_str){NULL, 0};
    memset(q->given, 0, q->model->input_count);
    memset(q->wanted, 1, q->model->output_count);
    if (body.len == 0)
        return pt_fail(err, PT_EPARSE, "the request has no body");
    pt_json_init(&j, body.p, body.len);
    return read_request(q, &j, err);
}

int pt_oip_request_init(struct pt_oip_request *q, const struct pt_oip_model *m, struct pt_err *err)
{
    *q = (struct pt_oip_request){.model = m, .scratch = PT_BUF_INIT(4096)};
    q->inputs = pt_calloc(m->input_count + 1, sizeof *q->inputs);
    q->room = pt_calloc(m->input_count + 1, sizeof *q->room);
    q->given = pt_calloc(m->input_count + 1, sizeof *q->given);
    q->wanted = pt_calloc(m->output_count + 1, sizeof *q->wanted);
    if (q->inputs && q->room && q->given && q->wanted)
        return PT_OK;
    pt_oip_request_finish(q);
    return pt_fail(err, PT_ENOMEM, "model \"%s\": out of memory", m->name);
}

void pt_oip_request_finish(struct pt_oip_request *q)
{
    for (size_t i = 0; q->inputs && i < q->model->input_count; i++)
        pt_free(q->inputs[i].data);
    pt_free(q->inputs);
    pt_free(q->room);
    pt_free(q->given);
    pt_free(q->wanted);
    pt_buf_finish(&q->scratch);
    *q = (struct pt_oip_request){0};
}

void pt_oip_request_trim(struct pt_oip_request *q)
{
    for (size_t i = 0; i < q->model->input_count; i++)
        if (q->room[i] > KEEP_BYTES) {
            pt_free(q->inputs[i].data);
            q->inputs[i].data = NULL;
            q->room[i] = 0;
        }
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

static int put_output(const struct pt_value_info *v, const struct pt_tensor *t, struct pt_buf *out, struct pt_err *err)
{
    const struct datatype *type = t ? datatype_of(t->dtype) : NULL;
    int64_t count = t ? pt_tensor_count(t) : -1;
    if (!type || count < 0)
        return pt_fail(err, PT_EINTERNAL, "output \"%s\": the model gave nothing that can be sent", v->name);
    pt_buf_puts(out, "{\"name\":");
    pt_buf_json_string(out, pt_str(v->name));
    pt_buf_puts(out, ",\"datatype\":\"");
    pt_buf_puts(out, type->name);
    pt_buf_puts(out, "\",\"shape\":");
    put_shape(out, t->dims, t->rank);
    pt_buf_puts(out, ",\"data\":[");
    pt_json_put_numbers(out, type->elem, t->data, (size_t)count);
    pt_buf_puts(out, "]}");
    return PT_OK;
}

int pt_oip_encode(const struct pt_oip_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, struct pt_err *err)
{
    const struct pt_oip_model *m = q->model;
    pt_buf_puts(out, "{\"model_name\":");
    pt_buf_json_string(out, pt_str(m->name));
    pt_buf_puts(out, ",\"model_version\":");
    pt_buf_json_string(out, pt_str(m->version));
    if (q->id.p) {
        pt_buf_puts(out, ",\"id\":");
        pt_buf_append(out, q->id.p, q->id.len);
    }
    pt_buf_puts(out, ",\"outputs\":[");
    const char *comma = "";
    for (size_t i = 0; i < m->output_count; i++) {
        if (!q->wanted[i])
            continue;
        pt_buf_puts(out, comma);
        comma = ",";
        int rc = put_output(m->outputs[i], outputs[i], out, err);
        if (rc < 0)
            return rc;
    }
    pt_buf_puts(out, "]}");
    return pt_buf_check(out, "response", err);
}

static int check_values(const char *what, const struct pt_value_info *const *values, size_t count, struct pt_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!datatype_of(values[i]->dtype))
            return pt_fail(err, PT_EUNSUPPORTED, "%s \"%s\": type %s cannot be served yet", what, values[i]->name, pt_dtype_name(values[i]->dtype));
    return PT_OK;
}

int pt_oip_check_model(const struct pt_oip_model *m, struct pt_err *err)
{
    int rc = check_values("input", m->inputs, m->input_count, err);
    return rc < 0 ? rc : check_values("output", m->outputs, m->output_count, err);
}

static void put_values(struct pt_buf *out, const struct pt_value_info *const *values, size_t count)
{
    pt_buf_putc(out, '[');
    for (size_t i = 0; i < count; i++) {
        pt_buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        pt_buf_json_string(out, pt_str(values[i]->name));
        const struct datatype *type = datatype_of(values[i]->dtype);
        pt_buf_printf(out, ",\"datatype\":\"%s\",\"shape\":", type ? type->name : "");
        put_shape(out, values[i]->dims, values[i]->rank);
        pt_buf_putc(out, '}');
    }
    pt_buf_putc(out, ']');
}

void pt_oip_write_metadata(const struct pt_oip_model *m, struct pt_buf *out)
{
    pt_buf_puts(out, "{\"name\":");
    pt_buf_json_string(out, pt_str(m->name));
    pt_buf_puts(out, ",\"versions\":[");
    pt_buf_json_string(out, pt_str(m->version));
    pt_buf_puts(out, "],\"platform\":\"onnx_onnxv1\",\"inputs\":");
    put_values(out, m->inputs, m->input_count);
    pt_buf_puts(out, ",\"outputs\":");
    put_values(out, m->outputs, m->output_count);
    pt_buf_putc(out, '}');
}
