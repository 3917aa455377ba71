/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs_answer.c: what the server writes in TensorFlow Serving's REST form.
 */
#include "base/json.h"
#include "sidecar/tfs.h"

/* --- tensors ---------------------------------------------------------------------------------------------------------------------- */

/* Strings of an output whose name ends in "_bytes" are binary. */
static bool is_binary(const char *name)
{
    size_t len = strlen(name);
    return len >= 6 && strcmp(name + len - 6, "_bytes") == 0;
}

static int put_string(const char *name, struct pt_str s, struct pt_buf *out, struct pt_err *err)
{
    if (is_binary(name)) {
        pt_buf_puts(out, "{\"b64\":\"");
        size_t len = (s.len + 2) / 3 * 4;
        char *to = pt_buf_reserve(out, len + 1);
        if (to) {
            pt_base64_encode(s.p, s.len, to);
            out->len += len;
        }
        pt_buf_puts(out, "\"}");
        return PT_OK;
    }
    if (!pt_utf8_valid(s))
        return pt_fail(err, PT_EINVAL, "output \"%s\": a string is not UTF-8: name the output \"%s_bytes\" to have it in base64", name, name);
    pt_buf_json_string(out, s);
    return PT_OK;
}

/* Elements from *at on, nested as dims say; *at moves behind them. */
static int put_nested(const char *name, const struct pt_tensor *t, const int64_t *dims, int rank, size_t *at, struct pt_buf *out, struct pt_err *err)
{
    const struct pt_datatype *type = pt_datatype_of(t->dtype);
    int rc = PT_OK;
    if (rank == 0 && !type->width) {
        const struct pt_string *s = (const struct pt_string *)t->data + (*at)++;
        return put_string(name, (struct pt_str){s->p, s->len}, out, err);
    }
    if (rank == 0) {
        pt_json_put_numbers_nan(out, type->elem, (const char *)t->data + (*at)++ * type->width, 1);
        return rc;
    }
    pt_buf_putc(out, '[');
    if (rank == 1 && type->width) {
        pt_json_put_numbers_nan(out, type->elem, (const char *)t->data + *at * type->width, (size_t)dims[0]);
        *at += (size_t)dims[0];
    } else {
        for (int64_t i = 0; rc == PT_OK && i < dims[0]; i++) {
            if (i)
                pt_buf_putc(out, ',');
            rc = put_nested(name, t, dims + 1, rank - 1, at, out, err);
        }
    }
    pt_buf_putc(out, ']');
    return rc;
}

static size_t wanted(const struct pt_request *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->model->output_count; i++)
        n += q->outputs[i].wanted;
    return n;
}

static int check(const struct pt_request *q, size_t i, const struct pt_tensor *t, struct pt_err *err)
{
    if (t && pt_datatype_of(t->dtype))
        return PT_OK;
    return pt_fail(err, PT_EINTERNAL, "output \"%s\": the model gave nothing that can be sent", q->model->outputs[i]->name);
}

/* {"outputs": tensor} or {"outputs": {name: tensor, ...}} */
static int put_columns(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, struct pt_err *err)
{
    bool named = wanted(q) > 1;
    const char *comma = "";
    int rc = PT_OK;
    pt_buf_puts(out, named ? "{\"outputs\":{" : "{\"outputs\":");
    for (size_t i = 0; rc == PT_OK && i < q->model->output_count; i++) {
        const char *name = q->model->outputs[i]->name;
        size_t at = 0;
        if (!q->outputs[i].wanted)
            continue;
        if ((rc = check(q, i, outputs[i], err)) < 0)
            break;
        pt_buf_puts(out, comma);
        comma = ",";
        if (named) {
            pt_buf_json_string(out, pt_str(name));
            pt_buf_putc(out, ':');
        }
        rc = put_nested(name, outputs[i], outputs[i]->dims, outputs[i]->rank, &at, out, err);
    }
    pt_buf_puts(out, named ? "}}" : "}");
    return rc;
}

/* How many rows all outputs have in common. */
static int count_rows(struct pt_request *q, const struct pt_tensor *const *outputs, int64_t *rows, struct pt_err *err)
{
    *rows = -1;
    for (size_t i = 0; i < q->model->output_count; i++) {
        const char *name = q->model->outputs[i]->name;
        if (!q->outputs[i].wanted)
            continue;
        int rc = check(q, i, outputs[i], err);
        if (rc < 0)
            return rc;
        if (outputs[i]->rank == 0)
            return pt_fail(err, PT_EINVAL, "Tensor name: %s has no shape information: ask with \"inputs\"", name);
        if (*rows >= 0 && outputs[i]->dims[0] != *rows)
            return pt_fail(err, PT_EINVAL, "Tensor name: %s has inconsistent batch size: %lld expecting: %lld; ask with \"inputs\"", name,
                           (long long)outputs[i]->dims[0], (long long)*rows);
        *rows = outputs[i]->dims[0];
    }
    return PT_OK;
}

