/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_pack.c: pintle pack MODEL.onnx...: makes weights ready for this CPU and this program ahead of time and keeps them in the cache, where
 * `pintle serve` and pods look for them (sidecar/keep.h). A model is opened, run and named just as a server does.
 */
#include "cli/commands.h"
#include "cli/options.h"

#include "base/mem.h"
#include "sidecar/cache.h"
#include "sidecar/keep.h"
#include "sidecar/loaded.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *warmup, *cache;
    int64_t most, threads;
    bool help;
};
#define AT(member) offsetof(struct options, member)

static const struct pt_cmd_option rows[] = {
    {"warmup", PT_CMD_TEXT, AT(warmup), .value = "SHAPES", .help = "shapes of the run that says what is needed, such as x=1x256; otherwise guessed"},
    {"cache", PT_CMD_TEXT, AT(cache), .value = "DIR", .help = "where they are kept; otherwise $XDG_CACHE_HOME/pintle or ~/.cache/pintle"},
    {"prepared-bytes", PT_CMD_NUMBER, AT(most), .min = 1, .max = INT64_MAX, .def = "2147483648",
     .help = "of all that are kept there; those used longest ago go"},
    {"threads", PT_CMD_NUMBER, AT(threads), .min = 1, .max = 1024, .help = "threads to compute with; otherwise the CPU limit of this process"},
    {"help", PT_CMD_FLAG, AT(help), .help = "print this"},
};

static const char usage[] = "usage: pintle pack MODEL.onnx... [OPTION...]\n"
                            "\n"
                            "Makes the weights of models ready for this CPU: normalisations folded in, packed as its kernels want them. The result "
                            "is a file in the cache, from which\n"
                            "the next start of a server takes them: it neither makes them nor has them in memory of its own. A file is used only by "
                            "the program that wrote it, for the\n"
                            "model file that it was made of, on such a CPU; else it is as if it were not there.\n\n";

static int say(const struct pt_session *s, const char *path, struct pt_err *err)
{
    struct pt_prepared_info info = {.size = sizeof info};
    int rc = pt_session_prepared(s, &info, err);
    if (rc == PT_OK && !info.path)
        rc = pt_fail(err, PT_EUNSUPPORTED, "%s: %s", path, info.note);
    if (rc < 0)
        return rc;
    if (info.file_bytes)
        printf("%s: %.1f MB in %s\n", path, (double)info.file_bytes / 1e6, info.path);
    else
        printf("%s: nothing of it is worth keeping\n", path);
    return PT_OK;
}

static int pack_loaded(struct pt_loaded *l, int fd, const char *path, const struct options *o, struct pt_threads *threads, const char *folder,
                       struct pt_err *err)
{
    char name[PT_KEEP_NAME];
    pt_keep_name(fd, NULL, name);
    const struct pt_loaded_options lo = {
        .name = path, .version = "1", .threads = threads, .slots = 1, .max_batch = 1, .prepared = folder, .prepared_name = name};
    int rc = pt_loaded_open(l, &lo, err);
    if (rc == PT_OK)
        rc = pt_loaded_warm(l, o->warmup, err);
    if (rc == PT_OK)
        rc = pt_keep_save(l->session, folder, o->most, err);
    return rc < 0 ? rc : say(l->session, path, err);
}

static int pack(const char *path, const struct options *o, struct pt_threads *threads, const char *folder, struct pt_err *err)
{
    struct pt_loaded l = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pt_fail(err, pt_err_from_errno(errno), "open %s: %s", path, strerror(errno));
    int rc = pt_loaded_map(&l, fd, path, false, err);
    if (rc == PT_OK && (rc = pack_loaded(&l, fd, path, o, threads, folder, err)) < 0 && !strstr(err->msg, path))
        pt_wrap(err, "%s", path);
    pt_loaded_close(&l);
    close(fd);
    return rc;
}

int pt_cmd_pack(int argc, char **argv)
{
    struct options o = {0};
    struct pt_err err = {0};
    struct pt_threads *threads;
    if (pt_cmd_defaults(rows, sizeof rows / sizeof *rows, &o, &err) < 0)
        return pt_cmd_fail(&err);
    int status = pt_cmd_options(argc, argv, rows, sizeof rows / sizeof *rows, &o);
    if (status)
        return status;
    if (o.help)
        return pt_cmd_help(usage, &(struct pt_cmd_group)PT_CMD_GROUP(rows, NULL), 1);
    if (optind == argc)
        return pt_cmd_usage("pack", "which model?");
    pt_auto_free char *cache = o.cache ? pt_strdup(o.cache) : pt_default_cache(), *folder = cache ? pt_keep_folder(cache) : NULL;
    int rc = folder ? pt_threads_create((int)o.threads, &threads, &err) : pt_fail(&err, PT_ENOMEM, "out of memory");
    if (rc < 0)
        return pt_cmd_fail(&err);
    for (int i = optind; rc == PT_OK && i < argc; i++)
        rc = pack(argv[i], &o, threads, folder, &err);
    pt_threads_destroy(threads);
    return rc < 0 ? pt_cmd_fail(&err) : pt_cmd_finish();
}
