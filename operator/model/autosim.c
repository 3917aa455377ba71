/* SPDX-License-Identifier: Apache-2.0
 *
 * autosim.c: see autosim.h. Time goes in quarters of a second.
 */
#include "operator/model/autosim.h"

#include "base/mem.h"
#include "base/rand.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 4, KPA_STABLE_S = 60, KPA_PANIC_S = 6, HPA_SYNC_S = 15, HPA_STABLE_S = 300 };
#define STEP_S (1.0 / STEPS)

struct world {
    const struct pt_autosim_options *o;
    double *starts; /* when each pod serves; `pods` of them, oldest first */
    int pods, room, desired;
    double served, queued; /* requests being served, and waiting */
    double *load;          /* per second: mean of served + queued */
    size_t second;
    /* pintle */
    struct pt_autoscale *a;
    double waits, waited; /* in the last second: latencies summed, and how many */
    /* kpa */
    double panic_s; /* time of the last excess; -1: none */
    int panic_most;
    /* hpa */
    int *advice; /* of each sync, for the stabilisation */
    size_t advices;
};

/* --- policies ------------------------------------------------------------------------------------------------------------------ */

static double mean_load(const struct world *w, size_t seconds)
{
    double sum = 0;
    size_t n = seconds < w->second ? seconds : w->second;
    for (size_t i = w->second - n; i < w->second; i++)
        sum += w->load[i];
    return n ? sum / (double)n : 0;
}

static int ready_pods(const struct world *w, double now)
{
    int n = 0;
    while (n < w->pods && w->starts[n] <= now)
        n++;
    return n;
}

static int pintle(struct world *w)
{
    int64_t now_ms = (int64_t)w->second * 1000;
    double load = w->load[w->second - 1], latency = w->waited > 0 ? w->waits / w->waited : w->o->service_s;
    int ready = ready_pods(w, (double)w->second);
    pt_autoscale_observe(w->a, now_ms - 1, load, true);
    if (w->o->config.goal_s > 0)
        pt_autoscale_delay(w->a, &w->o->config, now_ms, w->o->latency ? latency : latency - w->o->service_s, load, ready, true);
    return pt_autoscale_decide(w->a, &w->o->config, now_ms, w->pods, ready).desired;
}

static int kpa(struct world *w)
{
    double target = 0.7 * w->o->concurrency, now = (double)w->second;
    int ready = ready_pods(w, now) > 0 ? ready_pods(w, now) : 1;
    if (w->second % 2)
        return w->desired;
    int stable = (int)ceil(mean_load(w, KPA_STABLE_S) / target), panic = (int)ceil(mean_load(w, KPA_PANIC_S) / target);
    int least = ready / 2;
    stable = stable < least ? least : stable;
    panic = panic < least ? least : panic;
    if (panic >= 2 * ready)
        w->panic_s = now;
    if (w->panic_s < 0 || now - w->panic_s >= KPA_STABLE_S) {
        w->panic_s = -1;
        w->panic_most = 0;
        return stable;
    }
    int most = panic > stable ? panic : stable;
    w->panic_most = w->panic_most > most ? w->panic_most : most;
    return w->panic_most;
}

static int hpa(struct world *w)
{
    double now = (double)w->second, target = 0.7 * w->o->concurrency;
    int ready = ready_pods(w, now), most = 0;
    if (w->second % HPA_SYNC_S)
        return w->desired;
    double ratio = ready ? mean_load(w, HPA_SYNC_S) / ready / target : 1;
    int advice = fabs(ratio - 1) <= 0.1 ? w->pods : (int)ceil(ready * ratio - 1e-9);
    int limit = w->pods * 2 > w->pods + 4 ? w->pods * 2 : w->pods + 4;
    advice = advice < 1 ? 1 : advice > limit ? limit : advice;
    w->advice[w->advices++] = advice;
    size_t n = HPA_STABLE_S / HPA_SYNC_S < w->advices ? HPA_STABLE_S / HPA_SYNC_S : w->advices;
    for (size_t i = w->advices - n; i < w->advices; i++)
        most = w->advice[i] > most ? w->advice[i] : most;
    return advice >= w->pods ? advice : most < w->pods ? most : w->pods;
}

