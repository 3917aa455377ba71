/* SPDX-License-Identifier: Apache-2.0
 *
 * cli_tensor_file.c: .npy and TensorProto files: what NumPy and ONNX write, round trips of every type, and what a broken or hostile file may say.
 */
#include "tests/unit/base/unit.h"

#include "base/pbwire.h"
#include "cli/tensor_file.h"

#include <math.h>

/* Bytes in memory that ends with them, so that reading past the end is caught. */
static int parse_exact(int (*parse)(const void *, size_t, struct pt_tensor_file *, struct pt_err *), const void *bytes, size_t len, struct pt_tensor_file *out,
                       struct pt_err *err)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    int rc = parse(copy, len, out, err);
    free(copy);
    if (rc < 0)
        assert_true(!out->t.data && !out->text);
    return rc;
}

/* A version 1 file with this dict and data. */
static int npy(const char *dict, const void *data, size_t len, struct pt_tensor_file *out, struct pt_err *err)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    size_t n = strlen(dict);
    pt_buf_append(&b, "\x93NUMPY\x01\x00", 8);
    pt_buf_putc(&b, (char)(n & 255));
    pt_buf_putc(&b, (char)(n >> 8));
    pt_buf_puts(&b, dict);
    pt_buf_append(&b, data, len);
    return parse_exact(pt_npy_parse, b.data, b.len, out, err);
}
#define DICT(descr, shape) "{'descr': '" descr "', 'fortran_order': False, 'shape': " shape ", }\n"

static void npy_reads_what_numpy_writes(void **state)
{
    struct pt_tensor_file f;
    const float v[] = {1.5f, -2, 3};
    (void)state;
    assert_works(npy(DICT("<f4", "(3,)"), v, sizeof v, &f, &err));
    assert_true(f.t.dtype == PT_FLOAT && f.t.rank == 1 && f.t.dims[0] == 3 && f.t.size_bytes == sizeof v);
    assert_memory_equal(f.t.data, v, sizeof v);
    assert_int_equal((uintptr_t)f.t.data % 64, 0);
    pt_tensor_file_finish(&f);
    assert_works(npy(DICT("<f8", "()"), "\0\0\0\0\0\0\xf0\x3f", 8, &f, &err)); /* a scalar */
    assert_true(f.t.rank == 0 && *(double *)f.t.data == 1);
    pt_tensor_file_finish(&f);
    assert_works(npy(DICT("<i8", "(0, 7)"), "", 0, &f, &err));
    assert_true(f.t.rank == 2 && f.t.dims[1] == 7 && f.t.size_bytes == 0);
    pt_tensor_file_finish(&f);
    assert_works(npy(DICT("|b1", "(2, 2)"), "\0\1\2\xff", 4, &f, &err));
    assert_memory_equal(f.t.data, "\0\1\1\1", 4);
    pt_tensor_file_finish(&f);
    assert_works(npy("{\"shape\":(2,1),'descr':'>i2','fortran_order':False}", "\x01\x02\xff\xfe", 4, &f, &err)); /* other order of keys and bytes */
    assert_true(((int16_t *)f.t.data)[0] == 258 && ((int16_t *)f.t.data)[1] == -2);
    pt_tensor_file_finish(&f);
    assert_works(npy(DICT(">c8", "(1,)"), "\x3f\x80\0\0\x40\0\0\0", 8, &f, &err));
    assert_true(((float *)f.t.data)[0] == 1 && ((float *)f.t.data)[1] == 2);
    pt_tensor_file_finish(&f);
}

static void npy_column_major(void **state)
{
    struct pt_tensor_file f;
    uint8_t columns[24];
    (void)state;
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++)
                columns[a + 2 * b + 6 * c] = (uint8_t)(100 * a + 10 * b + c);
    assert_works(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", columns, 24, &f, &err));
    const uint8_t *p = f.t.data;
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++)
                assert_int_equal(*p++, 100 * a + 10 * b + c);
    pt_tensor_file_finish(&f);
    assert_works(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (0, 3), }", "", 0, &f, &err));
    pt_tensor_file_finish(&f);
}

static bool string_is(const struct pt_tensor_file *f, size_t i, struct pt_str want)
{
    const struct pt_string *s = f->t.data;
    return pt_str_eq((struct pt_str){s[i].p, s[i].len}, want);
}

