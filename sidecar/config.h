/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h: the sidecar's configuration file (base/contract.h names its members), YAML or JSON, as a plain struct.
 *
 * The operator writes it into a pod annotation; a person may write the same by hand. The environment overrides the file, flags both.
 * What is not honoured is refused: an unknown or repeated member, a wrong type and a value out of range are errors that name file, line,
 * member and value. docs/configuration.md is the manual; a test compares it with the table.
 */
#ifndef PT_SIDECAR_CONFIG_H
#define PT_SIDECAR_CONFIG_H

#include "base/err.h"
#include "base/str.h"
#include "sidecar/scheduler.h"

struct pt_config {
    struct {
        char *name, *version, *uri, *format; /* never NULL after pt_config_check() */
        char *warmup; /* "input=1x256": shapes of its first run (warmup.h); NULL: they are guessed */
        bool has_digest;
        uint8_t digest[32]; /* SHA-256 that the model's bytes must have */
        bool copy;          /* not of the file: people may write into it while it is served */
    } model;
    struct {
        int64_t port, metrics_port; /* 0: any free one */
        int64_t grpc_port;          /* besides port, which takes gRPC too; -1: none, 0: any free one */
        int64_t timeout_ms;         /* of one request, waiting included */
        int64_t max_connections; /* of each port; past it new ones wait */
        int64_t max_age_ms;         /* of a connection; 0: any */
        struct {
            char *cert_file, *key_file; /* PEM; NULL: plain */
            char *client_ca_file;       /* NULL: clients need no certificate */
            int64_t open_health;        /* 1: health needs no certificate; what else comes without one is answered 401 */
            int64_t poll_ms;            /* how often the files are looked at */
        } tls;                          /* of all ports */
        struct {
            char *token_file; /* auth.h; NULL: everybody may */
            int64_t metrics;  /* 1: /metrics too */
            int64_t poll_ms;
        } auth;
    } serving;
    struct {
        int64_t threads;         /* 0: from the CPU limit */
        int64_t concurrency;     /* requests that are always taken; 0: as many as keep the CPUs busy */
        int64_t queue;           /* requests that may wait beyond those, */
        int64_t max_wait_ms;     /* as far as they can be expected to begin within this; 0: all of them */
        int64_t priority_levels; /* 0: requests have no priorities; else 1 is the highest */
        int64_t idle_ms;         /* a model that nobody asked for so long gives memory back; 0: never */
    } runtime;
    struct {
        int64_t max_size;                /* rows of one run; 1: requests are not joined */
        int64_t max_delay_us;            /* that a request waits for others */
        int64_t preferred[PT_MAX_SIZES]; /* rows that need not wait, ascending; 0 ends */
        int64_t sizes[PT_MAX_SIZES];     /* rows a run must have: it is filled up to the next of them; 0 ends */
        char *padding; /* "ids=0, mask=0": inputs that are filled up so that requests of other lengths join (padding.h); NULL: none */
        bool optional; /* not of the file: a model whose requests cannot be joined is served without it */
    } batching;
    struct {
        char *path;     /* a folder of models, instead of model.uri; NULL: one model */
        char *control;  /* none, poll, explicit */
        char *load;     /* with explicit: names of models to begin with; NULL: none */
        char *versions; /* unless a model says otherwise: latest, latest:N, all, "1, 3"; NULL: latest */
        int64_t poll_ms;
        int64_t memory_bytes; /* of models; 0: no limit */
    } repository;
    struct {
        char *path;        /* of downloaded models; NULL: the program's own place */
        int64_t max_bytes; /* of all in it; 0: no limit */
        int64_t wait_ms;   /* for another process that downloads the same */
        int64_t prepared_bytes; /* of weights made ready, in a folder of their own (keep.h); 0: none are kept */
    } cache;
    struct {
        int64_t timeout_ms; /* SIGTERM to exit at the latest */
    } drain;
    struct {
        char *aliases; /* triton, tensorflow or both; NULL: none */
    } metrics;
    struct {
        int64_t enabled; /* 1: monitor.h */
        char *task;      /* auto, classification, regression */
        char *output;    /* with the scores or the value; NULL: found */
        char *classes;   /* names of them, in order; NULL: numbers */
        int64_t positive;
        char *group; /* parameter of requests by which answers are compared; NULL: none */
        int64_t min_count;
        int64_t low_confidence; /* percent */
        int64_t window_ms, label_ttl_ms;
        char *profile; /* profile.json; NULL: that beside the model, if there is one */
    } monitoring;
    struct {
        int64_t enabled; /* 1: one line per request */
        int64_t sample;  /* one in so many of those that went well */
        char *path;      /* NULL: standard output */
    } access_log;
    struct {
        bool wanted; /* not of the file: some member was given */
        char *url;   /* NULL: no reports */
        char *ca;    /* PEM; NULL: the system's roots */
        char *token_file;
        int64_t interval_ms;
    } report;
};

/* Defaults everywhere; model.name and model.uri are missing. */
int pt_config_init(struct pt_config *c, struct pt_err *err);
void pt_config_finish(struct pt_config *c);                                                /* zeroed memory is fine */
int pt_config_copy(struct pt_config *c, const struct pt_config *from, struct pt_err *err); /* c is written over */
/* One member from text, by its name in the file; the message says what is wanted and what was given. */
int pt_config_set(struct pt_config *c, const char *section, const char *key, const char *value, struct pt_err *err);
/* What no single member says: is all there, and does it fit together? `what` begins the message. */
int pt_config_check(const struct pt_config *c, const char *what, struct pt_err *err);
/* A file's members over what c holds; unchecked. */
int pt_config_read(struct pt_config *c, const char *path, struct pt_err *err);
/* The members that environment variables name (config_env.c); env ends with NULL. Unchecked. */
int pt_config_env(struct pt_config *c, char *const *env, struct pt_err *err);
/* Initialises c from a file, then the environment, and checks it. On failure c holds nothing. */
int pt_config_load(struct pt_config *c, const char *path, char *const *env, struct pt_err *err);
/* The same of a whole text, without an environment; `file` names it in messages. */
int pt_config_parse(struct pt_config *c, const char *file, struct pt_str text, struct pt_err *err);

#endif
