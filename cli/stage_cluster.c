/* SPDX-License-Identifier: Apache-2.0
 *
 * stage_cluster.c: few different weights. With the options of training, the weights of a cluster are trained together afterwards.
 */
#include "cli/stage.h"

#include "runtime/compress/cluster.h"

struct cluster_settings {
    int64_t clusters, rounds, min_elements;
    int start;
    bool zeros_too;
    struct pt_cmd_list skip;
};
#define AT(member) offsetof(struct cluster_settings, member)
static const struct pt_cmd_option rows[] = {
    {"clusters", PT_CMD_NUMBER, AT(clusters), .min = 2, .max = 4096, .def = "32", .help = "different values that the weights of a tensor take"},
    {"start", PT_CMD_CHOICE, AT(start), .words = pt_cluster_starts, .def = "k-means++", .help = "where the values are at first"},
    {"rounds", PT_CMD_NUMBER, AT(rounds), .max = 10000, .def = "0", .help = "rounds of k-means; 0: until nothing moves, at most 100"},
    {"min-elements", PT_CMD_NUMBER, AT(min_elements), .min = 1, .max = 1000000000, .def = "1024", .help = "smaller tensors are left alone"},
    {"zeros-too", PT_CMD_FLAG, AT(zeros_too), .help = "weights that are zero may become something else; else zero is one of the values"},
    {"skip", PT_CMD_LIST, AT(skip), .help = "nodes, initializers or types of operators that are left alone"},
};

static int run(struct pt_stage_work *w, const void *options, const struct pt_train_settings *train, struct pt_err *err)
{
    const struct cluster_settings *s = options;
    struct pt_cluster_options o = {.clusters = s->clusters,
                                   .start = (enum pt_cluster_start)s->start,
                                   .keep_zeros = !s->zeros_too,
                                   .rounds = s->rounds,
                                   .min_elements = s->min_elements,
                                   .seed = w->seed,
                                   .skip = s->skip.items,
                                   .skip_count = s->skip.count};
    struct pt_cluster_report r = {0};
    struct pt_buf text = {0};
    struct pt_training t = {0};
    struct pt_train_result result = {0};
    int rc = pt_cluster(w->model, &o, &r, err);
    if (rc == PT_OK && train) {
        rc = pt_training_init(&t, w, train, err);
        if (rc == PT_OK)
            rc = pt_cluster_train(w->model, s->clusters, w->train, w->held_out, &t.options, &result, err);
        rc = pt_training_report(w, &result, rc, err);
    }
    if (rc == PT_OK)
        rc = pt_cluster_report_json(&r, &text, err);
    if (rc == PT_OK)
        rc = pt_stage_report(w, "cluster", &text, err);
    pt_training_finish(&t);
    pt_buf_finish(&text);
    pt_cluster_report_finish(&r);
    return rc;
}

const struct pt_stage pt_stage_cluster = {.name = "cluster",
                                          .summary = "let weights take few different values, so that the compressed file is small",
                                          .rows = rows,
                                          .row_count = sizeof rows / sizeof *rows,
                                          .size = sizeof(struct cluster_settings),
                                          .trains = true,
                                          .run = run};
