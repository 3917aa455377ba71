/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.h: how far a long piece of work is: a bar with the time that is left on a terminal, lines where there is none, one JSON object per line
 * for programs. All on standard error (JSON: on the stream that is set); results go to standard output.
 */
#ifndef PT_CLI_PROGRESS_H
#define PT_CLI_PROGRESS_H

#include "base/buf.h"
#include "runtime/train/train.h"

#include <stdio.h>

/* Where a run is. Stages count from 1; epochs 0: not by epochs; total 0: not known yet; left_s (of the stage) below 0: the same. */
struct pt_progress_now {
    const char *stage;
    int64_t number, stages, epoch, epochs, done, total;
    double left_s;
};
enum pt_progress_kind { PT_PROGRESS_AUTO, PT_PROGRESS_BAR, PT_PROGRESS_LINES, PT_PROGRESS_JSON, PT_PROGRESS_NONE };
extern const char *const pt_progress_kinds[]; /* auto, bar, lines, json, none */
struct pt_progress {
    enum pt_progress_kind kind;
    FILE *to;
    char stage[32];       /* what is at work: "train" */
    int64_t index, count; /* of the stage, from 0; count 0: it is the only one */
    int64_t drawn_ms, began_ms;
    bool open;     /* a bar is on the line */
    int64_t first; /* done before this process began, -1: not known yet */
    void (*tell)(void *arg, const struct pt_progress_now *now); /* at each step, whatever the kind; NULL: nobody asks */
    void *tell_arg;
};
void pt_progress_init(struct pt_progress *p, enum pt_progress_kind kind, FILE *to);
void pt_progress_finish(struct pt_progress *p);
/* Begins a stage. */
void pt_progress_stage(struct pt_progress *p, const char *stage, int64_t index, int64_t count);
/* One line of text. */
void pt_progress_say(struct pt_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* done of total; what: "calibrate", or NULL. */
void pt_progress_at(struct pt_progress *p, const char *what, int64_t done, int64_t total);
/* A training's; as pt_train_options.progress, arg is the pt_progress. Ends the training when the process was asked to end (SIGINT, SIGTERM). */
int pt_progress_train(void *arg, const struct pt_train_progress *t);
/* From now on SIGINT and SIGTERM ask instead of killing. */
void pt_progress_catch_signals(void);
bool pt_progress_interrupted(void);

#endif
