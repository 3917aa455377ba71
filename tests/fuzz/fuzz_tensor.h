/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_tensor.h: equality of tensors, for the fuzzers of both tensor file formats.
 */
#ifndef PT_TESTS_FUZZ_TENSOR_H
#define PT_TESTS_FUZZ_TENSOR_H

#include "cli/tensor_file.h"

#include <stdlib.h>

static bool fuzz_same(const struct pt_tensor *a, const struct pt_tensor *b)
{
    const struct pt_string *s = a->data, *t = b->data;
    if (a->dtype != b->dtype || a->rank != b->rank || a->size_bytes != b->size_bytes || memcmp(a->dims, b->dims, sizeof a->dims) != 0)
        return false;
    if (a->dtype != PT_STRING)
        return memcmp(a->data, b->data, a->size_bytes) == 0;
    for (size_t i = 0; i < a->size_bytes / sizeof *s; i++)
        if (!pt_str_eq((struct pt_str){s[i].p, s[i].len}, (struct pt_str){t[i].p, t[i].len}))
            return false;
    return true;
}

#endif