/* {"predictions": [row, ...]}: a row is a value, or an object of them. */
static int put_rows(struct pt_request *q, const struct pt_tensor *const *outputs, struct pt_buf *out, struct pt_err *err)
{
    bool named = wanted(q) > 1;
    int64_t rows;
    int rc = count_rows(q, outputs, &rows, err);
    pt_buf_puts(out, "{\"predictions\":[");
    for (int64_t row = 0; rc == PT_OK && row < rows; row++) {
        const char *comma = "";
        pt_buf_puts(out, row ? named ? ",{" : "," : named ? "{" : "");
        for (size_t i = 0; rc == PT_OK && i < q->model->output_count; i++) {
            const struct pt_tensor *t = outputs[i];
            const char *name = q->model->outputs[i]->name;
            if (!q->outputs[i].wanted)
                continue;
            size_t per_row = (size_t)pt_tensor_count(t) / (size_t)rows, at = per_row * (size_t)row;
            pt_buf_puts(out, comma);
            comma = ",";
            if (named) {
                pt_buf_json_string(out, pt_str(name));
                pt_buf_putc(out, ':');
            }
            rc = put_nested(name, t, t->dims + 1, t->rank - 1, &at, out, err);
        }
        if (named)
            pt_buf_putc(out, '}');
    }
    pt_buf_puts(out, "]}");
    return rc;
}

static void put_score(double v, struct pt_buf *out)
{
    float f = (float)v;
    pt_json_put_numbers_nan(out, PT_JE_F32, &f, 1);
}

static int put_results(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, struct pt_buf *out, struct pt_err *err)
{
    struct pt_tfs_scores s;
    char text[24];
    int rc = pt_tfs_scores(q, outputs, m, &s, err);
    if (rc < 0)
        return rc;
    pt_buf_puts(out, "{\"results\":[");
    for (size_t row = 0; row < s.rows; row++) {
        pt_buf_puts(out, row ? "," : "");
        if (m == PT_TFS_REGRESS) {
            put_score(pt_tfs_score(&s, row, 0), out);
            continue;
        }
        pt_buf_putc(out, '[');
        for (size_t k = 0; k < s.classes; k++) {
            pt_buf_puts(out, k ? ",[" : "[");
            pt_buf_json_string(out, pt_tfs_label(&s, row, k, text));
            pt_buf_putc(out, ',');
            put_score(pt_tfs_score(&s, row, k), out);
            pt_buf_putc(out, ']');
        }
        pt_buf_putc(out, ']');
    }
    pt_buf_puts(out, "]}");
    return PT_OK;
}

int pt_tfs_json_encode(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, bool columns, struct pt_buf *out,
                       struct pt_err *err)
{
    int rc = m != PT_TFS_PREDICT ? put_results(q, outputs, m, out, err)
             : columns           ? put_columns(q, outputs, out, err)
                                 : put_rows(q, outputs, out, err);
    return rc < 0 ? rc : pt_buf_check(out, "response", err);
}

/* --- models -------------------------------------------------------------------------------------------------------------------------- */

static void put_infos(const char *key, const struct pt_value_info *const *values, size_t count, struct pt_buf *out)
{
    pt_buf_printf(out, "\"%s\":{", key);
    for (size_t i = 0; i < count; i++) {
        const struct pt_value_info *v = values[i];
        if (i)
            pt_buf_putc(out, ',');
        pt_buf_json_string(out, pt_str(v->name));
        pt_buf_printf(out, ":{\"dtype\":\"%s\",\"tensor_shape\":{\"dim\":[", pt_tfs_dtype_name(pt_datatype_of(v->dtype)));
        for (int k = 0; k < v->rank; k++)
            pt_buf_printf(out, "%s{\"size\":\"%lld\",\"name\":\"\"}", k ? "," : "", (long long)v->dims[k]);
        pt_buf_printf(out, "],\"unknown_rank\":%s},\"name\":", v->rank < 0 ? "true" : "false");
        pt_buf_json_string(out, pt_str(v->name));
        pt_buf_putc(out, '}');
    }
    pt_buf_putc(out, '}');
}

void pt_tfs_write_metadata(const struct pt_model_view *v, struct pt_buf *out)
{
    pt_buf_puts(out, "{\"model_spec\":{\"name\":");
    pt_buf_json_string(out, pt_str(v->name));
    pt_buf_puts(out, ",\"signature_name\":\"\",\"version\":");
    pt_buf_json_string(out, pt_str(v->version));
    pt_buf_puts(out, "},\"metadata\":{\"signature_def\":{\"signature_def\":{\"" PT_TFS_SIGNATURE "\":{");
    put_infos("inputs", v->info->inputs, v->info->input_count, out);
    pt_buf_putc(out, ',');
    put_infos("outputs", v->info->outputs, v->info->output_count, out);
    pt_buf_printf(out, ",\"method_name\":\"%s\"}}}}}", pt_tfs_method_name(PT_TFS_PREDICT));
}

void pt_tfs_write_status(const struct pt_model_view *v, struct pt_buf *out)
{
    unsigned number;
    bool failed = v->state == PT_MODEL_FAILED;
    pt_buf_puts(out, "{\"version\":");
    pt_buf_json_string(out, pt_str(v->version));
    pt_buf_printf(out, ",\"state\":\"%s\",\"status\":{\"error_code\":\"%s\",\"error_message\":", pt_tfs_state(v, &number), failed ? "UNKNOWN" : "OK");
    pt_buf_json_string(out, pt_str(failed ? v->message : ""));
    pt_buf_puts(out, "}}");
}