static const struct {
    const char *name;
    int (*decide)(struct world *w);
} policies[PT_AUTOSIM_POLICIES] = {[PT_AUTOSIM_PINTLE] = {"pintle", pintle}, [PT_AUTOSIM_KPA] = {"kpa", kpa}, [PT_AUTOSIM_HPA] = {"hpa", hpa}};

const char *pt_autosim_policy_name(enum pt_autosim_policy p)
{
    return policies[p].name;
}

/* --- the world ------------------------------------------------------------------------------------------------------------------- */

static int scale(struct world *w, int desired, double now, struct pt_err *err)
{
    if (desired > w->room) {
        double *more = pt_reallocarray(w->starts, (size_t)desired, sizeof *more);
        if (!more)
            return pt_fail(err, PT_ENOMEM, "simulate: out of memory");
        w->starts = more;
        w->room = desired;
    }
    while (w->pods < desired)
        w->starts[w->pods++] = now + w->o->start_s;
    w->pods = desired; /* the youngest go first */
    return PT_OK;
}

/* Poisson; its normal approximation where that is good. */
static double arrivals(struct pt_rand *r, double mean)
{
    if (mean > 30)
        return fmax(0, floor(mean + sqrt(mean) * pt_rand_normal(r) + 0.5));
    double limit = exp(-mean), p = 1;
    int n = -1;
    do {
        p *= pt_rand_unit(r);
        n++;
    } while (p > limit);
    return n;
}

static void step(struct world *w, double now, double came, struct pt_autosim_result *out, struct pt_autosim_point *point)
{
    double capacity = (double)ready_pods(w, now) * w->o->concurrency;
    w->served -= w->served * fmin(1, STEP_S / w->o->service_s);
    if (w->served > capacity) {
        w->queued += w->served - capacity;
        w->served = capacity;
    }
    double latency = w->o->service_s + (capacity > 0 ? w->queued * w->o->service_s / capacity : w->queued > 0 || came > 0 ? 1e3 : 0);
    out->requests += came;
    out->late += latency > w->o->slo_s ? came : 0;
    w->waits += came * latency;
    w->waited += came;
    out->worst_s = came > 0 && latency > out->worst_s ? latency : out->worst_s;
    w->queued += came;
    double begin = fmin(w->queued, capacity - w->served);
    w->queued -= begin;
    w->served += begin;
    w->load[w->second] += (w->served + w->queued) * STEP_S;
    out->pod_seconds += w->pods * STEP_S;
    if (point) {
        point->latency_s = fmax(point->latency_s, latency);
        point->queued = w->queued;
        point->pods = w->pods;
        point->ready = ready_pods(w, now);
    }
}

static int run(struct world *w, const double *rps, size_t seconds, enum pt_autosim_policy policy, struct pt_autosim_point *points,
               struct pt_autosim_result *out, struct pt_err *err)
{
    const struct pt_autoscale_config *c = &w->o->config;
    struct pt_rand rand;
    int direction = 0;
    pt_rand_init(&rand, w->o->seed);
    pt_autoscale_started(w->a, (int64_t)(w->o->start_s * 1000));
    w->panic_s = -1;
    w->desired = c->min;
    if (scale(w, w->desired, -w->o->start_s, err) < 0)
        return PT_ENOMEM;
    for (w->second = 0; w->second < seconds;) {
        struct pt_autosim_point *p = points ? &points[w->second] : NULL;
        if (p)
            *p = (struct pt_autosim_point){.rps = rps[w->second]};
        w->waits = w->waited = 0;
        for (int k = 0; k < STEPS; k++)
            step(w, (double)w->second + k * STEP_S, arrivals(&rand, rps[w->second] * STEP_S), out, p);
        w->second++;
        int desired = policies[policy].decide(w);
        desired = desired < c->min ? c->min : desired > c->max ? c->max : desired;
        int way = (desired > w->pods) - (desired < w->pods);
        out->reversals += way && direction && way != direction;
        direction = way ? way : direction;
        out->peak = desired > out->peak ? desired : out->peak;
        w->desired = desired;
        if (scale(w, desired, (double)w->second, err) < 0)
            return PT_ENOMEM;
    }
    return PT_OK;
}

