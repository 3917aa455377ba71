/* SPDX-License-Identifier: Apache-2.0
 *
 * base_files.c: buffers, paths, files, logs and the CPU limit: what touches the file system, in a temporary directory.
 */
#include "unit.h"

#include "base/buf.h"
#include "base/contract.h"
#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/path.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- buf ------------------------------------------------------------------------------------------------------------- */

static void buf_appends_and_consumes(void **state)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    assert_string_equal(pt_buf_cstr(&b), "");
    pt_buf_puts(&b, "ab");
    pt_buf_putc(&b, 'c');
    pt_buf_printf(&b, "%d-%s", 42, "x");
    assert_string_equal(pt_buf_cstr(&b), "abc42-x");
    pt_buf_consume(&b, 3);
    assert_string_equal(pt_buf_cstr(&b), "42-x");
    pt_buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    for (int i = 0; i < 10000; i++)
        pt_buf_printf(&b, "%05d", i);
    assert_int_equal(b.len, 50000);
    assert_memory_equal(b.data + 5 * 1234, "01234", 5);
}

/* Of what is written by hand libc would write the same. */
static void buf_formats_as_libc(void **state)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    char wanted[2000];
    (void)state;
#define CHECK(...) \
    do { \
        pt_buf_reset(&b); \
        assert_true(pt_buf_printf(&b, __VA_ARGS__)); \
        snprintf(wanted, sizeof wanted, __VA_ARGS__); \
        assert_string_equal(pt_buf_cstr(&b), wanted); \
    } while (0)
    CHECK("no conversion");
    CHECK("%s%s %c%% %d %d %u", "a", "", 'x', INT_MIN, INT_MAX, UINT_MAX);
    CHECK("%ld %lld %lu %llu %zu", LONG_MIN, LLONG_MAX, ULONG_MAX, ULLONG_MAX, SIZE_MAX);
    CHECK("<%.3s> <%.10s> <%.0s> <%.*s> <%.*s>", "abcdef", "abc", "abc", 2, "xyz", -1, "xyz");
    CHECK("%s %05d %s", "then libc", 42, "from the start");
    CHECK("%d %x %d", 1, 255u, 2);
    CHECK("%s %.2f %-5s|", "a", 1.005, "b");
#undef CHECK
    pt_auto_buf small = PT_BUF_INIT(6);
    assert_true(pt_buf_printf(&small, "%s", "abc"));
    assert_false(pt_buf_printf(&small, "%d%s", 1, "more"));
    assert_int_equal(small.len, 3); /* all of it, or nothing */
    assert_fails(pt_buf_check(&small, "body", &err), PT_ELIMIT, "body");
}

static void buf_cap_sticks(void **state)
{
    pt_auto_buf b = PT_BUF_INIT(4);
    (void)state;
    assert_true(pt_buf_puts(&b, "abcd"));
    assert_string_equal(pt_buf_cstr(&b), "abcd"); /* the terminator does not count */
    assert_false(pt_buf_putc(&b, 'e'));
    assert_null(pt_buf_reserve(&b, 0));
    assert_string_equal(pt_buf_cstr(&b), "");
    assert_fails(pt_buf_check(&b, "body", &err), PT_ELIMIT, "body: over the limit of 4 bytes");
    pt_buf_reset(&b);
    assert_true(pt_buf_puts(&b, "ok"));
    assert_works(pt_buf_check(&b, "body", &err));
    pt_buf_finish(&b);
    assert_int_equal(b.cap, 4);
    assert_false(pt_buf_append(&b, "", SIZE_MAX));
}

static int fill_buf(void)
{
    struct pt_buf b = PT_BUF_INIT(0);
    for (int i = 0; i < 100; i++)
        pt_buf_printf(&b, "%d,", i);
    int rc = pt_buf_check(&b, "x", NULL);
    pt_buf_finish(&b);
    return rc;
}

static void buf_without_memory(void **state)
{
    (void)state;
    with_failing_memory(rc = fill_buf());
}

