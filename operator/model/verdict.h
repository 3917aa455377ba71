/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.h: whether a monitored model does well: what its pods report against the thresholds of spec.monitoring. No clock of its own.
 *
 * It is looked once in each period. A figure counts only with enough samples behind it, and the verdict changes only after so many periods in a row
 * said the same: one bad hour of a small sample is no reason to change what serves. Without figures the verdict stays what it was. Another revision,
 * or other thresholds, are judged from the beginning: what was counted by the old ones, and a return that they asked for, says nothing of them.
 */
#ifndef PT_MODEL_VERDICT_H
#define PT_MODEL_VERDICT_H

#include "base/contract.h"

#include <stdint.h>

struct pt_threshold {
    enum pt_figure figure;
    double least, most; /* NaN: no such bound */
    bool retreat;       /* rollback.when names it */
};

/* spec.monitoring, as far as the operator goes by it. One allocation. */
struct pt_monitoring {
    int64_t period_ms;
    double min_samples;
    int periods;
    bool retreats; /* spec.monitoring.rollback */
    unsigned count;
    struct pt_threshold thresholds[];
};
struct pt_monitoring *pt_monitoring_copy(const struct pt_monitoring *m); /* NULL: out of memory */

/* What pods of one revision have reported, added up: means weighted by the rows behind them, which is exact for what is a mean over rows. */
struct pt_figures {
    double rows, labelled;
    struct {
        double sum, weight;
    } of[PT_FIGURE_COUNT];
    int pods;
};
void pt_figures_add(struct pt_figures *sum, double rows, double labelled, const double values[PT_FIGURE_COUNT]);

enum pt_health { PT_HEALTH_UNKNOWN, PT_HEALTH_GOOD, PT_HEALTH_BAD };
struct pt_verdict {
    char revision[64]; /* that it is about */
    uint64_t rules;    /* that it went by; others begin anew */
    enum pt_health health;
    bool retreat;         /* bad enough to go back to another revision */
    bool proven;          /* healthy, and good enough to go back to: by all that rollback.when names, as far as there ever were samples of it */
    int good, bad, worse; /* periods in a row; worse: of figures that rollback.when names */
    int sound;            /* the same, good with none of those missing */
    uint64_t seen;        /* figures that had samples, of whatever revision */
    uint64_t out, told;   /* figures outside at the last look, a bit each; those that the message names */
    int alike;            /* looks in a row with the same ones outside */
    bool began;
    int64_t judged_ms;
    const char *reason; /* of the condition; a literal */
    char message[512];
};
/* true: something that is shown has changed. */
bool pt_verdict_look(struct pt_verdict *v, const struct pt_monitoring *m, const char *revision, const struct pt_figures *f, int64_t now_ms);

#endif
