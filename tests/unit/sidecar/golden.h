/* SPDX-License-Identifier: Apache-2.0
 *
 * golden.h: for the golden cases of the REST protocols: a model described by lines of name, datatype and dimensions, that gives each input "x" back
 * as "out_x"; and the files of a case.
 */
#ifndef PT_TESTS_SIDECAR_GOLDEN_H
#define PT_TESTS_SIDECAR_GOLDEN_H

#include "base/mem.h"
#include "sidecar/request.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MAX_INPUTS = 16 };

struct model {
    struct pt_value_info in[MAX_INPUTS], out[MAX_INPUTS];
    const struct pt_value_info *ins[MAX_INPUTS], *outs[MAX_INPUTS];
    char names[MAX_INPUTS][32], out_names[MAX_INPUTS][40];
    struct pt_model_info info;
};

static inline enum pt_dtype dtype(const char *name)
{
    const struct pt_datatype *t = pt_datatype_named(pt_str(name));
    if (!t)
        fail_msg("datatype %s", name);
    return t->dtype;
}

static inline void read_model(struct model *m, const char *text)
{
    char name[31], type[16], dims[64];
    int used;
    memset(m, 0, sizeof *m);
    for (; *text; text = strchr(text, '\n') + 1) {
        size_t i = m->info.input_count++;
        dims[0] = 0;
        assert_true(sscanf(text, "%30s %15s%n", name, type, &used) == 2);
        sscanf(text + used, " %63[-0-9,]", dims);
        snprintf(m->names[i], sizeof m->names[i], "%s", name);
        snprintf(m->out_names[i], sizeof m->out_names[i], "out_%s", name);
        m->in[i].name = m->names[i];
        m->in[i].dtype = dtype(type);
        for (char *p = dims; *p; p += *p == ',')
            m->in[i].dims[m->in[i].rank++] = strtoll(p, &p, 10);
        m->out[i] = m->in[i];
        m->out[i].name = m->out_names[i];
        m->ins[i] = &m->in[i];
        m->outs[i] = &m->out[i];
    }
    m->info.name = "m";
    m->info.version = "1";
    m->info.inputs = m->ins;
    m->info.outputs = m->outs;
    m->info.output_count = m->info.input_count;
}

/* dir: of the cases, below tests/unit/sidecar */
static inline bool read_case(const char *dir, const char *name, const char *file, struct pt_buf *b)
{
    char path[512];
    snprintf(path, sizeof path, PT_SOURCE_DIR "/tests/unit/sidecar/%s/%s/%s", dir, name, file);
    pt_buf_reset(b);
    return pt_buf_read_file(b, path, NULL) == PT_OK;
}

/* Runs each case; returns how many. */
static inline int each_case(const char *dir, void (*run)(const char *name))
{
    char path[512];
    struct dirent **names;
    snprintf(path, sizeof path, PT_SOURCE_DIR "/tests/unit/sidecar/%s", dir);
    int n = scandir(path, &names, NULL, alphasort), cases = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            run(names[i]->d_name);
            cases++;
        }
        free(names[i]);
    }
    free(names);
    return cases;
}

/* The line of an answer: what was encoded, or the code's name and the message. */
static inline void end_answer(int rc, const struct pt_err *err, struct pt_buf *out)
{
    if (rc < 0) {
        assert_int_equal(rc, err->code);
        pt_buf_reset(out);
        pt_buf_printf(out, "%s %s", pt_err_name(rc), err->msg);
    }
    pt_buf_putc(out, '\n');
}

/* Decodes the request again and again while one allocation after the other fails, until none does; how many failed, each with PT_ENOMEM. */
static inline int failing_allocations(const struct pt_model_info *m, struct pt_str body,
                                      int (*decode)(struct pt_request *q, struct pt_str body, struct pt_err *err))
{
    int failed = 0, rc = PT_ENOMEM;
    for (int n = 1; n < 50 && rc < 0; n++) {
        struct pt_request q = {0};
        struct pt_err err = {0};
        pt_mem_fail_at(n, 1);
        rc = pt_request_init(&q, m, &err);
        if (rc == PT_OK)
            rc = decode(&q, body, &err);
        pt_mem_fail_at(0, 0);
        if (rc < 0)
            assert_int_equal(err.code, PT_ENOMEM);
        failed += rc < 0;
        pt_request_finish(&q);
    }
    assert_int_equal(rc, PT_OK);
    return failed;
}

#endif
