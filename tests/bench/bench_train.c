/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_train.c: trains a model on raw arrays by the library, for comparison with other programs: no readers of files in between, and every option
 * that the comparison needs. Prints JSON. X is a file for each input of the model, with commas between, Y int64 classes, as numpy's tofile() writes.
 *
 *     bench_train MODEL X Y COUNT [key=value...]
 *     hx= hy= hcount=     held-out samples       batch=64 epochs=1 seed=1 threads=1 steps=0 (0: all of the epochs)
 *     optimizer=sgd|adamw rate= momentum= nesterov= decay= schedule=constant|cosine|step gamma= every= floor= warmup= smoothing=
 *     frozen=1            BatchNormalization keeps its statistics
 *     reset=1             random weights first   out=FILE
 *     weights=FILE        what is trained, as it comes out: a line of names and dims as JSON for each, then all numbers
 */
#include "base/mem.h"
#include "runtime/compress/tap.h"
#include "runtime/train/evaluate.h"
#include "runtime/train/train.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct settings {
    const char *held_x, *held_y, *optimizer, *schedule, *out, *weights;
    long frozen, held_count, reset, steps, threads;
    struct pt_train_options o;
};

static struct timespec cpu_start;
static double step_ms[4096], before;
static long steps_done, steps_wanted;

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)(t.tv_sec - cpu_start.tv_sec) * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int die(const char *what)
{
    fprintf(stderr, "bench_train: %s\n", what);
    exit(1);
}

static void *read_all(const char *path, size_t bytes)
{
    void *data = malloc(bytes + 1);
    FILE *f = fopen(path, "rb");
    if (!f || !data || fread(data, 1, bytes, f) != bytes)
        die(path);
    fclose(f);
    return data;
}

static bool text(const char *arg, const char *key, const char **out)
{
    size_t n = strlen(key);
    if (strncmp(arg, key, n) != 0 || arg[n] != '=')
        return false;
    *out = arg + n + 1;
    return true;
}

static bool integer(const char *arg, const char *key, long *out)
{
    const char *v;
    if (!text(arg, key, &v))
        return false;
    *out = strtol(v, NULL, 10);
    return true;
}

static bool number(const char *arg, const char *key, double *out)
{
    const char *v;
    if (!text(arg, key, &v))
        return false;
    *out = strtod(v, NULL);
    return true;
}

static void parse(struct settings *s, char **args)
{
    long batch = 64, epochs = 1, seed = 1, nesterov = 0, every = 1, warmup = 0;
    double rate = 0.01, momentum = 0.9, decay = 0, gamma = 0.1, floor_ = 0, smoothing = 0;
    s->threads = 1;
    for (; *args; args++)
        if (!text(*args, "hx", &s->held_x) && !text(*args, "hy", &s->held_y) && !integer(*args, "hcount", &s->held_count) &&
            !integer(*args, "batch", &batch) && !integer(*args, "epochs", &epochs) && !integer(*args, "seed", &seed) &&
            !integer(*args, "threads", &s->threads) && !integer(*args, "steps", &s->steps) && !text(*args, "optimizer", &s->optimizer) &&
            !number(*args, "rate", &rate) && !number(*args, "momentum", &momentum) && !integer(*args, "nesterov", &nesterov) &&
            !number(*args, "decay", &decay) && !text(*args, "schedule", &s->schedule) && !number(*args, "gamma", &gamma) &&
            !integer(*args, "every", &every) && !number(*args, "floor", &floor_) && !integer(*args, "warmup", &warmup) &&
            !number(*args, "smoothing", &smoothing) && !integer(*args, "reset", &s->reset) && !integer(*args, "frozen", &s->frozen) &&
            !text(*args, "out", &s->out) && !text(*args, "weights", &s->weights))
            die(*args);
    bool adamw = s->optimizer && strcmp(s->optimizer, "adamw") == 0;
    enum pt_schedule_kind kind = !s->schedule || strcmp(s->schedule, "constant") == 0 ? PT_RATE_CONSTANT
                                 : strcmp(s->schedule, "cosine") == 0                 ? PT_RATE_COSINE
                                                                                      : PT_RATE_STEP;
    s->o = (struct pt_train_options){.batch_size = batch,
                                     .epochs = epochs,
                                     .seed = (uint64_t)seed,
                                     .label_smoothing = (float)smoothing,
                                     .frozen_batchnorm = s->frozen,
                                     .optimizer = {.kind = adamw ? PT_ADAMW : PT_SGD,
                                                   .rate = (float)rate,
                                                   .momentum = (float)momentum,
                                                   .nesterov = nesterov,
                                                   .weight_decay = (float)decay},
                                     .schedule = {.kind = kind, .gamma = gamma, .every = every, .floor = floor_, .warmup_steps = warmup}};
}

static int on_progress(void *arg, const struct pt_train_progress *p)
{
    (void)arg;
    if (p->epoch_ended) {
        fprintf(stderr, "epoch %lld: loss %.4f, accuracy %.4f, held out %.4f\n", (long long)p->now.epoch, p->now.loss, p->now.accuracy,
                p->now.held_out_accuracy);
        before = cpu_ms();
        return 0;
    }
    double now = cpu_ms();
    if (steps_done < (long)(sizeof step_ms / sizeof *step_ms))
        step_ms[steps_done] = now - before;
    before = now;
    return ++steps_done == steps_wanted;
}

