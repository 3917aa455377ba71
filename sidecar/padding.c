/* SPDX-License-Identifier: Apache-2.0
 *
 * padding.c: see padding.h.
 */
#include "sidecar/padding.h"

#include "base/json.h"

#include <stdio.h>

static int parse_element(const struct pt_value_info *v, struct pt_str text, struct pt_pad *pad)
{
    const struct pt_datatype *type = pt_datatype_of(v->dtype);
    struct pt_json j;
    char array[80];
    if (!type || !type->width)
        return PT_EINVAL;
    pt_json_init(&j, array, (size_t)snprintf(array, sizeof array, "[%.*s]", (int)(text.len < 64 ? text.len : 64), text.p));
    pad->given = pt_json_numbers(&j, type->elem, pad->element, 1, NULL) == PT_OK && pt_json_end(&j, NULL) == PT_OK;
    return pad->given ? PT_OK : PT_EINVAL;
}

static int find_input(const struct pt_model_info *m, struct pt_str name)
{
    for (size_t i = 0; i < m->input_count; i++)
        if (pt_str_eq(name, pt_str(m->inputs[i]->name)))
            return (int)i;
    return -1;
}

/* Behind the first, which is that of rows. */
static bool is_free(const struct pt_value_info *v, int k)
{
    return k > 0 && v->dims[k] < 0;
}

/* Its free dimensions need names: by them outputs are cut back. */
static int check_names(const struct pt_value_info *const *values, size_t count, const struct pt_pad *pads, const char *what, struct pt_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (pads && !pads[i].given)
            continue;
        if (values[i]->rank < 0)
            return pt_fail(err, PT_EINVAL, "batching.padding: %s \"%s\" has no known shape", what, values[i]->name);
        for (int k = 1; k < values[i]->rank; k++)
            if (is_free(values[i], k) && !values[i]->dim_names[k])
                return pt_fail(err, PT_EINVAL, "batching.padding: dimension %d of %s \"%s\" has no name to cut back by", k, what, values[i]->name);
    }
    return PT_OK;
}

int pt_padding_parse(const struct pt_model_info *m, struct pt_str text, struct pt_pad *pads, struct pt_err *err)
{
    struct pt_str part;
    while (pt_str_split(&text, ',', &part)) {
        struct pt_str item = pt_str_trim(part);
        const char *equals = memrchr(item.p, '=', item.len);
        struct pt_str name = {item.p, equals ? (size_t)(equals - item.p) : item.len};
        int i = find_input(m, name), width = (int)(item.len < 80 ? item.len : 80);
        if (i < 0)
            return pt_fail(err, PT_EINVAL, "batching.padding: \"%.*s\": the model has no such input", width, item.p);
        struct pt_str value = {equals ? equals + 1 : "", equals ? item.len - name.len - 1 : 0};
        if (pads[i].given || parse_element(m->inputs[i], value, &pads[i]) < 0)
            return pt_fail(err, PT_EINVAL, "batching.padding: \"%.*s\": want INPUT=VALUE, once, with a number that fits the input's type", width,
                           item.p);
    }
    int rc = check_names(m->inputs, m->input_count, pads, "input", err);
    return rc < 0 ? rc : check_names(m->outputs, m->output_count, NULL, "output", err);
}

/* The length by that name of one of the padded inputs of q; -1: none has it. from: input to begin with. */
static int64_t length_of(const struct pt_request *q, const char *name)
{
    const struct pt_model_info *m = q->model;
    for (size_t i = 0; i < m->input_count; i++)
        for (int k = 1; m->pads[i].given && k < m->inputs[i]->rank; k++)
            if (is_free(m->inputs[i], k) && strcmp(m->inputs[i]->dim_names[k], name) == 0)
                return q->inputs[i].dims[k];
    return -1;
}

bool pt_padding_fits(const struct pt_request *q)
{
    const struct pt_model_info *m = q->model;
    for (size_t i = 0; i < m->input_count; i++)
        for (int k = 1; k < m->inputs[i]->rank; k++) {
            int64_t length = is_free(m->inputs[i], k) && m->inputs[i]->dim_names[k] ? length_of(q, m->inputs[i]->dim_names[k]) : -1;
            if (length >= 0 && (length == 0 || length != q->inputs[i].dims[k]))
                return false;
        }
    return true;
}

bool pt_padding_joins(const struct pt_model_info *m, size_t i, const struct pt_tensor *a, const struct pt_tensor *b)
{
    if (!m->pads || !m->pads[i].given || a->rank != b->rank)
        return false;
    for (int k = 1; k < a->rank; k++) {
        int64_t x = a->dims[k], y = b->dims[k];
        if (x != y && (!is_free(m->inputs[i], k) || x > 2 * y || y > 2 * x)) /* a little work may be wasted for a joined run, not most of it */
            return false;
    }
    return true;
}

int64_t pt_padding_length(const struct pt_request *q, size_t i, int k)
{
    const struct pt_value_info *v = q->model->outputs[i];
    return is_free(v, k) ? length_of(q, v->dim_names[k]) : -1;
}

static size_t count_of(const int64_t *dims, int rank)
{
    size_t n = 1;
    for (int k = 0; k < rank; k++)
        n *= (size_t)dims[k];
    return n;
}

void pt_padding_place(char *to, const int64_t *to_dims, const char *from, const int64_t *from_dims, int rank, size_t width, const void *element)
{
    if (rank == 0) {
        memcpy(to, from, width);
        return;
    }
    size_t to_step = count_of(to_dims + 1, rank - 1) * width, from_step = count_of(from_dims + 1, rank - 1) * width;
    size_t given = (size_t)from_dims[0], room = (size_t)to_dims[0];
    if (to_step == from_step)
        memcpy(to, from, given * from_step);
    else
        for (size_t i = 0; i < given; i++)
            pt_padding_place(to + i * to_step, to_dims + 1, from + i * from_step, from_dims + 1, rank - 1, width, element);
    for (char *at = to + given * to_step; at < to + room * to_step; at += width)
        memcpy(at, element, width);
}

void pt_padding_cut(char *to, const int64_t *to_dims, const char *from, const int64_t *from_dims, int rank, size_t width)
{
    if (rank == 0) {
        memcpy(to, from, width);
        return;
    }
    size_t to_step = count_of(to_dims + 1, rank - 1) * width, from_step = count_of(from_dims + 1, rank - 1) * width, wanted = (size_t)to_dims[0];
    if (to_step == from_step)
        memcpy(to, from, wanted * to_step);
    else
        for (size_t i = 0; i < wanted; i++)
            pt_padding_cut(to + i * to_step, to_dims + 1, from + i * from_step, from_dims + 1, rank - 1, width);
}
