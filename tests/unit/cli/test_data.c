/* SPDX-License-Identifier: Apache-2.0
 *
 * test_data.c: samples out of files: what comes out of each form, how it is fitted to a model, the part held out, and what is said of bad files.
 */
#include "tests/unit/base/unit.h"

#include "base/mem.h"
#include "cli/data.h"
#include "cli/data_fit.h"
#include "cli/new.h"

#include <math.h>
#include <sys/stat.h>
#include <zlib.h>

#include <png.h>

static struct pt_err failure;

/* --- files ------------------------------------------------------------------------------------------------------------------------------------ */

static void put_le(struct pt_buf *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8)
        pt_buf_putc(b, (char)(v & 0xff));
}

static void put_npy(struct pt_buf *b, enum pt_dtype dtype, int rank, const int64_t *dims, const void *data)
{
    struct pt_tensor t = {.dtype = dtype, .rank = rank, .data = (void *)(uintptr_t)data};
    memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
    assert_true(pt_tensor_bytes(dtype, pt_tensor_count(&t), &t.size_bytes));
    assert_works(pt_npy_write(b, &t, &err));
}

struct zip {
    struct pt_buf bytes, directory;
    size_t count;
};

static void zip_add(struct zip *z, const char *name, const struct pt_buf *data, bool deflated)
{
    pt_auto_buf packed = PT_BUF_INIT(0);
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)data->data, (uInt)data->len);
    if (deflated) {
        z_stream s = {0};
        assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        uLong room = deflateBound(&s, data->len);
        s.next_in = (Bytef *)data->data, s.avail_in = (uInt)data->len;
        s.next_out = (Bytef *)pt_buf_reserve(&packed, room), s.avail_out = (uInt)room;
        assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
        packed.len = s.total_out;
        deflateEnd(&s);
    } else
        pt_buf_append(&packed, data->data, data->len);
    size_t at = z->bytes.len;
    for (int directory = 0; directory < 2; directory++) {
        struct pt_buf *b = directory ? &z->directory : &z->bytes;
        put_le(b, directory ? 0x02014b50 : 0x04034b50, 4);
        put_le(b, 20, directory ? 4 : 2);
        put_le(b, 0, 2);
        put_le(b, deflated ? 8 : 0, 2);
        put_le(b, 0, 4);
        put_le(b, crc, 4);
        put_le(b, packed.len, 4);
        put_le(b, data->len, 4);
        put_le(b, strlen(name), 2);
        put_le(b, 0, directory ? 4 : 2);
        if (directory) {
            put_le(b, 0, 8);
            put_le(b, at, 4);
        }
        pt_buf_puts(b, name);
    }
    pt_buf_append(&z->bytes, packed.data, packed.len);
    z->count++;
}

static void zip_end(struct zip *z)
{
    size_t at = z->bytes.len;
    pt_buf_append(&z->bytes, z->directory.data, z->directory.len);
    put_le(&z->bytes, 0x06054b50, 4);
    put_le(&z->bytes, 0, 4);
    put_le(&z->bytes, z->count, 2);
    put_le(&z->bytes, z->count, 2);
    put_le(&z->bytes, z->directory.len, 4);
    put_le(&z->bytes, at, 4);
    put_le(&z->bytes, 0, 2);
    pt_buf_finish(&z->directory);
}

/* samples of 4 values and labels i % classes */
static void make_npz(struct zip *z, int64_t n, int64_t classes, bool deflated)
{
    pt_auto_buf x = PT_BUF_INIT(0), y = PT_BUF_INIT(0);
    float values[400];
    int64_t labels[100];
    assert_true(n <= 100);
    for (int64_t i = 0; i < n * 4; i++)
        values[i] = (float)i / 8;
    for (int64_t i = 0; i < n; i++)
        labels[i] = i % classes;
    put_npy(&x, PT_FLOAT, 2, (int64_t[]){n, 4}, values);
    put_npy(&y, PT_INT64, 1, &n, labels);
    zip_add(z, "x.npy", &x, deflated);
    zip_add(z, "y.npy", &y, deflated);
    zip_end(z);
}

