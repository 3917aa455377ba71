/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_examples.c: see tfs_examples.h.
 */
#include "sidecar/tfs_examples.h"

#include "sidecar/pbtensor.h"

/* --- requests ------------------------------------------------------------------------------------------------------------------------------ */

enum { BYTES_LIST = 1, FLOAT_LIST, INT64_LIST };

/* Which list a type of input is read from. */
static unsigned list_of(enum pt_dtype t)
{
    return t == PT_STRING ? BYTES_LIST : t == PT_FLOAT || t == PT_DOUBLE ? FLOAT_LIST : t == PT_FLOAT16 || t == PT_BFLOAT16 ? 0 : INT64_LIST;
}

static int count_values(struct pt_str list, unsigned kind, size_t *count, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(list.p, list.len), in;
    struct pt_pb_field f;
    uint64_t v;
    int rc;
    *count = 0;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        in = pt_pb_reader(f.bytes.p, f.bytes.len);
        if (f.type != PT_PB_LEN || kind == BYTES_LIST)
            ++*count;
        else if (kind == FLOAT_LIST)
            *count += f.bytes.len / 4;
        else
            while ((rc = pt_pb_varint(&in, &v, err)) == 1)
                ++*count;
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int read_values(struct pt_request *q, size_t input, struct pt_str list, size_t count, void *place, struct pt_err *err)
{
    enum pt_dtype type = q->model->inputs[input]->dtype;
    struct pt_pb_reader r = pt_pb_reader(list.p, list.len);
    struct pt_pb_field f;
    size_t n = 0;
    int rc;
    float *floats = type == PT_DOUBLE ? pt_request_alloc(q, count * sizeof *floats) : NULL;
    if (type == PT_DOUBLE && !floats)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    while ((rc = pt_pb_next(&r, &f, err)) == 1) {
        if (type == PT_STRING)
            ((struct pt_string *)place)[n++] = (struct pt_string){f.bytes.p, f.bytes.len};
        else if ((rc = pt_pb_numbers(&f, floats ? PT_FLOAT : type, floats ? (void *)floats : place, count, &n, err)) < 0)
            return rc;
    }
    for (size_t i = 0; floats && i < n; i++)
        ((double *)place)[i] = (double)floats[i];
    return rc < 0 || n == count ? rc : pt_fail(err, PT_EINVAL, "want %zu values, got %zu", count, n);
}

static int read_feature(struct pt_tfs_rows *rows, size_t row, struct pt_str name, struct pt_str feature, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(feature.p, feature.len);
    struct pt_pb_field f, list = {0};
    size_t count;
    void *place;
    int rc, i = pt_request_input_index(rows->q, name, err);
    if (i < 0)
        return i;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.type == PT_PB_LEN)
            list = f;
    if (rc < 0)
        return rc;
    enum pt_dtype type = rows->q->model->inputs[i]->dtype;
    if (list.number != list_of(type) || !list.number)
        return pt_fail(err, PT_EINVAL, "feature \"%s\": the model's input is %s", rows->q->model->inputs[i]->name,
                       pt_tfs_dtype_name(pt_datatype_of(type)));
    rc = count_values(list.bytes, list.number, &count, err);
    const int64_t dims[1] = {(int64_t)count};
    int rank = count == 1 && rows->q->model->inputs[i]->rank == 1 ? 0 : 1; /* a value per row, of a model that wants a list of them */
    if (rc == PT_OK)
        rc = pt_tfs_rows_place(rows, row, (size_t)i, dims, rank, &place, err);
    return rc < 0 ? rc : read_values(rows->q, (size_t)i, list.bytes, count, place, err);
}

