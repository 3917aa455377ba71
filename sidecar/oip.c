/* SPDX-License-Identifier: Apache-2.0
 *
 * oip.c: reading a request, one pass over the JSON. An input's numbers go straight into typed memory when its name, shape and datatype
 * stand before its data, as clients write them; in any other order the data's text is remembered and read when the object ends. Binary
 * tensors follow the JSON in the order of the inputs that have a binary_data_size and are used where they lie.
 */
#include "sidecar/oip.h"

#include "base/json.h"

enum { MAX_ID = 1024 };

struct reader {
    struct pt_request *q;
    struct pt_str blobs; /* binary tensors not taken yet */
    bool has_blobs;      /* the request uses the extension */
    bool all_binary;     /* binary_data_output */
};

/* --- parameters -------------------------------------------------------------------------------------------------------------- */

/* Parameters that ask for what is not there. Any other unknown parameter is taken without effect, as the protocol wants it. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"shared_memory_region", "shared memory is not supported: send the data in the request"},
    {"shared_memory_byte_size", "shared memory is not supported: send the data in the request"},
    {"shared_memory_offset", "shared memory is not supported: send the data in the request"},
    {"sequence_id", "sequences are not supported"},
    {"sequence_start", "sequences are not supported"},
    {"sequence_end", "sequences are not supported"},
};

const char *pt_oip_refused_parameter(struct pt_str name)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (pt_json_key_is(&name, refused[i].name))
            return refused[i].why;
    return NULL;
}

/* false, 0, "" and null ask for nothing. */
static bool asks(struct pt_str value)
{
    return !pt_str_eq(value, PT_STR("false")) && !pt_str_eq(value, PT_STR("null")) && !pt_str_eq(value, PT_STR("0")) &&
           !pt_str_eq(value, PT_STR("\"\""));
}

/* What a parameter may stand with, and what it sets. */
struct wishes {
    int64_t binary_data_size; /* -1: not given */
    int binary_data;          /* 1, 0, -1 */
    int64_t classification;
    bool *all_binary;     /* of the request only */
    struct pt_request *q; /* priority, timeout and batching: of the request only */
};

static int read_whole(struct pt_json *j, int64_t max, int64_t *v, struct pt_err *err)
{
    int rc = pt_json_i64(j, v, err);
    return rc == PT_OK && (*v < 0 || *v > max) ? pt_fail(err, PT_EINVAL, "want 0 to %lld, got %lld", (long long)max, (long long)*v) : rc;
}

static int read_parameter(struct pt_json *j, struct pt_str key, struct wishes *w, struct pt_err *err)
{
    struct pt_str value;
    int64_t n = 0;
    bool b = false;
    int rc;
    const char *why = pt_oip_refused_parameter(key);
    if (why) {
        rc = pt_json_value(j, &value, err);
        return rc == PT_OK && asks(value) ? pt_fail(err, PT_EINVAL, "%s", why) : rc;
    }
    if (pt_json_key_is(&key, "binary_data_size")) {
        rc = read_whole(j, INT64_MAX, &w->binary_data_size, err);
    } else if (pt_json_key_is(&key, "binary_data")) {
        rc = pt_json_bool(j, &b, err);
        w->binary_data = b;
    } else if (w->all_binary && pt_json_key_is(&key, "binary_data_output")) {
        rc = pt_json_bool(j, w->all_binary, err);
    } else if (pt_json_key_is(&key, "classification")) {
        rc = read_whole(j, UINT32_MAX, &w->classification, err);
    } else if (w->q && pt_json_key_is(&key, "priority")) {
        rc = read_whole(j, UINT32_MAX, &n, err);
        w->q->priority = (uint32_t)n;
    } else if (w->q && pt_json_key_is(&key, "timeout")) {
        rc = read_whole(j, INT64_MAX / 1000, &w->q->timeout_us, err);
    } else if (w->q && w->q->group_key && pt_json_key_is(&key, w->q->group_key)) {
        rc = pt_json_kind(j, err) == PT_JSON_STRING ? pt_request_json_string(w->q, j, &w->q->group, err) : pt_json_value(j, &w->q->group, err);
    } else if (w->q && pt_json_key_is(&key, "batching")) {
        rc = pt_json_bool(j, &b, err);
        w->q->alone = !b;
    } else {
        rc = pt_json_skip(j, err);
    }
    return rc;
}

