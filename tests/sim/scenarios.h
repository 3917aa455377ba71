/* SPDX-License-Identifier: Apache-2.0
 *
 * scenarios.h: schedules with a name: one kind of trouble each, over a story that is written down.
 */
#ifndef PT_SIM_SCENARIOS_H
#define PT_SIM_SCENARIOS_H

#include "tests/sim/world.h"

/* Runs those whose name begins with `which` (NULL: all), every share-th schedule of each; prints each that fails with its timeline. How many failed; *runs: schedules
 * run. */
int sim_scenarios(const char *which, int share, bool digests, int *count, int *runs);

#endif
