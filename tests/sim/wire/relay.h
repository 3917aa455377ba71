/* SPDX-License-Identifier: Apache-2.0
 *
 * relay.h: a TCP relay on loopback that does to the bytes of answers what networks do: late, in pieces, cut off in the middle, wrong, reset, or
 * never. From a seed.
 */
#ifndef PT_TESTS_RELAY_H
#define PT_TESTS_RELAY_H

#include "base/rand.h"
#include "net/loop.h"

struct relay;
int relay_create(struct pt_loop *loop, int to_port, uint64_t seed, bool garble, struct relay **out, struct pt_err *err);
void relay_destroy(struct relay *r);
int relay_port(const struct relay *r);
void relay_quiet(struct relay *r); /* from now on only passes on; connections that hang are cut */
unsigned relay_faults(const struct relay *r);

#endif
