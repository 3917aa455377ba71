/* SPDX-License-Identifier: Apache-2.0
 *
 * quality.h: what a model file costs and how right it is: size, parameters, MACs, latency, and the figures of held-out samples. What `pintle
 * evaluate` prints and what every stage of a recipe is judged by.
 */
#ifndef PT_CLI_QUALITY_H
#define PT_CLI_QUALITY_H

#include "runtime/train/evaluate.h"

#include <cjson/cJSON.h>

struct pt_quality {
    uint64_t file_bytes, parameters, macs; /* macs: of one sample, 0 where it cannot be planned */
    double zeros;                          /* share of the weights (float32 and int8 of rank 2 and more) that are zero */
    double latency_ms;                     /* median, one sample at a time; NaN: not measured */
    double loss;                           /* NaN without samples */
    bool judged;
    struct pt_figures figures; /* with samples */
};
struct pt_quality_options {
    const struct pt_data *samples; /* labelled; NULL: only what it costs */
    enum pt_loss loss;
    double seconds; /* for the latency; 0: not measured */
    struct pt_threads *threads;
};
/* Finish *q also after a failure. */
int pt_quality_measure(const char *path, const struct pt_quality_options *o, struct pt_quality *q, struct pt_err *err);
void pt_quality_finish(struct pt_quality *q);
/* {"bytes", "parameters", "macs", "zeros", "latencyMs", "samples", "loss", "accuracy", ..., "classes": [{...}], "confusion": [[...]]}; what was not
 * measured is left out. names: of classes, or NULL. NULL: out of memory. */
cJSON *pt_quality_json(const struct pt_quality *q, char *const *names, size_t name_count);

#endif
