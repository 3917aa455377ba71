/* SPDX-License-Identifier: Apache-2.0
 *
 * stage_prune.c: prune. Without training it prunes once. With training (--epochs, or `train` in a recipe) it prunes and then fine-tunes with what is
 * zero kept zero, or, with a schedule, makes more and more zeros while it trains. With `sensitivity` it changes nothing and says what pruning each
 * layer costs.
 */
#include "cli/stage.h"

#include "base/mem.h"
#include "runtime/compress/prune.h"

#include <stdio.h>
#include <stdlib.h>

struct settings {
    int kind, criterion, scope, schedule;
    double amount, max_per_layer, initial, power;
    int64_t n, m, block_rows, block_cols, round_to, begin, end, frequency;
    bool lamp, through_norms, zeros_only;
    struct pt_cmd_list layers, exclude, sensitivity;
};

#define AT(member) offsetof(struct settings, member)
/* "none", then pt_sparsity_kinds */
static const char *const schedules[] = {"none", "constant", "polynomial", "polynomial-slow", "linear", "exponential", "cosine", "of-remaining", NULL};

static const struct pt_cmd_option rows[] = {
    {"kind", PT_CMD_CHOICE, AT(kind), .words = pt_prune_kinds, .def = "unstructured",
     .help = "what goes: single weights, all but n of m, blocks of weights, or for good: channels, attention heads"},
    {"amount", PT_CMD_REAL, AT(amount), .high = 0.9999, .def = "0.5", .help = "share that goes; not for n:m"},
    {"criterion", PT_CMD_CHOICE, AT(criterion), .words = pt_prune_criteria, .def = "l1",
     .help = "what a weight is worth; taylor needs labelled samples, wanda samples, bn-scale channels"},
    {"scope", PT_CMD_CHOICE, AT(scope), .words = pt_prune_scopes, .def = "per-layer", .help = "every layer loses the amount, or all together"},
    {"layers", PT_CMD_LIST, AT(layers), .value = "PATTERN=AMOUNT",
     .help = "another amount where the layer's or its weights' name matches (* and ?); the last that matches counts"},
    {"exclude", PT_CMD_LIST, AT(exclude), .value = "PATTERN", .help = "layers that are left alone"},
    {"n", PT_CMD_NUMBER, AT(n), .min = 1, .max = 1023, .def = "2", .help = "n:m: weights that stay of every m along the input channels"},
    {"m", PT_CMD_NUMBER, AT(m), .min = 2, .max = 1024, .def = "4", .help = "n:m"},
    {"block-rows", PT_CMD_NUMBER, AT(block_rows), .min = 1, .max = 1024, .def = "4", .help = "blocks: output channels of one"},
    {"block-cols", PT_CMD_NUMBER, AT(block_cols), .min = 1, .max = 1024, .def = "1", .help = "blocks: weights of an output channel in one"},
    {"round-to", PT_CMD_NUMBER, AT(round_to), .min = 1, .max = 4096, .def = "1", .help = "channels: what stays is a multiple of this"},
    {"max-per-layer", PT_CMD_REAL, AT(max_per_layer), .high = 0.9999, .def = "0.98", .help = "global: the most that a layer loses"},
    {"lamp", PT_CMD_FLAG, AT(lamp), .help = "global, single weights: layers are made comparable by LAMP"},
    {"through-norms", PT_CMD_FLAG, AT(through_norms),
     .help = "channels: also those that a LayerNormalization takes a mean over, which then changes; fine-tune afterwards"},
    {"zeros-only", PT_CMD_FLAG, AT(zeros_only), .help = "channels, heads: make them zero instead of removing them"},
    {"sparsity-schedule", PT_CMD_CHOICE, AT(schedule), .words = schedules, .def = "none",
     .help = "with training: how zeros grow to the amount; none: all at once before it"},
    {"sparsity-initial", PT_CMD_REAL, AT(initial), .high = 0.9999, .def = "0", .help = "schedule: share of zeros at its begin"},
    {"sparsity-begin", PT_CMD_NUMBER, AT(begin), .max = 1000000000, .def = "0", .help = "schedule: first step"},
    {"sparsity-end", PT_CMD_NUMBER, AT(end), .max = 1000000000, .def = "0", .help = "schedule: last step; 0: two thirds of the training"},
    {"sparsity-frequency", PT_CMD_NUMBER, AT(frequency), .min = 1, .max = 1000000000, .def = "100", .help = "schedule: steps between two updates"},
    {"sparsity-power", PT_CMD_REAL, AT(power), .high = 100, .def = "3", .help = "schedule: polynomials"},
    {"sensitivity", PT_CMD_LIST, AT(sensitivity), .value = "AMOUNT,...",
     .help = "change nothing: report loss and accuracy with each layer alone pruned by each of these amounts"},
};

