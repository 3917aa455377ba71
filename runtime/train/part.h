/* SPDX-License-Identifier: Apache-2.0
 *
 * part.h: what the inference of Concat's derivative tells the compiler.
 */
#ifndef PT_RUNTIME_TRAIN_PART_H
#define PT_RUNTIME_TRAIN_PART_H

#include <stdint.h>

struct pt_part {
    int axis;
    int64_t skip;                    /* places of the axis in front of the part */
    int64_t rows, from, row, stride; /* elements: each row begins at `from`, is `row` long, the next is `stride` further */
};

#endif