static void buf_json_strings(void **state)
{
    const struct {
        struct pt_str in;
        const char *out;
    } rows[] = {{PT_STR("plain"), "\"plain\""}, {PT_STR(""), "\"\""}, {PT_STR("a\"b\\c"), "\"a\\\"b\\\\c\""}, {PT_STR("\n\r\t\x01\x1f\x7f"), "\"\\n\\r\\t\\u0001\\u001f\x7f\""},
                {PT_STR("a\0b"), "\"a\\u0000b\""}, {PT_STR("\xc3\xa9\"\xf0\x9f\x98\x80"), "\"\xc3\xa9\\\"\xf0\x9f\x98\x80\""},
                {PT_STR("\xff\xc3"), "\"\xef\xbf\xbd\xef\xbf\xbd\""}, {PT_STR("\xc3\"x"), "\"\xef\xbf\xbd\\\"x\""}, {PT_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pt_auto_buf b = PT_BUF_INIT(0);
        pt_buf_json_string(&b, rows[i].in);
        assert_string_equal(pt_buf_cstr(&b), rows[i].out);
    }
}

static void buf_reads_files(void **state)
{
    static char data[100000];
    pt_auto_buf b = PT_BUF_INIT(sizeof data);
    (void)state;
    memset(data, 'x', sizeof data);
    temp_write("exact", data, sizeof data);
    temp_write("empty", "", 0);
    assert_works(pt_buf_read_file(&b, temp_path("exact"), &err));
    assert_int_equal(b.len, sizeof data);
    assert_memory_equal(b.data, data, sizeof data);
    pt_buf_finish(&b);
    b.cap = sizeof data - 1;
    assert_fails(pt_buf_read_file(&b, temp_path("exact"), &err), PT_ELIMIT, "99999 bytes");
    pt_buf_finish(&b);
    assert_works(pt_buf_read_file(&b, temp_path("empty"), &err));
    assert_int_equal(b.len, 0);
    assert_works(pt_buf_read_file(&b, "/proc/self/status", &err)); /* its size is 0 */
    assert_true(b.len > 100);
    pt_buf_reset(&b);
    assert_fails(pt_buf_read_file(&b, temp_path("none"), &err), PT_ENOTFOUND, "No such file");
    assert_fails(pt_buf_read_file(&b, temp_dir(), &err), PT_EINVAL, "not a regular file");
    assert_int_equal(mkfifo(temp_path("fifo"), 0600), 0);
    assert_fails(pt_buf_read_file(&b, temp_path("fifo"), &err), PT_EINVAL, "not a regular file");
    pt_mem_fail_at(1, 0);
    pt_buf_finish(&b);
    assert_fails(pt_buf_read_file(&b, temp_path("exact"), &err), PT_ENOMEM, "out of memory");
    pt_mem_fail_at(0, 0);
}

/* --- path ------------------------------------------------------------------------------------------------------------ */

/* main() sets PINTLE_MOUNTS: it is read once. */
static void path_finds_mounts(void **state)
{
    const char *rows[][2] = {{"/models", "/real/m"},       {"/models/a/b", "/real/m/a/b"}, {"/modelsx/a", "/modelsx/a"}, {"/models/sub/x", "/other/x"}, {"/models/subx", "/real/m/subx"},
                             {"//models/./a", "/real/m/a"}, {"/models/../etc", "/models/../etc"}, {"/x/../models/a", "/real/m/a"}, {"models/a", "models/a"}, {"/etc", "/etc"}, {"", ""}};
    char out[64];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_works(pt_path_resolve(rows[i][0], out, sizeof out, &err));
        assert_string_equal(out, rows[i][1]);
    }
    assert_fails(pt_path_resolve("/models/0123456789", out, 17, &err), PT_ELIMIT, "too long");
    assert_works(pt_path_resolve("/models/0123456789", out, 19, &err));
}

