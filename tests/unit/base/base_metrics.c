/* SPDX-License-Identifier: Apache-2.0
 *
 * base_metrics.c: the exposition text, byte for byte; labels with anything in them; updates from many threads.
 */
#include "unit.h"

#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

static const double bounds[] = {0.1, 1, 10};
static const struct pt_metric_family requests = {"requests_total", "Requests by model and code.", PT_COUNTER, "model,code", NULL, 0};
static const struct pt_metric_family queued = {"queued", "Requests that wait.", PT_GAUGE, "", NULL, 0};
static const struct pt_metric_family latency = {"latency_seconds", "Time.", PT_HISTOGRAM, "model", bounds, 3};

static void writes_the_text_format(void **state)
{
    struct pt_metrics *m = pt_metrics_create();
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    struct pt_metric *c = pt_metrics_series(m, &requests, "digits", "200", NULL);
    assert_ptr_equal(pt_metrics_series(m, &requests, "digits", "200", NULL), c);
    assert_ptr_not_equal(pt_metrics_series(m, &requests, "digits", "400", NULL), c);
    pt_metric_add(c, 3);
    pt_metric_set(pt_metrics_series(m, &queued, NULL), 2.5);
    struct pt_metric *h = pt_metrics_series(m, &latency, "digits", NULL);
    const double seen[] = {0.05, 0.1, 0.5, 10, 11, NAN};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        pt_metric_observe(h, seen[i]);
    pt_metrics_write(m, PT_METRICS_TEXT, &b);
    assert_string_equal(pt_buf_cstr(&b),
                        "# HELP requests_total Requests by model and code.\n# TYPE requests_total counter\n"
                        "requests_total{model=\"digits\",code=\"200\"} 3\nrequests_total{model=\"digits\",code=\"400\"} 0\n"
                        "# HELP queued Requests that wait.\n# TYPE queued gauge\nqueued 2.5\n"
                        "# HELP latency_seconds Time.\n# TYPE latency_seconds histogram\n"
                        "latency_seconds_bucket{model=\"digits\",le=\"0.1\"} 2\nlatency_seconds_bucket{model=\"digits\",le=\"1\"} 3\n"
                        "latency_seconds_bucket{model=\"digits\",le=\"10\"} 4\nlatency_seconds_bucket{model=\"digits\",le=\"+Inf\"} 5\n"
                        "latency_seconds_sum{model=\"digits\"} 21.65\nlatency_seconds_count{model=\"digits\"} 5\n");
    uint64_t counts[4];
    double sum;
    pt_metric_histogram(h, counts, &sum);
    const uint64_t want[] = {2, 1, 1, 1};
    assert_memory_equal(counts, want, sizeof want);
    assert_true(sum == pt_metric_value(h) && fabs(sum - 21.65) < 1e-9);
    pt_metrics_destroy(m);
    pt_metrics_destroy(NULL);
}

static void writes_open_metrics(void **state)
{
    static const double whole[] = {1, 20, 2.5e-5};
    static const struct pt_metric_family rows = {"rows", "Rows.", PT_HISTOGRAM, "", whole, 2};
    static const struct pt_metric_family alias = {"nv_inference_count", "Rows inferred.", PT_COUNTER, "", NULL, 0};
    static const struct pt_metric_family used = {"cpu_seconds_total", "CPU time.", PT_COUNTER, "", NULL, 0};
    static const uint8_t trace[16] = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
    struct pt_metrics *m = pt_metrics_create();
    pt_auto_buf b = PT_BUF_INIT(0), text = PT_BUF_INIT(0);
    (void)state;
    pt_metric_add(pt_metrics_series(m, &requests, "a", "200", NULL), 3);
    pt_metric_add(pt_metrics_series(m, &alias, NULL), 1);
    pt_metric_add(pt_metrics_series(m, &used, NULL), 0.5);
    struct pt_metric *h = pt_metrics_series(m, &rows, NULL);
    pt_metric_observe_traced(h, 7, trace);
    pt_metric_observe_traced(h, 9, NULL);
    pt_metric_observe_traced(h, NAN, trace);
    pt_metric_observe_traced(NULL, 1, trace);
    pt_metrics_write(m, PT_METRICS_OPEN, &b);
    static const char before[] = "# HELP requests Requests by model and code.\n# TYPE requests counter\nrequests_total{model=\"a\",code=\"200\"} 3\n"
                                 "# HELP nv_inference_count Rows inferred.\n# TYPE nv_inference_count unknown\nnv_inference_count 1\n"
                                 "# HELP cpu_seconds CPU time.\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\ncpu_seconds_total 0.5\n"
                                 "# HELP rows Rows.\n# TYPE rows histogram\nrows_bucket{le=\"1.0\"} 0\nrows_bucket{le=\"20.0\"} 2 # "
                                 "{trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 7 ";
    static const char after[] = "\nrows_bucket{le=\"+Inf\"} 2\nrows_count 2\nrows_sum 16\n# EOF\n";
    const char *got = pt_buf_cstr(&b);
    assert_true(strncmp(got, before, sizeof before - 1) == 0);
    char *end;
    assert_true(fabs(strtod(got + sizeof before - 1, &end) - (double)time(NULL)) < 120);
    assert_string_equal(end, after);
    pt_metrics_write(m, PT_METRICS_TEXT, &text); /* which has no exemplars */
    assert_null(strstr(pt_buf_cstr(&text), "trace_id"));
    pt_metrics_destroy(m);
}

