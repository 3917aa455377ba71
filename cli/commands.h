/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.h: the subcommands of `pintle`: one row, one file cmd_NAME.c and one manual page each. Also what they share: how a command
 * ends. A command gets its own name in argv[0], prints its result on stdout and at most one line "error: ..." on stderr, and returns
 * the exit status: 0, a code of sysexits(3) for commands that read files, 1 where kubectl would.
 */
#ifndef PT_CLI_COMMANDS_H
#define PT_CLI_COMMANDS_H

#include "base/contract.h"
#include "base/err.h"

#include <getopt.h>

#define PT_COMMANDS(X)                                                                                                                               \
    X(run, "run a model on inputs from files")                                                                                                       \
    X(bench, "measure load time, latency and memory of a model")                                                                                     \
    X(inspect, "show what a model is made of")                                                                                                       \
    X(new, "make a model with random weights, to be trained")                                                                                        \
    X(train, "train a model on labelled samples")                                                                                                    \
    X(distill, "train a small model on the answers of a large one")                                                                                  \
    X(prune, "make weights zero, or remove channels and attention heads")                                                                            \
    X(quantize, "compute, or store, with integers of 8 or 4 bits")                                                                                   \
    X(cluster, "let weights take few different values, for a small file")                                                                            \
    X(evaluate, "say how right a model is and what it costs")                                                                                        \
    X(compress, "run a recipe: prune, distill, quantize, judge, report")                                                                             \
    X(profile, "make the reference that monitoring compares with")                                                                                   \
    X(pack, "make weights ready for this CPU ahead of time, for quick starts")                                                                        \
    X(serve, "serve a model over HTTP")                                                                                                              \
    X(up, "run ModelDeployments on this machine, without a cluster")                                                                                 \
    X(get, "list objects of a running `pintle up`")                                                                                                  \
    X(describe, "show an object and its events")                                                                                                     \
    X(apply, "create or change objects from a file")                                                                                                 \
    X(scale, "set the number of replicas")                                                                                                           \
    X(autoscale, "try the autoscaler on a traffic")                                                                                                  \
    X(rollout, "watch, undo, pause or restart a rollout")                                                                                            \
    X(delete, "delete objects")                                                                                                                      \
    X(logs, "print the log of a pod")                                                                                                                \
    X(top, "watch models at work: requests, latency, replicas, CPU, memory")

#define PT_X(name, summary) int pt_cmd_##name(int argc, char **argv);
PT_COMMANDS(PT_X)
#undef PT_X

/* Prints "error: ..." and returns the exit status: PT_EXIT_GATE when the gate of a recipe does not hold, 66 for what is not there, 65 for bad data, 74 for input and output, 77 for permissions, ... */
int pt_cmd_fail(const struct pt_err *err);
/* Prints "error: ... (see `pintle CMD --help`)" and returns 64. */
int pt_cmd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For getopt_long() with opterr = 0 and an option string that starts with "+:" or ":": says which argument it did not like. */
int pt_cmd_bad_option(char **argv, int result);
/* Flushes stdout; a full disk is a failure like any other. */
int pt_cmd_finish(void);

#endif
