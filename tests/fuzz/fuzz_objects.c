/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_objects.c: JSON of an API server, a sidecar or a credential plugin, as the operator reads it. The first byte says what it is taken for. What
 * is admitted is admitted again, as it is.
 */
#include "base/json.h"
#include "base/mem.h"
#include "operator/ctrl/obj.h"
#include "operator/kube/exec.h"
#include "operator/model/compress.h"
#include "operator/model/objects.h"
#include "operator/model/report.h"
#include "operator/report/intake.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    int (*decode)(struct pt_str json, struct pt_object **out, struct pt_err *err);
    void (*free)(struct pt_object *o);
} kinds[] = {{pt_md_decode, pt_md_free},          {pt_pod_decode, pt_pod_free},       {pt_revision_decode, pt_packed_free},
             {pt_service_decode, pt_packed_free}, {pt_budget_decode, pt_packed_free}, {pt_slice_decode, pt_packed_free},
             {pt_work_decode, pt_packed_free}};

static void check(bool good)
{
    if (!good)
        abort();
}

static void admit(struct pt_str text)
{
    pt_auto_buf once = PT_BUF_INIT(0), twice = PT_BUF_INIT(0);
    struct pt_err err = {0};
    struct pt_spec spec;
    pt_auto_obj *object = NULL;
    if (pt_obj_parse(text, "ModelDeployment", &object, &err) < 0 || pt_spec_admit(object, &err) < 0) {
        check(err.msg[0]);
        return;
    }
    check(pt_obj_print(object, &once, &err) == PT_OK && pt_spec_admit(object, &err) == PT_OK && pt_obj_print(object, &twice, &err) == PT_OK);
    check(pt_str_eq((struct pt_str){once.data, once.len}, (struct pt_str){twice.data, twice.len}));
    check(pt_spec_decode((struct pt_str){once.data, once.len}, &spec, &err) == PT_OK);
    pt_spec_finish(&spec);
}

static void report(struct pt_str text)
{
    struct pt_report r;
    struct pt_err err = {0};
    if (pt_report_decode(text, &r, &err) < 0)
        check(err.msg[0]);
    else
        check(r.pod_uid[0] && r.bounds <= PT_REPORT_MAX_BOUNDS && r.in_flight >= 0 && r.requests >= 0);
}

static void credential(struct pt_str text)
{
    struct pt_credential c = {0};
    struct pt_err err = {0};
    if (pt_credential_decode(text, "client.authentication.k8s.io/v1", &c, &err) < 0)
        check(err.msg[0]);
    else
        check(c.token || c.cert_pem);
    pt_credential_finish(&c);
}

static void result(struct pt_str text)
{
    struct pt_compression_result r;
    struct pt_err err = {0};
    uint8_t digest[32];
    char *copy = strndup(text.p, text.len);
    check(copy && pt_compression_result_read(copy, &r, &err) == PT_OK);
    check(!*r.digest || pt_parse_digest(pt_str(r.digest), "digest", digest, NULL) == PT_OK);
    check(memchr(r.message, 0, sizeof r.message) != NULL);
    free(copy);
}

static void review(struct pt_str text)
{
    char uid[64];
    pt_intake_read_review(text, uid);
    check(memchr(uid, 0, sizeof uid) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const others[])(struct pt_str) = {admit, report, credential, result, review};
    enum { KINDS = sizeof kinds / sizeof *kinds, OTHERS = sizeof others / sizeof *others };
    struct pt_object *o = NULL;
    struct pt_err err = {0};
    if (size == 0)
        return 0;
    struct pt_str text = {(const char *)data + 1, size - 1};
    size_t kind = data[0] % (KINDS + OTHERS);
    if (kind >= KINDS)
        others[kind - KINDS](text);
    else if (kinds[kind].decode(text, &o, &err) == PT_OK)
        kinds[kind].free(o);
    else
        check(err.msg[0]);
    return 0;
}