/* A model with this input and three classes. */
static struct pt_edit model;
static struct pt_buf model_bytes;
static void make_model(const char *input)
{
    pt_edit_finish(&model);
    pt_buf_reset(&model_bytes);
    assert_works(pt_new_model(&model, &model_bytes, input, strchr(input, 'x') ? "flatten,dense:3" : "dense:3", 1, &err));
}

static struct pt_data_options options(const char *train)
{
    struct pt_data_options o = {0};
    assert_works(pt_cmd_defaults(pt_data_rows, pt_data_row_count, &o, &err));
    o.train = train;
    return o;
}

/* --- what comes out --------------------------------------------------------------------------------------------------------------------------- */

static void npz(void **state)
{
    (void)state;
    for (int deflated = 0; deflated < 2; deflated++) {
        struct zip z = {0};
        struct pt_data_file f;
        make_npz(&z, 6, 3, deflated);
        assert_works(pt_npz_parse(z.bytes.data, z.bytes.len, NULL, PT_DATA_MAX, &f, &err));
        assert_int_equal(f.count, 1);
        assert_string_equal(f.arrays[0].name, "x");
        assert_int_equal(f.labels.t.dtype, PT_INT64);
        assert_true(((float *)f.arrays[0].value.t.data)[23] == 23 / 8.0F);
        pt_data_file_finish(&f);
        assert_works(pt_npz_parse(z.bytes.data, z.bytes.len, "x", PT_DATA_MAX, &f, &err));
        assert_string_equal(f.arrays[0].name, "y");
        pt_data_file_finish(&f);
        assert_fails(pt_npz_parse(z.bytes.data, z.bytes.len, "t", PT_DATA_MAX, &f, &err), PT_ENOTFOUND, "has no array 't' for labels");
        assert_fails(pt_npz_parse(z.bytes.data, z.bytes.len, NULL, 64, &f, &err), PT_ELIMIT, "member 'x': is said to hold");
        for (size_t cut = 0; cut < z.bytes.len; cut++) /* none is whole */
            assert_true(pt_npz_parse(z.bytes.data, cut, NULL, PT_DATA_MAX, &f, &failure) < 0);
        z.bytes.data[160] ^= 1;
        assert_true(pt_npz_parse(z.bytes.data, z.bytes.len, NULL, PT_DATA_MAX, &f, &failure) < 0);
        assert_non_null(strstr(failure.msg, "member 'x'"));
        pt_buf_finish(&z.bytes);
    }
}

static void csv(void **state)
{
    static const char text[] = "a;label;\"b;\"\"c\"\r\n1;cat;2\r\n-3.5;dog;4e1\n\n5;cat;+6\n";
    struct pt_data_file f;
    (void)state;
    assert_works(pt_csv_parse(text, sizeof text - 1, NULL, PT_TASK_AUTO, &f, &err));
    assert_int_equal(f.arrays[0].value.t.dims[0], 3);
    assert_int_equal(f.arrays[0].value.t.dims[1], 2);
    assert_true(((float *)f.arrays[0].value.t.data)[2] == -3.5F && ((float *)f.arrays[0].value.t.data)[5] == 6);
    assert_int_equal(f.labels.t.dtype, PT_STRING);
    assert_memory_equal(((struct pt_string *)f.labels.t.data)[1].p, "dog", 3);
    pt_data_file_finish(&f);
    assert_works(pt_csv_parse("a,b\n1,2\n3,4\n", 12, "2", PT_TASK_AUTO, &f, &err));
    assert_int_equal(f.labels.t.dtype, PT_INT64);
    assert_int_equal(((int64_t *)f.labels.t.data)[1], 4);
    pt_data_file_finish(&f);
    assert_works(pt_csv_parse("a,y\n1,2\n3,4\n", 12, NULL, PT_TASK_REGRESSION, &f, &err));
    assert_int_equal(f.labels.t.dtype, PT_FLOAT);
    pt_data_file_finish(&f);
    assert_works(pt_csv_parse("a,y\n1,2\n3,4.5\n", 14, NULL, PT_TASK_AUTO, &f, &err));
    assert_int_equal(f.labels.t.dtype, PT_FLOAT);
    pt_data_file_finish(&f);
    with_failing_memory({
        rc = pt_csv_parse(text, sizeof text - 1, NULL, PT_TASK_AUTO, &f, &failure);
        if (rc == PT_OK)
            pt_data_file_finish(&f);
    });
}