/* --- options ---------------------------------------------------------------------------------------------------------------- */

/* Rules and the texts that they point to. */
struct rules {
    struct pt_prune_rule list[128];
    size_t count;
    struct pt_arena arena;
};

static int parse_amount(struct pt_str text, const char *what, double *out, struct pt_err *err)
{
    char s[32], *end = s;
    snprintf(s, sizeof s, PT_STR_FMT, PT_STR_ARG(text));
    *out = strtod(s, &end);
    if (end == s || *end || text.len >= sizeof s || !(*out >= 0 && *out < 1))
        return pt_fail(err, PT_EINVAL, "%s: \"" PT_STR_FMT "\" is no amount from 0 to below 1", what, PT_STR_ARG(text));
    return PT_OK;
}

static int add_rule(struct rules *r, struct pt_str pattern, double amount, struct pt_err *err)
{
    char *p = pattern.len ? pt_arena_strndup(&r->arena, pattern.p, pattern.len) : NULL;
    if (!p)
        return pattern.len ? pt_fail(err, PT_ENOMEM, "out of memory") : pt_fail(err, PT_EINVAL, "layers: an empty pattern");
    r->list[r->count++] = (struct pt_prune_rule){p, amount};
    return PT_OK;
}

/* "conv*=0.3"; the amount stands behind the last '='. */
static int add_layers(struct rules *r, const struct pt_cmd_list *l, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < l->count; i++) {
        struct pt_str s = l->items[i];
        size_t at = s.len;
        double amount = 0;
        while (at > 0 && s.p[at - 1] != '=')
            at--;
        if (at == 0)
            return pt_fail(err, PT_EINVAL, "layers: \"" PT_STR_FMT "\" has no \"=AMOUNT\"", PT_STR_ARG(s));
        rc = parse_amount((struct pt_str){s.p + at, s.len - at}, "layers", &amount, err);
        if (rc == PT_OK)
            rc = add_rule(r, (struct pt_str){s.p, at - 1}, amount, err);
    }
    return rc;
}

static int options_of(const struct settings *s, const struct pt_stage_work *w, struct rules *r, struct pt_prune_options *o, struct pt_err *err)
{
    int rc = add_layers(r, &s->layers, err);
    for (size_t i = 0; rc == PT_OK && i < s->exclude.count; i++)
        rc = add_rule(r, s->exclude.items[i], 0, err);
    *o = (struct pt_prune_options){.kind = (enum pt_prune_kind)s->kind,
                                   .criterion = (enum pt_prune_criterion)s->criterion,
                                   .scope = (enum pt_prune_scope)s->scope,
                                   .amount = s->amount,
                                   .n = (int)s->n,
                                   .m = (int)s->m,
                                   .block_rows = (int)s->block_rows,
                                   .block_cols = (int)s->block_cols,
                                   .round_to = s->round_to,
                                   .max_per_layer = s->max_per_layer,
                                   .lamp = s->lamp,
                                   .through_norms = s->through_norms,
                                   .zeros_only = s->zeros_only,
                                   .rules = r->list,
                                   .rule_count = r->count,
                                   .seed = w ? w->seed : 0,
                                   .loss = w ? w->loss : PT_LOSS_CROSS_ENTROPY,
                                   .threads = w ? w->threads : NULL};
    return rc;
}

