/* SPDX-License-Identifier: Apache-2.0
 *
 * world.h: a cluster in one process under virtual time: memapi, the operator, kubelets with sidecars, a user and bad luck, all from one seed.
 *
 * world.c is the clock, the faults and the operators' lives, process.c what lies between them and the cluster; kubelet.c plays nodes and sidecars, load.c and
 * watch.c their clients, work.c the pods that compress; user.c acts on the resources, by chance or by a script; check.c looks at everything after each step in
 * which something was written, writes.c at each write of an operator; scenarios.c has the named ones.
 */
#ifndef PT_SIM_WORLD_H
#define PT_SIM_WORLD_H

#include <stdio.h>
#include "base/mem.h"
#include "base/rand.h"
#include "operator/ctrl/lease.h"
#include "operator/ctrl/obj.h"
#include "base/map.h"
#include "operator/memapi/memapi.h"
#include "operator/model/objects.h"
#include "operator/model/operator.h"
#include "operator/model/report.h"

#define SIM_NS "default"
#define SIM_MDS 2

struct world;

struct kubelet_pod {
    struct world *w;
    struct kubelet_pod *next, **link; /* of w->all */
    char name[80], uid[64], owner_uid[64], revision[64];
    const char *seen; /* the stored text as seen last: its memory is not used again before the history has moved on */
    unsigned epoch;
    struct pt_timer life, sync, report, end;
    int step;                /* of its life: kubelet.c */
    bool fails;              /* the model cannot be loaded */
    bool native;             /* beside containers of the user's */
    enum pt_model_reason reason;
    bool phase_ended;
    bool container_ready, gate, shown_ready, terminating, draining, drain_seen;
    int restarts;
    enum pt_model_state state;
    uint64_t sequence;
    int64_t started_ms, ready_until_ms; /* last moment at which it was ready; INT64_MAX while it is */
    char digest[72];
    bool stray; /* nobody's any more: its label was changed */
    bool revenant; /* of a create that was given up and arrived after the next try's pod had come and gone: nobody can know of it */
    int64_t told_ms, load_ms, ready_from_ms; /* last report that was taken; the counters are as of; ready since */
    bool silent;             /* its reports are lost */
    int64_t missed_ms;       /* since then others have told and this one has not; 0: it has */
    int64_t heard_again_ms;  /* after a silence in which others told; 0: there was none */
    struct {                 /* an operator's request that it go, not refused: its deletion, or that it be taken out of service */
        unsigned term;
        uint64_t rv;
        int64_t ms;
    } asked[2];
    double requests, counts[8];
};

struct amount {
    int value;
    bool percent;
};
int amount_of(struct amount a, int of, bool up);

/* What one ModelDeployment was asked to be since it last was as asked: the bounds hold for the loosest of these. */
struct wish {
    bool exists;
    char name[16], uid[64];
    int replicas, version;
    struct amount surge, unavailable;
    bool bad, recreate, paused, own_containers;
    int budget;         /* -1: none */
    int most, floor;    /* pods at most; available at least, since it last converged */
    bool scaled;        /* autoscaling */
    int min, max;
    enum pt_autoscaling_metric metric;
    double load;        /* requests at a time */
    int64_t load_ms, scale_ms; /* since; when the operator last wrote replicas */
    int way, turns;     /* of the number of pods: up or down last; changes of direction in quiet times */
    uint64_t status;    /* hash of the status as checked last */
    const char *seen;   /* the stored text as checked last: as in struct kubelet_pod */
    bool watched;       /* monitoring with rollback */
    int recipe;         /* compression; 0: none */
    int retreats;       /* of the operator's own accord, since a user wrote last */
};

/* A pod that compresses. w NULL: an empty place. */
struct work_pod {
    struct world *w;
    char name[80], uid[64], owner_uid[64], key[32];
    unsigned epoch;
    struct pt_timer life, end;
    int recipe, version;
    int reports;        /* sent; of the first of two stages up to the third */
    int64_t started_ms; /* of its process */
    bool running, ended, terminating, stray;
};
struct work_done { /* successfully */
    char owner_uid[64], key[32];
};
#define SIM_WORK 16
#define SIM_WORK_DONE 32