static void npy_strings(void **state)
{
    struct pt_tensor_file f, g;
    pt_auto_buf b = PT_BUF_INIT(0);
    static const char text[] = "a\0\0\0\xe9\0\0\0" "\x00\xf6\x01\0\0\0\0\0" "\0\0\0\0\0\0\0\0";
    (void)state;
    assert_works(npy(DICT("|S3", "(3,)"), "abcd\0\0\0\0\0", 9, &f, &err));
    assert_true(string_is(&f, 0, PT_STR("abc")) && string_is(&f, 1, PT_STR("d")) && string_is(&f, 2, PT_STR("")));
    pt_tensor_file_finish(&f);
    assert_works(npy(DICT("<U2", "(3, 1)"), text, sizeof text - 1, &f, &err));
    assert_true(string_is(&f, 0, PT_STR("a\xc3\xa9")) && string_is(&f, 1, PT_STR("\xf0\x9f\x98\x80")) && string_is(&f, 2, PT_STR("")));
    assert_works(pt_npy_write(&b, &f.t, &err)); /* 128 bytes of header, then the same bytes again */
    assert_int_equal(b.len, 128 + sizeof text - 1);
    assert_memory_equal(b.data + 128, text, sizeof text - 1);
    assert_works(parse_exact(pt_npy_parse, b.data, b.len, &g, &err));
    assert_true(string_is(&g, 1, PT_STR("\xf0\x9f\x98\x80")) && g.t.rank == 2);
    pt_tensor_file_finish(&g);
    pt_tensor_file_finish(&f);
    assert_works(npy(DICT(">U1", "(1,)"), "\0\0\0x", 4, &f, &err));
    assert_true(string_is(&f, 0, PT_STR("x")));
    pt_tensor_file_finish(&f);
    assert_works(npy(DICT("<U0", "(2,)"), "", 0, &f, &err));
    assert_true(string_is(&f, 1, PT_STR("")));
    pt_tensor_file_finish(&f);
    assert_fails(npy(DICT("<U1", "(1,)"), "\0\xd8\0\0", 4, &f, &err), PT_EPARSE, "U+D800");
    assert_fails(npy(DICT("<U1", "(1,)"), "\0\0\x11\0", 4, &f, &err), PT_EPARSE, "U+110000");
    assert_fails(npy(DICT("|S0", "(9000000000,)"), "", 0, &f, &err), PT_ELIMIT, "9000000000 empty strings");
    struct pt_string odd[] = {{"\xff", 1}, {"a\0", 2}};
    for (int i = 0; i < 2; i++) {
        struct pt_tensor t = {.dtype = PT_STRING, .rank = 1, .dims = {1}, .data = &odd[i], .size_bytes = sizeof *odd};
        assert_fails(pt_npy_write(&b, &t, &err), PT_EUNSUPPORTED, "string 0");
    }
}

