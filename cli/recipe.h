/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe.h: what `pintle compress` does: stages one after the other on a model, each measured, a gate in the end, and a report. Also what a single
 * step (`pintle train`) is: a recipe of one stage.
 *
 *     model: big.onnx
 *     output: small.onnx
 *     seed: 1
 *     data: {train: digits.npz, heldOut: 0.2}
 *     stages:
 *       - prune: {amount: 0.8, train: {epochs: 3}}
 *       - quantize: {}
 *     gate: {accuracy: {maxDrop: 0.01}}
 *     report: {json: report.json, html: report.html}
 *
 * A run that is cut off goes on where it was: finished stages are files in the work folder, beside the digest of the recipe and of all files that it
 * reads; a training inside a stage has its checkpoint there. Another recipe or other data begin anew. The output appears last and whole, when the
 * gate holds. Nothing here knows of main(), standard output or exit statuses.
 */
#ifndef PT_CLI_RECIPE_H
#define PT_CLI_RECIPE_H

#include "cli/data.h"
#include "cli/gate.h"
#include "cli/stage.h"

struct pt_recipe_settings {
    const char *model, *output;
    int64_t seed, threads;
    double latency_seconds;
};
struct pt_recipe_report {
    const char *json, *html;
};
extern const struct pt_cmd_option pt_recipe_rows[], pt_recipe_report_rows[];
extern const size_t pt_recipe_row_count, pt_recipe_report_row_count;

struct pt_recipe {
    struct pt_recipe_settings settings;
    struct pt_data_options data;
    struct pt_stage_call *stages;
    size_t stage_count;
    struct pt_gate gate;
    struct pt_recipe_report report;
    cJSON *json; /* as it was read, or made of a command line; texts above point into it or into the arena */
    struct pt_arena arena;
};
/* text: YAML (or JSON). what: the file's name, for messages. Finish *r also after a failure. Whether all is there that is needed tells
 * pt_recipe_check(): options of a command line may still come. */
int pt_recipe_parse(struct pt_recipe *r, struct pt_str text, const char *what, struct pt_err *err);
void pt_recipe_finish(struct pt_recipe *r);
/* Relative paths are beside the recipe's file. Absolute ones are looked up among a pod's mounts: under `pintle up` that is a plain process
 * (base/path.h). */
int pt_recipe_resolve(struct pt_recipe *r, const char *file, struct pt_err *err);
/* Room for one more stage at the end. */
int pt_recipe_add(struct pt_recipe *r, const struct pt_stage *stage, bool train, struct pt_stage_call **out, struct pt_err *err);
/* Whether what is needed is there and goes together. */
int pt_recipe_check(const struct pt_recipe *r, struct pt_err *err);

/* A second place for what is finished in the work folder (mirror.h). Names are of files in it. */
struct pt_recipe_copy {
    int (*load)(void *arg, const char *folder, const char *digest, struct pt_err *err); /* an earlier run's, with this digest, into the folder */
    int (*save)(void *arg, const char *folder, const char *name, struct pt_err *err);   /* as it is now, or no more */
    void *arg;
};
struct pt_recipe_run {
    const char *work;       /* folder; NULL: nothing is kept, a run that is cut off begins anew */
    const char *checkpoint; /* without a work folder: of the only stage, or NULL */
    const struct pt_recipe_copy *copy; /* with a work folder; NULL: there is none */
    struct pt_progress *progress;
    bool keep; /* the work folder also after success: pt_recipe_discard() removes it when the output is safe */
};
void pt_recipe_discard(const char *work);
/* *report: what was done (docs/compression.md, "Report"), also when the gate does not hold; cJSON_Delete() it. PT_EPRECONDITION: the gate does not
 * hold, and nothing is at the output. PT_ECANCELED: interrupted; the work folder has what is finished. */
int pt_recipe_run(const struct pt_recipe *r, const struct pt_recipe_run *how, cJSON **report, struct pt_err *err);
/* What a run would do and cost, as text. */
int pt_recipe_plan(const struct pt_recipe *r, struct pt_buf *out, struct pt_err *err);

#endif
