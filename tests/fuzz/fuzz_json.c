/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_json.c: any text as JSON, as an array of numbers and as a string. Numbers and strings that are read, written and read again must be
 * the same; numbers must be those of the C library.
 */
#include "base/json.h"
#include "base/num.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void numbers(const uint8_t *data, size_t size, enum pt_json_elem type, size_t elem_size)
{
    struct pt_err err = {0};
    uint64_t first[64] = {0}, second[64] = {0};
    for (size_t count = 0; count <= 64; count = count * 2 + 1) {
        struct pt_json j;
        pt_json_init(&j, data, size);
        if (pt_json_numbers(&j, type, first, count, &err) < 0)
            continue;
        pt_auto_buf b = PT_BUF_INIT(0);
        pt_buf_putc(&b, '[');
        pt_json_put_numbers(&b, type, first, count);
        pt_buf_putc(&b, ']');
        pt_json_init(&j, b.data, b.len);
        check(pt_json_numbers(&j, type, second, count, &err) == PT_OK && pt_json_end(&j, &err) == PT_OK);
        check(memcmp(first, second, count * elem_size) == 0);
    }
}

static void string(const uint8_t *data, size_t size)
{
    struct pt_json j;
    struct pt_err err;
    pt_auto_buf s = PT_BUF_INIT(0), again = PT_BUF_INIT(0), text = PT_BUF_INIT(0);
    pt_json_init(&j, data, size);
    if (pt_json_string(&j, &s, &err) < 0)
        return;
    check(pt_utf8_valid((struct pt_str){s.data, s.len}));
    pt_buf_json_string(&text, (struct pt_str){s.data, s.len});
    pt_json_init(&j, text.data, text.len);
    check(pt_json_string(&j, &again, &err) == PT_OK && pt_json_end(&j, &err) == PT_OK);
    check(pt_str_eq((struct pt_str){s.data, s.len}, (struct pt_str){again.data, again.len}));
}

static void one_number(const uint8_t *data, size_t size)
{
    struct pt_num n;
    const char *text = (const char *)data, *end = pt_num_scan(text, text + size, &n);
    if (!end)
        return;
    char *copy = calloc(1, (size_t)(end - text) + 1);
    memcpy(copy, text, (size_t)(end - text));
    double d = pt_num_to_f64(&n), want = strtod(copy, NULL);
    float f = pt_num_to_f32(&n), want_f = strtof(copy, NULL);
    check(memcmp(&d, &want, sizeof d) == 0 && memcmp(&f, &want_f, sizeof f) == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_json j;
    struct pt_str raw, again;
    struct pt_err err;
    pt_json_init(&j, data, size);
    if (pt_json_value(&j, &raw, &err) == PT_OK) { /* a value alone is read just as far */
        pt_json_init(&j, raw.p, raw.len);
        check(pt_json_value(&j, &again, &err) == PT_OK && again.len == raw.len && pt_json_end(&j, &err) == PT_OK);
    }
    numbers(data, size, PT_JE_F32, 4);
    numbers(data, size, PT_JE_F64, 8);
    numbers(data, size, PT_JE_F16, 2);
    numbers(data, size, PT_JE_I64, 8);
    numbers(data, size, PT_JE_U8, 1);
    numbers(data, size, PT_JE_BOOL, 1);
    string(data, size);
    one_number(data, size);
    return 0;
}