static void npy_refuses(void **state)
{
    const struct {
        const char *dict, *part;
        int code;
    } rows[] = {
        {DICT("<f4", "(2,)"), "8 bytes of data, type and shape need 8", PT_OK},
        {DICT("<f4", "(3,)"), "8 bytes of data, type and shape need 12", PT_EPARSE},
        {DICT("<f4", "(1,)"), "type and shape need 4", PT_EPARSE},
        {DICT("<f4", "(4611686018427387904, 4)"), "too many elements", PT_ELIMIT},
        {DICT("<f8", "(2305843009213693952,)"), "too many elements", PT_ELIMIT},
        {DICT("<f4", "(99999999999999999999,)"), "dimension", PT_EPARSE},
        {DICT("<f4", "(-1,)"), "dimension: -1 is", PT_EPARSE},
        {DICT("<f4", "(2, x)"), "dimension", PT_EPARSE},
        {DICT("<f4", "[2]"), "tuple", PT_EPARSE},
        {DICT("<f4", "(2 2)"), "tuple", PT_EPARSE},
        {DICT("<f4", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2)"), "rank", PT_ELIMIT},
        {DICT("<f3", "(2,)"), "'<f3'", PT_EUNSUPPORTED},
        {DICT("|V8", "(1,)"), "'|V8'", PT_EUNSUPPORTED},
        {DICT("|O", "(1,)"), "'|O'", PT_EUNSUPPORTED},
        {DICT("<M8[ns]", "(1,)"), "'<M8[ns]'", PT_EUNSUPPORTED},
        {DICT("f4", "(2,)"), "'f4'", PT_EUNSUPPORTED},
        {DICT("<S99999999999", "(1,)"), "'<S99999999999'", PT_EUNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "structured", PT_EUNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}", "fortran_order", PT_EPARSE},
        {"{'descr': '<f4', 'shape': (2,)}", "needs descr", PT_EPARSE},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "'descr' is there twice", PT_EPARSE},
        {"{'extra': 1}", "'extra' is unknown", PT_EPARSE},
        {"{'descr' '<f4'}", "named values", PT_EPARSE},
        {"{'descr': '<f4' 'shape': (2,)}", "missing after 'descr'", PT_EPARSE},
        {"{", "named values", PT_EPARSE},
        {"", "not a dict", PT_EPARSE},
    };
    struct pt_tensor_file f;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == PT_OK) {
            assert_works(npy(rows[i].dict, "12345678", 8, &f, &err));
            pt_tensor_file_finish(&f);
        } else {
            assert_fails(npy(rows[i].dict, "12345678", 8, &f, &err), rows[i].code, rows[i].part);
        }
    assert_fails(pt_npy_parse("\x93NUMPY\x04\x00\x00\x00\x00\x00", 12, &f, &err), PT_EUNSUPPORTED, "version 4.0");
    assert_fails(pt_npy_parse("PK\x03\x04 something else", 17, &f, &err), PT_EPARSE, "not an npy file");
    assert_fails(pt_npy_parse("\x93NUMPY\x01\x00\xff\xff{", 11, &f, &err), PT_EPARSE, "inside the header");
    assert_fails(pt_npy_parse("\x93NUMPY\x02\x00\x00\x00\x00", 11, &f, &err), PT_EPARSE, "inside the header");
}

/* A tensor of this type with bytes that differ. */
static struct pt_tensor_file sample(enum pt_dtype type)
{
    struct pt_tensor_file f;
    assert_works(pt_tensor_file_alloc(&f, type, 3, (int64_t[]){2, 3, 5}, &err));
    for (size_t i = 0; i < f.t.size_bytes; i++)
        ((uint8_t *)f.t.data)[i] = (uint8_t)(type == PT_BOOL ? i % 2 : i * 7 + 1);
    struct pt_string *s = f.t.data;
    for (size_t i = 0; type == PT_STRING && i < 30; i++)
        s[i] = (struct pt_string){"thirty strings of many lengths", i};
    return f;
}

static void assert_same(const struct pt_tensor *a, const struct pt_tensor *b)
{
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
    assert_int_equal(a->size_bytes, b->size_bytes);
    const struct pt_string *s = a->data, *t = b->data;
    if (a->dtype != PT_STRING)
        assert_memory_equal(a->data, b->data, a->size_bytes);
    else
        for (size_t i = 0; i < a->size_bytes / sizeof *s; i++)
            assert_true(s[i].len == t[i].len && memcmp(s[i].p, t[i].p, s[i].len) == 0);
}

/* Every type, both formats, and every prefix of the file is refused. */
static void all_types_round_trip(void **state)
{
    (void)state;
    for (int type = 1; type < PT_DTYPE_COUNT; type++)
        for (int pb = 0; pb < 2; pb++) {
            struct pt_tensor_file f = sample((enum pt_dtype)type), g;
            struct pt_err said;
            pt_auto_buf b = PT_BUF_INIT(0);
            int rc = pb ? pt_tensor_pb_write(&b, &f.t, "name", &said) : pt_npy_write(&b, &f.t, &said);
            if (rc == PT_EUNSUPPORTED) {
                assert_true(!pb && (type >= PT_BFLOAT16) && strstr(said.msg, pt_dtype_name((enum pt_dtype)type)));
                pt_tensor_file_finish(&f);
                continue;
            }
            assert_int_equal(rc, PT_OK);
            assert_works(parse_exact(pb ? pt_tensor_pb_parse : pt_npy_parse, b.data, b.len, &g, &err));
            assert_same(&g.t, &f.t);
            pt_tensor_file_finish(&g);
            for (size_t len = 0; len < b.len; len++)
                assert_true(parse_exact(pb ? pt_tensor_pb_parse : pt_npy_parse, b.data, len, &g, NULL) < 0);
            if (!pb)
                assert_int_equal((b.len - (type == PT_STRING ? 30 * 29 * 4 : f.t.size_bytes)) % 64, 0);
            pt_tensor_file_finish(&f);
        }
}

