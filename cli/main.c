/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: pintle COMMAND ...: the table of subcommands, help and version.
 */
#include "cli/commands.h"

#include "base/contract.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
#define PT_X(name, summary) {#name, summary, pt_cmd_##name},
    PT_COMMANDS(PT_X)
#undef PT_X
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int help(void)
{
    puts("usage: pintle COMMAND [ARGUMENT...]\n"
         "\n"
         "Serves machine-learning models, here or on Kubernetes.\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    puts("\n`pintle COMMAND --help` says more. `pintle --version` prints the version.");
    return pt_cmd_finish();
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("pintle " PT_VERSION);
        return pt_cmd_finish();
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help();
    if (strcmp(name, "help") == 0) {
        int i = argc > 2 ? find(argv[2]) : -1;
        if (i < 0 && argc > 2)
            return pt_cmd_usage("", "unknown command \"%s\"", argv[2]);
        return i < 0 ? help() : commands[i].run(2, (char *[]){argv[2], (char[]){"--help"}, NULL});
    }
    int i = find(name);
    if (i >= 0)
        return commands[i].run(argc - 1, argv + 1);
    return *name ? pt_cmd_usage("", "unknown %s \"%s\"", *name == '-' ? "option" : "command", name) : pt_cmd_usage("", "a command is needed");
}
