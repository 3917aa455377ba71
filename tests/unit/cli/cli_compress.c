/* SPDX-License-Identifier: Apache-2.0
 *
 * cli_compress.c: pintle new, train, distill, quantize, evaluate, compress as programs: what comes out, that a run killed at any time goes on to the
 * same bytes, that a gate which does not hold publishes nothing, and what is said of bad input.
 */
#include "tests/unit/cli/program.h"

#include "base/rand.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <signal.h>
#include <sysexits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Three classes of points in the plane, rings around the middle, so that no line parts them. */
static void write_rings(const char *name, int samples, uint64_t seed)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    struct pt_rand r;
    pt_rand_init(&r, seed);
    pt_buf_puts(&text, "a,b,label\n");
    for (int i = 0; i < samples; i++) {
        double radius = i % 3 + 0.15 * pt_rand_normal(&r), x = pt_rand_normal(&r), y = pt_rand_normal(&r), n = x * x + y * y + 1e-9;
        double scale = radius / __builtin_sqrt(n);
        static const char *const names[] = {"dot", "inner", "outer"};
        pt_buf_printf(&text, "%.5f,%.5f,%s\n", x * scale, y * scale, names[i % 3]);
    }
    temp_write(name, text.data, text.len);
}

static int prepare(void **state)
{
    (void)state;
    write_rings("rings.csv", 600, 1);
    write_rings("other.csv", 300, 2);
    assert_int_equal(pintle("new @/big.onnx --input 2 --layers dense:32,relu,dense:32,relu,dense:3"), 0);
    assert_int_equal(pintle("new @/small.onnx --input 2 --layers dense:12,relu,dense:3 --seed 2"), 0);
    assert_int_equal(pintle("train @/big.onnx --data @/rings.csv --held-out @/other.csv -o @/teacher.onnx --epochs 20 --threads 1"), 0);
    return 0;
}

static double number(const cJSON *o, const char *a, const char *b)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, a);
    v = b ? cJSON_GetObjectItemCaseSensitive(v, b) : v;
    assert_true(cJSON_IsNumber(v));
    return v->valuedouble;
}

static bool same_files(const char *a, const char *b)
{
    pt_auto_buf x = PT_BUF_INIT(0), y = PT_BUF_INIT(0);
    assert_works(pt_buf_read_file(&x, temp_path(a), &err));
    assert_works(pt_buf_read_file(&y, temp_path(b), &err));
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

/* --- what comes out ----------------------------------------------------------------------------------------------------------------------------- */

static void trained(void **state)
{
    (void)state;
    assert_int_equal(pintle("evaluate @/teacher.onnx --data @/other.csv --json --latency-seconds 0.01"), 0);
    cJSON *o = cJSON_Parse(out.data);
    assert_non_null(o);
    assert_true(number(o, "accuracy", NULL) > 0.97);
    assert_true(number(o, "latencyMs", NULL) > 0);
    assert_int_equal(number(o, "samples", NULL), 300);
    const cJSON *class = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, "classes"), 1);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(class, "class")->valuestring, "inner"); /* kept in the model */
    assert_int_equal(number(class, "support", NULL), 100);
    cJSON_Delete(o);
    assert_int_equal(pintle("evaluate @/teacher.onnx --data @/other.csv"), 0);
    assert_non_null(strstr(out.data, "accuracy"));
    assert_non_null(strstr(out.data, "label \\ answer"));
    assert_int_equal(pintle("train @/big.onnx --data @/rings.csv --held-out 0.2 -o @/no.onnx --dry-run"), 0);
    assert_non_null(strstr(out.data, "480 samples to learn from, 120 held out"));
    assert_int_equal(access(temp_path("no.onnx"), F_OK), -1);
}

static void curves(void **state)
{
    pt_auto_buf file = PT_BUF_INIT(0);
    (void)state;
    assert_int_equal(pintle("train @/small.onnx --data @/rings.csv --held-out 0.2 -o @/c.onnx --epochs 3 --curves @/c.csv --progress json"), 0);
    assert_works(pt_buf_read_file(&file, temp_path("c.csv"), &err));
    assert_true(strncmp(pt_buf_cstr(&file), "stage,epoch,rate,loss,accuracy,held_out_loss,held_out_accuracy\ntrain,1,", 71) == 0);
    struct pt_str rest = {errors.data, errors.len}, line;
    int epochs = 0;
    while (pt_str_split(&rest, '\n', &line) && line.len) { /* each line is an object */
        cJSON *o = cJSON_ParseWithLength(line.p, line.len);
        assert_non_null(o);
        epochs += cJSON_HasObjectItem(o, "heldOutLoss");
        cJSON_Delete(o);
    }
    assert_int_equal(epochs, 3);
    pt_buf_reset(&file);
    assert_int_equal(pintle("train @/small.onnx --data @/rings.csv -o @/c.onnx --epochs 2 --curves @/c.svg --html @/c.html"), 0);
    assert_works(pt_buf_read_file(&file, temp_path("c.svg"), &err));
    assert_true(strncmp(pt_buf_cstr(&file), "<svg ", 5) == 0 && strstr(file.data, "<polyline"));
    pt_buf_reset(&file);
    assert_works(pt_buf_read_file(&file, temp_path("c.html"), &err));
    assert_null(strstr(pt_buf_cstr(&file), "src="));
    assert_null(strstr(file.data, "href="));
}

