/* SPDX-License-Identifier: Apache-2.0
 *
 * top_main.c: pintle-top, which `pintle top` becomes (cmd_top_exec.c).
 */
#include "cli/commands.h"

int main(int argc, char **argv)
{
    static char name[] = "top";
    if (argc > 0)
        argv[0] = name;
    return pt_cmd_top(argc, argv);
}