/* --- TensorProto --------------------------------------------------------------------------------------------------------- */

static void header(struct pt_buf *b, int type, int64_t d0, int64_t d1)
{
    pt_buf_reset(b);
    pt_pb_put_varint(b, 1, (uint64_t)d0);
    pt_pb_put_varint(b, 1, (uint64_t)d1);
    pt_pb_put_varint(b, 2, (uint64_t)type);
}

static int pb(const struct pt_buf *b, struct pt_tensor_file *out, struct pt_err *err)
{
    return parse_exact(pt_tensor_pb_parse, b->data, b->len, out, err);
}

static void pb_typed_fields(void **state)
{
    struct pt_tensor_file f;
    pt_auto_buf b = PT_BUF_INIT(0);
    const float floats[] = {1, -2};
    (void)state;
    header(&b, PT_FLOAT, 1, 2);
    pt_pb_put_bytes(&b, 4, floats, 4); /* packed, then single: one value each */
    pt_pb_put_i32(&b, 4, 0xc0000000);
    assert_works(pb(&b, &f, &err));
    assert_memory_equal(f.t.data, floats, 8);
    pt_tensor_file_finish(&f);
    header(&b, PT_INT8, 1, 2); /* negative numbers are ten bytes long */
    pt_pb_put_varint(&b, 5, (uint64_t)-5);
    pt_pb_put_varint(&b, 5, 7);
    assert_works(pb(&b, &f, &err));
    assert_memory_equal(f.t.data, "\xfb\x07", 2);
    pt_tensor_file_finish(&f);
    header(&b, PT_INT4, 1, 3); /* two to a byte */
    pt_pb_put_bytes(&b, 5, "\x21\x03", 2);
    assert_works(pb(&b, &f, &err));
    assert_true(f.t.size_bytes == 2 && memcmp(f.t.data, "\x21\x03", 2) == 0);
    pt_tensor_file_finish(&f);
    header(&b, PT_COMPLEX64, 1, 1);
    pt_pb_put_bytes(&b, 4, floats, 8);
    assert_works(pb(&b, &f, &err));
    assert_memory_equal(f.t.data, floats, 8);
    pt_tensor_file_finish(&f);
    header(&b, PT_STRING, 2, 1);
    pt_pb_put_bytes(&b, 6, "", 0);
    pt_pb_put_bytes(&b, 6, "a\0b", 3);
    assert_works(pb(&b, &f, &err));
    assert_true(string_is(&f, 0, PT_STR("")) && string_is(&f, 1, (struct pt_str){"a\0b", 3}));
    pt_tensor_file_finish(&f);
    header(&b, PT_BOOL, 1, 2);
    pt_pb_put_bytes(&b, 9, "\x05\x00", 2);
    pt_pb_put_bytes(&b, 12, "doc", 3); /* unknown here: skipped */
    assert_works(pb(&b, &f, &err));
    assert_memory_equal(f.t.data, "\1\0", 2);
    pt_tensor_file_finish(&f);
    pt_buf_reset(&b);
    pt_pb_put_bytes(&b, 1, "\x02\x01", 2); /* packed dims */
    pt_pb_put_varint(&b, 2, PT_UINT64);
    pt_pb_put_varint(&b, 11, UINT64_MAX);
    pt_pb_put_varint(&b, 11, 1);
    assert_works(pb(&b, &f, &err));
    assert_true(f.t.rank == 2 && f.t.dims[0] == 2 && ((uint64_t *)f.t.data)[0] == UINT64_MAX);
    pt_tensor_file_finish(&f);
}