/* --- recipes -------------------------------------------------------------------------------------------------------------------------------------
 */

static void write_recipe(const char *name, const char *gate, int epochs)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    pt_buf_printf(&text,
                  "model: %s/small.onnx\noutput: %s/%s.onnx\nthreads: 1\nlatencySeconds: 0\n"
                  "data: {train: %s/rings.csv, heldOut: %s/other.csv}\n"
                  "stages:\n  - distill: {teacher: %s/teacher.onnx, epochs: %d, learningRate: 0.1, temperature: 2}\n"
                  "  - train: {epochs: %d, learningRate: 0.02}\n  - quantize: {}\n"
                  "gate: {%s}\nreport: {json: %s/%s.json, html: %s/%s.html}\n",
                  temp_dir(), temp_dir(), name, temp_dir(), temp_dir(), temp_dir(), epochs, epochs, gate, temp_dir(), name, temp_dir(), name);
    char file[64];
    snprintf(file, sizeof file, "%s.yaml", name);
    temp_write(file, text.data, text.len);
}

static cJSON *read_json(const char *name)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    assert_works(pt_buf_read_file(&text, temp_path(name), &err));
    cJSON *o = cJSON_ParseWithLength(text.data, text.len);
    assert_non_null(o);
    return o;
}

static void recipe(void **state)
{
    (void)state;
    write_recipe("a", "accuracy: {min: 0.9}, size: {max: 20KB}", 20);
    assert_int_equal(pintle("compress @/a.yaml --dry-run"), 0);
    assert_int_equal(access(temp_path("a.onnx"), F_OK), -1);
    assert_int_equal(pintle("compress @/a.yaml"), 0);
    cJSON *o = read_json("a.json");
    const cJSON *stages = cJSON_GetObjectItemCaseSensitive(o, "stages");
    assert_int_equal(number(o, "version", NULL), 1);
    assert_int_equal(cJSON_GetArraySize(stages), 3);
    assert_true(number(cJSON_GetArrayItem(stages, 2), "quality", "accuracy") > 0.9);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, "gate"), "holds")));
    cJSON_Delete(o);
    assert_int_equal(access(temp_path("a.html"), R_OK), 0);
    assert_int_equal(access(temp_path("a.onnx.work"), F_OK), -1); /* nothing is left behind */
    assert_int_equal(pintle("evaluate @/a.onnx --data @/other.csv --json"), 0);
}

static void gate(void **state)
{
    (void)state;
    write_recipe("b", "accuracy: {min: 1.1}", 2);
    assert_int_equal(pintle("compress @/b.yaml --progress none"), 3);
    assert_non_null(strstr(errors.data, "error: the gate does not hold: accuracy is 0."));
    assert_non_null(strstr(errors.data, ", min is 1.1\n"));
    assert_int_equal(access(temp_path("b.onnx"), F_OK), -1);
    cJSON *o = read_json("b.json");
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, "gate"), "holds")));
    assert_null(cJSON_GetObjectItemCaseSensitive(o, "output"));
    cJSON_Delete(o);
    write_recipe("b", "accuracy: {min: 0.1}", 2); /* other bounds: what is finished is not done again */
    assert_int_equal(pintle("compress @/b.yaml"), 0);
    assert_non_null(strstr(errors.data, "distill: finished before"));
    assert_int_equal(access(temp_path("b.onnx"), R_OK), 0);
}

