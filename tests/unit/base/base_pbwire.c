/* SPDX-License-Identifier: Apache-2.0
 *
 * base_pbwire.c: protobuf wire format: known bytes, round trips, every prefix.
 */
#include "unit.h"

#include "base/pbwire.h"
#include "base/rand.h"

static void known_bytes(void **state)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    pt_pb_put_varint(&b, 1, 150);
    pt_pb_put_bytes(&b, 2, "testing", 7);
    pt_pb_put_i32(&b, 3, 0x3f800000);
    pt_pb_put_i64(&b, 4, 1);
    pt_pb_put_varint(&b, 536870911, UINT64_MAX);
    static const uint8_t want[] = "\x08\x96\x01\x12\x07testing\x1d\x00\x00\x80\x3f\x21\x01\0\0\0\0\0\0\0\xf8\xff\xff\xff\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_int_equal(b.len, sizeof want - 1);
    assert_memory_equal(b.data, want, b.len);
}

static void reads_back_and_stops_anywhere(void **state)
{
    struct pt_rand r;
    (void)state;
    pt_rand_init(&r, 9);
    for (int round = 0; round < 300; round++) {
        pt_auto_buf b = PT_BUF_INIT(0);
        struct pt_pb_field want[8];
        size_t ends[9] = {0};
        for (size_t i = 0; i < 8; i++) {
            static const enum pt_pb_type types[] = {PT_PB_VARINT, PT_PB_I64, PT_PB_LEN, PT_PB_I32};
            uint64_t v = ((uint64_t)pt_rand_u32(&r) << 32 | pt_rand_u32(&r)) >> pt_rand_below(&r, 64);
            want[i] = (struct pt_pb_field){.number = 1 + pt_rand_below(&r, 1 << (1 + pt_rand_below(&r, 28))), .type = types[pt_rand_below(&r, 4)], .value = v};
            if (want[i].type == PT_PB_VARINT)
                pt_pb_put_varint(&b, want[i].number, v);
            else if (want[i].type == PT_PB_I64)
                pt_pb_put_i64(&b, want[i].number, v);
            else if (want[i].type == PT_PB_I32)
                pt_pb_put_i32(&b, want[i].number, (uint32_t)(want[i].value = (uint32_t)v));
            else
                pt_pb_put_bytes(&b, want[i].number, "0123456789abcdef", want[i].value = v % 17);
            ends[i + 1] = b.len;
        }
        for (size_t len = 0; len <= b.len; len++) {
            char *copy = malloc(len ? len : 1); /* ends where the text ends: reading past it is caught */
            memcpy(copy, b.data, len);
            struct pt_pb_reader in = pt_pb_reader(copy, len);
            struct pt_pb_field f;
            size_t i = 0;
            int rc;
            for (; (rc = pt_pb_next(&in, &f, NULL)) == 1; i++) {
                assert_true(f.number == want[i].number && f.type == want[i].type);
                assert_true(f.type == PT_PB_LEN ? f.bytes.len == want[i].value && memcmp(f.bytes.p, "0123456789abcdef", f.bytes.len) == 0 : f.value == want[i].value);
            }
            assert_int_equal(rc, ends[i] == len ? 0 : PT_EPARSE);
            assert_true(ends[i] <= len && (i == 8 || len < ends[i + 1]));
            free(copy);
        }
    }
}

static void refuses_bad_bytes(void **state)
{
    const struct {
        struct pt_str bytes;
        const char *part;
    } rows[] = {{PT_STR("\x00"), "tag 0"}, {PT_STR("\x07"), "tag 7"}, {PT_STR("\x0b"), "wire type 3"}, {PT_STR("\x0c"), "wire type 4"}, {PT_STR("\x0e\x00"), "wire type 6"},
                {PT_STR("\x0f\x00"), "wire type 7"}, {PT_STR("\xff\xff\xff\xff\x1f\x00"), "tag"}, {PT_STR("\x08"), "field 1"}, {PT_STR("\x08\x80"), "inside a varint"},
                {PT_STR("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), "64 bits"}, {PT_STR("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "64 bits"},
                {PT_STR("\x12\x05" "abcd"), "field 2 says 5 bytes, 4 are left"}, {PT_STR("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "field 2 says 18446744073709551615 bytes"},
                {PT_STR("\x0d\x00\x00\x00"), "field 1"}, {PT_STR("\x09\x00\x00\x00\x00\x00\x00\x00"), "field 1"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_pb_reader in = pt_pb_reader(rows[i].bytes.p, rows[i].bytes.len);
        struct pt_pb_field f;
        assert_fails(pt_pb_next(&in, &f, &err), PT_EPARSE, rows[i].part);
    }
}

static void packed_varints(void **state)
{
    const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    pt_auto_buf b = PT_BUF_INIT(0);
    uint64_t v;
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        pt_pb_put_raw_varint(&b, values[i]);
    struct pt_pb_reader in = pt_pb_reader(NULL, 0);
    assert_int_equal(pt_pb_varint(&in, &v, NULL), 0);
    in = pt_pb_reader(b.data, b.len);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_int_equal(pt_pb_varint(&in, &v, NULL), 1);
        assert_true(v == values[i]);
    }
    assert_int_equal(pt_pb_varint(&in, &v, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes), cmocka_unit_test(reads_back_and_stops_anywhere), cmocka_unit_test(refuses_bad_bytes), cmocka_unit_test(packed_varints),
    };
    return cmocka_run_group_tests_name("pbwire", tests, NULL, NULL);
}
