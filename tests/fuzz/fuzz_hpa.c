/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_hpa.c: a path and two selectors, a line each, as the API server hands them on to the metrics API. Every answer is JSON.
 */
#include "base/json.h"
#include "operator/hpa/answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void loads(void *source, const char *ns, pt_load_fn fn, void *arg)
{
    (void)source;
    if (strcmp(ns, "ns") != 0)
        return;
    fn(arg, &(struct pt_load){"digits-1", "digits", "r1", 3.5, 120, 0.001, 0.02});
    fn(arg, &(struct pt_load){"digits-2", "digits", "r2", INFINITY, 1e300, 0, NAN});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pt_auto_buf text = PT_BUF_INIT(0), out = PT_BUF_INIT(1 << 20);
    struct pt_json j;
    struct pt_err err = {0};
    if (pt_buf_append(&text, data, size), text.failed)
        return 0;
    char *path = strdup(pt_buf_cstr(&text)), *rest = path;
    if (!path)
        return 0;
    strsep(&rest, "\n");
    const char *labels = strsep(&rest, "\n"), *metric = strsep(&rest, "\n");
    int status = pt_hpa_answer(&(struct pt_hpa_request){pt_str(path), labels, metric}, loads, NULL, 1700000000000, &out);
    pt_json_init(&j, out.data, out.len);
    if (status < 200 || status > 599 || pt_json_skip(&j, &err) < 0 || pt_json_end(&j, &err) < 0)
        abort();
    free(path);
    return 0;
}
