/* SPDX-License-Identifier: Apache-2.0
 *
 * jsonpath.h: picking members out of a cJSON tree by dotted path.
 */
#ifndef PT_CTRL_JSONPATH_H
#define PT_CTRL_JSONPATH_H

#include <cjson/cJSON.h>

/* Member by dotted path ("status.model.state"; a number selects from an array); NULL when absent. A name may not contain a dot. */
const cJSON *pt_json_path(const cJSON *object, const char *path);
const char *pt_json_text(const cJSON *object, const char *path);            /* string at path, or "" */
double pt_json_number(const cJSON *object, const char *path, double other); /* number at path, or other */

#endif
