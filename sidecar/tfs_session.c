/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_session.c: SessionRunRequest {model_spec = 1, feed = 2 {name = 1, tensor = 2}, fetch = 3, target = 4, options = 5}: Predict in the words of a
 * TensorFlow session. Tensors are the model's inputs and outputs, by their names or, as TensorFlow calls them, with ":0" behind; answers carry the
 * names that were asked for, in that order. What is between inputs and outputs cannot be fed or fetched.
 */
#include "sidecar/tfs_session.h"

#include "sidecar/pbtensor.h"
#include "sidecar/tfs_pb.h"

enum { FEED = 2, FETCH, TARGET, OPTIONS };

static struct pt_str plain_name(struct pt_str name)
{
    bool first = name.len > 2 && memcmp(name.p + name.len - 2, ":0", 2) == 0;
    return (struct pt_str){name.p, first ? name.len - 2 : name.len};
}

static int read_feed(struct pt_request *q, struct pt_str feed, struct pt_err *err)
{
    struct pt_str name, tensor;
    int rc = pt_tfs_pb_entry(feed, &name, &tensor, err), i;
    if (rc < 0 || (i = rc = pt_request_input_index(q, plain_name(name), err)) < 0)
        return rc;
    if (q->inputs[i].data)
        return pt_fail(err, PT_EINVAL, "tensor \"%s\" is fed twice", q->model->inputs[i]->name);
    rc = pt_tfs_pb_tensor(q, (size_t)i, tensor, err);
    return rc < 0 ? pt_wrap(err, "feed \"%s\"", q->model->inputs[i]->name) : PT_OK;
}

static int read_fetch(struct pt_request *q, struct pt_str name, struct pt_err *err)
{
    int i = pt_request_output_index(q, plain_name(name), err);
    if (i < 0)
        return i;
    q->outputs[i].wanted = true;
    return PT_OK;
}

static int read_field(struct pt_request *q, const struct pt_pb_field *f, struct pt_err *err)
{
    if (f->type != PT_PB_LEN)
        return PT_OK;
    if (f->number == TARGET)
        return pt_fail(err, PT_EUNSUPPORTED, "target \"" PT_STR_FMT "\": nodes cannot be run without fetching an output",
                       (int)(f->bytes.len < 128 ? f->bytes.len : 128), f->bytes.p);
    if (f->number == OPTIONS && f->bytes.len)
        return pt_fail(err, PT_EUNSUPPORTED, "options: RunOptions are not supported; a deadline of the call limits its time");
    return f->number == FEED ? read_feed(q, f->bytes, err) : f->number == FETCH ? read_fetch(q, f->bytes, err) : PT_OK;
}

int pt_tfs_session_decode(struct pt_request *q, struct pt_str message, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    bool fetches = false;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if ((rc = read_field(q, &f, err)) < 0)
            return rc;
        fetches |= f.number == FETCH;
    }
    if (rc == PT_OK && !fetches)
        return pt_fail(err, PT_EINVAL, "Must specify at least one target to fetch or execute.");
    return rc < 0 ? rc : pt_request_check(q, err);
}

/* SessionRunResponse {tensor = 1 {name = 1, tensor = 2}, model_spec = 3} */
int pt_tfs_session_encode(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_str message, struct pt_buf *out, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number != FETCH || f.type != PT_PB_LEN)
            continue;
        int i = pt_request_output_index(q, plain_name(f.bytes), err);
        if (i < 0)
            return i;
        if (!outputs[i] || !pt_datatype_of(outputs[i]->dtype))
            return pt_fail(err, PT_EINTERNAL, "output \"%s\": the model gave nothing that can be sent", q->model->outputs[i]->name);
        size_t tensor = pt_pb_begin(out, 1);
        pt_pb_put_str(out, 1, f.bytes);
        pt_tfs_pb_put_tensor(out, 2, outputs[i]);
        pt_pb_end(out, tensor);
    }
    pt_tfs_pb_put_spec(out, 3, q->model->name, q->model->version, PT_STR(""));
    return rc;
}