static int check(const void *options, const struct pt_train_settings *train, struct pt_err *err)
{
    const struct settings *s = options;
    if (s->kind == PT_PRUNE_N_OF_M && s->n >= s->m)
        return pt_fail(err, PT_EINVAL, "n:m: %lld of %lld weights cannot stay; n must be below m", (long long)s->n, (long long)s->m);
    if (s->schedule && !train)
        return pt_fail(err, PT_EINVAL, "sparsity-schedule %s is for pruning while training; give epochs, or none", schedules[s->schedule]);
    if (s->schedule && s->kind >= PT_PRUNE_CHANNELS)
        return pt_fail(err, PT_EINVAL, "sparsity-schedule: kind %s removes for good; it has no schedule", pt_prune_kinds[s->kind]);
    if (s->sensitivity.count && train)
        return pt_fail(err, PT_EINVAL, "sensitivity changes nothing; there is nothing to train");
    struct rules r = {0};
    struct pt_prune_options o;
    pt_arena_init(&r.arena, 0);
    int rc = options_of(s, NULL, &r, &o, err);
    for (size_t i = 0; rc == PT_OK && i < s->sensitivity.count; i++) {
        double amount;
        rc = parse_amount(s->sensitivity.items[i], "sensitivity", &amount, err);
    }
    pt_arena_finish(&r.arena);
    return rc;
}

/* --- work ------------------------------------------------------------------------------------------------------------------- */

static const struct pt_data *samples_of(const struct pt_stage_work *w, const struct settings *s)
{
    return s->criterion == PT_PRUNE_TAYLOR && w->train ? w->train : w->calibration ? w->calibration : w->train;
}

static int tell(const struct pt_stage_work *w, const struct pt_prune_report *r, struct pt_err *err)
{
    pt_auto_buf json = {0};
    const struct pt_prune_layer *t = &r->total;
    size_t left = 0;
    for (size_t i = 0; i < r->count; i++)
        left += r->layers[i].reason.len > 0;
    if (t->macs >= 0)
        pt_progress_say(w->progress, "%zu layers, %zu left as they are; parameters %lld -> %lld, zeros %.1f %%, MACs %.3fx", r->count, left,
                        (long long)t->parameters_before, (long long)t->parameters,
                        100 * (double)t->zeros / (double)(t->parameters ? t->parameters : 1),
                        (double)t->macs / (double)(t->macs_before ? t->macs_before : 1));
    int rc = pt_prune_report_json(r, &json, err);
    return rc < 0 ? rc : pt_stage_report(w, "pruned", &json, err);
}

/* Masks of what is zero already, this pruning's or an earlier one's. */
static int fine_tune(struct pt_stage_work *w, const struct pt_train_settings *train, struct pt_prune_report *r, struct pt_err *err)
{
    struct pt_training t;
    struct pt_train_result result = {0};
    struct pt_train_mask *masks = NULL;
    size_t count = 0;
    int rc = pt_training_init(&t, w, train, err);
    if (rc == PT_OK && !r->mask_count)
        rc = pt_prune_masks_of(w->model, 0.05, &masks, &count, err);
    if (rc == PT_OK) {
        t.options.masks = r->mask_count ? r->masks : masks;
        t.options.mask_count = r->mask_count ? r->mask_count : count;
        rc = pt_train(w->model, w->train, w->held_out, &t.options, &result, err);
    }
    rc = pt_training_report(w, &result, rc, err);
    pt_prune_masks_free(masks, count);
    pt_training_finish(&t);
    return rc;
}

static int prune_once(struct pt_stage_work *w, const struct settings *s, const struct pt_prune_options *o, const struct pt_train_settings *train,
                      struct pt_err *err)
{
    struct pt_prune_report r;
    int rc = pt_prune(w->model, samples_of(w, s), o, &r, err);
    if (rc == PT_OK)
        rc = tell(w, &r, err);
    if (rc == PT_OK && train)
        rc = fine_tune(w, train, &r, err);
    pt_prune_report_finish(&r);
    return rc;
}

