/* SPDX-License-Identifier: Apache-2.0
 *
 * limiter.c: see limiter.h.
 */
#include "operator/kube/limiter.h"

#include <math.h>

void pt_limiter_init(struct pt_limiter *l, double qps, double burst, int64_t now_ms)
{
    *l = (struct pt_limiter){.qps = qps, .burst = burst > 1 ? burst : 1, .at_ms = now_ms};
    l->tokens = l->burst;
}

int64_t pt_limiter_take(struct pt_limiter *l, int64_t now_ms)
{
    if (l->qps <= 0)
        return 0;
    l->tokens = fmin(l->burst, l->tokens + (double)(now_ms - l->at_ms) / 1000.0 * l->qps);
    l->at_ms = now_ms;
    l->tokens -= 1;
    return l->tokens >= 0 ? 0 : (int64_t)ceil(-l->tokens / l->qps * 1000.0);
}
