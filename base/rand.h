/* SPDX-License-Identifier: Apache-2.0
 *
 * rand.h: seeded pseudo-random numbers (PCG32, O'Neill 2014) for jitter, tests and the simulator. Not for secrets.
 */
#ifndef PT_BASE_RAND_H
#define PT_BASE_RAND_H

#include <stdint.h>

struct pt_rand {
    uint64_t state;
};
void pt_rand_init(struct pt_rand *r, uint64_t seed);
uint32_t pt_rand_u32(struct pt_rand *r);
uint32_t pt_rand_below(struct pt_rand *r, uint32_t n); /* uniform in [0, n); 0 when n is 0 */
double pt_rand_unit(struct pt_rand *r);                /* [0, 1) */
double pt_rand_normal(struct pt_rand *r);              /* N(0, 1) */

#endif