static void pb_refuses(void **state)
{
    struct pt_tensor_file f;
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    assert_fails(pt_tensor_pb_parse("", 0, &f, &err), PT_EPARSE, "data_type is missing");
    header(&b, 0, 1, 1);
    assert_fails(pb(&b, &f, &err), PT_EUNSUPPORTED, "data_type 0");
    header(&b, 999, 1, 1);
    assert_fails(pb(&b, &f, &err), PT_EUNSUPPORTED, "data_type 999");
    header(&b, PT_FLOAT, -1, 1);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "dimension -1 is negative");
    header(&b, PT_FLOAT, INT64_MAX, INT64_MAX);
    assert_fails(pb(&b, &f, &err), PT_ELIMIT, "too many elements");
    header(&b, PT_FLOAT, 1 << 20, 1 << 12); /* 16 GB asked for by a few bytes: refused before any allocation */
    pt_mem_fail_at(1, 1);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "needs more than");
    pt_mem_fail_at(0, 0);
    header(&b, PT_UINT4, 1 << 20, 1 << 12);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "needs more than");
    header(&b, PT_FLOAT, 1, 2);
    pt_pb_put_bytes(&b, 9, "1234567", 7);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "7 bytes of raw_data, type and shape need 8");
    header(&b, PT_FLOAT, 1, 2);
    pt_pb_put_bytes(&b, 4, "1234567", 7);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "1 bytes of data are missing");
    header(&b, PT_FLOAT, 1, 2);
    pt_pb_put_bytes(&b, 4, "123456789abc", 12);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "more data");
    header(&b, PT_FLOAT, 1, 2);
    pt_pb_put_varint(&b, 7, 1);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "float32 elements cannot be in field 7");
    header(&b, PT_STRING, 1, 1);
    pt_pb_put_bytes(&b, 9, "x", 1);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "strings cannot be in raw_data");
    header(&b, PT_STRING, 1, 1);
    pt_pb_put_bytes(&b, 6, "x", 1);
    pt_pb_put_bytes(&b, 6, "y", 1);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "more data");
    header(&b, PT_FLOAT, 1, 1);
    pt_pb_put_varint(&b, 14, 1);
    assert_fails(pb(&b, &f, &err), PT_EUNSUPPORTED, "external data");
    header(&b, PT_FLOAT, 1, 1);
    pt_pb_put_bytes(&b, 3, "", 0);
    assert_fails(pb(&b, &f, &err), PT_EUNSUPPORTED, "segments");
    header(&b, PT_FLOAT, 1, 1);
    pt_pb_put_varint(&b, 9, 1);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "field 9 has wire type 0");
    header(&b, PT_FLOAT, 1, 1);
    pt_pb_put_varint(&b, 4, 1);
    assert_fails(pb(&b, &f, &err), PT_EPARSE, "field 4 has wire type 0");
    pt_buf_reset(&b);
    for (int i = 0; i < 17; i++)
        pt_pb_put_varint(&b, 1, 1);
    assert_fails(pb(&b, &f, &err), PT_ELIMIT, "rank");
}

/* --- files, made-up values, memory --------------------------------------------------------------------------------------------- */

static void files_by_their_ending(void **state)
{
    struct pt_tensor_file f = sample(PT_INT32), g;
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    assert_works(pt_npy_write(&b, &f.t, &err));
    temp_write("t.npy", b.data, b.len);
    assert_works(pt_tensor_file_read(temp_path("t.npy"), &g, &err));
    assert_same(&g.t, &f.t);
    pt_tensor_file_finish(&g);
    pt_buf_reset(&b);
    assert_works(pt_tensor_pb_write(&b, &f.t, "x", &err));
    temp_write("t.pb", b.data, b.len);
    assert_works(pt_tensor_file_read(temp_path("t.pb"), &g, &err));
    assert_same(&g.t, &f.t);
    pt_tensor_file_finish(&g);
    temp_write("bad.npy", b.data, b.len);
    temp_write("empty.pb", "", 0);
    assert_fails(pt_tensor_file_read(temp_path("bad.npy"), &g, &err), PT_EPARSE, "bad.npy: not an npy file");
    assert_fails(pt_tensor_file_read(temp_path("empty.pb"), &g, &err), PT_EPARSE, "data_type is missing");
    assert_fails(pt_tensor_file_read(temp_path("t.txt"), &g, &err), PT_EINVAL, "ends in .npy or .pb");
    assert_fails(pt_tensor_file_read(".npy", &g, &err), PT_EINVAL, "ends in");
    assert_fails(pt_tensor_file_read(temp_path("none.pb"), &g, &err), PT_ENOTFOUND, "none.pb");
    pt_tensor_file_finish(&f);
    temp_remove();
}

