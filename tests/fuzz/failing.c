/* SPDX-License-Identifier: Apache-2.0
 *
 * failing.c: failing FOLDER: every model of the folder (the corpus of fuzz_onnx: an example of each operator) is opened and run once for each
 * allocation that this takes, which fails. Each must end in an error that says so, and under sanitizers leave nothing behind.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "tests/fuzz/fuzz_model.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static int open_and_run(const struct pt_buf *model, struct pt_err *err)
{
    static const uint8_t dims[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    struct pt_session_options o = {.thread_count = 1, .max_arena_bytes = 16 << 20};
    struct pt_session *s = NULL;
    struct pt_run *r = NULL;
    int rc = pt_session_open_memory(model->data, model->len, &o, &s, err);
    if (rc == PT_OK)
        rc = fuzz_run(s, dims, 1, (struct pt_run_options){.deadline_ms = 60000}, &r, err);
    pt_run_destroy(r);
    pt_session_close(s);
    return rc;
}

/* The number of allocations, 0 when the model does not run at all (broken ones are in the corpus, too), -1 after a mistake. */
static int64_t fail_each(const char *name, const struct pt_buf *model)
{
    struct pt_err err = {0};
    uint64_t before = pt_mem_count();
    if (open_and_run(model, &err) < 0)
        return 0;
    int64_t total = (int64_t)(pt_mem_count() - before);
    for (int64_t i = 1; i <= total; i++) {
        err = (struct pt_err){0};
        pt_mem_fail_at(i, 0);
        int rc = open_and_run(model, &err);
        pt_mem_fail_at(0, 0);
        if ((rc != PT_ENOMEM && rc != PT_ELIMIT) || !err.msg[0]) {
            printf("%s: allocation %lld of %lld failed, the result was %d: %s\n", name, (long long)i, (long long)total, rc, err.msg);
            return -1;
        }
    }
    return total;
}

int main(int argc, char **argv)
{
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    long models = 0, allocations = 0, broken = 0;
    if (!d) {
        fprintf(stderr, "usage: failing FOLDER\n");
        return 2;
    }
    for (struct dirent *e; (e = readdir(d));) {
        char path[4096];
        struct pt_err err;
        pt_auto_buf model = PT_BUF_INIT(0);
        if (e->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name) >= (int)sizeof path)
            continue;
        if (pt_buf_read_file(&model, path, &err) < 0) {
            fprintf(stderr, "%s\n", err.msg);
            return 2;
        }
        int64_t n = fail_each(e->d_name, &model);
        models += n > 0;
        allocations += n > 0 ? n : 0;
        broken += n < 0;
    }
    closedir(d);
    printf("%ld models, %ld failing allocations, %ld mistakes\n", models, allocations, broken);
    return broken || models < 200 ? 1 : 0;
}