static struct pt_data data_of(const struct pt_session *s, const char *x, const char *y, long count)
{
    size_t inputs = pt_session_input_count(s);
    struct pt_tensor *in = calloc(inputs + 1, sizeof *in);
    for (size_t k = 0; in && k < inputs; k++) {
        const struct pt_value_info *vi = pt_session_input(s, k);
        char path[4096];
        int len = (int)strcspn(x, ",");
        snprintf(path, sizeof path, "%.*s", len, x);
        x += x[len] ? len + 1 : len;
        in[k] = (struct pt_tensor){.dtype = vi->dtype, .rank = vi->rank, .dims = {count}};
        for (int i = 1; i < vi->rank; i++)
            in[k].dims[i] = vi->dims[i];
        in[k].size_bytes = (size_t)pt_tensor_count(&in[k]) * (vi->dtype == PT_INT64 ? sizeof(int64_t) : sizeof(float));
        in[k].data = read_all(path, in[k].size_bytes);
    }
    size_t bytes = (size_t)count * sizeof(int64_t);
    return (struct pt_data){.inputs = in,
                            .input_count = inputs,
                            .count = count,
                            .labels = {.dtype = PT_INT64, .rank = 1, .dims = {count}, .data = read_all(y, bytes), .size_bytes = bytes}};
}

static void free_data(struct pt_data *d)
{
    for (size_t k = 0; k < d->input_count; k++)
        free(d->inputs[k].data);
    free(d->labels.data);
    free((void *)(uintptr_t)d->inputs);
}

static void write_weights(struct pt_edit *e, const struct pt_train_options *o, const char *path)
{
    struct pt_err err = {0};
    struct pt_str *names;
    size_t count;
    FILE *f = fopen(path, "wb");
    if (!f || pt_train_parameters(e, o, &names, &count, &err) < 0)
        die(f ? err.msg : path);
    for (int numbers = 0; numbers < 2; numbers++) {
        for (size_t k = 0; k < count; k++) {
            const struct pt_tensor *t = &e->model.graph.initializers[pt_edit_value(e, names[k], NULL)->initializer].t;
            if (numbers) {
                fwrite(t->data, sizeof(float), (size_t)pt_tensor_count(t), f);
                continue;
            }
            fprintf(f, "[\"" PT_STR_FMT "\"", PT_STR_ARG(names[k]));
            for (int i = 0; i < t->rank; i++)
                fprintf(f, ", %lld", (long long)t->dims[i]);
            fprintf(f, "]\n");
        }
        if (!numbers)
            fprintf(f, "\n");
    }
    fclose(f);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        die("usage: bench_train MODEL X Y COUNT [key=value...]");
    struct settings s = {0};
    struct pt_err err = {0};
    struct pt_edit e = {0};
    struct pt_threads *threads = NULL;
    struct pt_tap *tap = NULL;
    parse(&s, argv + 5);
    if (pt_threads_create((int)s.threads, &threads, &err) < 0 || pt_edit_open(&e, argv[1], &err) < 0 ||
        (s.reset && pt_train_reset(&e, s.o.seed, &err) < 0) || pt_tap_open(&e, NULL, 0, threads, &tap, &err) < 0)
        die(err.msg);
    struct pt_data data = data_of(pt_tap_session(tap), argv[2], argv[3], strtol(argv[4], NULL, 10)), held = {0};
    if (s.held_x)
        held = data_of(pt_tap_session(tap), s.held_x, s.held_y, s.held_count);
    pt_tap_close(tap);
    s.o.threads = threads;
    s.o.progress = on_progress;
    steps_wanted = s.steps;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_start);
    cpu_start.tv_nsec = 0;
    before = cpu_ms();
    struct pt_train_result r = {0};
    int rc = pt_train(&e, &data, s.held_x ? &held : NULL, &s.o, &r, &err);
    if (rc < 0 && !(rc == PT_ECANCELED && s.steps))
        die(err.msg);
    if (s.out && pt_edit_save(&e, s.out, &err) < 0)
        die(err.msg);
    if (s.weights)
        write_weights(&e, &s.o, s.weights);
    long n = steps_done < 4096 ? steps_done : 4096;
    qsort(step_ms, (size_t)n, sizeof *step_ms, by_value);
    printf("{\"steps\": %ld, \"min_ms\": %.3f, \"median_ms\": %.3f", steps_done, n ? step_ms[0] : 0, n ? step_ms[n / 2] : 0);
    if (r.count)
        printf(", \"loss\": %.6f, \"accuracy\": %.6f, \"held_out_accuracy\": %.6f", r.points[r.count - 1].loss, r.points[r.count - 1].accuracy,
               s.held_x ? r.points[r.count - 1].held_out_accuracy : 0);
    printf("}\n");
    free_data(&data);
    free_data(&held);
    pt_free(r.points);
    pt_edit_finish(&e);
    pt_threads_destroy(threads);
    return 0;
}