/* A pod that others took away: the operator may not know yet. */
struct ghost {
    char owner_uid[64], revision[64];
    int64_t ready_until_ms;
};
#define SIM_GHOSTS 32

struct profile { /* drawn from the seed */
    double error, lose, delay, cut;
    int64_t pod_lag_ms, other_lag_ms, stale_ms;
    bool crash_before;
    int64_t crash_at; /* the operator dies at its nth write; 0 = never */
    int http;         /* every error is this one; 0: any */
    bool elected;     /* two operators with a Lease */
    int forbidden;    /* a right that the operator lacks: world_rights, from 1; 0: none */
    bool denied;      /* pods may not be created: a quota, a webhook */
    bool carried_out; /* errors come after the deed */
    double unheard;   /* of reports, those that are lost besides */
    double late;      /* of an operator's writes, those that are carried out when it has given them up */
    int64_t slow_list_ms; /* how old lists may be when they arrive */
    unsigned history; /* events kept of each kind; 0: any number */
    enum pt_memapi_watchlist watchlist;
};

/* What is left out of a schedule, to find what it takes to break it. */
struct sim_cut {
    uint32_t actions; /* one bit each */
    bool faults[7];   /* error, lose, delay, cut, lag, crash, election */
};

/* An operator process. */
struct process {
    struct pt_api api; /* first: memapi's, and it is known who asks */
    struct world *w;
    struct pt_operator *op;
    struct pt_lease *lease;
    char identity[16];
    unsigned term;        /* of its lives and times of leading, over all processes */
    uint64_t looked;      /* at ModelDeployments, when it last stood by */
    bool leads, starved; /* starved: what it asks about the Lease finds no answer */
    struct pt_timer restart;
    bool stopped, apart;  /* as by SIGSTOP; cut off from the API server */
    struct pt_sched sched; /* where it may be stopped; else it shares the world's */
    struct pt_timer turn;
    struct message *held; /* what it has not heard yet */
};
#define SIM_PROCESSES 2

/* Instead of chance: profile and actions by name, scenarios.c. */
struct script {
    struct profile profile;
    const char *actions; /* "create a 3; wait 60; model a 2 ..." */
};

struct world {
    struct pt_vsched clock;
    struct pt_rand rand, luck, story; /* of the nodes; of the faults; of what the user does next */
    uint64_t seed;
    struct pt_memapi *api;
    struct process process[SIM_PROCESSES];
    unsigned lives, terms; /* of operators */
    const char *image; /* of sidecars: the operator's own release */
    struct sim_cut omit;
    const struct script *script;
    const char *next_action; /* of the script */
    unsigned action;
    uint64_t lease_writes;
    struct profile p;
    bool faults;
    int64_t op_writes;
    struct pt_timer crash, user, starve;
    struct pt_rand hunger; /* when leaders starve, where they are elected */
    unsigned losses;       /* of the Lease */
    int actions_left;
    struct pt_map pods; /* name -> kubelet_pod */
    struct kubelet_pod *all; /* the same, where their order does not matter */
    struct pt_map names; /* of all pods that ever were */
    unsigned epoch;
    struct ghost ghosts[SIM_GHOSTS];
    unsigned ghost_count;
    uint64_t seen_writes;
    int64_t slack_until_ms; /* creates that the operator has given up, or died over, may still arrive */
    struct wish wish[SIM_MDS];
    bool autoscales; /* the story has autoscaling */
    bool mute;       /* no report arrives, since */
    int64_t mute_ms;
    int64_t calm_ms; /* the faults stopped */
    struct pt_report late_report;
    struct work_pod work[SIM_WORK];
    struct work_done work_done[SIM_WORK_DONE];
    unsigned work_done_count;
    int outcome[8];  /* of each recipe: work.c */
    int accuracy[8]; /* of each version of the model, in percent */
    bool stops;      /* the story stops processes, or cuts them off */
    struct process *disturbed, *asking; /* stopped or cut off; whose request is looked at */
    char holder[16]; /* of the Lease, as the server has it, written last at */
    int64_t held_ms;
    struct pt_map revisions; /* names of all that ever were */
    bool away;       /* the API server, for all that is the operator's */
    int64_t back_ms; /* it was, until */
    bool logging;
    struct pt_buf timeline;
    uint64_t digest; /* of what was asked, when, and of what was there in the end; 0: not wanted */
    bool broken;
    char why[512];
};