static int read_parameters(struct pt_json *j, struct wishes *w, struct pt_err *err)
{
    struct pt_str key;
    if (pt_json_kind(j, err) == PT_JSON_NULL)
        return pt_json_null(j, err);
    int rc = pt_json_object(j, err);
    if (rc < 0)
        return pt_wrap(err, "parameters");
    while ((rc = pt_json_member(j, &key, err)) == 1)
        if ((rc = read_parameter(j, key, w, err)) < 0)
            return pt_wrap(err, "parameter \"" PT_STR_FMT "\"", (int)(key.len < 64 ? key.len : 64), key.p);
    return rc;
}

/* --- inputs ---------------------------------------------------------------------------------------------------------------- */

struct input {
    int index; /* in the model; -1 until named */
    const struct pt_datatype *type;
    int rank; /* -1 until its shape is read */
    int64_t dims[PT_MAX_RANK];
    struct pt_str data; /* text not read yet */
    bool done;
    struct wishes wishes;
};

/* Strings of an array, flat or nested. */
static int read_strings(struct pt_request *q, struct pt_json *j, struct pt_string *out, size_t count, struct pt_err *err)
{
    unsigned base = j->depth;
    size_t n = 0;
    int rc = pt_json_array(j, err);
    while (rc >= 0 && j->depth > base) {
        rc = pt_json_element(j, err);
        if (rc <= 0)
            continue;
        if (pt_json_kind(j, err) == PT_JSON_ARRAY) {
            rc = pt_json_array(j, err);
            continue;
        }
        struct pt_str s;
        if (n == count)
            return pt_fail(err, PT_EINVAL, "want %zu strings, got more", count);
        rc = pt_request_json_string(q, j, &s, err);
        out[n++] = (struct pt_string){s.p, s.len};
    }
    if (rc < 0)
        return rc;
    return n == count ? PT_OK : pt_fail(err, PT_EINVAL, "want %zu strings, got %zu", count, n);
}

static int set_shape(struct pt_request *q, struct input *in, int64_t *count, struct pt_err *err)
{
    return pt_request_set_shape(q, (size_t)in->index, in->type, in->dims, in->rank, count, err);
}

/* Reads the elements at j into the model's input. */
static int read_data(struct pt_request *q, struct input *in, struct pt_json *j, struct pt_err *err)
{
    const char *name = q->model->inputs[in->index]->name;
    int64_t count;
    int rc = set_shape(q, in, &count, err);
    if (rc < 0)
        return rc;
    size_t text = (size_t)(j->end - j->p); /* an element takes a character and a separator at least: no room for more than that is made */
    if ((uint64_t)count > text)
        return pt_fail(err, PT_EINVAL, "input \"%s\": data: fewer elements than its shape has", name);
    struct pt_tensor *t = &q->inputs[in->index];
    void *data = pt_request_alloc(q, t->size_bytes);
    if (!data)
        return pt_fail(err, PT_ENOMEM, "input \"%s\": out of memory for %zu bytes", name, t->size_bytes);
    rc = in->type->width ? pt_json_numbers(j, in->type->elem, data, (size_t)count, err) : read_strings(q, j, data, (size_t)count, err);
    t->data = data;
    in->done = true;
    return rc < 0 ? pt_wrap(err, "input \"%s\": data", name) : PT_OK;
}

static int read_shape(struct input *in, struct pt_json *j, struct pt_err *err)
{
    int rc = pt_json_array(j, err);
    in->rank = 0;
    while (rc >= 0 && (rc = pt_json_element(j, err)) == 1) {
        if (in->rank == PT_MAX_RANK)
            return pt_fail(err, PT_EINVAL, "more than %d dimensions", PT_MAX_RANK);
        rc = pt_json_i64(j, &in->dims[in->rank++], err);
    }
    return rc;
}

