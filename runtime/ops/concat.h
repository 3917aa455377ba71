/* SPDX-License-Identifier: Apache-2.0
 *
 * concat.h: the axis of a Concat or Split, for the compiler.
 */
#ifndef PT_RUNTIME_OPS_CONCAT_H
#define PT_RUNTIME_OPS_CONCAT_H

struct pt_concat_params {
    int axis;
};

#endif