/* context_row: the features of a context, which hold where the example itself says nothing. */
static int read_example(struct pt_tfs_rows *rows, size_t row, struct pt_str example, bool context, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(example.p, example.len), in;
    struct pt_pb_field f, entry;
    struct pt_str key, value;
    int rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1) { /* features = 1 */
        in = pt_pb_reader(f.bytes.p, f.number == 1 && f.type == PT_PB_LEN ? f.bytes.len : 0);
        while ((rc = pt_pb_next(&in, &entry, err)) == 1) { /* feature = 1: a map */
            if (entry.number != 1 || entry.type != PT_PB_LEN)
                continue;
            if ((rc = pt_tfs_pb_entry(entry.bytes, &key, &value, err)) < 0)
                return rc;
            int i = context ? pt_request_input_index(rows->q, key, err) : 0;
            if (i < 0)
                return i;
            if (context && rows->columns[i].seen > row)
                continue;
            if ((rc = read_feature(rows, row, key, value, err)) < 0)
                return rc;
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

struct examples {
    struct pt_str list, context; /* a message with examples = 1; an Example */
};

/* Input: example_list = 1, or example_list_with_context = 2 {examples = 1, context = 2} */
static int find_examples(struct pt_str message, struct examples *e, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len), in = {NULL, NULL};
    struct pt_pb_field f;
    int rc;
    *e = (struct examples){.list = {NULL, 0}};
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == 2 && f.type == PT_PB_LEN)
            in = pt_pb_reader(f.bytes.p, f.bytes.len);
    if (rc < 0)
        return rc;
    bool with_context = false;
    while ((rc = pt_pb_next(&in, &f, err)) == 1)
        if (f.type == PT_PB_LEN && (f.number == 1 || f.number == 2)) {
            e->list = f.bytes;
            with_context = f.number == 2;
        }
    in = pt_pb_reader(e->list.p, with_context ? e->list.len : 0);
    while (rc >= 0 && (rc = pt_pb_next(&in, &f, err)) == 1)
        if (f.number == 2 && f.type == PT_PB_LEN)
            e->context = f.bytes;
    return rc;
}

