/* SPDX-License-Identifier: Apache-2.0
 *
 * report.h: a sidecar's report (PT_REPORT_* of base/contract.h), decoded. Plain values, owns nothing.
 */
#ifndef PT_MODEL_REPORT_H
#define PT_MODEL_REPORT_H

#include "base/contract.h"
#include "base/str.h"

#define PT_REPORT_MAX_BYTES 65536
#define PT_REPORT_MAX_BOUNDS 32

/* How far a compression is. */
struct pt_run_progress {
    char stage[32];      /* "": before the first, or not known */
    int number, stages;  /* of the stage, from 1 */
    int epoch, epochs;   /* epochs 0: it does not go by epochs */
    int percent;         /* of the stage; -1: not known */
    int64_t eta_s;       /* until its end; -1: not known */
    int64_t time_ms;     /* in the status: when it was so, wall */
};
struct pt_report {
    char pod_uid[64], pod_name[254], ns[64];
    uint64_t sequence;
    int64_t started_ms;
    enum pt_model_state state;
    enum pt_model_reason reason; /* PT_REASON_NONE unless Failed */
    char message[256];
    char digest[72]; /* "" = not known yet */
    char version[64];
    int64_t bytes_done, bytes_total;
    double in_flight, queued, requests, errors, rejected;
    double memory_bytes, cpu_seconds;
    bool compresses; /* of a pod that does: it has a progress, and no state of a model */
    struct pt_run_progress progress;
    bool monitored; /* it has what follows; NaN: not known */
    double rows, labelled, figures[PT_FIGURE_COUNT];
    unsigned bounds; /* latency histogram: bounds ascending, counts has one more */
    double bounds_s[PT_REPORT_MAX_BOUNDS], counts[PT_REPORT_MAX_BOUNDS + 1], latency_sum_s;
};
/* PT_EPARSE/PT_EINVAL names the member and its value. Identity, sequence, startedMs and state or compression are required; numbers must be finite and >= 0.
 * Members it does not know are ignored (a newer sidecar may say more). */
int pt_report_decode(struct pt_str json, struct pt_report *out, struct pt_err *err);

#endif