struct sim_run {
    uint64_t seed;
    bool logging, digest;
    struct sim_cut omit;
    const struct script *script; /* NULL: chance */
};
/* One schedule. false: an invariant does not hold (why, timeline). */
bool world_run(struct world *w, const struct sim_run *run);
void world_finish(struct world *w);

void world_log(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void world_break(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool chance(struct pt_rand *r, double p);
int64_t between(struct pt_rand *r, int64_t low, int64_t high);
/* A request of someone else than the operator; it must succeed unless `may_fail`. Returns the HTTP status. */
struct pt_operator *world_leader(struct world *w); /* NULL: nobody leads */
void world_crash(struct world *w);                 /* the one that leads */
void world_starve(struct world *w, bool starves);  /* the one that leads cannot renew its Lease; false: whoever could not can again */
void world_upgrade(struct world *w);               /* all operators end and others of the next release begin */
void world_print_uses(FILE *out); /* "VERB GROUP/RESOURCE[/SUBRESOURCE]" a line: whatever operators have asked for so far */
bool world_is_write(const struct pt_api_request *req);
const char *world_right(int i); /* "patch services"; NULL: no such one */
const cJSON *world_stored(struct world *w, const struct wish *m); /* the ModelDeployment, until the next write; NULL: it is gone */
int world_do(struct world *w, struct pt_api_request req, const char *who, bool may_fail);

/* process.c */
void process_init(struct process *p, struct world *w);
struct pt_sched *process_sched(struct process *p);
void process_leads(struct process *p);    /* it begins to */
void process_stands_by(struct process *p); /* or begins to do that */
void process_wrote_lease(struct world *w);
void process_clear(struct process *p);
void process_disturb(struct world *w, bool stop, bool apart); /* the leader; neither: it is as before again */

/* writes.c */
void writes_asked(struct world *w, const struct pt_api_request *req, const struct pt_memapi_fault *f); /* by an operator */
void writes_done(struct world *w, const struct pt_api_request *req);                                   /* by anybody, carried out */

void kubelet_observe(struct world *w);
void kubelet_finish(struct world *w);
void kubelet_crash_one(struct world *w);
void kubelet_fail_one(struct world *w);
void kubelet_monkey(struct world *w, bool relabel); /* takes the owner, or the label, from a pod */
const char *sim_digest(int version);

/* load.c */
void load_put(const struct wish *m, char *out, size_t size); /* spec.autoscaling */
bool load_fill(struct kubelet_pod *p, struct pt_report *r); /* false: nobody asks for its load */
int64_t load_send(struct kubelet_pod *p, const struct pt_report *r); /* when to report next; -1: nobody heard it */
void load_asked(struct world *w, const struct pt_api_request *req); /* by the operator */
void load_wrote(struct world *w, const struct pt_api_request *req); /* it was carried out */
void watch_put(const struct wish *m, char *out, size_t size); /* spec.monitoring */
bool watch_fill(struct kubelet_pod *p, struct pt_report *r);    /* false: nobody monitors it */
void watch_wrote(struct world *w, const struct pt_api_request *req);
void watch_check_end(struct world *w, const struct wish *m, const cJSON *md);
void load_check_end(struct world *w, const struct wish *m);

/* work.c */
void work_put(const struct wish *m, char *out, size_t size); /* spec.compression */
const char *work_served(const struct wish *m, char out[72]);
bool work_observe(struct world *w, const cJSON *pod); /* false: it is no pod that compresses */
void work_observed(struct world *w);
void work_finish(struct world *w);
void work_lose(struct world *w); /* one that runs, with its node */
void work_check_end(struct world *w, const struct wish *m, const cJSON *md);

void user_start(struct world *w);
void user_settle(struct world *w); /* the last word: good specs, or a bad one that stays */

void wish_widen(struct wish *m); /* the bounds, for what is wished now */
void check_asked(struct world *w, const struct pt_api_request *req); /* by the operator */
void check_wrote(struct world *w, const struct pt_api_request *req); /* it was carried out */
void check_now(struct world *w);
void check_end(struct world *w); /* after faults have stopped and time has passed */

#endif
