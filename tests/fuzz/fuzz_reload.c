/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_reload.c: any bytes as a ReloadConfigRequest, a version policy, and the inputs that may be padded. What is accepted keeps the promises of its
 * header. The first byte says which.
 */
#include "sidecar/padding.h"
#include "sidecar/tfs_reload.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_config(const struct pt_model_config *c)
{
    check(c->version_count <= PT_MAX_VERSIONS && c->label_count <= PT_MAX_LABELS);
    check(c->policy != PT_VERSIONS_SPECIFIC || c->version_count > 0);
    check(c->policy != PT_VERSIONS_LATEST || c->latest > 0);
    for (size_t i = 0; i < c->label_count; i++)
        check(c->labels[i].name[0] && memchr(c->labels[i].name, 0, sizeof c->labels[i].name));
}

static void reload(struct pt_str message)
{
    struct pt_model_list list = {0}, all = {0};
    struct pt_err err = {0};
    if (pt_tfs_reload_decode(message, &list, &err) == PT_OK) {
        for (size_t i = 0; i < list.count; i++) {
            const struct pt_model_entry *e = &list.entries[i];
            check(e->name[0] && !strchr(e->name, '/') && e->base_path && e->base_path[0] == '/' && pt_model_list_find(&list, e->name) == e);
            check_config(&e->config);
        }
        check(pt_model_list_merge(&all, &list, &err) == PT_OK && all.count == list.count);
    } else {
        check(err.msg[0]);
    }
    pt_model_list_finish(&all);
    pt_model_list_finish(&list);
}

static void policy(const char *text)
{
    struct pt_model_config c;
    struct pt_err err = {0};
    pt_model_config_init(&c);
    if (pt_model_config_policy(&c, text, &err) == PT_OK)
        check_config(&c);
    else
        check(err.msg[0]);
}

static void padding(struct pt_str text)
{
    static const struct pt_value_info ids = {.name = "ids", .dtype = PT_INT64, .rank = 2, .dims = {-1, -1}, .dim_names = {"batch", "tokens"}},
                                      mask = {.name = "mask", .dtype = PT_BOOL, .rank = 2, .dims = {-1, -1}, .dim_names = {"batch", "tokens"}},
                                      x = {.name = "x", .dtype = PT_FLOAT, .rank = 2, .dims = {-1, -1}, .dim_names = {"batch", "tokens"}};
    static const struct pt_value_info *const values[] = {&ids, &mask, &x};
    const struct pt_model_info m = {.name = "m", .version = "1", .inputs = values, .outputs = values, .input_count = 3, .output_count = 3};
    struct pt_pad pads[3] = {{0}};
    struct pt_err err = {0};
    if (pt_padding_parse(&m, text, pads, &err) == PT_OK)
        check(pads[0].given || pads[1].given || pads[2].given);
    else
        check(err.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    if (size == 0)
        return 0;
    struct pt_str body = {(const char *)data + 1, size - 1};
    size_t len = body.len < sizeof text ? body.len : sizeof text - 1;
    memcpy(text, body.p, len);
    text[len] = 0;
    if (data[0] % 3 == 0)
        reload(body);
    else if (data[0] % 3 == 1)
        policy(text);
    else
        padding(body);
    return 0;
}
