/* SPDX-License-Identifier: Apache-2.0
 *
 * repository.h: the models that this process serves, each in versions: one that its configuration names, or all of a folder (scan.h), looked at
 * again as told.
 *
 * A version is loaded, verified and warmed beside the others and takes requests when it is Ready; only when every version that the policy wants is
 * Ready do those that it does not want retire, so that a bad one never replaces a good one. The same when the file of a version is replaced by
 * another. A retired version is unloaded when its last call has its answer. Past the memory budget the version that was used longest ago is unloaded
 * and stays known: the next request loads it again and waits.
 *
 * Everything on the loop thread; scans and loading run on the pool.
 */
#ifndef PT_SIDECAR_REPOSITORY_H
#define PT_SIDECAR_REPOSITORY_H

#include "sidecar/metrics.h"
#include "sidecar/model_list.h"
#include "sidecar/monitor.h"
#include "sidecar/scan.h"
#include "sidecar/servable.h"

struct pt_call;
struct pt_model;
struct pt_repository;

struct pt_version {
    struct pt_repository *repository;
    struct pt_model *model;
    struct pt_version *next;
    char text[64];
    int64_t number;          /* 0 where the version is no number */
    struct pt_config config; /* the server's, with what concerns this version */
    struct pt_servable servable;
    struct pt_queue *queue;
    struct pt_serving_metrics metrics;
    struct pt_model_stats stats;
    struct pt_monitor *monitor; /* NULL: it is not monitored */
    uint64_t print; /* of the file that is, or is to be, loaded */
    bool started;   /* servable is */
    bool dormant;   /* unloaded to save memory; a request starts it: */
    bool waking;
    bool wanted, retiring;
    bool candidate; /* of a list that does not hold yet */
    int calls;      /* that hold it */
    int64_t used_ms;
    struct pt_call *parked; /* calls that wait until it is loaded; frontend.c's */
    int parked_count;
};

struct pt_model {
    struct pt_model *next;
    char *name;
    struct pt_model_config config;
    uint64_t config_print;
    struct pt_version_label labels[PT_MAX_LABELS]; /* that hold; config's do when all that it wants is there */
    size_t label_count;
    struct pt_err err;           /* why its configuration cannot be used; code 0: it can */
    struct pt_version *versions; /* highest first */
};

struct pt_control {
    void (*done)(struct pt_control *c); /* rc and err say how it went */
    int rc;
    struct pt_err err;
    /* the repository's own */
    struct pt_control *next;
    enum { PT_CONTROL_LOAD, PT_CONTROL_UNLOAD, PT_CONTROL_RELOAD } kind;
    bool scanned;
    bool undoing; /* rc is decided; it is told when what was tried is undone, so that the next one may begin */
    char name[256];
};

struct pt_repository_options {
    struct pt_loop *loop;
    const struct pt_config *config; /* outlives the repository */
    const char *cache_dir;
    struct pt_threads *threads;
    struct pt_scheduler *scheduler;
    const struct pt_job_ops *jobs; /* of every version's queue */
    struct pt_metrics *registry;
    void (*changed)(void *arg, struct pt_version *v); /* v's state changed; NULL: the list of models did */
    void (*wake)(void *arg, struct pt_version *v);    /* a version with parked calls is Ready or Failed */
    void *arg;
};
/* A new list is tried beside the old one; it holds when everything in it serves, else all of it is undone. */
enum pt_reload { PT_RELOAD_NONE, PT_RELOAD_TRYING, PT_RELOAD_UNDOING };
struct pt_repository {
    struct pt_repository_options o;
    struct pt_model *models; /* by name */
    struct pt_version *retiring;
    struct pt_model_config defaults;
    struct pt_scan scan;
    struct pt_err scan_err;
    char base_name[256];
    struct pt_work work;
    bool scanning, scan_again, scanned_once, draining;
    struct pt_timer poll, sweep;
    struct pt_model_list list;    /* with control explicit: what is wanted; */
    struct pt_model_list next;    /* a list that is to take its place, */
    enum pt_reload reload;        /* and how far that is */
    struct pt_model_list looking; /* the scan's own copy */
    struct pt_control *controls;  /* under way */
};

int pt_repository_start(struct pt_repository *r, const struct pt_repository_options *o, struct pt_err *err);
/* Every version that is wanted serves, or could at once. */
bool pt_repository_ready(const struct pt_repository *r);
struct pt_model *pt_repository_model(const struct pt_repository *r, struct pt_str name);
/* version "": the highest that serves, else the highest there is. NULL: none. */
struct pt_version *pt_model_version(const struct pt_model *m, struct pt_str version);
struct pt_version *pt_model_label(const struct pt_model *m, struct pt_str label);
/* Is this one shown to clients? A file that is to replace another is not, until it does. */
bool pt_version_shown(const struct pt_version *v);
bool pt_version_serves(const struct pt_version *v);
/* The only version of a server of one model. */
struct pt_version *pt_repository_only(const struct pt_repository *r);
/* A call begins and ends. */
void pt_version_hold(struct pt_version *v);
void pt_version_release(struct pt_version *v);
/* Loads a dormant version. */
void pt_version_wake(struct pt_version *v);

/* PT_EAGAIN: under way, done follows; else err. PT_EUNSUPPORTED unless control is explicit. */
int pt_repository_load(struct pt_repository *r, struct pt_str name, struct pt_control *c, struct pt_err *err);
int pt_repository_unload(struct pt_repository *r, struct pt_str name, struct pt_control *c, struct pt_err *err);

/* Exactly the models of this list, all or none of the change; takes *list. Base paths must be in the repository's folder. PT_ECONFLICT: another
 * one is under way. In the end PT_EPRECONDITION is for labels of versions that are not there, PT_EUNKNOWN for those that could not be loaded. */
int pt_repository_reload(struct pt_repository *r, struct pt_model_list *list, struct pt_control *c, struct pt_err *err);

uint64_t pt_repository_requests(const struct pt_repository *r);
void pt_repository_drain(struct pt_repository *r);      /* nothing new is loaded; what serves goes on until the end */
bool pt_repository_busy(const struct pt_repository *r); /* is a step on the pool under way? */
void pt_repository_finish(struct pt_repository *r);     /* not while busy; the scheduler is destroyed already */

#endif
