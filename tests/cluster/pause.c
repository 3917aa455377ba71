/* SPDX-License-Identifier: Apache-2.0
 *
 * pause: process 1 of each pod's sandbox in the test cluster. It holds the pod's namespaces open and ends when told to.
 * The kernel reaps its children because SIGCHLD is ignored; SIGTERM and SIGINT need handlers, since process 1 of a
 * namespace is spared every signal that it does not catch.
 */
#include <signal.h>
#include <unistd.h>

static void leave(int signo)
{
    (void)signo;
    _exit(0);
}

int main(void)
{
    struct sigaction on_stop = {.sa_handler = leave};
    struct sigaction on_child = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};
    if (sigaction(SIGTERM, &on_stop, NULL) || sigaction(SIGINT, &on_stop, NULL) || sigaction(SIGCHLD, &on_child, NULL))
        return 1;
    for (;;)
        pause();
}