int pt_tfs_examples_decode(struct pt_request *q, struct pt_str message, struct pt_err *err)
{
    struct examples e;
    struct pt_tfs_rows rows;
    struct pt_pb_field f;
    size_t count = 0, row = 0;
    int rc = find_examples(message, &e, err);
    if (rc < 0)
        return rc;
    struct pt_pb_reader r = pt_pb_reader(e.list.p, e.list.len);
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        count += f.number == 1 && f.type == PT_PB_LEN;
    if (rc < 0)
        return rc;
    if (count == 0)
        return pt_fail(err, PT_EINVAL, "Input is empty");
    if ((rc = pt_tfs_rows_init(&rows, q, count, e.context.p ? SIZE_MAX >> 8 : message.len, err)) < 0)
        return rc;
    r = pt_pb_reader(e.list.p, e.list.len);
    while (rc >= 0 && (rc = pt_pb_next(&r, &f, err)) == 1) {
        if (f.number != 1 || f.type != PT_PB_LEN)
            continue;
        rc = read_example(&rows, row, f.bytes, false, err);
        if (rc == PT_OK && e.context.p)
            rc = read_example(&rows, row, e.context, true, err);
        if (rc == PT_OK)
            rc = pt_tfs_rows_end(&rows, row++, err);
    }
    return rc < 0 ? rc : pt_request_check(q, err);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------------------- */

static void put_float(struct pt_buf *out, uint32_t number, double v)
{
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (bits)
        pt_pb_put_i32(out, number, bits);
}

static void put_result_row(const struct pt_tfs_scores *s, size_t row, enum pt_tfs_method m, struct pt_buf *out)
{
    char text[24];
    size_t at = pt_pb_begin(out, 1);
    if (m == PT_TFS_REGRESS)
        put_float(out, 1, pt_tfs_score(s, row, 0));
    for (size_t k = 0; m == PT_TFS_CLASSIFY && k < s->classes; k++) {
        size_t class = pt_pb_begin(out, 1);
        pt_pb_put_str(out, 1, pt_tfs_label(s, row, k, text));
        put_float(out, 2, pt_tfs_score(s, row, k));
        pt_pb_end(out, class);
    }
    pt_pb_end(out, at);
}

int pt_tfs_examples_encode(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, uint32_t number, struct pt_buf *out,
                           struct pt_err *err)
{
    struct pt_tfs_scores s;
    int rc = pt_tfs_scores(q, outputs, m, &s, err);
    if (rc < 0)
        return rc;
    size_t result = pt_pb_begin(out, number);
    for (size_t row = 0; row < s.rows; row++)
        put_result_row(&s, row, m, out);
    pt_pb_end(out, result);
    return PT_OK;
}

/* --- MultiInference -------------------------------------------------------------------------------------------------------------------------- */

struct task {
    struct pt_model_ref ref;
    struct pt_str signature;
    enum pt_tfs_method method;
    char version[24];
};

/* InferenceTask: model_spec = 1, method_name = 2 */
static int read_task(struct pt_str message, struct task *t, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct pt_pb_field f;
    struct pt_str method = PT_STR("");
    int rc = pt_tfs_pb_spec(message, &t->ref, &t->signature, t->version, err);
    if (rc < 0)
        return rc;
    while ((rc = pt_pb_next(&r, &f, err)) == 1)
        if (f.number == 2 && f.type == PT_PB_LEN)
            method = f.bytes;
    if (rc < 0)
        return rc;
    t->method = pt_str_eq(method, pt_str(pt_tfs_method_name(PT_TFS_CLASSIFY)))  ? PT_TFS_CLASSIFY
                : pt_str_eq(method, pt_str(pt_tfs_method_name(PT_TFS_REGRESS))) ? PT_TFS_REGRESS
                                                                                : PT_TFS_MULTI;
    if (t->method == PT_TFS_MULTI)
        return pt_fail(err, PT_EUNSUPPORTED, "Unsupported signature method_name: " PT_STR_FMT, (int)(method.len < 128 ? method.len : 128), method.p);
    return pt_tfs_check_signature(t->signature, err);
}

/* The next task of the request, tasks = 1; 1, 0 at the end, or an error. */
static int next_task(struct pt_pb_reader *r, struct task *t, struct pt_err *err)
{
    struct pt_pb_field f;
    int rc;
    while ((rc = pt_pb_next(r, &f, err)) == 1)
        if (f.number == 1 && f.type == PT_PB_LEN)
            return (rc = read_task(f.bytes, t, err)) < 0 ? rc : 1;
    return rc;
}

int pt_tfs_multi_spec(struct pt_str message, struct pt_model_ref *ref, char version[24], struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct task t = {0};
    bool seen[PT_TFS_MULTI] = {false}, any = false;
    int rc;
    while ((rc = next_task(&r, &t, err)) == 1) {
        if (any && (!pt_str_eq(t.ref.name, ref->name) || !pt_str_eq(t.ref.version, ref->version) || t.ref.label != ref->label))
            return pt_fail(err, PT_EINVAL, "All ModelSpecs in a MultiInferenceRequest must access the same model name.");
        if (seen[t.method])
            return pt_fail(err, PT_EINVAL, "Duplicate evaluation of signature: " PT_TFS_SIGNATURE " by %s", pt_tfs_method_name(t.method));
        seen[t.method] = true;
        if (!any) {
            *ref = t.ref;
            if (!t.ref.label && t.ref.version.len) {
                memcpy(version, t.version, sizeof t.version);
                ref->version = pt_str(version);
            }
        }
        any = true;
    }
    return rc < 0 ? rc : any ? PT_OK : pt_fail(err, PT_EINVAL, "MultiInferenceRequest: it has no tasks");
}

int pt_tfs_multi_decode(struct pt_request *q, struct pt_str message, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct task t;
    int rc;
    while ((rc = next_task(&r, &t, err)) == 1)
        if ((rc = pt_tfs_choose(q, t.method, err)) < 0)
            return rc;
    return rc < 0 ? rc : pt_tfs_examples_decode(q, message, err);
}

/* MultiInferenceResponse: results = 1 {model_spec = 1, classification_result = 2 or regression_result = 3} */
int pt_tfs_multi_encode(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_str message, struct pt_buf *out, struct pt_err *err)
{
    struct pt_pb_reader r = pt_pb_reader(message.p, message.len);
    struct task t;
    int rc;
    while ((rc = next_task(&r, &t, err)) == 1) {
        size_t result = pt_pb_begin(out, 1);
        pt_tfs_pb_put_spec(out, 1, q->model->name, q->model->version, PT_STR(PT_TFS_SIGNATURE));
        rc = pt_tfs_examples_encode(q, outputs, t.method, t.method == PT_TFS_CLASSIFY ? 2 : 3, out, err);
        if (rc < 0)
            return rc;
        pt_pb_end(out, result);
    }
    return rc;
}
