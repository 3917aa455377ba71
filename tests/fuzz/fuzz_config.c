/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_config.c: the sidecar's configuration, as a file and, line by line, as an environment. What is accepted is complete.
 */
#include "sidecar/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct pt_config *c)
{
    if (!c->model.name || !c->model.uri || !c->model.version || c->serving.port > 65535 || c->runtime.concurrency < 0)
        abort();
}

static void environment(const uint8_t *data, size_t size)
{
    struct pt_config c;
    struct pt_err err = {0};
    char *text = strndup((const char *)data, size), *rest = text, *env[64];
    size_t n = 0;
    if (!text || pt_config_init(&c, &err) < 0)
        abort();
    while (rest && n < 63)
        env[n++] = strsep(&rest, "\n");
    env[n] = NULL;
    if (pt_config_env(&c, env, &err) == PT_OK && pt_config_check(&c, "fuzz", &err) == PT_OK)
        check(&c);
    else if (!err.msg[0])
        abort();
    pt_config_finish(&c);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pt_config c;
    if (pt_config_parse(&c, "fuzz", (struct pt_str){(const char *)data, size}, NULL) == PT_OK) {
        check(&c);
        pt_config_finish(&c);
    }
    if (size > 0)
        environment(data, size);
    return 0;
}
