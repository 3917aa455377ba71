/* SPDX-License-Identifier: Apache-2.0
 *
 * cli_commands.c: the program `pintle` itself: exit status, one line of error, and the results of run, bench and inspect on the digits model,
 * run's against the library called directly.
 */
#include "tests/unit/cli/program.h"

#include "base/json.h"
#include "base/path.h"
#include "base/rand.h"
#include "cli/commands.h"
#include "cli/tensor_file.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define DIGITS PT_SOURCE_DIR "/examples/digits/digits.onnx"

static void help_and_version(void **state)
{
    (void)state;
    assert_int_equal(pintle("--version"), 0);
    assert_string_equal(out.data, "pintle 0.1.0\n");
    assert_int_equal(pintle("--help"), 0);
    assert_int_equal(errors.len, 0);
    struct pt_str rest = {out.data, out.len}, line;
    int commands = 0;
    while (pt_str_split(&rest, '\n', &line)) { /* every row of the table: "  NAME  SUMMARY" */
        char name[32], command[64], want[64];
        if (!pt_str_starts(line, PT_STR("  ")) || sscanf(line.p, " %31s", name) != 1)
            continue;
        snprintf(command, sizeof command, "%s --help", name);
        snprintf(want, sizeof want, "usage: pintle %s ", name);
        struct pt_buf saved = out; /* the table is read on from it */
        out = PT_BUF_INIT(0);
        assert_int_equal(pintle(command), 0);
        if (strncmp(out.data, want, strlen(want)) != 0)
            fail_msg("pintle %s says '%.60s'", command, out.data);
        pt_buf_finish(&out);
        out = saved;
        commands++;
    }
    assert_true(commands >= 3);
}

static void usage_errors(void **state)
{
    (void)state;
    fails("", EX_USAGE, "a command is needed");
    fails("nonsense", EX_USAGE, "unknown command \"nonsense\"");
    fails("--nonsense", EX_USAGE, "unknown option \"--nonsense\"");
    fails("run", EX_USAGE, "a model is needed");
    fails("run a b -o @/o", EX_USAGE, "not also \"b\"");
    fails("run a", EX_USAGE, "-o DIR");
    fails("run a -i x -o @/o", EX_USAGE, "NAME=VALUE");
    fails("run a -i =x -o @/o", EX_USAGE, "NAME=VALUE");
    fails("run a -i x=1 -i x=2 -o @/o", EX_USAGE, "twice");
    fails("run a -o @/o --format csv", EX_USAGE, "csv");
    fails("run a -o @/o --threads 0", EX_USAGE, "--threads: 0");
    fails("run a --bogus", EX_USAGE, "--bogus");
    fails("run a -q", EX_USAGE, "-q");
    fails("run a -o", EX_USAGE, "-o needs a value");
    fails("bench a --seconds soon", EX_USAGE, "soon");
    fails("bench a --seconds -1", EX_USAGE, "-1");
    fails("bench a --warmup x", EX_USAGE, "--warmup");
    fails("bench a --json=1", EX_USAGE, "takes no value");
    fails("inspect", EX_USAGE, "a model is needed");
    fails("help nonsense", EX_USAGE, "unknown command \"nonsense\"");
}

static void bad_files(void **state)
{
    (void)state;
    temp_write("junk.onnx", "this is no model", 16);
    temp_write("empty.onnx", "", 0);
    temp_write("junk.npy", "this is no array", 16);
    const char *const commands[] = {"run -o @/o ", "bench ", "inspect "};
    for (size_t i = 0; i < 3; i++) {
        char line[300];
        snprintf(line, sizeof line, "%s@/none.onnx", commands[i]);
        fails(line, EX_NOINPUT, "none.onnx");
        snprintf(line, sizeof line, "%s@/junk.onnx", commands[i]);
        fails(line, EX_DATAERR, "junk.onnx");
        snprintf(line, sizeof line, "%s@/empty.onnx", commands[i]);
        fails(line, EX_DATAERR, "empty.onnx");
        snprintf(line, sizeof line, "%s@", commands[i]);
        assert_true(pintle(line) >= EX__BASE && errors.len > 0);
    }
    fails("run " DIGITS " -o @/o", EX_DATAERR, "'x' is missing");
    fails("run " DIGITS " -i y=@/junk.npy -o @/o", EX_DATAERR, "its inputs are: x");
    fails("run " DIGITS " -i x=@/junk.npy -o @/o", EX_DATAERR, "not an npy file");
    fails("run " DIGITS " -i x=@/none.npy -o @/o", EX_NOINPUT, "none.npy");
    fails("bench " DIGITS " --shape x=1x1x8 --seconds 0", EX_DATAERR, "x");
    fails("bench " DIGITS " --shape x=1x1x8x-8 --seconds 0", EX_DATAERR, "1x1x8x-8");
    fails("bench " DIGITS " --shape y=1 --seconds 0", EX_DATAERR, "its inputs are: x");
    assert_int_not_equal(access(temp_path("o"), F_OK), 0); /* nothing was written */
}