static int read_name(struct pt_request *q, struct input *in, struct pt_json *j, struct pt_err *err)
{
    struct pt_str name;
    int rc = pt_request_json_string(q, j, &name, err);
    if (rc < 0)
        return pt_wrap(err, "inputs: name");
    if ((in->index = pt_request_input_index(q, name, err)) < 0)
        return in->index;
    struct pt_tensor *t = &q->inputs[in->index];
    if (t->dtype != PT_UNDEFINED)
        return pt_fail(err, PT_EINVAL, "input \"%s\" is given twice", q->model->inputs[in->index]->name);
    t->dtype = q->model->inputs[in->index]->dtype;
    return PT_OK;
}

static int read_datatype(struct pt_request *q, struct input *in, struct pt_json *j, struct pt_err *err)
{
    struct pt_str name;
    int rc = pt_request_json_string(q, j, &name, err);
    if (rc < 0)
        return rc;
    in->type = pt_datatype_named(name);
    return in->type ? PT_OK : pt_fail(err, PT_EINVAL, "unknown datatype \"" PT_STR_FMT "\"", (int)(name.len < 64 ? name.len : 64), name.p);
}

static int read_input_member(struct reader *r, struct input *in, const struct pt_str *key, struct pt_json *j, struct pt_err *err)
{
    struct pt_request *q = r->q;
    if (pt_json_key_is(key, "name") && in->index < 0)
        return read_name(q, in, j, err);
    const char *what = in->index >= 0 ? q->model->inputs[in->index]->name : "";
    if (pt_json_key_is(key, "data")) {
        if (in->done || in->data.p)
            return pt_fail(err, PT_EINVAL, "input \"%s\": data is given twice", what);
        return in->index >= 0 && in->type && in->rank >= 0 ? read_data(q, in, j, err) : pt_json_value(j, &in->data, err);
    }
    int rc;
    if (pt_json_key_is(key, "shape"))
        rc = read_shape(in, j, err);
    else if (pt_json_key_is(key, "datatype"))
        rc = read_datatype(q, in, j, err);
    else if (pt_json_key_is(key, "parameters"))
        rc = read_parameters(j, &in->wishes, err);
    else
        return pt_json_skip(j, err);
    return rc < 0 ? pt_wrap(err, "input \"%s\": " PT_STR_FMT, what, PT_STR_ARG(*key)) : rc;
}

/* The input's bytes behind the JSON. */
static int take_blob(struct reader *r, struct input *in, struct pt_err *err)
{
    const char *name = r->q->model->inputs[in->index]->name;
    uint64_t size = (uint64_t)in->wishes.binary_data_size;
    int64_t count;
    if (!r->has_blobs)
        return pt_fail(err, PT_EINVAL, "input \"%s\": binary_data_size: the request has no header Inference-Header-Content-Length", name);
    if (in->done || in->data.p)
        return pt_fail(err, PT_EINVAL, "input \"%s\": has data and binary_data_size", name);
    if (size > r->blobs.len)
        return pt_fail(err, PT_EINVAL, "input \"%s\": binary_data_size is %llu, %zu bytes are left in the body", name, (unsigned long long)size,
                       r->blobs.len);
    int rc = set_shape(r->q, in, &count, err);
    if (rc == PT_OK)
        rc = pt_request_set_raw(r->q, (size_t)in->index, (struct pt_str){r->blobs.p, (size_t)size}, err);
    r->blobs.p += size;
    r->blobs.len -= (size_t)size;
    return rc;
}

