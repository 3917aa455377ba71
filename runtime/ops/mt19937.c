/* SPDX-License-Identifier: Apache-2.0
 *
 * mt19937.c: see mt19937.h.
 */
#include "runtime/ops/mt19937.h"

#include <math.h>
#include <stdatomic.h>
#include <time.h>

#define N 624
#define M 397

void pt_mt_init(struct pt_mt *m, uint32_t seed)
{
    m->state[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        m->state[i] = 1812433253u * (m->state[i - 1] ^ m->state[i - 1] >> 30) + i;
    m->at = N;
    m->has_normal = false;
}

static void refill(struct pt_mt *m)
{
    for (int i = 0; i < N; i++) {
        uint32_t y = (m->state[i] & 0x80000000u) | (m->state[(i + 1) % N] & 0x7fffffffu);
        m->state[i] = m->state[(i + M) % N] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    m->at = 0;
}

static uint32_t next(struct pt_mt *m)
{
    if (m->at == N)
        refill(m);
    uint32_t y = m->state[m->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

double pt_mt_unit(struct pt_mt *m)
{
    uint32_t high = next(m) >> 5, low = next(m) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

double pt_mt_normal(struct pt_mt *m)
{
    if (m->has_normal) {
        m->has_normal = false;
        return m->normal;
    }
    double x, y, r;
    do {
        x = 2 * pt_mt_unit(m) - 1;
        y = 2 * pt_mt_unit(m) - 1;
        r = x * x + y * y;
    } while (r >= 1 || r == 0);
    double f = sqrt(-2 * log(r) / r);
    m->normal = f * x;
    m->has_normal = true;
    return f * y;
}

uint32_t pt_mt_fresh_seed(void)
{
    static atomic_uint calls;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t z = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + atomic_fetch_add(&calls, 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z ^ z >> 31);
}
