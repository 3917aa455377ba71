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
 * A delay (QueueDelay, Latency) does not add up over pods, and how it grows with the load of a pod is nobody's knowledge beforehand; so it is not
 * compared with the number of pods. What one pod may carry is learned from it instead, and the number follows from the load as above: while the delay is
 * over its goal, with pods that carry no more than their target, the target shrinks; when it stayed under half of the goal for a stable window the target grows by a fifth, as far as one pod less needs, but for a
 * long time not to where the goal was missed before: a load that is steady settles, instead of trying the edge again and again.
 *
 * Windows, panic and rates follow Knative's KPA (serving, pkg/autoscaler); headroom and trend are ours.
 */
#ifndef PT_MODEL_AUTOSCALE_H
#define PT_MODEL_AUTOSCALE_H

#include <stdbool.h>
#include <stdint.h>

enum { PT_AUTOSCALE_SECONDS = 600 }; /* most of a stable window */

enum pt_autoscaling_metric { PT_METRIC_CONCURRENCY, PT_METRIC_RPS, PT_METRIC_QUEUE_DELAY, PT_METRIC_LATENCY, PT_METRIC_COUNT };
const char *pt_autoscaling_metric_name(enum pt_autoscaling_metric m);
/* The metric of that name, or -1. */
int pt_autoscaling_metric_parse(const char *name);

struct pt_autoscale_config {
    int min, max;           /* pods */
    double target;          /* of one pod, > 0; of a delay: what to begin with, in requests in flight and queued */
    double goal_s;          /* of a delay; 0: the target is given */
    int64_t stable_ms;      /* 6 s to PT_AUTOSCALE_SECONDS */
    double panic_window;    /* share of the stable window: 0.1 */
    double panic_threshold; /* 2 */
    int64_t scale_down_delay_ms;
};

struct pt_autoscale {
    int64_t first_ms; /* observation, the first behind the last silence; -1: none yet */
    int64_t last_ms;  /* observation, once there is a first one */
    int64_t panic_ms; /* when it was last seen; -1: never */
    int64_t start_ms; /* how long a pod takes to become ready, moving average; 0: not known */
    /* of a delay */
    double target, ceiling; /* what one pod may carry; a little less than where the goal was missed; 0: not known */
    double delay_s, each;   /* moving averages: of the delay; of what one pod carries */
    int64_t changed_ms, missed_ms, delay_ms, down_ms; /* when the target moved; the goal was missed; it was observed; pods were taken away (-1: not) */
    unsigned seconds; /* a ring as long as the longest window: there may be ten thousand of these */
    struct pt_autoscale_slot {
        uint32_t second; /* since the epoch of the clock; 0: nothing */
        float sum, need; /* of the observations in it; the most that was decided on in it */
        uint16_t count;
        bool complete;
    } slots[];
};
/* One allocation, for pt_free(); NULL: out of memory. */
struct pt_autoscale *pt_autoscale_create(const struct pt_autoscale_config *c);
bool pt_autoscale_fits(const struct pt_autoscale *a, const struct pt_autoscale_config *c); /* false: c's windows are longer than those it was made for */
/* total: over all pods that told. complete: every ready pod did. */
void pt_autoscale_observe(struct pt_autoscale *a, int64_t now_ms, double total, bool complete);
/* With a goal: the delay at present, once a second, after the load was observed. total: that load; ready: the pods that carry it. Incomplete data lower what
 * a pod may carry, never raise it. */
void pt_autoscale_delay(struct pt_autoscale *a, const struct pt_autoscale_config *c, int64_t now_ms, double delay_s, double total, int ready, bool complete);
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