static int read_input(struct reader *r, struct pt_json *j, struct pt_err *err)
{
    struct input in = {.index = -1, .rank = -1, .wishes = {.binary_data_size = -1}};
    struct pt_str key;
    int rc = pt_json_object(j, err);
    if (rc < 0)
        return pt_wrap(err, "inputs");
    while ((rc = pt_json_member(j, &key, err)) == 1)
        if ((rc = read_input_member(r, &in, &key, j, err)) < 0)
            return rc;
    if (rc < 0)
        return rc;
    bool binary = in.wishes.binary_data_size >= 0;
    if (in.done && !binary)
        return rc;
    if (in.index < 0)
        return pt_fail(err, PT_EINVAL, "inputs: an input without \"name\"");
    const char *missing = in.rank < 0 ? "shape" : !in.type ? "datatype" : !in.data.p && !binary ? "data" : NULL;
    if (missing)
        return pt_fail(err, PT_EINVAL, "input \"%s\": \"%s\" is missing", r->q->model->inputs[in.index]->name, missing);
    if (binary)
        return take_blob(r, &in, err);
    struct pt_json data;
    pt_json_init(&data, in.data.p, in.data.len);
    return read_data(r->q, &in, &data, err);
}

/* --- outputs and the whole -------------------------------------------------------------------------------------------------- */

static int read_output(struct reader *r, struct pt_json *j, struct pt_err *err)
{
    struct pt_request *q = r->q;
    struct pt_str key, name;
    struct wishes w = {.binary_data = -1};
    int rc = pt_json_object(j, err), index = -1;
    while (rc >= 0 && (rc = pt_json_member(j, &key, err)) == 1) {
        if (pt_json_key_is(&key, "name")) {
            if ((rc = pt_request_json_string(q, j, &name, err)) < 0)
                break;
            if ((index = pt_request_output_index(q, name, err)) < 0)
                return index;
        } else if (pt_json_key_is(&key, "parameters"))
            rc = read_parameters(j, &w, err);
        else
            rc = pt_json_skip(j, err);
    }
    if (rc < 0)
        return pt_wrap(err, "outputs");
    if (index < 0)
        return pt_fail(err, PT_EINVAL, "outputs: an output without \"name\"");
    q->outputs[index] = (struct pt_output_wish){.wanted = true, .binary = (int8_t)w.binary_data, .classes = (uint32_t)w.classification};
    return PT_OK;
}

static int read_list(struct reader *r, struct pt_json *j, const char *what, int (*read)(struct reader *, struct pt_json *, struct pt_err *),
                     struct pt_err *err)
{
    int rc = pt_json_array(j, err);
    if (rc < 0)
        return pt_wrap(err, "%s", what);
    while ((rc = pt_json_element(j, err)) == 1)
        if ((rc = read(r, j, err)) < 0)
            return rc;
    return rc;
}

static int read_id(struct pt_request *q, struct pt_json *j, struct pt_err *err)
{
    if (pt_json_kind(j, err) != PT_JSON_STRING)
        return pt_fail(err, PT_EINVAL, "id: want a string");
    struct pt_json again = *j;
    int rc = pt_json_value(j, &q->id, err);
    if (rc >= 0 && q->id.len > MAX_ID)
        return pt_fail(err, PT_EINVAL, "id: longer than %d characters", MAX_ID);
    return rc < 0 ? rc : pt_request_json_string(q, &again, &q->plain_id, err);
}

static int read_member(struct reader *r, struct pt_json *j, const struct pt_str *key, struct pt_err *err)
{
    if (pt_json_key_is(key, "inputs"))
        return read_list(r, j, "inputs", read_input, err);
    if (pt_json_key_is(key, "outputs"))
        return read_list(r, j, "outputs", read_output, err);
    if (pt_json_key_is(key, "id"))
        return read_id(r->q, j, err);
    if (!pt_json_key_is(key, "parameters"))
        return pt_json_skip(j, err);
    struct wishes w = {.all_binary = &r->all_binary, .q = r->q};
    return read_parameters(j, &w, err);
}

