/* SPDX-License-Identifier: Apache-2.0
 *
 * mt19937.h: the Mersenne Twister (Matsumoto, Nishimura 1998), seeded and read as numpy's RandomState: ONNX fixes no generator, but its
 * reference implementation draws from that one, so a given seed gives the values that the reference gives.
 */
#ifndef PT_RUNTIME_OPS_MT19937_H
#define PT_RUNTIME_OPS_MT19937_H

#include <stdbool.h>
#include <stdint.h>

struct pt_mt {
    uint32_t state[624];
    int at;
    bool has_normal; /* normals come in pairs */
    double normal;
};
void pt_mt_init(struct pt_mt *m, uint32_t seed);
double pt_mt_unit(struct pt_mt *m);   /* [0, 1), 53 bits */
double pt_mt_normal(struct pt_mt *m); /* N(0, 1), by the polar method */

/* A seed that differs from call to call and from process to process. */
uint32_t pt_mt_fresh_seed(void);

#endif
