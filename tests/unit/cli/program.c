/* SPDX-License-Identifier: Apache-2.0
 *
 * program.c: see program.h.
 */
#include "tests/unit/cli/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
struct pt_buf out, errors;

pid_t pintle_start(const char *line, int fd)
{
    static char words[4096], *argv[64];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int argc = 0, length = 0;
    words[0] = '\0';
    argv[argc++] = (char *)(uintptr_t) "pintle";
    for (const char *p = line; *p; p++)
        length += *p == '@' ? sprintf(words + length, "%s", temp_dir()) : sprintf(words + length, "%c", *p);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, temp_path("stdout"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, temp_path("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, fd, 2);
    assert_int_equal(posix_spawn(&pid, PT_BINARY_DIR "/bin/pintle", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

int pintle_end(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    pt_buf_reset(&out);
    pt_buf_reset(&errors);
    assert_works(pt_buf_read_file(&out, temp_path("stdout"), &err));
    assert_works(pt_buf_read_file(&errors, temp_path("stderr"), &err));
    pt_buf_cstr(&out);
    pt_buf_cstr(&errors);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int pintle(const char *line)
{
    return pintle_end(pintle_start(line, -1));
}

void fails(const char *line, int status, const char *part)
{
    int got = pintle(line);
    if (got != status || strncmp(errors.data, "error: ", 7) != 0 || strchr(errors.data, '\n') != errors.data + errors.len - 1 ||
        !strstr(errors.data, part) || out.len)
        fail_msg("pintle %s: exit %d, stdout '%s', stderr '%s'", line, got, out.data, errors.data);
}
