/* SPDX-License-Identifier: Apache-2.0
 *
 * model.c: opening a model and filling its inputs.
 */
#include "cli/model.h"

#include "base/mem.h"

int pt_cli_model_open(struct pt_cli_model *m, const char *path, const struct pt_cli_model_options *o, struct pt_err *err)
{
    *m = (struct pt_cli_model){0};
    int rc = pt_threads_create((int)o->threads, &m->threads, err);
    struct pt_session_options options = {.size = sizeof options, .threads = m->threads, .no_opt = o->no_opt, .disable = o->disable};
    if (rc == PT_OK)
        rc = pt_session_open(path, &options, &m->session, err);
    if (rc == PT_OK)
        rc = pt_run_create(m->session, &m->run, err);
    if (rc == PT_OK && !(m->inputs = pt_calloc(pt_session_input_count(m->session), sizeof *m->inputs)))
        rc = pt_fail(err, PT_ENOMEM, "out of memory");
    if (rc < 0)
        pt_cli_model_close(m);
    return rc;
}

void pt_cli_model_close(struct pt_cli_model *m)
{
    if (m->run)
        pt_run_destroy(m->run);
    if (m->session)
        pt_session_close(m->session);
    if (m->threads)
        pt_threads_destroy(m->threads);
    for (size_t i = 0; i < m->input_count; i++)
        pt_tensor_file_finish(&m->inputs[i]);
    pt_free(m->inputs);
    *m = (struct pt_cli_model){0};
}

static const char *find(const struct pt_cli_pairs *pairs, const char *name)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (pt_str_eq(pairs->list[i].name, pt_str(name)))
            return pairs->list[i].value;
    return NULL;
}

static int parse_shape(const char *text, int *rank, int64_t dims[PT_MAX_RANK], struct pt_err *err)
{
    struct pt_str rest = pt_str(text), part;
    *rank = 0;
    while (*text && pt_str_split(&rest, 'x', &part)) {
        if (*rank == PT_MAX_RANK)
            return pt_fail(err, PT_EINVAL, "shape %s: more than %d dimensions", text, PT_MAX_RANK);
        if (pt_parse_i64(part, 0, INT64_MAX, "dimension", &dims[(*rank)++], err) < 0)
            return pt_wrap(err, "shape %s", text);
    }
    return PT_OK;
}

static int make_up(const struct pt_value_info *info, const char *shape, struct pt_tensor_file *out, struct pt_err *err)
{
    int rank = info->rank;
    int64_t dims[PT_MAX_RANK];
    if (info->dtype == PT_SEQUENCE || info->dtype == PT_OPTIONAL || info->dtype == PT_MAP)
        return pt_fail(err, PT_EUNSUPPORTED, "cannot make up a %s: give a file", pt_dtype_name(info->dtype));
    if (shape) {
        int rc = parse_shape(shape, &rank, dims, err);
        if (rc < 0)
            return rc;
    } else if (rank < 0) {
        return pt_fail(err, PT_EINVAL, "the model does not say its rank: give a shape or a file");
    }
    for (int i = 0; !shape && i < rank; i++)
        dims[i] = info->dims[i] < 0 ? 1 : info->dims[i];
    int rc = pt_tensor_file_alloc(out, info->dtype, rank, dims, err);
    return rc < 0 ? rc : pt_tensor_file_fill(out, err);
}

static int load_input(struct pt_cli_model *m, size_t i, const char *file, const char *shape, bool may_make_up, struct pt_err *err)
{
    const struct pt_value_info *info = pt_session_input(m->session, i);
    struct pt_tensor_file *in = &m->inputs[m->input_count++];
    int rc;
    if (file)
        rc = pt_value_file_read(file, info, in, err);
    else if (may_make_up)
        rc = make_up(info, shape, in, err);
    else
        return pt_fail(err, PT_EINVAL, "input '%s' is missing: give it with -i %s=FILE", info->name, info->name);
    if (rc == PT_OK && file && shape)
        rc = pt_fail(err, PT_EINVAL, "both a file and a shape are given");
    if (rc < 0)
        return pt_wrap(err, "input '%s'", info->name);
    return pt_run_set_input(m->run, i, &in->t, err);
}

static int check_names(const struct pt_cli_model *m, const struct pt_cli_pairs *pairs, struct pt_err *err)
{
    for (size_t i = 0; pairs && i < pairs->count; i++) {
        pt_auto_buf names = PT_BUF_INIT(0);
        bool known = false;
        for (size_t k = 0; k < pt_session_input_count(m->session) && !known; k++) {
            const char *name = pt_session_input(m->session, k)->name;
            known = pt_str_eq(pairs->list[i].name, pt_str(name));
            pt_buf_printf(&names, "%s%s", k ? ", " : "", name);
        }
        if (!known)
            return pt_fail(err, PT_EINVAL, "the model has no input '" PT_STR_FMT "'; its inputs are: %s", PT_STR_ARG(pairs->list[i].name),
                           pt_buf_cstr(&names));
    }
    return PT_OK;
}

int pt_cli_model_load_inputs(struct pt_cli_model *m, const struct pt_cli_pairs *files, const struct pt_cli_pairs *shapes, struct pt_err *err)
{
    int rc = check_names(m, files, err);
    if (rc == PT_OK)
        rc = check_names(m, shapes, err);
    for (size_t i = 0; rc == PT_OK && i < pt_session_input_count(m->session); i++) {
        const char *name = pt_session_input(m->session, i)->name;
        rc = load_input(m, i, find(files, name), shapes ? find(shapes, name) : NULL, shapes != NULL, err);
    }
    return rc;
}
