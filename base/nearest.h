/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest.h: which of the known names was probably meant by an unknown one.
 */
#ifndef PT_BASE_NEAREST_H
#define PT_BASE_NEAREST_H

#include "base/str.h"

/* No more than a third of it is wrong, case aside. NULL: none is near. */
const char *pt_nearest(struct pt_str name, const char *const *names, size_t count);

#endif