static void path_makes_dirs(void **state)
{
    struct stat st;
    (void)state;
    assert_works(pt_path_mkdirs(temp_path("a/b//c/"), 0755, &err));
    assert_works(pt_path_mkdirs(temp_path("a/b/c"), 0755, &err));
    assert_true(stat(temp_path("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
    temp_write("file", "x", 1);
    assert_fails(pt_path_mkdirs(temp_path("file/d"), 0755, &err), PT_EEXIST, "file: it exists and is not a directory");
    assert_fails(pt_path_mkdirs("", 0755, &err), PT_EINVAL, "0 bytes");
}

static void path_writes_atomically(void **state)
{
    struct stat st;
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    assert_works(pt_path_write_atomic(temp_path("out"), "one", 3, 0640, &err));
    assert_works(pt_path_write_atomic(temp_path("out"), "second", 6, 0640, &err));
    assert_works(pt_buf_read_file(&b, temp_path("out"), &err));
    assert_string_equal(pt_buf_cstr(&b), "second");
    assert_true(stat(temp_path("out"), &st) == 0 && (st.st_mode & 0777) == 0640);
    assert_fails(pt_path_write_atomic(temp_path("none/out"), "x", 1, 0644, &err), PT_ENOTFOUND, "none/out");
    char back[4] = "";
    assert_int_equal(mkfifo(temp_path("fifo"), 0600), 0);
    int fifo = open(temp_path("fifo"), O_RDWR | O_CLOEXEC);
    assert_works(pt_path_write_atomic(temp_path("fifo"), "abc", 3, 0644, &err)); /* what is no file does not become one */
    assert_int_equal(read(fifo, back, 3), 3);
    assert_string_equal(back, "abc");
    close(fifo);
    assert_int_equal(mkdir(temp_path("dir"), 0755), 0);
    assert_fails(pt_path_write_atomic(temp_path("dir"), "x", 1, 0644, &err), PT_EIO, "Is a directory");
    pt_mem_fail_at(1, 0);
    assert_fails(pt_path_write_atomic(temp_path("out"), "x", 1, 0644, &err), PT_ENOMEM, "out of memory");
    pt_mem_fail_at(0, 0);
    int left = 0;
    char command[300];
    snprintf(command, sizeof command, "ls %s | grep -c '\\.......$'", temp_dir());
    FILE *f = popen(command, "r");
    assert_int_equal(fscanf(f, "%d", &left), 1);
    pclose(f);
    assert_int_equal(left, 0); /* temporary files */
}

/* --- log ------------------------------------------------------------------------------------------------------------- */

/* What goes to standard error while `body` runs. */
#define captured(text, body) \
    do { \
        int saved_ = dup(2), file_ = open(temp_path("log"), O_RDWR | O_CREAT | O_TRUNC, 0600); \
        dup2(file_, 2); \
        body; \
        dup2(saved_, 2); \
        close(saved_); \
        ssize_t n_ = pread(file_, text, sizeof text - 1, 0); \
        text[n_ > 0 ? n_ : 0] = '\0'; \
        close(file_); \
    } while (0)

static void log_writes_json(void **state)
{
    static char text[200000], big[100000];
    char number[24];
    (void)state;
    pt_log_setup("unit", PT_LOG_INFO, PT_LOG_AUTO);
    captured(text, pt_log(PT_LOG_WARN, "a \"b\"\n", "k", "v\x01", "none", NULL, "n", pt_log_int(number, INT64_MIN), NULL));
    assert_int_equal(strncmp(text, "{\"ts\":\"20", 9), 0);
    assert_string_equal(strstr(text, "\"level\""),
                        "\"level\":\"warn\",\"program\":\"unit\",\"msg\":\"a \\\"b\\\"\\n\",\"k\":\"v\\u0001\",\"none\":null,\"n\":\"-9223372036854775808\"}\n");
    captured(text, pt_log(PT_LOG_DEBUG, "hidden", NULL));
    assert_string_equal(text, "");
    memset(big, 'x', sizeof big - 1);
    captured(text, pt_log(PT_LOG_INFO, "m", "big", big, NULL));
    assert_in_range(strlen(text), 8192, 8192 + 200);
    captured(text, pt_log(PT_LOG_INFO, "m", "a", big, "b", big, "c", big, "d", big, "e", big, "f", big, "g", big, "h", big, "i", big, NULL));
    assert_non_null(strstr(text, "record was lost"));
    pt_mem_fail_at(1, 1);
    captured(text, pt_log(PT_LOG_INFO, "m", NULL));
    pt_mem_fail_at(0, 0);
    assert_non_null(strstr(text, "record was lost"));
}

static void log_writes_text(void **state)
{
    char text[1000];
    (void)state;
    pt_log_setup("unit", PT_LOG_DEBUG, PT_LOG_TEXT);
    captured(text, pt_log(PT_LOG_DEBUG, "model ready", "model", "digits", "path", "a b", "e", "", "q", "\"", "esc", "\x1b[2J", NULL));
    assert_string_equal(text + 25, "debug unit: model ready model=digits path=\"a b\" e=\"\" q=\"\\\"\" esc=\"\\u001b[2J\"\n");
    assert_int_equal(pt_log_level_parse("error"), PT_LOG_ERROR);
    assert_int_equal(pt_log_level_parse("loud"), -1);
    pt_log_setup("unit", PT_LOG_OFF, PT_LOG_TEXT);
    captured(text, pt_log(PT_LOG_ERROR, "x", NULL));
    assert_string_equal(text, "");
}

/* --- cpu ------------------------------------------------------------------------------------------------------------- */

static void put(const char *root, const char *path, const char *text)
{
    char name[200], dir[256];
    snprintf(name, sizeof name, "%s/%s", root, path);
    snprintf(dir, sizeof dir, "%s", temp_path(name));
    *strrchr(dir, '/') = '\0';
    assert_works(pt_path_mkdirs(dir, 0755, &err));
    temp_write(name, text, strlen(text));
}

static void cpu_limit_of_cgroups(void **state)
{
    int all = pt_cpu_limit(temp_path("no-such-root"));
    (void)state;
    assert_true(all >= 1);
    put("v2", "proc/self/cgroup", "0::/a/b\n");
    assert_int_equal(pt_cpu_limit(temp_path("v2")), all);
    put("v2", "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(pt_cpu_limit(temp_path("v2")), all);
    put("v2", "sys/fs/cgroup/a/cpu.max", "100000 100000\n"); /* the parent's counts too */
    assert_int_equal(pt_cpu_limit(temp_path("v2")), 1);
    put("v2", "sys/fs/cgroup/a/cpu.max", "100001 100000\n"); /* one and a bit needs two */
    assert_int_equal(pt_cpu_limit(temp_path("v2")), all < 2 ? all : 2);
    put("v2", "sys/fs/cgroup/a/b/cpu.max", "5000 100000\n");
    assert_int_equal(pt_cpu_limit(temp_path("v2")), 1);
    put("v1", "proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/123\n1:name=systemd:/\n");
    put("v1", "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"); /* in a container only the root is there */
    put("v1", "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(pt_cpu_limit(temp_path("v1")), all);
    put("v1", "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    assert_int_equal(pt_cpu_limit(temp_path("v1")), 1);
    const char *broken[] = {"", "x", "100000", "0 0", "100000 0", "-5 100000", "99999999999999999999 1"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put("v2b", "proc/self/cgroup", "0::/\n");
        put("v2b", "sys/fs/cgroup/cpu.max", broken[i]);
        assert_int_equal(pt_cpu_limit(temp_path("v2b")), all);
    }
    assert_in_range(pt_cpu_limit(""), 1, all);
}

static void usage_of_cgroups(void **state)
{
    struct pt_cgroup_usage u;
    (void)state;
    pt_cgroup_usage(temp_path("no-such-root"), &u);
    assert_true(u.throttled_periods == 0 && u.memory_bytes == 0 && u.memory_limit_bytes == 0);
    put("u2", "proc/self/cgroup", "0::/a/b\n");
    put("u2", "sys/fs/cgroup/cpu.stat", "usage_usec 9\nnr_periods 7\nnr_throttled 3\nthrottled_usec 1500000\n"); /* of the root, as in a container */
    put("u2", "sys/fs/cgroup/a/memory.current", "4096\n");
    put("u2", "sys/fs/cgroup/a/memory.max", "max\n");
    pt_cgroup_usage(temp_path("u2"), &u);
    assert_true(u.periods == 7 && u.throttled_periods == 3 && u.throttled_seconds == 1.5 && u.memory_bytes == 4096 && u.memory_limit_bytes == 0);
    put("u2", "sys/fs/cgroup/a/memory.max", "8192\n");
    put("u2", "sys/fs/cgroup/cpu.stat", "nr_throttled x\nnr_throttled\nthrottled_usec -5\n");
    pt_cgroup_usage(temp_path("u2"), &u);
    assert_true(u.memory_limit_bytes == 8192 && u.throttled_periods == 0 && u.throttled_seconds == 0);
    put("u1", "proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/123\n");
    put("u1", "sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 2\nnr_throttled 1\nthrottled_time 250000000\n");
    put("u1", "sys/fs/cgroup/memory/x/memory.usage_in_bytes", "123\n");
    put("u1", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    pt_cgroup_usage(temp_path("u1"), &u);
    assert_true(u.periods == 2 && u.throttled_periods == 1 && u.throttled_seconds == 0.25 && u.memory_bytes == 123 && u.memory_limit_bytes == 0);
}

static void cpu_names_itself(void **state)
{
    (void)state;
    assert_true(strlen(pt_cpu_name()) > 0);
    assert_int_equal(pt_cpu_isa(), PT_ISA_REF); /* main() asked for it */
    for (int i = 0; i < PT_ISA_COUNT; i++)
        assert_int_equal(pt_isa_parse(pt_isa_text((enum pt_isa)i)), i);
    assert_int_equal(pt_isa_parse("sse2"), -1);
}

static int cleanup(void **state)
{
    (void)state;
    temp_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_appends_and_consumes),
        cmocka_unit_test(buf_formats_as_libc),
        cmocka_unit_test(buf_cap_sticks),
        cmocka_unit_test(buf_without_memory),
        cmocka_unit_test(buf_json_strings),
        cmocka_unit_test_teardown(buf_reads_files, cleanup),
        cmocka_unit_test(path_finds_mounts),
        cmocka_unit_test_teardown(path_makes_dirs, cleanup),
        cmocka_unit_test_teardown(path_writes_atomically, cleanup),
        cmocka_unit_test_teardown(log_writes_json, cleanup),
        cmocka_unit_test_teardown(log_writes_text, cleanup),
        cmocka_unit_test_teardown(cpu_limit_of_cgroups, cleanup),
        cmocka_unit_test_teardown(usage_of_cgroups, cleanup),
        cmocka_unit_test(cpu_names_itself),
    };
    setenv(PT_ENV_MOUNTS, "/models=/real/m:/models/sub/=/other:broken:/y", 1);
    setenv("PINTLE_ISA", "ref", 1);
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
