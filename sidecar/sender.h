/* SPDX-License-Identifier: Apache-2.0
 *
 * sender.h: brings reports (PT_REPORT_* of base/contract.h) to the operator: every so often as its last answer said, and at once when there are news.
 *
 * One call at a time on one kept-alive connection. The token is read anew for each report, since the kubelet renews it. When the operator cannot be
 * reached they are tried again with growing, jittered pauses; the work itself never depends on it. Loop thread.
 */
#ifndef PT_SIDECAR_SENDER_H
#define PT_SIDECAR_SENDER_H

#include "base/buf.h"
#include "net/loop.h"

struct pt_sender;
struct pt_sender_options {
    struct pt_loop *loop;
    const char *url, *ca, *token_file;          /* ca: PEM, NULL: the system's roots. They outlive the sender */
    int64_t interval_ms;                        /* until the operator says another */
    void (*write)(void *arg, struct pt_buf *b); /* the report of now, appended */
    void *arg;
};
int pt_sender_create(const struct pt_sender_options *o, struct pt_sender **out, struct pt_err *err);
/* There are news: as soon as the report under way, if any, is done. */
void pt_sender_now(struct pt_sender *s);
/* What an answer says of the next report: {"reportAfterMs": N}. Nothing that can be used leaves the interval as it was. */
void pt_sender_read_reply(struct pt_str body, int64_t *interval_ms);
bool pt_sender_idle(const struct pt_sender *s); /* no report is under way or due at once */
void pt_sender_destroy(struct pt_sender *s);

#endif
