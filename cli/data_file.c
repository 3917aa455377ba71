/* SPDX-License-Identifier: Apache-2.0
 *
 * data_file.c: what the readers of samples share.
 */
#include "cli/data_files.h"

#include "base/mem.h"

void pt_data_file_finish(struct pt_data_file *f)
{
    for (size_t i = 0; i < f->count; i++) {
        pt_free(f->arrays[i].name);
        pt_tensor_file_finish(&f->arrays[i].value);
    }
    for (size_t i = 0; i < f->class_count; i++)
        pt_free(f->classes[i]);
    pt_free(f->arrays);
    pt_free(f->classes);
    pt_tensor_file_finish(&f->labels);
    *f = (struct pt_data_file){0};
}

struct pt_tensor_file *pt_data_file_add(struct pt_data_file *f, struct pt_str name, struct pt_err *err)
{
    struct pt_data_array *arrays = pt_reallocarray(f->arrays, f->count + 1, sizeof *arrays);
    if (arrays)
        f->arrays = arrays;
    char *copy = arrays ? pt_strndup(name.p, name.len) : NULL;
    if (!copy) {
        pt_fail(err, PT_ENOMEM, "out of memory");
        return NULL;
    }
    f->arrays[f->count] = (struct pt_data_array){.name = copy};
    return &f->arrays[f->count++].value;
}