int pt_autosim_run(const double *rps, size_t seconds, enum pt_autosim_policy policy, const struct pt_autosim_options *o,
                   struct pt_autosim_point *points, struct pt_autosim_result *out, struct pt_err *err)
{
    struct world w = {.o = o, .load = pt_calloc(seconds + 1, sizeof *w.load), .advice = pt_calloc(seconds / HPA_SYNC_S + 2, sizeof *w.advice), .a = pt_autoscale_create(&o->config)};
    *out = (struct pt_autosim_result){.peak = o->config.min};
    int rc = w.load && w.advice && w.a ? run(&w, rps, seconds, policy, points, out, err) : pt_fail(err, PT_ENOMEM, "simulate: out of memory");
    pt_free(w.load);
    pt_free(w.advice);
    pt_free(w.starts);
    pt_free(w.a);
    return rc;
}

/* --- traces ---------------------------------------------------------------------------------------------------------------------- */

typedef double shape_fn(double t, double a, double b, struct pt_rand *r);

static double steps(double t, double a, double b, struct pt_rand *r)
{
    (void)r;
    return (int)(t / b) % 2 ? a : a / 5;
}

static double ramp(double t, double a, double b, struct pt_rand *r)
{
    (void)r;
    double x = fmod(t, 2 * b) / b;
    return a * (x < 1 ? 0.1 + 0.9 * x : 0.1 + 0.9 * (2 - x));
}

static double day(double t, double a, double b, struct pt_rand *r)
{
    return a * (0.55 - 0.45 * cos(2 * M_PI * t / b)) * (1 + 0.05 * pt_rand_normal(r));
}

static double spikes(double t, double a, double b, struct pt_rand *r)
{
    (void)r;
    double x = fmod(t + b / 3, b);
    return x < b / 12 ? a : a / 8;
}

static double noise(double t, double a, double b, struct pt_rand *r)
{
    (void)t;
    return fmax(0, a * (1 + b * pt_rand_normal(r)));
}

static double on_off(double t, double a, double b, struct pt_rand *r)
{
    (void)r;
    return fmod(t, b) < b / 2 ? a : 0;
}

static const struct {
    const char *name;
    shape_fn *shape;
    double a, b;
} traces[PT_AUTOSIM_TRACES] = {
    {"step-small", steps, 200, 300},   {"step-large", steps, 2000, 300}, {"step-often", steps, 1000, 120},  {"ramp-slow", ramp, 1500, 900},
    {"ramp-fast", ramp, 1500, 180},    {"ramp-small", ramp, 150, 300},   {"day", day, 1500, 1800},          {"day-twice", day, 800, 900},
    {"day-small", day, 100, 1800},     {"spike", spikes, 1600, 600},     {"spike-often", spikes, 800, 240}, {"spike-large", spikes, 4000, 900},
    {"spike-small", spikes, 160, 300}, {"noise-low", noise, 600, 0.05},  {"noise", noise, 600, 0.2},        {"noise-high", noise, 600, 0.5},
    {"on-off", on_off, 600, 300},      {"on-off-fast", on_off, 600, 60}, {"on-off-slow", on_off, 600, 900}, {"on-off-large", on_off, 3000, 400},
};

const char *pt_autosim_trace(size_t i, double rps[PT_AUTOSIM_TRACE_S])
{
    struct pt_rand r;
    if (i >= PT_AUTOSIM_TRACES)
        return NULL;
    pt_rand_init(&r, 1000 + i);
    for (int t = 0; t < PT_AUTOSIM_TRACE_S; t++)
        rps[t] = fmax(0, traces[i].shape(t, traces[i].a, traces[i].b, &r));
    return traces[i].name;
}
