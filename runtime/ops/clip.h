/* SPDX-License-Identifier: Apache-2.0
 *
 * clip.h: the bounds of a Clip that are not inputs.
 */
#ifndef PT_RUNTIME_OPS_CLIP_H
#define PT_RUNTIME_OPS_CLIP_H

struct pt_clip_params {
    double min, max; /* attributes, or the ends of the finite range; for floats only, integers without a bound are not clipped */
};

#endif
