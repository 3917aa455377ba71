/* SPDX-License-Identifier: Apache-2.0
 *
 * rand.c: PCG-XSH-RR 64/32 (M. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms", 2014) with its
 * default stream; Lemire's unbiased bounded integers; Marsaglia's polar method for normals.
 */
#include "base/rand.h"

#include <math.h>

#define MULTIPLIER 6364136223846793005u
#define INCREMENT 1442695040888963407u

void pt_rand_init(struct pt_rand *r, uint64_t seed)
{
    r->state = (seed + INCREMENT) * MULTIPLIER + INCREMENT;
}

uint32_t pt_rand_u32(struct pt_rand *r)
{
    uint64_t old = r->state;
    r->state = old * MULTIPLIER + INCREMENT;
    uint32_t shifted = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return shifted >> turn | shifted << (-turn & 31);
}

uint32_t pt_rand_below(struct pt_rand *r, uint32_t n)
{
    if (n == 0)
        return 0;
    uint32_t reject_below = -n % n;
    for (;;) {
        uint64_t product = (uint64_t)pt_rand_u32(r) * n;
        if ((uint32_t)product >= reject_below)
            return (uint32_t)(product >> 32);
    }
}

double pt_rand_unit(struct pt_rand *r)
{
    uint64_t high = pt_rand_u32(r);
    return (double)(high << 21 | pt_rand_u32(r) >> 11) * 0x1p-53;
}

double pt_rand_normal(struct pt_rand *r)
{
    double x, y, s;
    do {
        x = 2 * pt_rand_unit(r) - 1;
        y = 2 * pt_rand_unit(r) - 1;
        s = x * x + y * y;
    } while (s >= 1 || s == 0);
    return x * sqrt(-2 * log(s) / s);
}
