/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h: what run and bench share: a model opened with its threads, and its inputs from files or made up.
 */
#ifndef PT_CLI_MODEL_H
#define PT_CLI_MODEL_H

#include "cli/pairs.h"
#include "cli/tensor_file.h"

struct pt_cli_model {
    struct pt_threads *threads;
    struct pt_session *session;
    struct pt_run *run;
    struct pt_tensor_file *inputs;
    size_t input_count;
};
/* What run and bench let the user choose about the session. */
struct pt_cli_model_options {
    int64_t threads; /* 0 = from the CPU limit */
    bool no_opt;
    const char *disable; /* rewrites to leave out, or NULL */
};
/* Their rows (cli/options.h), for the structure at `offset`. */
#define PT_CLI_MODEL_THREADS(at)                                                                                                                     \
    {                                                                                                                                                \
        "threads", PT_CMD_NUMBER, (at) + offsetof(struct pt_cli_model_options, threads),                                                             \
            .min = 1, .max = 1024, .help = "threads to compute with; otherwise the CPU limit of this process"                                        \
    }
#define PT_CLI_MODEL_OPTIMISER(at)                                                                                                                   \
    {"no-opt", PT_CMD_FLAG, (at) + offsetof(struct pt_cli_model_options, no_opt),                                                                    \
     .help = "every node by its reference operator, as the model has it"},                                                                           \
    {                                                                                                                                                \
        "disable", PT_CMD_TEXT, (at) + offsetof(struct pt_cli_model_options, disable),                                                               \
            .value = "NAMES", .help = "leave out these rewrites of the optimiser: gelu,pad,... (pintle-run(1) lists them)"                           \
    }
/* On failure there is nothing to close. */
int pt_cli_model_open(struct pt_cli_model *m, const char *path, const struct pt_cli_model_options *o, struct pt_err *err);
void pt_cli_model_close(struct pt_cli_model *m); /* zeroed is fine */
/* Reads every input named in files and hands it to the run. One that has no file is an error when shapes is NULL; else it is made up, with the shape
 * of its row in shapes ("1x3x224x224") or the model's, where free dimensions are 1. */
int pt_cli_model_load_inputs(struct pt_cli_model *m, const struct pt_cli_pairs *files, const struct pt_cli_pairs *shapes, struct pt_err *err);

#endif