static int prune_scheduled(struct pt_stage_work *w, const struct settings *s, const struct pt_prune_options *o, const struct pt_train_settings *train,
                           struct pt_err *err)
{
    struct pt_training t;
    struct pt_train_result result = {0};
    struct pt_pruner *pruner = NULL;
    struct pt_prune_report r = {0};
    int rc = pt_training_init(&t, w, train, err);
    if (rc < 0)
        return pt_training_finish(&t), rc;
    int64_t steps = (w->train->count + train->batch_size - 1) / train->batch_size * train->epochs;
    struct pt_sparsity_schedule schedule = {.kind = (enum pt_sparsity_kind)(s->schedule - 1),
                                            .initial = s->initial,
                                            .final = s->amount,
                                            .power = s->power,
                                            .begin = s->begin,
                                            .end = s->end ? s->end : steps * 2 / 3,
                                            .frequency = s->frequency};
    if (schedule.end > steps)
        rc = pt_fail(err, PT_EINVAL, "sparsity-end is step %lld; the training has %lld", (long long)schedule.end, (long long)steps);
    if (rc == PT_OK)
        rc = pt_pruner_create(w->model, o, &schedule, &pruner, err);
    if (rc == PT_OK)
        rc = pt_pruner_attach(pruner, &t.options, err);
    if (rc == PT_OK)
        rc = pt_train(w->model, w->train, w->held_out, &t.options, &result, err);
    rc = pt_training_report(w, &result, rc, err);
    if (rc == PT_OK)
        rc = pt_pruner_report(pruner, &r, err);
    if (rc == PT_OK)
        rc = tell(w, &r, err);
    pt_prune_report_finish(&r);
    pt_pruner_destroy(pruner);
    pt_training_finish(&t);
    return rc;
}

static int at_trial(void *arg, size_t done, size_t total)
{
    struct pt_stage_work *w = arg;
    pt_progress_at(w->progress, "sensitivity", (int64_t)done, (int64_t)total);
    return pt_progress_interrupted();
}

static int scan(struct pt_stage_work *w, const struct settings *s, const struct pt_prune_options *o, struct pt_err *err)
{
    double amounts[64];
    struct pt_prune_trial *trials = NULL;
    size_t count = 0;
    pt_auto_buf json = {0};
    const struct pt_data *d = w->held_out ? w->held_out : w->train;
    int rc = d ? PT_OK : pt_fail(err, PT_EINVAL, "sensitivity needs labelled samples");
    for (size_t i = 0; rc == PT_OK && i < s->sensitivity.count; i++)
        rc = parse_amount(s->sensitivity.items[i], "sensitivity", &amounts[i], err);
    if (rc == PT_OK)
        rc = pt_prune_sensitivity(w->model, d, o, amounts, s->sensitivity.count, at_trial, w, &trials, &count, err);
    if (rc == PT_OK)
        rc = pt_prune_trials_json(trials, count, &json, err);
    if (rc == PT_OK)
        rc = pt_stage_report(w, "sensitivity", &json, err);
    pt_free(trials);
    return rc;
}

static bool only_looks(const void *options)
{
    return ((const struct settings *)options)->sensitivity.count > 0;
}

static int run(struct pt_stage_work *w, const void *options, const struct pt_train_settings *train, struct pt_err *err)
{
    const struct settings *s = options;
    struct rules r = {0};
    struct pt_prune_options o;
    pt_arena_init(&r.arena, 0);
    int rc = options_of(s, w, &r, &o, err);
    if (rc == PT_OK)
        rc = s->sensitivity.count ? scan(w, s, &o, err) : s->schedule ? prune_scheduled(w, s, &o, train, err) : prune_once(w, s, &o, train, err);
    pt_arena_finish(&r.arena);
    return rc;
}

const struct pt_stage pt_stage_prune = {.name = "prune",
                                        .summary = "make weights zero, or remove channels and attention heads",
                                        .rows = rows,
                                        .row_count = sizeof rows / sizeof *rows,
                                        .size = sizeof(struct settings),
                                        .trains = true,
                                        .check = check,
                                        .only_looks = only_looks,
                                        .run = run};