/* As the operator runs it in a pod: out of a URI, into a folder under its digest, and the rest as a few bytes of JSON. */
static void published(void **state)
{
    (void)state;
    static const char run[] = "compress @/p.yaml --model file://@/small.onnx --publish file://@/made --work @/made/.work-1 --result @/result "
                              "--progress none";
    static const char text[] = "stages: [{quantize: {mode: dynamic}}]\nlatencySeconds: 0\n";
    static const char longer[] = "what was there before is longer than what comes, "
                                 "what was there before is longer than what comes, what was there before is longer than what comes";
    char file[128], options[512];
    temp_write("p.yaml", text, sizeof text - 1);
    temp_write("result", longer, sizeof longer - 1);
    assert_int_equal(pintle(run), 0);
    cJSON *o = read_json("result");
    const char *digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "digest"));
    assert_non_null(digest);
    assert_non_null(strstr(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "message")), "size "));
    snprintf(file, sizeof file, "made/sha256-%s.onnx", digest + 7);
    assert_int_equal(access(temp_path(file), R_OK), 0);
    cJSON_Delete(o);
    assert_int_equal(access(temp_path("made/.work-1"), F_OK), -1);
    assert_int_equal(access(temp_path("made/.work-1.onnx"), F_OK), -1);
    assert_int_equal(pintle(run), 0); /* again is the same file */

    snprintf(options, sizeof options, "%s --digest sha256:%064d", run, 0);
    fails(options, EX_DATAERR, "digest: want sha256:0000");
    o = read_json("result");
    assert_null(cJSON_GetObjectItemCaseSensitive(o, "digest"));
    assert_non_null(strstr(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "message")), "digest: want sha256:0000"));
    cJSON_Delete(o);
    fails("compress @/p.yaml --model file://@/small.onnx --publish file://@/made", EX_DATAERR, "needs --work");
    fails("compress @/p.yaml --model @/small.onnx --publish https://h/p --work @/w", EX_DATAERR, "--publish: \"https://h/p\": want file:///PATH or s3://");
    fails("compress @/p.yaml --model @/small.onnx --publish s3://b --work @/w", EX_DATAERR, "no name of a bucket");
    fails("compress @/p.yaml --model ftp://h/p --publish file://@/made --work @/w", EX_DATAERR, "want file:///PATH");
    fails("compress @/p.yaml --model file://@/none.onnx --publish file://@/made --work @/w", EX_NOINPUT, "none.onnx");
}

/* Kills it when `sign` is among what it said. The pipe is small, so that it cannot run far ahead of who reads. */
static void kill_at(const char *line, const char *sign)
{
    pt_auto_buf said = PT_BUF_INIT(0);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    pid_t pid = pintle_start(line, ends[1]);
    close(ends[1]);
    for (ssize_t n = 1; n > 0 && !strstr(pt_buf_cstr(&said), sign);) {
        n = read(ends[0], pt_buf_reserve(&said, 256), 256);
        said.len += n > 0 ? (size_t)n : 0;
    }
    kill(pid, SIGKILL);
    assert_int_equal(pintle_end(pid), 128 + SIGKILL);
    close(ends[0]);
}

static void killed(void **state)
{
    (void)state;
    write_recipe("whole", "accuracy: {min: 0.5}", 400);
    assert_int_equal(pintle("compress @/whole.yaml"), 0);
    write_recipe("cut", "accuracy: {min: 0.5}", 400);
    kill_at("compress @/cut.yaml", "epoch 3/");
    assert_int_equal(access(temp_path("cut.onnx"), F_OK), -1);
    kill_at("compress @/cut.yaml", "stage 2 of 3: train\nepoch 1/");
    temp_write("cut.onnx.work/1-distill.checkpoint.aB3xYz", "half", 4); /* as a kill amid writing leaves it */
    assert_int_equal(pintle("compress @/cut.yaml"), 0);
    assert_non_null(strstr(errors.data, "distill: finished before"));
    assert_int_equal(access(temp_path("cut.onnx.work"), F_OK), -1);
    assert_true(same_files("whole.onnx", "cut.onnx"));
    kill_at("train @/small.onnx --data @/rings.csv -o @/t1.onnx --epochs 400 --threads 1 --checkpoint @/t.checkpoint", "epoch 4/");
    assert_int_equal(pintle("train @/small.onnx --data @/rings.csv -o @/t1.onnx --epochs 400 --threads 1 --checkpoint @/t.checkpoint"), 0);
    assert_null(strstr(errors.data, "epoch 1/400"));
    assert_int_equal(access(temp_path("t.checkpoint"), F_OK), -1);
    assert_int_equal(pintle("train @/small.onnx --data @/rings.csv -o @/t2.onnx --epochs 400 --threads 1"), 0);
    assert_true(same_files("t1.onnx", "t2.onnx"));
}

