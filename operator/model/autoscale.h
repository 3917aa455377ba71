/* SPDX-License-Identifier: Apache-2.0
 *
 * autoscale.h: how many pods a load needs. Pure: observations and time go in, a number comes out; the operator, `pintle autoscale simulate`
 * and the tests run the same code.
 *
 * The metric is summed over all pods: requests in flight and queued (Concurrency), or requests per second (RPS). `target` is what one pod should
 * carry at most. Three views of the last stable window decide:
 *
 *   need = mean of the last seconds + what the load will have grown by until a new pod is up (its trend, if there is one beyond doubt)
 *          + two standard deviations about the trend, as far as the load was seen that high: as much headroom as it is restless
 *   peak = the largest need of the last scale-down delay: what was needed a moment ago is kept ready
 *   mean = of the whole stable window: a floor against gaps in an on-off load
 *
 * Up at once to need; down to peak, one step of hysteresis below, and never below what the mean wants. A need of more than panic_threshold times what
 * is there is a panic: until a stable window has passed without one, nothing goes down. Observations that miss pods may raise the number, never lower
 * it.
 *
 * Windows, panic and rates follow Knative's KPA (serving, pkg/autoscaler); headroom and trend are ours.
 */
#ifndef PT_MODEL_AUTOSCALE_H
#define PT_MODEL_AUTOSCALE_H

#include <stdbool.h>
#include <stdint.h>

enum { PT_AUTOSCALE_SECONDS = 600 }; /* most of a stable window */

struct pt_autoscale_config {
    int min, max;           /* pods */
    double target;          /* of one pod, > 0 */
    int64_t stable_ms;      /* 6 s to PT_AUTOSCALE_SECONDS */
    double panic_window;    /* share of the stable window: 0.1 */
    double panic_threshold; /* 2 */
    int64_t scale_down_delay_ms;
};

struct pt_autoscale {
    struct {
        int64_t second;   /* since the epoch of the clock; 0: nothing */
        float sum, count; /* of the observations in it */
        bool complete;
    } slots[PT_AUTOSCALE_SECONDS];
    struct {
        int64_t second;
        float need; /* the most that was decided on in it */
    } needs[PT_AUTOSCALE_SECONDS];
    int64_t first_ms; /* observation; -1: none yet */
    int64_t panic_ms; /* when it was last seen; -1: never */
    int64_t start_ms; /* how long a pod takes to become ready, moving average; 0: not known */
};
void pt_autoscale_init(struct pt_autoscale *a);
/* total: over all pods that told. complete: every ready pod did. */
void pt_autoscale_observe(struct pt_autoscale *a, int64_t now_ms, double total, bool complete);
/* A pod became ready so long after it was made. */
void pt_autoscale_started(struct pt_autoscale *a, int64_t took_ms);

struct pt_autoscale_decision {
    int desired; /* between min and max; current when nothing is known */
    bool panic;
    bool known;  /* there are observations to decide by */
    double need; /* of the metric, summed */
};
/* current: pods there are or are being made; ready: those that carry load. */
struct pt_autoscale_decision pt_autoscale_decide(struct pt_autoscale *a, const struct pt_autoscale_config *c, int64_t now_ms, int current, int ready);

#endif
