/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/compress/quantize.h"

#include <math.h>

static bool number(struct pt_buf *b, const char *name, double v)
{
    return isfinite(v) ? pt_buf_printf(b, ", \"%s\": %.6g", name, v) : pt_buf_printf(b, ", \"%s\": null", name);
}

static bool text(struct pt_buf *b, const char *name, struct pt_str s)
{
    return pt_buf_printf(b, ", \"%s\": ", name) && pt_buf_json_string(b, s);
}

static bool layer(struct pt_buf *b, const struct pt_quantize_layer *l)
{
    static const char *const states[] = {"quantised", "skipped", "gated", "left"};
    bool ok =
        pt_buf_printf(b, "{\"node\": ") && pt_buf_json_string(b, l->node) && text(b, "op", l->op_type) && text(b, "state", pt_str(states[l->state]));
    if (l->why)
        ok = ok && text(b, "why", pt_str(l->why));
    if (l->state == PT_LAYER_QUANTISED) {
        if (l->activation)
            ok = ok && text(b, "activation", pt_str(pt_dtype_name(l->activation)));
        if (l->weight)
            ok = ok && text(b, "weight", pt_str(pt_dtype_name(l->weight))) && pt_buf_printf(b, ", \"weight_scales\": %zu", l->weight_scales) &&
                 number(b, "weight_sqnr_db", l->weight_sqnr);
        if (l->scale > 0)
            ok = ok && pt_buf_printf(b, ", \"range\": [%.9g, %.9g], \"zero_point\": %d", (double)l->low, (double)l->high, (int)l->zero) &&
                 number(b, "scale", (double)l->scale);
        ok = ok && number(b, "output_sqnr_db", l->output_sqnr);
    }
    if (!isnan(l->sensitivity))
        ok = ok && number(b, "sensitivity", l->sensitivity);
    if (l->bytes_before)
        ok = ok && pt_buf_printf(b, ", \"bytes\": [%llu, %llu]", (unsigned long long)l->bytes_before, (unsigned long long)l->bytes_after);
    return ok && pt_buf_printf(b, "}");
}

int pt_quantize_report_json(const struct pt_quantize_report *r, struct pt_buf *out, struct pt_err *err)
{
    bool ok = pt_buf_printf(out, "{\"layers\": [");
    for (size_t i = 0; ok && i < r->count; i++)
        ok = pt_buf_printf(out, "%s\n  ", i ? "," : "") && layer(out, &r->layers[i]);
    ok = ok && pt_buf_printf(out, "],\n \"quantised\": %zu, \"bytes\": [%llu, %llu], \"samples\": %lld, \"opset\": [%lld, %lld]", r->quantised,
                             (unsigned long long)r->bytes_before, (unsigned long long)r->bytes_after, (long long)r->samples,
                             (long long)r->opset_before, (long long)r->opset_after);
    ok = ok && number(out, "output_sqnr_db", r->sqnr) && number(out, "quality_before", r->quality_before) &&
         number(out, "quality_after", r->quality_after) && pt_buf_printf(out, "}");
    return ok ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for a report");
}