static void csv_messages(void **state)
{
    static const struct {
        const char *text, *label, *message;
    } rows[] = {
        {"", NULL, "line 1: no header"},
        {"a,y\n", NULL, "no rows behind the header"},
        {"1,2\n3,4\n", NULL, "line 1: \"1\" is a number; the first line must name the columns"},
        {"a,y\n1,2\n3\n", NULL, "line 3: 1 columns, the header has 2"},
        {"a,y\n1,2,3\n", NULL, "line 2: 3 columns, the header has 2"},
        {"a,b,y\n1,,2\n", NULL, "line 2, column \"b\": the value is missing"},
        {"y,b\n1,", NULL, "line 2, column \"b\": the value is missing"},
        {"a,b,y\n1,x,2\n", NULL, "line 2, column \"b\": \"x\" is no number"},
        {"a,b,y\n1,NaN,2\n", NULL, "line 2, column \"b\": \"NaN\" is no number"},
        {"a,y\n1,\n", NULL, "line 2: the label is missing"},
        {"a,b\n1,2\n", "y", "there is no column \"y\""},
        {"a,b\n1,2\n", "3", "column 3: there are 2"},
        {"y,y\n1,2\n", NULL, "line 1: columns 1 and 2 are both \"y\""},
        {"a,\"b\n1,2\n", NULL, "line 1: a quote is not closed"},
        {"a,y\n\"1\"x,2\n", NULL, "line 2: text behind a closing quote"},
    };
    struct pt_data_file f;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(pt_csv_parse(rows[i].text, strlen(rows[i].text), rows[i].label, PT_TASK_AUTO, &f, &failure) < 0);
        assert_string_equal(failure.msg, rows[i].message);
    }
}

static void idx(void **state)
{
    static const uint8_t bytes[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4};
    static const uint8_t floats[] = {0, 0, 13, 1, 0, 0, 0, 1, 0x40, 0x20, 0, 0};
    struct pt_data_file f;
    pt_auto_buf packed = PT_BUF_INIT(0), plain = PT_BUF_INIT(0);
    (void)state;
    assert_works(pt_idx_parse(bytes, sizeof bytes, &f, &err));
    assert_true(f.pixels);
    assert_int_equal(f.arrays[0].value.t.dims[2], 2);
    assert_int_equal(((uint8_t *)f.arrays[0].value.t.data)[3], 4);
    pt_data_file_finish(&f);
    assert_works(pt_idx_parse(floats, sizeof floats, &f, &err));
    assert_true(*(float *)f.arrays[0].value.t.data == 2.5F);
    pt_data_file_finish(&f);
    for (size_t cut = 0; cut < sizeof bytes; cut++)
        assert_true(pt_idx_parse(bytes, cut, &f, &failure) < 0);
    assert_fails(pt_idx_parse((uint8_t[]){0, 0, 7, 1, 0, 0, 0, 0}, 8, &f, &err), PT_EUNSUPPORTED, "type 0x07");
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes, z.avail_in = sizeof bytes, z.next_out = (Bytef *)pt_buf_reserve(&packed, 256), z.avail_out = 256;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed.len = z.total_out;
    deflateEnd(&z);
    assert_works(pt_gunzip(packed.data, packed.len, 1024, &plain, &err));
    assert_int_equal(plain.len, sizeof bytes);
    assert_fails(pt_gunzip(packed.data, packed.len - 9, 1024, &plain, &err), PT_EPARSE, "ends in the middle");
}

static void write_png(const char *path, int width, int height, const uint8_t *rgb)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (uint32_t)width, .height = (uint32_t)height, .format = PNG_FORMAT_RGB};
    assert_true(png_image_write_to_file(&image, path, 0, rgb, 0, NULL));
}

