/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int read_text(const char *text, size_t len, size_t *seconds, struct pt_err *err)
{
    struct pt_traffic t = {0};
    int rc = pt_traffic_read(&t, "t.csv", (struct pt_str){text, len}, err);
    *seconds = t.seconds;
    pt_free(t.rps);
    return rc;
}

static void taken(void **state)
{
    static const struct {
        const char *text;
        size_t seconds;
    } cases[] = {{"0,1\n2,3\n", 3}, {"time,rps\n0,1\n2,3", 3}, {"rps\n1\n2\n3\n", 3}, {"\xef\xbb\xbftime,rps\r\n0,1\r\n2,3\r\n", 3}, {"\xef\xbb\xbf" "0,1\n2,3\n", 3}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_err err = {0};
        size_t seconds;
        if (read_text(cases[i].text, strlen(cases[i].text), &seconds, &err) < 0 || seconds != cases[i].seconds)
            fail_msg("%s: %zu %s", cases[i].text, seconds, err.msg);
    }
}

/* A first line with a number in it is no line of titles: it would be lost in silence. */
static void refused(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {{"0,nan\n1,5\n2,5\n", "line 1"}, {"0,inf\n1,5\n2,5\n", "line 1"}, {"-5,1\n1,5\n2,5\n", "line 1"}, {"0,-1\n1,5\n2,5\n", "line 1"},
                 {"0,1,2\n1,5\n2,5\n", "line 1"}, {"0\n1,2\n", "line 2"}, {"0,1\n2\n", "line 2"}, {"0,1\n5,2\n3,4\n", "line 3"}, {"a\nb\n", "line 2"}, {"time,rps\n", "two lines"}, {"", "two lines"}};
    struct pt_err err = {0};
    size_t seconds;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (read_text(cases[i].text, strlen(cases[i].text), &seconds, &err) != PT_EPARSE || !strstr(err.msg, cases[i].line))
            fail_msg("%s: %s", cases[i].text, err.msg);
    assert_int_equal(read_text("0,1\0\n1,2\n", 9, &seconds, &err), PT_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(taken), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