static void interrupted(void **state)
{
    (void)state;
    write_recipe("term", "accuracy: {min: 0.5}", 2000);
    pid_t pid = pintle_start("compress @/term.yaml", -1);
    for (int i = 0; i < 20000 && access(temp_path("term.onnx.work/1-distill.checkpoint"), F_OK) != 0; i++)
        usleep(500);
    kill(pid, SIGTERM);
    assert_int_equal(pintle_end(pid), EX_TEMPFAIL);
    assert_int_equal(access(temp_path("term.onnx"), F_OK), -1);
    assert_int_equal(access(temp_path("term.onnx.work/1-distill.checkpoint"), R_OK), 0);
}

/* --- messages ------------------------------------------------------------------------------------------------------------------------------------
 */

static void messages(void **state)
{
    static const struct {
        const char *recipe, *message;
    } rows[] = {
        {"", "is empty"},
        {"- a", "must be a map: model, output, data, stages, ..."},
        {"model: @/small.onnx\noutput: @/o\nstages: []", "stages: must be a list, with one stage at least"},
        {"output: @/o\nstages: [{quantize: {}}]", "model: is missing"},
        {"model: @/small.onnx\nstages: [{quantize: {}}]", "output: is missing"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{quantise: {}}]", "stages[0]: unknown stage \"quantise\": did you mean \"quantize\"?"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{train: {}, quantize: {}}]", "stages[0]: must be a map with one key, the stage's name"},
        {"model: @/small.onnx\noutput: @/o\nsed: 3\nstages: [{quantize: {}}]", "recipe: unknown key \"sed\": did you mean \"seed\"?"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{train: {}}]", "data.train: is missing, and a stage trains"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{train: {}}]\ndata: {trian: a}", "data: unknown key \"trian\": did you mean \"train\"?"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{quantize: {}}]\ngate: {accuracy: {min: 1}}",
         "data.heldOut: is missing, and the gate needs samples to judge by"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{quantize: {}}]\ngate: {acuracy: {min: 1}}",
         "gate: unknown key \"acuracy\": did you mean \"accuracy\"?"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{quantize: {}}]\ngate: {accuracy: {maxdrop: 1}}",
         "gate.accuracy: unknown key \"maxdrop\": did you mean \"maxDrop\"?"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{quantize: {}}]\ngate: {size: {max: small}}",
         "gate.size.max: \"small\" is neither a share of the input's (0.5x) nor a number of bytes (500KB)"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{quantize: {}}]\ngate: {latency: {max: 3s}}",
         "gate.latency.max: \"3s\" is neither a share of the input's (0.5x) nor a number of milliseconds (3ms)"},
        {"model: @/small.onnx\noutput: @/o\nstages: [{quantize: {}}]\ngate: {accuracy: {min: -1}}",
         "gate.accuracy.min: must be a number of 0 or more"},
        {"model: @/small.onnx\noutput: @/o\ndata: {train: @/rings.csv}\nstages: [{distill: {teacher: @/none.onnx}}]",
         "none.onnx: No such file or directory"},
        {"model: @/none.onnx\noutput: @/o\nstages: [{quantize: {}}]", "none.onnx: No such file or directory"},
        {"model: @/small.onnx\noutput: @/o\ndata: {train: @/rings.csv}\nstages: [{train: {learningRate: 1000}}]",
         "the loss is not a number: a smaller learning rate"},
        {"model: @/small.onnx\noutput: @/o\ndata: {train: @/rings.csv, labelColumn: b}\nstages: [{train: {}}]",
         "rings.csv: line 2, column \"label\": \"dot\" is no number"},
        {"model: @/small.onnx\noutput: @/o\ndata: {train: @/labels4.csv}\nstages: [{train: {}}]", "label 3 of sample 3"},
        {"model: @/wide.onnx\noutput: @/o\ndata: {train: @/rings.csv}\nstages: [{train: {}}]", "the model takes [?, 5]"},
        {"model: @/small.onnx\noutput: @/o\ndata: {train: @/rings.csv}\nstages: [{train: {dropout: 0.5, dropoutAt: nowhere}}]", "nowhere"},
    };
    (void)state;
    temp_write("labels4.csv", "a,b,y\n1,2,0\n1,2,1\n1,2,2\n1,2,3\n", 30);
    assert_int_equal(pintle("new @/wide.onnx --input 5 --layers dense:3"), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pt_auto_buf text = PT_BUF_INIT(0);
        for (const char *p = rows[i].recipe; *p; p++)
            *p == '@' ? pt_buf_puts(&text, temp_dir()) : pt_buf_putc(&text, *p);
        temp_write("m.yaml", text.len ? text.data : "", text.len);
        int status = pintle("compress @/m.yaml --progress none");
        if (status == 0 || status == EX_SOFTWARE || status > 127 || !strstr(errors.data, rows[i].message) || out.len)
            fail_msg("%s\nexit %d, says: %s\nnot: %s", rows[i].recipe, status, errors.data, rows[i].message);
        assert_int_equal(access(temp_path("o"), F_OK), -1);
    }
}