enum { BATCH = 3 };
static float images[BATCH * 64];

static void write_images(void)
{
    struct pt_rand r;
    struct pt_tensor t = {.dtype = PT_FLOAT, .rank = 4, .dims = {BATCH, 1, 8, 8}, .data = images, .size_bytes = sizeof images};
    pt_auto_buf npy = PT_BUF_INIT(0), pb = PT_BUF_INIT(0);
    pt_rand_init(&r, 1);
    for (size_t i = 0; i < BATCH * 64; i++)
        images[i] = (float)pt_rand_unit(&r) * 16;
    assert_works(pt_npy_write(&npy, &t, &err));
    assert_works(pt_tensor_pb_write(&pb, &t, "x", &err));
    temp_write("x.npy", npy.data, npy.len);
    temp_write("x.pb", pb.data, pb.len);
}

static void run_equals_the_library(void **state)
{
    struct pt_session *session;
    struct pt_run *run;
    struct pt_tensor in = {.dtype = PT_FLOAT, .rank = 4, .dims = {BATCH, 1, 8, 8}, .data = images, .size_bytes = sizeof images};
    struct pt_session_options options = {.thread_count = 1};
    (void)state;
    write_images();
    assert_works(pt_session_open(DIGITS, &options, &session, &err));
    assert_works(pt_run_create(session, &run, &err));
    assert_works(pt_run_set_input(run, 0, &in, &err));
    assert_works(pt_run_execute(run, &err));
    const char *const lines[] = {"run " DIGITS " -i x=@/x.npy -o @/deep/o --threads 1", "run " DIGITS " --input=x=@/x.pb --output @/deep/o --threads=1 --format pb"};
    for (int pb = 0; pb < 2; pb++) {
        assert_int_equal(pintle(lines[pb]), 0);
        assert_int_equal(out.len + errors.len, 0);
        for (size_t i = 0; i < 2; i++) {
            char name[32];
            struct pt_tensor_file f;
            const struct pt_tensor *want = pt_run_output(run, i);
            snprintf(name, sizeof name, "deep/o/%zu.%s", i, pb ? "pb" : "npy");
            assert_works(pt_tensor_file_read(temp_path(name), &f, &err));
            assert_true(f.t.dtype == PT_FLOAT && f.t.rank == 2 && f.t.dims[0] == BATCH && f.t.dims[1] == 10);
            assert_int_equal(f.t.size_bytes, want->size_bytes);
            assert_memory_equal(f.t.data, want->data, want->size_bytes);
            pt_tensor_file_finish(&f);
        }
    }
    pt_run_destroy(run);
    pt_session_close(session);
    struct stat st; /* what may read and write a file is the user's to say, by the umask */
    mode_t mask = umask(027);
    assert_int_equal(pintle(lines[0]), 0);
    umask(mask);
    assert_int_equal(stat(temp_path("deep/o/0.npy"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

/* A trace that a JSON reader takes, an event per step with a place in time; a table with the operators. Rewrites by name. */
static void run_profiles(void **state)
{
    (void)state;
    write_images();
    assert_int_equal(pintle("run " DIGITS " -i x=@/x.npy -o @/o --threads 1 --profile @/trace.json"), 0);
    assert_non_null(strstr(out.data, "operator"));
    assert_non_null(strstr(out.data, "Conv"));
    assert_non_null(strstr(out.data, "total"));
    pt_auto_buf trace = PT_BUF_INIT(0);
    assert_works(pt_buf_read_file(&trace, temp_path("trace.json"), &err));
    struct pt_json j;
    pt_json_init(&j, trace.data, trace.len);
    assert_works(pt_json_skip(&j, &err));
    assert_works(pt_json_end(&j, &err));
    assert_non_null(strstr(pt_buf_cstr(&trace), "\"traceEvents\":["));
    assert_non_null(strstr(trace.data, "\"cat\":\"Conv\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":"));
    assert_int_equal(pintle("run " DIGITS " -i x=@/x.npy -o @/o --no-opt"), 0);
    assert_int_equal(pintle("run " DIGITS " -i x=@/x.npy -o @/o --disable fuse,pad"), 0);
    fails("run " DIGITS " -i x=@/x.npy -o @/o --disable fuse,nonsense", EX_DATAERR, "there is no rewrite 'nonsense'; there are fold, ");
    fails("run " DIGITS " -i x=@/x.npy -o @/o --profile @/no/such/folder", EX_NOINPUT, "no/such/folder");
    assert_int_equal(pintle("inspect --optimized " DIGITS), 0);
    assert_non_null(strstr(out.data, "Conv"));
    fails("inspect --disable fold " DIGITS, EX_USAGE, "--optimized");
}

/* Every option that a command's help names stands in its man page. */
static void man_pages_are_complete(void **state)
{
    (void)state;
#define PT_X(name, summary) #name,
    static const char *const commands[] = {PT_COMMANDS(PT_X)};
#undef PT_X
    pt_auto_buf run = PT_BUF_INIT(0);
    assert_works(pt_buf_read_file(&run, PT_SOURCE_DIR "/docs/man/pintle-run.1", &err));
    fails("inspect --optimized --disable ? " DIGITS, EX_DATAERR, "there are "); /* the rewrites, each with a paragraph of its own */
    struct pt_str rest = pt_str(strstr(errors.data, "there are ") + 10), name;
    rest.len -= rest.len && rest.p[rest.len - 1] == '\n';
    while (rest.len && pt_str_split(&rest, ',', &name)) {
        char paragraph[64];
        name = pt_str_trim(name);
        snprintf(paragraph, sizeof paragraph, ".TP\n.B " PT_STR_FMT "\n", PT_STR_ARG(name));
        if (!strstr(pt_buf_cstr(&run), paragraph))
            fail_msg("pintle-run(1) says nothing of the rewrite " PT_STR_FMT, PT_STR_ARG(name));
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char path[256], line[64];
        pt_auto_buf man = PT_BUF_INIT(0), plain = PT_BUF_INIT(0);
        snprintf(path, sizeof path, PT_SOURCE_DIR "/docs/man/pintle-%s.1", commands[i]);
        assert_works(pt_buf_read_file(&man, path, &err));
        if (sscanf(pt_buf_cstr(&man), ".so man1/%63s", line) == 1) { /* several commands share a page */
            snprintf(path, sizeof path, PT_SOURCE_DIR "/docs/man/%s", line);
            pt_buf_reset(&man);
            assert_works(pt_buf_read_file(&man, path, &err));
        }
        for (size_t k = 0; k < man.len; k++)
            if (man.data[k] != '\\')
                pt_buf_putc(&plain, man.data[k]);
        snprintf(line, sizeof line, "%s --help", commands[i]);
        assert_int_equal(pintle(line), 0);
        for (const char *p = out.data; (p = strstr(p, "--")) != NULL; p += 2) {
            char option[48];
            snprintf(option, sizeof option, "%.*s", (int)(2 + strspn(p + 2, "abcdefghijklmnopqrstuvwxyz-")), p);
            if (strlen(option) > 2 && strcmp(option, "--help") != 0 && !strstr(pt_buf_cstr(&plain), option))
                fail_msg("pintle-%s(1) says nothing of %s", commands[i], option);
        }
    }
}

/* When an output cannot be written, none is left. */
static void run_writes_all_or_nothing(void **state)
{
    (void)state;
    write_images();
    temp_write("file", "", 0);
    fails("run " DIGITS " -i x=@/x.npy -o @/file", EX_IOERR, "is not a directory");
    assert_works(pt_path_mkdirs(temp_path("half/1.npy"), 0700, &err));
    fails("run " DIGITS " -i x=@/x.npy -o @/half", EX_IOERR, "half/1.npy");
    assert_int_not_equal(access(temp_path("half/0.npy"), F_OK), 0);
}

/* The number of that name in the object that is all of `out`. */
static double number(const char *name)
{
    struct pt_json j;
    struct pt_str key;
    double v = -1;
    pt_json_init(&j, out.data, out.len);
    assert_works(pt_json_object(&j, &err));
    while (pt_json_member(&j, &key, NULL) == 1)
        if (pt_json_key_is(&key, name))
            assert_works(pt_json_double(&j, &v, &err));
        else
            assert_works(pt_json_skip(&j, &err));
    assert_works(pt_json_end(&j, &err));
    return v;
}

static void bench_measures(void **state)
{
    (void)state;
    write_images();
    const char *const lines[] = {"bench " DIGITS " --seconds 0.05 --warmup 1 --threads 1 --json", "bench " DIGITS " --seconds 0.05 --threads 1 --json --shape x=5x1x8x8",
                                 "bench " DIGITS " --seconds 0.05 --threads 1 --json -i x=@/x.npy"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pintle(lines[i]), 0);
        assert_non_null(strstr(out.data, "{\"model\":\"" DIGITS "\","));
        assert_true(number("threads") == 1 && number("runs") >= 1);
        assert_true(number("load_ms") > 0 && number("first_ms") > 0 && number("rss_mb") > 1);
        assert_true(number("min_ms") > 0 && number("min_ms") <= number("median_ms") && number("median_ms") <= number("p99_ms"));
    }
    assert_int_equal(pintle("bench " DIGITS " --seconds 0"), 0);
    assert_non_null(strstr(out.data, "runs       1\n"));
    fails("bench " DIGITS " -i x=@/x.npy --shape x=1x1x8x8", EX_DATAERR, "both");
}

static void inspect_describes(void **state)
{
    (void)state;
    assert_int_equal(pintle("inspect " DIGITS), 0);
    const char *const parts[] = {"opsets       ai.onnx 17\n", "inputs (1)\n  x   float32   [N, 1, 8, 8]\n", "  2   Conv      ai.onnx   since 11\n", "6.09 k (6090)"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(out.data, parts[i]))
            fail_msg("'%s' is not in: %s", parts[i], out.data);
    assert_int_equal(pintle("inspect --json " DIGITS), 0);
    assert_true(number("parameters") == 6090 && number("macs") > 0 && number("peak_bytes") > 0);
    assert_non_null(strstr(out.data, "{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[\"N\",1,8,8]}"));
    assert_non_null(strstr(out.data, "{\"domain\":\"ai.onnx\",\"op_type\":\"Conv\",\"since_version\":11,\"count\":2,\"supported\":true}"));
}

static int cleanup(void **state)
{
    (void)state;
    temp_remove();
    pt_buf_finish(&out);
    pt_buf_finish(&errors);
    return 0;
}

static void prunes(void **state)
{
    (void)state;
    assert_int_equal(pintle("prune " DIGITS " -o @/small.onnx --kind channels --progress none"), 0);
    assert_non_null(strstr(out.data, "conv1  Conv        16>8"));
    assert_non_null(strstr(out.data, "node 'probabilities' (Softmax)"));
    assert_int_equal(pintle("inspect @/small.onnx"), 0);
    assert_int_equal(pintle("prune " DIGITS " --dry-run --kind n:m"), 0);
    fails("prune " DIGITS " -o @/o.onnx --amount 1 --progress none", EX_USAGE, "--amount");
    fails("prune " DIGITS " -o @/o.onnx --layers conv9*=0.5 --progress none", EX_NOINPUT, "match \"conv9*\"; the first of 3 layers is 'conv1' with 'conv1.weight'");
    fails("prune " DIGITS " -o @/o.onnx --layers conv1 --progress none", EX_USAGE, "has no \"=AMOUNT\"");
    fails("prune " DIGITS " -o @/o.onnx --sparsity-schedule linear --progress none", EX_USAGE, "give epochs");
    fails("prune " DIGITS " -o @/o.onnx --kind heads --progress none", EX_DATAERR, "no attention heads");
    fails("prune " DIGITS " --sensitivity 0.5 --progress none", EX_DATAERR, "needs labelled samples");
    fails("prune " DIGITS " --kind channels --progress none", EX_USAGE, "-o FILE is needed");
    assert_int_not_equal(access(temp_path("o.onnx"), F_OK), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_teardown(f, cleanup)
    const struct CMUnitTest tests[] = {
        CASE(help_and_version),          CASE(usage_errors),   CASE(bad_files),         CASE(run_equals_the_library),
        CASE(run_writes_all_or_nothing), CASE(bench_measures), CASE(inspect_describes), CASE(run_profiles),
        CASE(man_pages_are_complete),    CASE(prunes),
    };
    return cmocka_run_group_tests_name("commands", tests, NULL, NULL);
}