static void images(void **state)
{
    uint8_t rgb[4 * 4 * 3];
    char path[512];
    struct pt_data_set s;
    (void)state;
    make_model("3x2x2");
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < sizeof rgb; i++)
            rgb[i] = (uint8_t)(c * 80 + (int)(i % 3));
        static const char *const names[] = {"ant", "bee", "cow"};
        snprintf(path, sizeof path, "%s/images", temp_dir());
        mkdir(path, 0755);
        snprintf(path, sizeof path, "%s/images/%s", temp_dir(), names[2 - c]);
        mkdir(path, 0755);
        snprintf(path, sizeof path, "%s/images/%s/1.png", temp_dir(), names[2 - c]);
        write_png(path, 4, 4, rgb);
    }
    struct pt_data_options o = options(temp_path("images"));
    assert_works(pt_data_set_read(&s, &o, &model, 1, &err));
    assert_int_equal(s.train.data.count, 3);
    assert_string_equal(s.classes[0], "ant");
    const float *x = s.train.views[0].data; /* class 0, "ant", was written last: 160, 161, 162, channels first now */
    assert_true(fabsf(x[0] - 160 / 255.0F) < 1e-6F && fabsf(x[4] - 161 / 255.0F) < 1e-6F && fabsf(x[11] - 162 / 255.0F) < 1e-6F);
    assert_works(pt_data_set_note(&s, &o, &model, &err));
    pt_data_set_finish(&s);
    snprintf(path, sizeof path, "%s/images/dog", temp_dir());
    mkdir(path, 0755);
    assert_fails(pt_data_set_read(&s, &o, &model, 1, &err), PT_EINVAL, "the model has no class \"dog\"");
    pt_data_set_finish(&s);
    rmdir(path);
    temp_write("images/zebra.txt", "x", 1);
    make_model("3x2x2"); /* without names of classes */
    assert_fails(pt_data_set_read(&s, &o, &model, 1, &err), PT_EINVAL, "images/zebra.txt: is no folder");
    pt_data_set_finish(&s);
    unlink(temp_path("images/zebra.txt"));
    snprintf(path, sizeof path, "%s/images/cow/2.png", temp_dir());
    temp_write("images/cow/2.png", "\x89PNG\r\n\x1a\n rest", 13);
    assert_fails(pt_data_set_read(&s, &o, &model, 1, &err), PT_EPARSE, "cow/2.png: png: ");
    pt_data_set_finish(&s);
    temp_write("images/cow/2.png", "GIF89a and so on", 16);
    assert_fails(pt_data_set_read(&s, &o, &model, 1, &err), PT_EUNSUPPORTED, "cow/2.png: is neither a PNG nor a JPEG image");
    pt_data_set_finish(&s);
}

static void held_out(void **state)
{
    struct zip z = {0};
    struct pt_data_set s, again;
    int64_t count[3] = {0};
    (void)state;
    make_model("4");
    make_npz(&z, 60, 3, true);
    temp_write("s.npz", z.bytes.data, z.bytes.len);
    pt_buf_finish(&z.bytes);
    struct pt_data_options o = options(temp_path("s.npz"));
    o.held_out = "0.2";
    assert_works(pt_data_set_read(&s, &o, &model, 7, &err));
    assert_works(pt_data_set_read(&again, &o, &model, 7, &err));
    assert_int_equal(s.train.data.count, 48);
    assert_int_equal(s.held_out.data.count, 12);
    for (int64_t i = 0; i < 12; i++) {
        int64_t label = ((int64_t *)s.held_out.labels.t.data)[i], sample = (int64_t)(((float *)s.held_out.views[0].data)[i * 4] * 2);
        count[label]++;
        assert_int_equal(label, sample % 3);
        assert_true(((float *)again.held_out.views[0].data)[i * 4] == ((float *)s.held_out.views[0].data)[i * 4]);
        for (int64_t k = 0; k < 48; k++) /* never learned from */
            assert_true(((float *)s.train.views[0].data)[k * 4] != ((float *)s.held_out.views[0].data)[i * 4]);
    }
    assert_true(count[0] == 4 && count[1] == 4 && count[2] == 4);
    pt_data_set_finish(&s);
    pt_data_set_finish(&again);
}