/* Where files are, and whether they can be there, before the work begins. */
static void places(void **state)
{
    static const char recipe[] = "model: ../small.onnx\noutput: made.onnx\nstages: [{prune: {amount: 0.5}}]\nlatencySeconds: 0\n";
    (void)state;
    assert_int_equal(mkdir(temp_path("sub"), 0700), 0);
    temp_write("sub/r.yaml", recipe, sizeof recipe - 1);
    assert_int_equal(pintle("compress @/sub/r.yaml --progress none"), 0);
    assert_int_equal(access(temp_path("sub/made.onnx"), R_OK), 0);
    fails("prune @/small.onnx --amount 0.5 --latency-seconds 0 -o @/sub", EX_DATAERR, "sub is a folder");
    fails("prune @/small.onnx --amount 0.5 --latency-seconds 0 -o @/none/x.onnx", EX_NOINPUT, "nothing can be written in");
    fails("prune @/small.onnx --amount 0.5 --latency-seconds 0 -o @/x.onnx --report @/none/x.json", EX_NOINPUT, "report: nothing can be written in");
    assert_int_equal(mkdir(temp_path("sub/made.onnx.work"), 0700), 0);
    int other = open(temp_path("sub/made.onnx.work"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    assert_int_not_equal(pintle("compress @/sub/r.yaml --progress none"), 0);
    assert_non_null(strstr(pt_buf_cstr(&errors), "another run is at work in"));
    close(other);
    assert_int_equal(pintle("compress @/sub/r.yaml --progress none"), 0);
}

static void usage_errors(void **state)
{
    (void)state;
    fails("new", EX_USAGE, "a file to write is needed");
    fails("new @/n.onnx --input 3", EX_USAGE, "--input and --layers are needed");
    fails("new @/n.onnx --input 3x --layers dense:2", EX_DATAERR, "input \"3x\"");
    fails("new @/n.onnx --input 3 --layers dens:2", EX_DATAERR, "layer 1, \"dens:2\": there is no such layer");
    fails("new @/n.onnx --input 3 --layers dense:2,conv:8:3", EX_DATAERR, "layer 2, \"conv:8:3\": needs channels x height x width");
    fails("new @/n.onnx --input 1x4x4 --layers dense:2", EX_DATAERR, "needs flat values");
    fails("new @/n.onnx --input 1x4x4 --layers maxpool:5,flatten", EX_DATAERR, "a window of 5 is larger than 4 x 4");
    fails("new @/n.onnx --input 1x4x4 --layers conv:8:3", EX_DATAERR, "end with flatten, or with a dense layer");
    fails("train @/big.onnx -o @/x.onnx", EX_USAGE, "--data FILE is needed");
    fails("train @/big.onnx --data @/rings.csv", EX_USAGE, "-o FILE is needed");
    fails("train @/big.onnx --data @/rings.csv -o @/x.onnx --epoch 3x", EX_USAGE, "--epochs: '3x'");
    fails("train @/big.onnx --data @/rings.csv -o @/x.onnx --learning-rat 3 --batch-sise 5", EX_USAGE, "did you mean --batch-size?");
    fails("train @/big.onnx --data @/rings.csv -o @/x.onnx --curves x.png", EX_USAGE, "must end in .svg or .csv");
    fails("distill @/big.onnx --data @/rings.csv -o @/x.onnx", EX_USAGE, "a teacher is needed");
    fails("evaluate @/big.onnx", EX_USAGE, "--data FILE is needed");
    fails("evaluate @/big.onnx --data @/none.csv", EX_NOINPUT, "none.csv");
    fails("compress", EX_USAGE, "a recipe is needed");
    fails("compress @/none.yaml", EX_NOINPUT, "none.yaml");
}

static int finish(void **state)
{
    (void)state;
    pt_buf_finish(&out);
    pt_buf_finish(&errors);
    temp_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(trained),  cmocka_unit_test(curves),      cmocka_unit_test(recipe),
                                       cmocka_unit_test(gate),     cmocka_unit_test(killed), cmocka_unit_test(published),     cmocka_unit_test(interrupted),
                                       cmocka_unit_test(messages), cmocka_unit_test(places), cmocka_unit_test(usage_errors)};
    return cmocka_run_group_tests(tests, prepare, finish);
}
