/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.h: pintle-operator --probe URL: is what answers there well? For `helm test`: the image has no other program to ask with.
 */
#ifndef PT_OPERATOR_PROBE_H
#define PT_OPERATOR_PROBE_H

/* Asks until it is answered 200, for PT_PROBE_SECONDS at most, and says on standard output what was answered last. The exit status: 0 or 1. */
#define PT_PROBE_SECONDS 30
int pt_probe(const char *url);

#endif