static void made_up_values(void **state)
{
    struct pt_tensor_file f;
    (void)state;
    assert_works(pt_tensor_file_alloc(&f, PT_FLOAT, 1, (int64_t[]){10000}, &err));
    assert_works(pt_tensor_file_fill(&f, &err));
    double sum = 0, squares = 0;
    for (int i = 0; i < 10000; i++)
        sum += (double)((float *)f.t.data)[i], squares += pow((double)((float *)f.t.data)[i], 2);
    assert_true(fabs(sum / 1e4) < 0.05 && fabs(squares / 1e4 - 1) < 0.06);
    pt_tensor_file_finish(&f);
    assert_works(pt_tensor_file_alloc(&f, PT_INT64, 1, (int64_t[]){3}, &err));
    assert_works(pt_tensor_file_fill(&f, &err));
    assert_memory_equal(f.t.data, ((int64_t[]){1, 1, 1}), 24);
    pt_tensor_file_finish(&f);
    assert_works(pt_tensor_file_alloc(&f, PT_FLOAT8E5M2, 0, NULL, &err));
    assert_fails(pt_tensor_file_fill(&f, &err), PT_EUNSUPPORTED, "float8");
    pt_tensor_file_finish(&f);
    assert_fails(pt_tensor_file_alloc(&f, PT_FLOAT, 2, (int64_t[]){INT64_MAX, 2}, &err), PT_ELIMIT, "too many");
}

static int read_strings(int use_pb)
{
    struct pt_tensor_file f;
    static struct pt_buf files[2];
    if (!files[use_pb].len) {
        struct pt_string s[] = {{"one", 3}, {"two", 3}};
        struct pt_tensor t = {.dtype = PT_STRING, .rank = 1, .dims = {2}, .data = s, .size_bytes = sizeof s};
        pt_mem_fail_at(0, 0);
        assert_works(use_pb ? pt_tensor_pb_write(&files[1], &t, "x", &err) : pt_npy_write(&files[0], &t, &err));
        return PT_ENOMEM; /* the next round is the first */
    }
    int rc = parse_exact(use_pb ? pt_tensor_pb_parse : pt_npy_parse, files[use_pb].data, files[use_pb].len, &f, NULL);
    if (rc == PT_OK)
        pt_tensor_file_finish(&f);
    return rc;
}

static void without_memory(void **state)
{
    (void)state;
    with_failing_memory(rc = read_strings(0));
    with_failing_memory(rc = read_strings(1));
}

/* --- sequences, optionals, maps ------------------------------------------------------------------------------------------------------ */

