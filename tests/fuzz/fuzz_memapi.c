/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_memapi.c: requests to the API in memory, as its HTTP side reads them: one a line, "METHOD TARGET TYPE BODY", TYPE m, s, a or j for the content
 * type. Whatever they ask, every answer is JSON and every object that is stored can be read.
 */
#include "base/json.h"
#include "base/mem.h"
#include "operator/memapi/memapi.h"
#include "operator/model/spec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static int admit(void *arg, const struct pt_resource *res, cJSON *object, const cJSON *old, struct pt_err *err)
{
    (void)arg;
    (void)old;
    return res == &pt_res_modeldeployments ? pt_spec_admit(object, err) : PT_OK;
}

static void check_json(struct pt_str text)
{
    struct pt_json j;
    struct pt_err err = {0};
    pt_json_init(&j, text.p, text.len);
    check(pt_json_skip(&j, &err) == PT_OK || strstr(err.msg, "deep")); /* objects may nest deeper than tensor bodies */
}

static void each(void *arg, const char *ns, const char *name, struct pt_str object)
{
    (void)arg;
    (void)ns;
    check(*name);
    check_json(object);
}

static struct pt_str word(struct pt_str *rest)
{
    struct pt_str w = {0};
    pt_str_split(rest, ' ', &w);
    return w;
}

static void on_reply(void *arg, int status, const char *content_type, struct pt_str piece, bool more)
{
    bool *ended = arg;
    struct pt_str line;
    check(status >= 200 && status < 600 && !*ended);
    while (strstr(content_type, "json") && pt_str_split(&piece, '\n', &line)) /* of a watch: one event a line */
        if (line.len)
            check_json(line);
    *ended = !more;
}

static void request(struct pt_memapi *m, struct pt_vsched *clock, struct pt_str line)
{
    struct pt_str method = word(&line), target = word(&line), type = word(&line);
    char kind = type.len ? type.p[0] : 'j';
    const char *content = kind == 'm'   ? "application/merge-patch+json"
                          : kind == 's' ? "application/strategic-merge-patch+json"
                          : kind == 'a' ? "application/apply-patch+yaml"
                                        : "application/json";
    char wanted = type.len > 1 ? type.p[1] : 'j';
    const char *accept =
        wanted == 't' ? "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        : wanted == 'p'
            ? "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
        : wanted == 'd' ? "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
                        : "application/json";
    struct pt_memapi_http r = {.method = method, .target = target, .content_type = pt_str(content), .accept = pt_str(accept), .body = line};
    struct pt_memapi_exchange *x = NULL;
    struct pt_err err = {0};
    bool ended = false;
    if (pt_memapi_http(m, &r, on_reply, &ended, &x, &err) < 0) {
        check(err.msg[0]);
        return;
    }
    for (int64_t end = clock->now + 5; pt_vsched_step(clock, end);)
        ;
    if (!ended)
        pt_memapi_http_cancel(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pt_resource *const all[] = {&pt_res_modeldeployments, &pt_res_pods, &pt_res_services, &pt_res_secrets, &pt_res_configmaps};
    struct pt_str rest = {(const char *)data, size}, line;
    struct pt_vsched clock;
    struct pt_memapi *m;
    struct pt_err err;
    pt_vsched_init(&clock, 1700000000000);
    struct pt_memapi_options o = {.sched = &clock.sched, .seed = 7, .history = 16, .admit = admit};
    check(pt_memapi_create(&o, &m, &err) == PT_OK);
    for (int i = 0; i < 16 && pt_str_split(&rest, '\n', &line); i++)
        request(m, &clock, line);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pt_memapi_each(m, all[i], each, NULL);
    pt_memapi_destroy(m);
    pt_sched_finish(&clock.sched);
    return 0;
}