/* --- what is said ------------------------------------------------------------------------------------------------------------------------------- */

static void set_messages(void **state)
{
    static const struct {
        const char *model, *csv, *held_out, *labels;
        const char *message;
    } rows[] = {
        {"3", "a,b,y\n1,2,0\n", NULL, NULL, "d.csv: input 'x': samples are [1, 2], the model takes [?, 3]"},
        {"2", "a,b,y\n1,2,0\n3,4,2\n", NULL, NULL, "d.csv: label 2, and 2 samples: there are empty classes"},
        {"2", "a,b,y\n1,2,0\n3,4,2\n1,1,0\n", NULL, NULL, "d.csv: class 1 has no samples to learn from"},
        {"2", "a,b,y\n1,2,0\n3,4,1\n1,1,0\n", NULL, NULL, "d.csv: class 2 has no samples to learn from"},
        {"2", "a,b,y\n1,2,0\n3,4,3\n1,1,0\n", NULL, NULL, "d.csv: label 3 of sample 1 is outside of the model's 3 classes"},
        {"2", "a,b,y\n1,2,0.5\n", "0.5", NULL, "1 sample: too few to hold 0.5 of them out"},
        {"2", "a,b,y\n1,2,0\n3,4,1\n1,1,0\n", "0.5", NULL, "class 1 has 1 sample: too few to hold 0.5 of them out"},
        {"2", "a,b,y\n1,2,0\n3,4,1\n1,1,0\n", "1.5", NULL, "held-out: \"1.5\" is no share between 0 and 1"},
        {"2", "a,b,y\n1,2,0\n3,4,1\n1,1,0\n", "none.csv", NULL, "open none.csv: No such file or directory"},
        {"2", "a,b,y\n1,2,0\n", NULL, "l.npy", "d.csv has labels: none are taken from l.npy"},
        {"2", "a,b\n1,2\n3,4\n", NULL, "l.npy", "l.npy: 3 labels for 2 samples"},
        {"2x2x2", "a,b,y\n1,2,0\n", NULL, NULL, "d.csv: input 'x': samples are [1, 2], the model takes [?, 2, 2, 2]"},
    };
    pt_auto_buf labels = PT_BUF_INIT(0);
    (void)state;
    put_npy(&labels, PT_INT64, 1, (int64_t[]){3}, (int64_t[]){0, 1, 0});
    temp_write("l.npy", labels.data, labels.len);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pt_data_set s;
        pt_auto_buf said = PT_BUF_INIT(0);
        char csv_path[512], label_path[512];
        make_model(rows[i].model);
        temp_write("d.csv", rows[i].csv, strlen(rows[i].csv));
        snprintf(csv_path, sizeof csv_path, "%s", temp_path("d.csv"));
        snprintf(label_path, sizeof label_path, "%s", temp_path("l.npy"));
        struct pt_data_options o = options(csv_path);
        o.held_out = rows[i].held_out;
        o.labels = rows[i].labels ? label_path : NULL;
        assert_true(pt_data_set_read(&s, &o, &model, 1, &failure) < 0);
        for (const char *p = failure.msg; *p;) { /* without the folder */
            size_t n = strlen(temp_dir());
            if (strncmp(p, temp_dir(), n) == 0)
                p += n + 1;
            else
                pt_buf_putc(&said, *p++);
        }
        assert_string_equal(pt_buf_cstr(&said), rows[i].message);
        pt_data_set_finish(&s);
    }
}

static int finish(void **state)
{
    (void)state;
    pt_edit_finish(&model);
    pt_buf_finish(&model_bytes);
    temp_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(npz),    cmocka_unit_test(csv),      cmocka_unit_test(csv_messages), cmocka_unit_test(idx),
                                       cmocka_unit_test(images), cmocka_unit_test(held_out), cmocka_unit_test(set_messages)};
    return cmocka_run_group_tests(tests, NULL, finish);
}