/* What is written is read back: a sequence of sequences, an optional with and without a value, a map. */
static void values_round_trip(void **state)
{
    (void)state;
    float v[3] = {1, 2, 3};
    struct pt_string keys[2] = {{"a", 1}, {"b\"", 2}};
    struct pt_tensor items[2] = {{.dtype = PT_FLOAT, .rank = 1, .dims = {1}, .data = v, .size_bytes = 4},
                                 {.dtype = PT_FLOAT, .rank = 1, .dims = {2}, .data = v + 1, .size_bytes = 8}};
    struct pt_sequence inner = {.count = 2, .items = items, .elem = PT_FLOAT};
    struct pt_tensor middle = {.dtype = PT_SEQUENCE, .data = &inner, .size_bytes = sizeof inner};
    struct pt_sequence outer = {.count = 1, .items = &middle, .elem = PT_SEQUENCE};
    struct pt_tensor t = {.dtype = PT_SEQUENCE, .data = &outer, .size_bytes = sizeof outer};
    struct pt_err err = {0};
    struct pt_tensor_file f;
    pt_auto_buf b = PT_BUF_INIT(0), o = PT_BUF_INIT(0), m = PT_BUF_INIT(0), json = PT_BUF_INIT(0);
    assert_int_equal(pt_value_pb_write(&b, &t, "s", &err), PT_OK);
    assert_int_equal(pt_value_pb_parse(b.data, b.len, PT_SEQUENCE, &f, &err), PT_OK);
    const struct pt_sequence *s = f.t.data, *s2 = s->items[0].data;
    assert_true(s->count == 1 && s->elem == PT_SEQUENCE && s2->count == 2 && s2->items[1].dims[0] == 2);
    assert_float_equal(((float *)s2->items[1].data)[1], 3, 0);
    pt_tensor_file_finish(&f);
    for (size_t cut = 0; cut < b.len; cut++) /* half a file is an error or a shorter value, never a crash */
        if (pt_value_pb_parse(b.data, cut, PT_SEQUENCE, &f, &err) == PT_OK)
            pt_tensor_file_finish(&f);

    struct pt_optional opt = {.value = items};
    t = (struct pt_tensor){.dtype = PT_OPTIONAL, .data = &opt, .size_bytes = sizeof opt};
    assert_int_equal(pt_value_pb_write(&o, &t, "o", &err), PT_OK);
    assert_int_equal(pt_value_pb_parse(o.data, o.len, PT_OPTIONAL, &f, &err), PT_OK);
    assert_float_equal(*(float *)((struct pt_optional *)f.t.data)->value->data, 1, 0);
    pt_tensor_file_finish(&f);
    assert_int_equal(pt_value_pb_parse("", 0, PT_OPTIONAL, &f, &err), PT_OK);
    assert_null(((struct pt_optional *)f.t.data)->value);
    pt_tensor_file_finish(&f);

    struct pt_map_value map = {{.dtype = PT_STRING, .rank = 1, .dims = {2}, .data = keys, .size_bytes = sizeof keys},
                               {.dtype = PT_FLOAT, .rank = 1, .dims = {2}, .data = v, .size_bytes = 8}};
    t = (struct pt_tensor){.dtype = PT_MAP, .data = &map, .size_bytes = sizeof map};
    assert_int_equal(pt_value_pb_write(&m, &t, "m", &err), PT_OK);
    assert_int_equal(pt_value_pb_parse(m.data, m.len, PT_MAP, &f, &err), PT_OK);
    const struct pt_map_value *back = f.t.data;
    assert_true(back->keys.dtype == PT_STRING && back->keys.dims[0] == 2 && back->values.dims[0] == 2);
    assert_memory_equal(((struct pt_string *)back->keys.data)[1].p, "b\"", 2);
    assert_float_equal(((float *)back->values.data)[1], 2, 0);
    assert_int_equal(pt_map_json_write(&json, &f.t, &err), PT_OK);
    assert_string_equal(pt_buf_cstr(&json), "{\"a\":1,\"b\\\"\":2}\n");
    pt_tensor_file_finish(&f);
}

static void values_refused(void **state)
{
    (void)state;
    struct pt_err err = {0};
    struct pt_tensor_file f;
    char deep[64];
    size_t n = sizeof deep;
    while (n >= 2 && sizeof deep - n < 60) { /* sequences in sequences: field 5, length of what is behind */
        deep[n - 1] = (char)(sizeof deep - n);
        deep[n - 2] = 5 << 3 | 2;
        n -= 2;
    }
    assert_int_equal(pt_value_pb_parse(deep + n, sizeof deep - n, PT_SEQUENCE, &f, &err), PT_ELIMIT);
    assert_non_null(strstr(err.msg, "nested deeper than 16"));
    assert_int_equal(pt_value_pb_parse("\x22\x00", 2, PT_SEQUENCE, &f, &err), PT_EUNSUPPORTED); /* a sparse tensor */
    assert_int_equal(pt_value_pb_parse("\x18\x01\x22\x01x", 5, PT_MAP, &f, &err), PT_EPARSE);  /* keys of two types */
    assert_non_null(strstr(err.msg, "keys of two types"));
    assert_int_equal(pt_value_pb_parse("\x18\x01", 2, PT_MAP, &f, &err), PT_EPARSE);
    assert_string_equal(err.msg, "a map has 1 keys and 0 values");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_round_trip),
        cmocka_unit_test(values_refused),
        cmocka_unit_test(npy_reads_what_numpy_writes), cmocka_unit_test(npy_column_major), cmocka_unit_test(npy_strings),
        cmocka_unit_test(npy_refuses),                 cmocka_unit_test(all_types_round_trip), cmocka_unit_test(pb_typed_fields),
        cmocka_unit_test(pb_refuses),                  cmocka_unit_test(files_by_their_ending), cmocka_unit_test(made_up_values),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests_name("tensor_file", tests, NULL, NULL);
}
