/* SPDX-License-Identifier: Apache-2.0
 *
 * turns.h: the loop's thread before the workers where they share a CPU.
 */
#ifndef PT_SIDECAR_TURNS_H
#define PT_SIDECAR_TURNS_H

/* Asks the kernel for short turns of the calling thread, soon: with a CPU for both, a loop that has to wait for the end of a worker's turn reads
 * requests and writes answers milliseconds late. It gets no larger share, and threads that it starts have the usual turns. Needs no privilege. Linux before
 * 6.12 takes no notice, and where it is forbidden all goes on as it was. */
void pt_ask_short_turns(void);

#endif
