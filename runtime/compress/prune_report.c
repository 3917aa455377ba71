/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_report.c: how large layers and the model were and are.
 */
#include "runtime/compress/prune_parts.h"

#include <stdio.h>

struct size {
    int64_t parameters, zeros, bytes;
};

static bool is_real(enum pt_dtype t)
{
    return t == PT_FLOAT || t == PT_DOUBLE || t == PT_FLOAT16 || t == PT_BFLOAT16;
}

static void add_size(const struct pt_tensor *t, struct size *s)
{
    size_t each = pt_dtype_size(t->dtype);
    int64_t n = pt_tensor_count(t);
    s->parameters += n;
    s->bytes += (int64_t)t->size_bytes;
    for (int64_t i = 0; is_real(t->dtype) && i < n; i++) {
        const uint8_t *p = (const uint8_t *)t->data + (size_t)i * each;
        unsigned bits = p[each - 1] & 0x7f; /* -0 is zero too: the sign is the highest bit of the last byte */
        for (size_t k = 0; k + 1 < each; k++)
            bits |= p[k];
        s->zeros += bits == 0;
    }
}

static struct size size_of_layer(const struct pt_edit *e, const struct pt_layer *l)
{
    struct size s = {0};
    add_size(&e->model.graph.initializers[l->weight].t, &s);
    if (l->bias >= 0)
        add_size(&e->model.graph.initializers[l->bias].t, &s);
    return s;
}

static struct size size_of_model(const struct pt_edit *e)
{
    struct size s = {0};
    for (size_t i = 0; i < e->model.graph.initializer_count; i++)
        if (is_real(e->model.graph.initializers[i].t.dtype))
            add_size(&e->model.graph.initializers[i].t, &s);
    return s;
}

static int64_t all_macs(const struct pt_edit *e, const struct pt_shapes *s)
{
    int64_t sum = 0;
    for (size_t i = 0; i < e->model.graph.node_count; i++)
        sum += pt_node_macs(s, &e->model.graph.nodes[i]);
    return sum;
}

int pt_report_begin(struct pt_edit *e, const struct pt_layers *l, const struct pt_shapes *s, struct pt_prune_report *r, struct pt_err *err)
{
    if (!(r->layers = pt_calloc(l->count + 1, sizeof *r->layers)))
        return pt_fail(err, PT_ENOMEM, "out of memory for a report of pruning");
    for (size_t i = 0; i < l->count; i++) {
        const struct pt_onnx_node *n = &e->model.graph.nodes[l->list[i].node];
        struct size size = size_of_layer(e, &l->list[i]);
        r->layers[r->count++] = (struct pt_prune_layer){.name = l->list[i].name,
                                                        .weight = e->model.graph.initializers[l->list[i].weight].name,
                                                        .op = n->op_type,
                                                        .units_before = l->list[i].outs,
                                                        .units = l->list[i].outs,
                                                        .parameters_before = size.parameters,
                                                        .zeros_before = size.zeros,
                                                        .bytes_before = size.bytes,
                                                        .macs_before = s ? pt_node_macs(s, n) : -1,
                                                        .reason = pt_str(l->list[i].reason ? l->list[i].reason : "")};
    }
    struct size size = size_of_model(e);
    r->total = (struct pt_prune_layer){.name = PT_STR("total"),
                                       .weight = PT_STR(""),
                                       .op = PT_STR(""),
                                       .reason = PT_STR(""),
                                       .parameters_before = size.parameters,
                                       .zeros_before = size.zeros,
                                       .bytes_before = size.bytes,
                                       .macs_before = s ? all_macs(e, s) : -1};
    return PT_OK;
}

static const struct pt_onnx_node *find_node(const struct pt_edit *e, struct pt_str name)
{
    for (size_t i = 0; i < e->model.graph.node_count; i++)
        if (pt_str_eq(pt_node_label(&e->model.graph.nodes[i]), name))
            return &e->model.graph.nodes[i];
    return NULL;
}

int pt_report_end(struct pt_edit *e, const struct pt_layers *l, const struct pt_shapes *s, struct pt_prune_report *r, struct pt_err *err)
{
    for (size_t i = 0; i < r->count; i++) {
        struct pt_prune_layer *out = &r->layers[i];
        const struct pt_onnx_node *n = find_node(e, out->name);
        if (!n)
            return pt_fail(err, PT_EINTERNAL, "layer '" PT_STR_FMT "' is gone", PT_STR_ARG(out->name));
        struct size size = size_of_layer(e, &l->list[i]);
        out->parameters = size.parameters;
        out->zeros = size.zeros;
        out->bytes = size.bytes;
        out->macs = s ? pt_node_macs(s, n) : -1;
        r->total.units_before += out->units_before;
        r->total.units += out->units;
    }
    struct size size = size_of_model(e);
    r->total.parameters = size.parameters;
    r->total.zeros = size.zeros;
    r->total.bytes = size.bytes;
    r->total.macs = s ? all_macs(e, s) : -1;
    return PT_OK;
}

void pt_prune_report_finish(struct pt_prune_report *r)
{
    pt_prune_masks_free(r->masks, r->mask_count);
    pt_free(r->layers);
    *r = (struct pt_prune_report){0};
}

static void put_pair(struct pt_buf *b, const char *key, int64_t before, int64_t now)
{
    if (before < 0)
        pt_buf_printf(b, ",\"%s\":null", key);
    else
        pt_buf_printf(b, ",\"%s\":[%lld,%lld]", key, (long long)before, (long long)now);
}

static void put_layer(struct pt_buf *b, const struct pt_prune_layer *l)
{
    pt_buf_puts(b, "{\"name\":");
    pt_buf_json_string(b, l->name);
    pt_buf_puts(b, ",\"weight\":");
    pt_buf_json_string(b, l->weight);
    pt_buf_puts(b, ",\"op\":");
    pt_buf_json_string(b, l->op);
    put_pair(b, "units", l->units_before, l->units);
    put_pair(b, "parameters", l->parameters_before, l->parameters);
    put_pair(b, "zeros", l->zeros_before, l->zeros);
    put_pair(b, "macs", l->macs_before, l->macs);
    put_pair(b, "bytes", l->bytes_before, l->bytes);
    pt_buf_puts(b, ",\"reason\":");
    pt_buf_json_string(b, l->reason);
    pt_buf_putc(b, '}');
}

int pt_prune_report_json(const struct pt_prune_report *r, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_puts(out, "{\"layers\":[");
    for (size_t i = 0; i < r->count; i++) {
        if (i)
            pt_buf_putc(out, ',');
        put_layer(out, &r->layers[i]);
    }
    pt_buf_puts(out, "],\"total\":");
    put_layer(out, &r->total);
    pt_buf_putc(out, '}');
    return pt_buf_check(out, "a report of pruning", err);
}
