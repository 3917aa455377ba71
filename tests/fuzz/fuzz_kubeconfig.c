/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_kubeconfig.c: any bytes as a kubeconfig. What is accepted says whom to talk to.
 */
#include "operator/kube/config.h"
#include "tests/fuzz/fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_kube_config c;
    struct pt_err err = {0};
    bool changed;
    int rc = pt_kube_config_load(fuzz_file(data, size), NULL, &c, &err);
    if (rc < 0 ? !err.msg[0] : !c.server || !c.ns)
        abort();
    if (rc < 0)
        return 0;
    pt_kube_config_refresh(&c, &changed, &err);
    pt_kube_config_finish(&c);
    return 0;
}
