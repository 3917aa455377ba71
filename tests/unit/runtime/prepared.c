/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared.c: weights made ready and kept in a file: the second session takes them from there and answers the same to the bit; a file that is cut,
 * changed or another's is not used and is replaced; nothing depends on whether it can be written, or on who else does.
 */
#include "tests/unit/runtime/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 96 };

static char folder[64], own_program[256];

static void remove_folder(void)
{
    pt_auto_free char *command = pt_asprintf("rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pintle-prepared-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder();
    return 0;
}

/* A normalisation behind a convolution, one that is turned around a transposition, weights that are packed, and some that are read as they are. */
static struct pt_buf make_model(int seed)
{
    struct pt_buf text = PT_BUF_INIT(1 << 22);
    pt_buf_puts(&text, "in x f32[-1,96,2,2]\nc = Conv(x,w)\nn = BatchNormalization(c,s,s,s,s)\nd = Conv(n,v)\n"
                       "t = Transpose(d) perm=[0,2,3,1]\ny = MatMul(t,m)\nz = Add(y,a)\nout z\n");
    for (const char *name = "wvmas"; *name; name++) {
        int count = *name == 's' ? N : *name == 'a' ? 2 * 2 * N * 64 : N * N;
        pt_buf_printf(&text,
                      *name == 's'   ? "const %c f32[96]:"
                      : *name == 'm' ? "const %c f32[96,96]:"
                      : *name == 'a' ? "const %c f32[64,2,2,96]:"
                                     : "const %c f32[96,96,1,1]:",
                      *name);
        for (int i = 0; i < count; i++)
            pt_buf_printf(&text, "%s%d", i ? "," : "", (i * 7 + *name + seed) % 11 - (*name == 's' ? -1 : 5));
        pt_buf_puts(&text, "\n");
    }
    struct pt_buf bytes = test_model(pt_buf_cstr(&text));
    pt_buf_finish(&text);
    return bytes;
}

struct answer {
    float y[64 * 4 * N];
};

static int run(struct pt_session *s, int64_t rows, struct answer *out, struct pt_err *err)
{
    pt_auto_free float *x = pt_calloc((size_t)rows * N * 4, sizeof *x);
    struct pt_run *r = NULL;
    if (!x)
        return pt_fail(err, PT_ENOMEM, "no input");
    for (int64_t i = 0; i < rows * N * 4; i++)
        x[i] = (float)(i % 5);
    int rc = pt_run_create(s, &r, err);
    if (rc == PT_OK)
        rc = pt_run_set_input(
            r, 0,
            &(struct pt_tensor){.dtype = PT_FLOAT, .rank = 4, .dims = {rows, N, 2, 2}, .data = x, .size_bytes = (size_t)rows * N * 4 * sizeof *x},
            err);
    if (rc == PT_OK && (rc = pt_run_execute(r, err)) == PT_OK && out)
        memcpy(out->y, pt_run_output(r, 0)->data, sizeof out->y);
    if (rc < 0 && rc != PT_ENOMEM)
        print_error("%s\n", err->msg);
    pt_run_destroy(r);
    return rc;
}

static struct pt_session *open_in(const char *where, const struct pt_buf *model, bool adopt)
{
    struct pt_session *s;
    struct pt_err err = {0};
    const struct pt_session_options o = {.size = sizeof o, .thread_count = 2, .prepared = where, .prepared_name = "test", .adopt = adopt};
    if (pt_session_open_memory(model->data, model->len, &o, &s, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static struct pt_prepared_info info_of(const struct pt_session *s)
{
    struct pt_prepared_info info = {.size = sizeof info};
    assert_int_equal(pt_session_prepared(s, &info, NULL), PT_OK);
    return info;
}

/* Runs it and holds the answer against that of a session without a file; then says where the weights came from. */
static struct pt_prepared_info check(const struct pt_buf *model, bool save, char path[512])
{
    struct answer *with = pt_calloc(2, sizeof *with), *without = with + 1;
    struct pt_err err = {0};
    struct pt_session *s = open_in(folder, model, false), *plain = open_in(NULL, model, false);
    assert_int_equal(run(s, 1, with, &err), PT_OK);
    assert_int_equal(run(plain, 1, without, &err), PT_OK);
    assert_memory_equal(with, without, sizeof *with);
    struct pt_prepared_info info = info_of(s);
    if (save && pt_session_save(s, &err) < 0)
        fail_msg("%s", err.msg);
    if (path)
        snprintf(path, 512, "%s", info.path);
    pt_session_close(s);
    pt_session_close(plain);
    pt_free(with);
    info.path = NULL;
    return info;
}

static size_t files_in(const char *where)
{
    DIR *d = opendir(where);
    size_t n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void second_start(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    struct answer *a = pt_calloc(2, sizeof *a);
    struct pt_err err = {0};
    struct pt_session *s = open_in(folder, &model, false);
    assert_int_equal(run(s, 1, a, &err), PT_OK);
    struct pt_prepared_info info = info_of(s);
    assert_int_equal(info.found_bytes, 0);
    assert_string_equal(info.note, "");
    assert_true(info.made_bytes >= 4 * N * N * sizeof(float)); /* a folded one, and three packed */
    assert_int_equal(files_in(folder), 0);
    assert_int_equal(pt_session_save(s, &err), PT_OK);
    assert_int_equal(files_in(folder), 1);
    assert_int_equal(info_of(s).made_bytes, 0);
    for (int i = 0; i < 2; i++) { /* out of the file from now on */
        assert_int_equal(run(s, 1, a + 1, &err), PT_OK);
        assert_memory_equal(a, a + 1, sizeof *a);
        pt_session_rest(s);
    }
    struct stat before, after;
    char path[512];
    snprintf(path, sizeof path, "%s", info_of(s).path);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(pt_session_save(s, &err), PT_OK); /* nothing is new */
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    pt_session_close(s);
    for (int i = 0; i < 2; i++) {
        struct pt_prepared_info again = check(&model, true, NULL);
        assert_int_equal(again.found_bytes, info.made_bytes);
        assert_int_equal(again.made_bytes, 0);
        assert_string_equal(again.note, "");
    }
    pt_free(a);
    pt_buf_finish(&model);
}

/* A model that differs in its weights only has a file of its own; under another's name a file is not used. */
static void another_model(void **state)
{
    (void)state;
    struct pt_buf one = make_model(0), two = make_model(1);
    char path1[512], path2[512], command[1100];
    check(&one, true, path1);
    check(&two, true, path2);
    assert_string_not_equal(path1, path2);
    assert_int_equal(files_in(folder), 2);
    snprintf(command, sizeof command, "cp %s %s", path1, path2);
    assert_int_equal(system(command), 0);
    struct pt_prepared_info info = check(&two, true, NULL);
    assert_int_equal(info.found_bytes, 0);
    assert_non_null(strstr(info.note, "another model, build or CPU"));
    assert_string_equal(check(&two, true, NULL).note, "");
    pt_buf_finish(&one);
    pt_buf_finish(&two);
}

/* The level of kernels is decided once per process: another one tells. */
static void another_cpu(void **state)
{
    (void)state;
    char command[2][600], path[2][512] = {"", ""};
    for (int i = 0; i < 2; i++) {
        snprintf(command[i], sizeof command[i], "PINTLE_ISA=%s %s %s", i ? "ref" : "avx2", own_program, folder);
        FILE *f = popen(command[i], "r");
        assert_non_null(f);
        assert_non_null(fgets(path[i], sizeof path[i], f));
        assert_int_equal(pclose(f), 0);
    }
    assert_string_not_equal(path[0], path[1]);
}

static void change(const char *path, off_t at, int bits)
{
    char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)(byte ^ bits);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Each bit of the header, some everywhere else: the answer is right, and what is damaged is replaced. */
static void damaged(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    char path[512];
    struct stat st;
    size_t noted = 0, tried = 0;
    check(&model, true, path);
    assert_int_equal(stat(path, &st), 0);
    for (off_t at = 0; at < st.st_size; at += at < 80 ? 5 : at + 400 > st.st_size ? 97 : 23003, tried++) {
        change(path, at, 1 << (at % 8));
        struct pt_prepared_info info = check(&model, true, NULL);
        noted += info.note[0] != '\0';
        if (at < 80 && !info.note[0])
            fail_msg("a change at %lld is not noticed", (long long)at);
        if (!info.note[0])
            change(path, at, 1 << (at % 8)); /* between pieces */
        info = check(&model, false, NULL);
        assert_string_equal(info.note, "");
        assert_int_equal(info.made_bytes, 0);
    }
    assert_true(noted * 2 > tried);
    for (off_t len = 0; len < st.st_size; len += len < 100 ? 40 : 50021) {
        assert_int_equal(truncate(path, len), 0);
        assert_string_not_equal(check(&model, true, NULL).note, "");
        assert_string_equal(check(&model, false, NULL).note, "");
    }
    pt_buf_finish(&model);
}

static void cannot_be_written(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    struct answer *a = pt_calloc(2, sizeof *a);
    struct pt_err err = {0};
    char file[128], below[160];
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(below, sizeof below, "%s/below", file);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    struct pt_session *s = open_in(below, &model, false);
    assert_int_equal(run(s, 1, a, &err), PT_OK);
    assert_true(pt_session_save(s, &err) < 0);
    if (!strstr(err.msg, "write prepared weights"))
        fail_msg("%s", err.msg);
    assert_int_equal(run(s, 64, NULL, &err), PT_OK);
    pt_session_close(s);
    assert_int_equal(unlink(file), 0);

    struct rlimit limit, small = {100000, RLIM_INFINITY}; /* a disk that is full after so much */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small.rlim_max = limit.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    s = open_in(folder, &model, false);
    assert_int_equal(run(s, 1, a, &err), PT_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = pt_session_save(s, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_true(rc < 0);
    assert_non_null(strstr(err.msg, "write "));
    assert_int_equal(files_in(folder), 0);
    assert_int_equal(run(s, 1, a + 1, &err), PT_OK);
    assert_memory_equal(a, a + 1, sizeof *a);
    assert_int_equal(pt_session_save(s, &err), PT_OK); /* there is room again */
    assert_int_equal(files_in(folder), 1);
    pt_session_close(s);
    pt_free(a);
    pt_buf_finish(&model);
}

/* Several sessions' worth of it at once; whoever is last has the say, and all say the same. */
static void processes_at_once(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    struct answer *want = pt_calloc(2, sizeof *want);
    struct pt_err err = {0};
    struct pt_session *plain = open_in(NULL, &model, false);
    assert_int_equal(run(plain, 1, want, &err), PT_OK);
    pt_session_close(plain);
    for (int child = 0; child < 3; child++)
        if (fork() == 0) {
            for (int i = 0; i < 10; i++) {
                struct pt_session *s = open_in(folder, &model, false);
                bool good = run(s, 1, want + 1, &err) == PT_OK && memcmp(want, want + 1, sizeof *want) == 0 && pt_session_save(s, &err) == PT_OK &&
                            run(s, 1, want + 1, &err) == PT_OK && memcmp(want, want + 1, sizeof *want) == 0;
                if (i % 3 == child)
                    unlink(info_of(s).path);
                pt_session_close(s);
                if (!good)
                    _exit(1);
            }
            _exit(0);
        }
    for (int child = 0, status; child < 3; child++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_true(files_in(folder) <= 1);
    check(&model, true, NULL);
    assert_string_equal(check(&model, false, NULL).note, "");
    pt_free(want);
    pt_buf_finish(&model);
}

struct busy {
    struct pt_session *s;
    const struct answer *want;
    _Atomic bool stop;
    _Atomic int bad, runs;
};

static void *execute(void *arg)
{
    struct busy *b = arg;
    struct answer *got = pt_calloc(1, sizeof *got);
    for (struct pt_err err; !b->stop; b->runs++)
        if (run(b->s, 1, got, &err) < 0 || memcmp(got, b->want, sizeof *got) != 0)
            b->bad++;
    pt_free(got);
    return NULL;
}

/* The memory changes hands while others read it. */
static void while_running(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    struct answer *want = pt_calloc(1, sizeof *want);
    struct pt_err err = {0};
    for (int round = 0; round < 5; round++) {
        struct busy b = {.s = open_in(folder, &model, false), .want = want};
        pthread_t threads[2];
        assert_int_equal(run(b.s, 1, want, &err), PT_OK);
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, execute, &b), 0);
        for (int i = 0; i < 20; i++) {
            int rc = pt_session_save(b.s, &err);
            assert_true(rc == PT_OK || rc == PT_EBUSY);
            pt_session_rest(b.s);
            usleep(1000);
        }
        while (b.runs < 20)
            usleep(1000);
        b.stop = true;
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(b.bad, 0);
        pt_session_close(b.s);
        remove_folder();
    }
    pt_free(want);
    pt_buf_finish(&model);
}

/* Is the page of that address one of a file? */
static bool is_of_file(const void *at)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[1024], rest[1024] = "";
    bool found = false;
    assert_non_null(f);
    for (unsigned long from, to; !found && fgets(line, sizeof line, f);)
        found = sscanf(line, "%lx-%lx %*s %*s %*s %*s %1000s", &from, &to, rest) == 3 && (uintptr_t)at >= from && (uintptr_t)at < to;
    fclose(f);
    return found && strstr(rest, ".weights");
}

/* The model's own memory, as far as it is read after all, becomes the file's: at once, or when it is saved. */
static void adopts(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    struct answer *a = pt_calloc(3, sizeof *a);
    struct pt_err err = {0};
    struct pt_session *plain = open_in(NULL, &model, false);
    assert_int_equal(run(plain, 1, a, &err), PT_OK);
    pt_session_close(plain);
    for (int i = 0; i < 3; i++) {
        char *memory = mmap(NULL, model.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *weights = NULL;
        assert_true(memory != MAP_FAILED);
        memcpy(memory, model.data, model.len);
        struct pt_session *s = open_in(folder, &(struct pt_buf){.data = memory, .len = model.len}, true);
        const float first[3] = {(float)('a' % 11 - 5), (float)((7 + 'a') % 11 - 5), (float)((14 + 'a') % 11 - 5)}; /* the constant a */
        for (char *at = memory + model.len / 2; !weights && (at = memmem(at, (size_t)(memory + model.len - at), first, sizeof first)); at++)
            weights = at + 32768;
        assert_non_null(weights);
        assert_int_equal(is_of_file(weights), i > 0);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(run(s, 1, a + 1, &err), PT_OK);
            assert_memory_equal(a, a + 1, sizeof *a);
            assert_int_equal(pt_session_save(s, &err), PT_OK);
            assert_true(is_of_file(weights));
            pt_session_rest(s);
        }
        pt_session_close(s);
        munmap(memory, model.len);
    }
    pt_free(a);
    pt_buf_finish(&model);
}

static int all_of_it(const struct pt_buf *model, struct pt_err *err)
{
    struct pt_session *s;
    const struct pt_session_options o = {.size = sizeof o, .thread_count = 1, .prepared = folder, .prepared_name = "test"};
    int rc = pt_session_open_memory(model->data, model->len, &o, &s, err);
    if (rc == PT_OK)
        rc = run(s, 1, NULL, err);
    if (rc == PT_OK)
        rc = pt_session_save(s, err);
    pt_session_close(s);
    return rc;
}

/* Without a file, which is made, and with one. */
static void out_of_memory(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    struct pt_err err = {0};
    char path[512];
    check(&model, true, path);
    for (int with = 0; with < 2; with++) {
        unlink(path);
        if (with)
            assert_int_equal(all_of_it(&model, &err), PT_OK);
        uint64_t before = pt_mem_count();
        assert_int_equal(all_of_it(&model, &err), PT_OK);
        int64_t total = (int64_t)(pt_mem_count() - before);
        for (int64_t i = 1; i <= total; i++) {
            if (!with)
                unlink(path);
            pt_mem_fail_at(i, 0);
            int rc = all_of_it(&model, &err);
            pt_mem_fail_at(0, 0);
            if (rc != PT_ENOMEM && rc != PT_ELIMIT)
                fail_msg("allocation %lld of %lld failed, the result was %d: %s", (long long)i, (long long)total, rc, err.msg);
            check(&model, false, NULL); /* what is there is right */
        }
    }
    pt_buf_finish(&model);
}

static int no_infer(const struct pt_custom_call *c, struct pt_err *err)
{
    (void)c;
    return pt_fail(err, PT_EINVAL, "never called");
}

/* Operators of a program may make anything of constants: nothing is kept. */
static void own_operators(void **state)
{
    (void)state;
    struct pt_buf model = make_model(0);
    assert_int_equal(pt_register_operator(&(struct pt_custom_op){.size = sizeof(struct pt_custom_op),
                                                                 .domain = "test",
                                                                 .name = "Nothing",
                                                                 .since_version = 1,
                                                                 .max_outputs = 1,
                                                                 .infer = no_infer,
                                                                 .run = no_infer},
                                          NULL),
                     PT_OK);
    struct pt_session *s = open_in(folder, &model, false);
    struct pt_err err = {0};
    assert_int_equal(run(s, 1, NULL, &err), PT_OK);
    assert_null(info_of(s).path);
    assert_non_null(strstr(info_of(s).note, "operators"));
    assert_int_equal(pt_session_save(s, &err), PT_OK);
    assert_int_equal(files_in(folder), 0);
    pt_session_close(s);
    pt_buf_finish(&model);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(second_start, set_up, tear_down),      cmocka_unit_test_setup_teardown(another_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_cpu, set_up, tear_down),       cmocka_unit_test_setup_teardown(damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cannot_be_written, set_up, tear_down), cmocka_unit_test_setup_teardown(processes_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(while_running, set_up, tear_down),     cmocka_unit_test_setup_teardown(adopts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(out_of_memory, set_up, tear_down),     cmocka_unit_test_setup_teardown(own_operators, set_up, tear_down),
    };
    if (argc == 2) { /* another_cpu */
        struct pt_buf model = make_model(0);
        struct pt_session *s = open_in(argv[1], &model, false);
        printf("%s\n", info_of(s).path);
        pt_session_close(s);
        pt_buf_finish(&model);
        return 0;
    }
    ssize_t len = readlink("/proc/self/exe", own_program, sizeof own_program - 1);
    own_program[len < 0 ? 0 : len] = '\0';
    return cmocka_run_group_tests(tests, NULL, NULL);
}
