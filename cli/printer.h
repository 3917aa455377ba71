/* SPDX-License-Identifier: Apache-2.0
 *
 * printer.h: Kubernetes objects as YAML, ages.
 */
#ifndef PT_CLI_PRINTER_H
#define PT_CLI_PRINTER_H

#include "cli/kubeclient.h"
#include "operator/ctrl/obj.h"

/* Age of an RFC 3339 time member of object, "<unknown>" when absent. */
void pt_print_age_of(const cJSON *object, const char *member, char *out, size_t size);
/* The object as YAML on stdout (block style, keys in order). */
void pt_print_yaml(const cJSON *object, int indent);

#endif
