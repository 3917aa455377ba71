/* SPDX-License-Identifier: Apache-2.0
 *
 * The texts of health checks, as kubectl get --raw='/readyz?verbose' shows those of Kubernetes.
 */
#include "operator/ctrl/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char *well(void *arg)
{
    (void)arg;
    return NULL;
}
static const char *as_told(void *arg)
{
    return arg;
}
static const struct pt_health_check checks[] = {{"ping", well}, {"sync", as_told}};

static void says(const char *trouble, const char *only, const char *exclude, bool verbose, int status, const char *text)
{
    pt_auto_buf b = PT_BUF_INIT(0);
    assert_int_equal(pt_health_text("readyz", checks, 2, (void *)(uintptr_t)trouble, pt_str(only), pt_str(exclude), verbose, &b), status);
    assert_string_equal(pt_buf_cstr(&b), text);
}

static void texts(void **state)
{
    (void)state;
    says(NULL, "", "", false, 200, "ok");
    says(NULL, "", "", true, 200, "[+]ping ok\n[+]sync ok\nreadyz check passed\n");
    says("not yet", "", "", false, 503, "[+]ping ok\n[-]sync failed: not yet\nreadyz check failed\n");
    says("not yet", "", "other,sync", false, 200, "ok");
    says("not yet", "", "sync", true, 200, "[+]ping ok\n[+]sync excluded: ok\nreadyz check passed\n");
    says("not yet", "ping", "", false, 200, "ok");
    says("not yet", "sync", "", false, 503, "[-]sync failed: not yet\nreadyz check failed\n");
    says(NULL, "nope", "", false, 404, "404 page not found\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