static void chooses_what_the_scraper_prefers(void **state)
{
    static const struct {
        const char *accept;
        enum pt_metrics_format want;
    } cases[] = {
        {NULL, PT_METRICS_TEXT},
        {"", PT_METRICS_TEXT},
        {"*/*", PT_METRICS_TEXT},
        {"text/html", PT_METRICS_TEXT},
        {"application/openmetrics-text", PT_METRICS_OPEN},
        {"Application/OpenMetrics-Text ; Version=1.0.0 ; Q=0.1", PT_METRICS_OPEN},
        {"application/openmetrics-text;version=2.0.0", PT_METRICS_TEXT},
        {"application/openmetrics-text;q=0", PT_METRICS_TEXT},
        {"application/openmetrics-text;q=0.5,text/plain;q=0.5", PT_METRICS_TEXT},
        {"application/openmetrics-text;q=0.4,text/plain;q=0.500", PT_METRICS_TEXT},
        {"text/*;q=0.2, application/openmetrics-text;q=0.3", PT_METRICS_OPEN},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
         "text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
         PT_METRICS_OPEN},
        {";;=,,q=;application/openmetrics-text", PT_METRICS_TEXT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(pt_metrics_choose(pt_str(cases[i].accept)), cases[i].want);
}

static void labels_may_be_anything(void **state)
{
    static const struct pt_metric_family f = {"f", "h", PT_GAUGE, "a,b", NULL, 0};
    struct pt_metrics *m = pt_metrics_create();
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    pt_metric_set(pt_metrics_series(m, &f, "q\"b\\n\n\xc3\xa9\xff", "", NULL), -INFINITY);
    pt_metrics_write(m, PT_METRICS_TEXT, &b);
    assert_non_null(strstr(pt_buf_cstr(&b), "f{a=\"q\\\"b\\\\n\\n\xc3\xa9\xef\xbf\xbd\",b=\"\"} -Inf\n"));
    char *big = malloc(10000);
    memset(big, 'x', 9999);
    big[9999] = '\0';
    assert_null(pt_metrics_series(m, &f, big, "", NULL));
    free(big);
    pt_metric_add(NULL, 1);
    pt_metric_set(NULL, 1);
    pt_metric_observe(NULL, 1);
    pt_metrics_destroy(m);
}

static void series_are_bounded(void **state)
{
    struct pt_metrics *m = pt_metrics_create();
    char code[16];
    (void)state;
    for (int i = 0; i < 10000; i++) {
        snprintf(code, sizeof code, "%d", i);
        assert_non_null(pt_metrics_series(m, &requests, "m", code, NULL));
    }
    assert_null(pt_metrics_series(m, &requests, "m", "one more", NULL));
    assert_non_null(pt_metrics_series(m, &requests, "m", "77", NULL));
    pt_metrics_destroy(m);
}

/* What is removed is not written any more, makes room, and is there with 0 when it comes again; who else uses it keeps it. */
static void series_can_be_removed(void **state)
{
    struct pt_metrics *m = pt_metrics_create();
    pt_auto_buf b = PT_BUF_INIT(0), after = PT_BUF_INIT(0), again = PT_BUF_INIT(0);
    (void)state;
    struct pt_metric *first = pt_metrics_series(m, &requests, "a", "200", NULL), *second = pt_metrics_series(m, &requests, "b", "200", NULL);
    struct pt_metric *shared_one = pt_metrics_series(m, &requests, "c", "200", NULL);
    assert_ptr_equal(pt_metrics_series(m, &requests, "c", "200", NULL), shared_one);
    pt_metric_add(first, 1);
    pt_metrics_remove(m, first);
    pt_metrics_remove(m, shared_one);
    pt_metrics_remove(m, NULL);
    pt_metric_add(shared_one, 5);
    pt_metrics_write(m, PT_METRICS_TEXT, &b);
    assert_string_equal(strchr(strchr(pt_buf_cstr(&b), '\n') + 1, '\n') + 1,
                        "requests_total{model=\"b\",code=\"200\"} 0\nrequests_total{model=\"c\",code=\"200\"} 5\n");
    pt_metrics_remove(m, shared_one); /* the last of the list: what is made next must still be found behind the others */
    assert_true(pt_metric_value(pt_metrics_series(m, &requests, "a", "200", NULL)) == 0);
    pt_metrics_write(m, PT_METRICS_TEXT, &after);
    assert_string_equal(strchr(strchr(pt_buf_cstr(&after), '\n') + 1, '\n') + 1,
                        "requests_total{model=\"b\",code=\"200\"} 0\nrequests_total{model=\"a\",code=\"200\"} 0\n");
    pt_metrics_remove(m, second);
    pt_metrics_remove(m, pt_metrics_series(m, &requests, "x", "1", NULL));
    for (int i = 0; i < 20000; i++) { /* versions that come and go never fill the registry */
        char code[16];
        snprintf(code, sizeof code, "%d", i);
        struct pt_metric *s = pt_metrics_series(m, &requests, "m", code, NULL);
        assert_non_null(s);
        pt_metrics_remove(m, s);
    }
    pt_metrics_write(m, PT_METRICS_TEXT, &again);
    assert_string_equal(strchr(strchr(pt_buf_cstr(&again), '\n') + 1, '\n') + 1, "requests_total{model=\"a\",code=\"200\"} 0\n");
    pt_metrics_destroy(m);
}

static struct pt_metrics *shared;
static void *hammer(void *arg)
{
    (void)arg;
    struct pt_metric *c = pt_metrics_series(shared, &requests, "m", "200", NULL), *h = pt_metrics_series(shared, &latency, "m", NULL);
    for (int i = 0; i < 20000; i++) {
        pt_metric_add(c, 1);
        pt_metric_observe_traced(h, i % 3, i % 5 ? NULL : (const uint8_t *)"0123456789abcdef");
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    pthread_t t[4];
    uint64_t counts[4];
    double sum;
    (void)state;
    shared = pt_metrics_create();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, NULL), 0);
    for (int i = 0; i < 100; i++) {
        pt_auto_buf b = PT_BUF_INIT(0);
        pt_metrics_write(shared, i % 2 ? PT_METRICS_OPEN : PT_METRICS_TEXT, &b);
        assert_int_equal(b.failed, 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_true(pt_metric_value(pt_metrics_series(shared, &requests, "m", "200", NULL)) == 80000);
    pt_metric_histogram(pt_metrics_series(shared, &latency, "m", NULL), counts, &sum);
    assert_int_equal(counts[0] + counts[1] + counts[2] + counts[3], 80000);
    pt_metrics_destroy(shared);
}

static void fill_gauge(void *arg)
{
    pt_metric_set(pt_metrics_series(arg, &queued, NULL), 7); /* it may use the registry */
}

static void collects_before_writing(void **state)
{
    struct pt_metrics *m = pt_metrics_create();
    pt_auto_buf b = PT_BUF_INIT(0);
    (void)state;
    pt_metrics_on_collect(m, fill_gauge, m);
    pt_metrics_add_process(m);
    pt_metrics_write(m, PT_METRICS_TEXT, &b);
    const char *text = pt_buf_cstr(&b), *start = strstr(text, "\nprocess_start_time_seconds "), *fds = strstr(text, "\nprocess_open_fds ");
    assert_non_null(strstr(text, "\nqueued 7\n"));
    assert_true(start && fds && fabs(atof(start + 28) - (double)time(NULL)) < 120);
    assert_true(atoi(fds + 18) >= 3);
    int64_t rss;
    double cpu;
    pt_process_usage(&rss, &cpu);
    assert_true(rss > 100000 && cpu > 0 && cpu < 1000);
    pt_metrics_destroy(m);
}

static int make_series(void)
{
    struct pt_metrics *m = pt_metrics_create();
    int rc = m && pt_metrics_series(m, &requests, "m", "200", NULL) && pt_metrics_series(m, &latency, "m", NULL) ? PT_OK : PT_ENOMEM;
    pt_metrics_destroy(m);
    return rc;
}

static void without_memory(void **state)
{
    (void)state;
    with_failing_memory(rc = make_series());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_text_format), cmocka_unit_test(writes_open_metrics),     cmocka_unit_test(chooses_what_the_scraper_prefers),
        cmocka_unit_test(labels_may_be_anything), cmocka_unit_test(series_are_bounded),      cmocka_unit_test(series_can_be_removed),
        cmocka_unit_test(threads_lose_nothing),   cmocka_unit_test(collects_before_writing), cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
