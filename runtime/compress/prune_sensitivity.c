/* SPDX-License-Identifier: Apache-2.0
 *
 * prune_sensitivity.c: what pruning each layer alone costs. Every trial is pt_prune on a copy, with rules that leave all other layers alone.
 */
#include "runtime/compress/prune_parts.h"
#include "runtime/train/evaluate.h"

#include <math.h>

static int judge(struct pt_edit *e, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_prune_trial *t, struct pt_err *err)
{
    struct pt_evaluation v;
    int rc = pt_evaluate(e, samples, o->loss, 0, o->threads, false, &v, err);
    t->loss = v.loss;
    t->accuracy = v.accuracy;
    return rc;
}

/* A pattern that is a name: what fnmatch understands is put in brackets. */
static const char *exactly(struct pt_edit *e, struct pt_str name, struct pt_err *err)
{
    char *out = pt_edit_alloc(e, 3 * name.len + 1, err), *at = out;
    for (size_t i = 0; out && i < name.len; i++) {
        bool special = strchr("*?[", name.p[i]) != NULL;
        if (special)
            *at++ = '[';
        *at++ = name.p[i];
        if (special)
            *at++ = ']';
    }
    return out;
}

static int try_layer(struct pt_edit *model, const struct pt_data *samples, const struct pt_prune_options *o, struct pt_str layer, double amount,
                     struct pt_prune_trial *t, struct pt_err *err)
{
    struct pt_edit copy;
    struct pt_prune_options one = *o;
    struct pt_prune_report r = {0};
    struct pt_prune_rule rules[2] = {{"*", 0}, {NULL, amount}};
    int rc = pt_edit_copy(model, &copy, err);
    if (rc == PT_OK && !(rules[1].pattern = exactly(&copy, layer, err)))
        rc = err->code;
    one.rules = rules;
    one.rule_count = 2;
    one.amount = amount;
    one.scope = PT_PRUNE_PER_LAYER;
    if (rc == PT_OK)
        rc = pt_prune(&copy, samples, &one, &r, err);
    if (rc == PT_OK)
        rc = judge(&copy, samples, o, t, err);
    t->layer = layer;
    t->amount = amount;
    t->parameters = r.total.parameters - r.total.zeros;
    t->macs = r.total.macs;
    pt_prune_report_finish(&r);
    pt_edit_finish(&copy);
    return rc;
}

int pt_prune_sensitivity(struct pt_edit *model, const struct pt_data *samples, const struct pt_prune_options *o, const double *amounts,
                         size_t amount_count, int (*progress)(void *arg, size_t done, size_t total), void *progress_arg,
                         struct pt_prune_trial **trials, size_t *trial_count, struct pt_err *err)
{
    struct pt_layers l;
    struct pt_prune_report r = {0};
    *trials = NULL;
    *trial_count = 0;
    int rc = pt_prune_check(o, samples, err);
    if (rc < 0)
        return rc;
    rc = pt_layers_find(model, &l, err);
    size_t total = 1 + l.count * amount_count;
    struct pt_prune_trial *list = rc < 0 ? NULL : pt_calloc(total, sizeof *list);
    if (rc == PT_OK && !list)
        rc = pt_fail(err, PT_ENOMEM, "out of memory for a scan of layers");
    if (rc == PT_OK)
        rc = judge(model, samples, o, &list[0], err);
    struct pt_shapes shapes = {0};
    if (rc == PT_OK && (rc = pt_shapes_find(model, samples, 1, o->threads, &shapes, err)) == PT_OK)
        rc = pt_report_begin(model, &l, &shapes, &r, err);
    if (rc == PT_OK) {
        list[0].layer = PT_STR("");
        list[0].parameters = r.total.parameters_before - r.total.zeros_before;
        list[0].macs = r.total.macs_before;
    }
    for (size_t i = 0; rc == PT_OK && i < total - 1; i++) {
        if (progress && progress(progress_arg, i, total - 1) != 0)
            rc = pt_fail(err, PT_ECANCELED, "the scan of layers was stopped");
        else
            rc = try_layer(model, samples, o, l.list[i / amount_count].name, amounts[i % amount_count], &list[1 + i], err);
    }
    if (rc == PT_OK) {
        *trials = pt_steal(list);
        *trial_count = total;
    }
    pt_free(list);
    pt_prune_report_finish(&r);
    pt_shapes_finish(&shapes);
    pt_layers_finish(&l);
    return rc;
}

static void put_number(struct pt_buf *b, const char *key, double v)
{
    if (isfinite(v))
        pt_buf_printf(b, ",\"%s\":%.9g", key, v);
    else
        pt_buf_printf(b, ",\"%s\":null", key);
}

int pt_prune_trials_json(const struct pt_prune_trial *t, size_t count, struct pt_buf *out, struct pt_err *err)
{
    pt_buf_putc(out, '[');
    for (size_t i = 0; i < count; i++) {
        pt_buf_puts(out, i ? ",{\"layer\":" : "{\"layer\":");
        pt_buf_json_string(out, t[i].layer);
        put_number(out, "amount", t[i].amount);
        put_number(out, "loss", t[i].loss);
        put_number(out, "accuracy", t[i].accuracy);
        put_number(out, "parameters", (double)t[i].parameters);
        put_number(out, "macs", (double)t[i].macs);
        pt_buf_putc(out, '}');
    }
    pt_buf_putc(out, ']');
    return pt_buf_check(out, "a scan of layers", err);
}
