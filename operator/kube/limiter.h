/* SPDX-License-Identifier: Apache-2.0
 *
 * limiter.h: a token bucket in front of the API server. Off unless asked for: the server's own priority and fairness knows better.
 */
#ifndef PT_KUBE_LIMITER_H
#define PT_KUBE_LIMITER_H

#include <stdint.h>

struct pt_limiter {
    double qps, burst; /* qps 0: off */
    double tokens;     /* may be negative: taken in advance by those who wait */
    int64_t at_ms;
};
void pt_limiter_init(struct pt_limiter *l, double qps, double burst, int64_t now_ms);
/* Takes a token; how long its taker has to wait for it. */
int64_t pt_limiter_take(struct pt_limiter *l, int64_t now_ms);

#endif
