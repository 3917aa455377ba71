/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.h: generates a model and runs it both ways.
 */
#ifndef PT_TESTS_COMPARE_H
#define PT_TESTS_COMPARE_H

#include "tests/graphs/generate.h"

/* 0; 1: the same but for rounding that the model magnifies (noise.h); or an error that says which output differs where. With verbose, or on a
 * difference, the model is printed. */
int compare_graph(struct choices *c, int max_nodes, bool hostile, bool verbose, struct pt_err *err);

/* Opens and runs a generated model with every one of its allocations failing in turn: each must end in an error that says so. */
int fail_graph(struct choices *c, int max_nodes, struct pt_err *err);

#endif
