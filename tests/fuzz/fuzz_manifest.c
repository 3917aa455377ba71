/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests and kubeconfigs (YAML to JSON): what comes out must be JSON.
 */
#include "base/json.h"
#include "operator/ctrl/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *arg, struct pt_str json, size_t line, struct pt_err *err)
{
    struct pt_json j;
    (void)arg;
    (void)line;
    pt_json_init(&j, json.p, json.len);
    int rc = pt_json_skip(&j, err);
    if (rc < 0 && !strstr(err->msg, "deep")) /* manifests may nest deeper than tensor bodies */
        abort();
    return PT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_err err;
    pt_manifest_parse((struct pt_str){(const char *)data, size}, "fuzz", check, NULL, &err);
    return 0;
}