/* Outputs that say nothing of their form follow the request as a whole. */
static void settle_outputs(struct reader *r)
{
    struct pt_request *q = r->q;
    for (size_t i = 0; i < q->model->output_count; i++) {
        int8_t said = q->outputs[i].wanted ? q->outputs[i].binary : -1;
        q->outputs[i].binary = said >= 0 ? said : r->all_binary;
    }
}

static int read_request(struct reader *r, struct pt_json *j, struct pt_err *err)
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
        rc = read_member(r, j, &key, err);
    }
    if (rc < 0)
        return rc;
    if (!has_inputs)
        return pt_fail(err, PT_EINVAL, "\"inputs\" is missing");
    settle_outputs(r);
    rc = pt_request_check(r->q, err);
    if (rc == PT_OK && r->blobs.len)
        return pt_fail(err, PT_EINVAL, "%zu bytes behind the binary tensors belong to no input", r->blobs.len);
    return rc < 0 ? rc : pt_json_end(j, err);
}

/* A body without JSON: the only input of the model, one row of it, of which one dimension may follow from the size. */
static int read_raw(struct pt_request *q, struct pt_str body, struct pt_err *err)
{
    const struct pt_model_info *m = q->model;
    if (m->input_count != 1)
        return pt_fail(err, PT_EINVAL, "a request of raw bytes is for models with one input, \"%s\" has %zu", m->name, m->input_count);
    const struct pt_value_info *v = m->inputs[0];
    const struct pt_datatype *type = pt_datatype_of(v->dtype);
    int64_t dims[PT_MAX_RANK] = {1}, count;
    int rank = v->rank < 0 ? 1 : v->rank, open = v->rank < 0 ? 0 : -1;
    uint64_t known = 1, elements = type->width ? body.len / type->width : 1;
    for (int i = 0; i < v->rank; i++) {
        dims[i] = v->dims[i] >= 0 ? v->dims[i] : 1;
        if (v->dims[i] < 0 && open >= 0 && open != 0)
            return pt_fail(err, PT_EINVAL, "input \"%s\": a request of raw bytes leaves its shape open: more than one dimension is not fixed",
                           v->name);
        if (v->dims[i] < 0)
            open = i;
        else if (__builtin_mul_overflow(known, (uint64_t)dims[i], &known))
            return pt_fail(err, PT_EINVAL, "input \"%s\": shape: too many elements", v->name);
    }
    if (open >= 0 && known && elements % known == 0)
        dims[open] = (int64_t)(elements / known);
    for (size_t i = 0; i < m->output_count; i++)
        q->outputs[i] = (struct pt_output_wish){.wanted = true, .binary = true};
    int rc = pt_request_set_shape(q, 0, type, dims, rank, &count, err);
    if (rc < 0 || type->width)
        return rc < 0 ? rc : pt_request_set_raw(q, 0, body, err);
    struct pt_string *s = pt_request_alloc(q, sizeof *s); /* one string is the whole body */
    if (!s || count != 1)
        return pt_fail(err, s ? PT_EINVAL : PT_ENOMEM, "input \"%s\": a request of raw bytes is one string", v->name);
    *s = (struct pt_string){body.p, body.len};
    q->inputs[0].data = s;
    return PT_OK;
}

int pt_oip_decode(struct pt_request *q, struct pt_str body, size_t json_bytes, struct pt_err *err)
{
    struct pt_json j;
    if (body.len == 0)
        return pt_fail(err, PT_EPARSE, "the request has no body");
    if (json_bytes == 0)
        return read_raw(q, body, err);
    struct reader r = {.q = q, .has_blobs = json_bytes != PT_OIP_ALL_JSON};
    if (r.has_blobs && json_bytes > body.len)
        return pt_fail(err, PT_EINVAL, "Inference-Header-Content-Length is %zu, the body has %zu bytes", json_bytes, body.len);
    if (r.has_blobs) {
        r.blobs = (struct pt_str){body.p + json_bytes, body.len - json_bytes};
        body.len = json_bytes;
    }
    pt_json_init(&j, body.p, body.len);
    return read_request(&r, &j, err);
}
