/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static bool near_(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void metrics_are_read(void **state)
{
    (void)state;
    static const char text[] = "# HELP pintle_requests_total x\n"
                               "pintle_requests_total{model=\"a\",errorcode=\"500\",code=\"200\"} 7\n"
                               "pintle_requests_total{model=\"b} \",version=\"1\",code=\"500\"} 2\n"
                               "pintle_request_duration_seconds_bucket{model=\"a\",le=\"0.001\"} 3\n"
                               "pintle_request_duration_seconds_bucket{model=\"a\",le=\"0.01\"} 6\n"
                               "pintle_request_duration_seconds_bucket{model=\"a\",le=\"+Inf\"} 7\n"
                               "pintle_request_duration_seconds_bucket{model=\"b\",le=\"0.001\"} 1\n"
                               "pintle_requests_in_flight{model=\"a\"} 2\n"
                               "pintle_request_duration_seconds_bucket 5\n"
                               "process_cpu_seconds_total 1.5\n"
                               "process_resident_memory_bytes 1e6\n"
                               "broken{ 1\nnothing\n\n";
    struct pt_top_counters c;
    for (size_t n = 0; n <= sizeof text - 1; n++) /* cut anywhere */
        pt_top_read_metrics((struct pt_str){text, n}, &c);
    assert_true(near_(c.requests, 9) && near_(c.errors, 2) && near_(c.in_flight, 2) && near_(c.cpu_seconds, 1.5) && near_(c.memory, 1e6));
    assert_int_equal(c.buckets, 3);
    assert_true(near_(c.count[0], 4) && near_(c.count[1], 6) && near_(c.count[2], 7) && isinf(c.limit[2]));
}

static void quantiles(void **state)
{
    (void)state;
    const double limit[] = {1, 2, 4, INFINITY}, count[] = {0, 50, 100, 100}, late[] = {0, 0, 0, 10};
    assert_true(near_(pt_top_quantile(limit, count, 4, 0.5), 2));
    assert_true(near_(pt_top_quantile(limit, count, 4, 0.25), 1.5));
    assert_true(near_(pt_top_quantile(limit, count, 4, 0.75), 3));
    assert_true(near_(pt_top_quantile(limit, late, 4, 0.99), 4)); /* longer than the last limit */
    assert_true(pt_top_quantile(limit, count, 0, 0.5) < 0);
    assert_true(pt_top_quantile(limit, (const double[]){0, 0, 0, 0}, 4, 0.5) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(metrics_are_read), cmocka_unit_test(quantiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
