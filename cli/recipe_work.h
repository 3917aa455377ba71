/* SPDX-License-Identifier: Apache-2.0
 *
 * recipe_work.h: the folder in which a run keeps what is finished: `digest` says of which recipe and files, NUMBER-STAGE.onnx and .json are the model
 * behind a stage and what it had to say, NUMBER-STAGE.checkpoint a training that is not finished. A stage is finished when its .json is there, which
 * is written last.
 */
#ifndef PT_CLI_RECIPE_WORK_H
#define PT_CLI_RECIPE_WORK_H

#include "cli/recipe.h"

struct pt_recipe_work {
    char *folder; /* made for this run and removed with it, where nothing shall be kept */
    bool temporary;
    int lock; /* on the folder: two runs in one would write over each other; -1: none */
    const struct pt_recipe_copy *copy; /* NULL: none */
    char digest[72], model_digest[72]; /* of everything; of the model that came in */
};
/* Digests all files that the recipe reads; an old folder of something else is emptied. PT_ECONFLICT: another run is at work in it. kept: NULL for a temporary one. */
int pt_recipe_work_open(struct pt_recipe_work *w, const struct pt_recipe *r, const char *kept, const struct pt_recipe_copy *copy, struct pt_err *err);
/* remove: with what a run puts there. */
void pt_recipe_work_close(struct pt_recipe_work *w, const struct pt_recipe *r, bool remove);
/* "FOLDER/2-prune.onnx"; NULL: out of memory. pt_free() it. */
char *pt_recipe_work_path(const struct pt_recipe_work *w, const struct pt_recipe *r, size_t stage, const char *ending);
/* What a finished stage said; NULL: it is not finished. */
cJSON *pt_recipe_work_finished(const struct pt_recipe_work *w, const struct pt_recipe *r, size_t stage);
int pt_recipe_work_finish_stage(const struct pt_recipe_work *w, const struct pt_recipe *r, size_t stage, const cJSON *said, struct pt_err *err);
/* SHA-256 of a file, or of the names and sizes and contents in a folder. */
int pt_path_digest(const char *path, char out[72], struct pt_err *err);

#endif
