/* SPDX-License-Identifier: Apache-2.0
 *
 * source.h: brings a model's bytes into a local file: file:// where it lies, anything that locator.h knows into the cache directory.
 *
 * A download goes to NAME.part, hashed as it arrives, and gets its name (sha256-HEX) only when it is complete, has the wanted digest and
 * is on the disk: whatever ends the process, the cache never holds half a model. An attempt that broke off is resumed by the next one. Of several
 * processes one downloads, and the others wait for what it gets; what is there already is asked for changes only.
 * One source fetches one URI; the owner decides when to try again. Everything on the loop thread, slow disk work on the pool.
 */
#ifndef PT_SIDECAR_SOURCE_H
#define PT_SIDECAR_SOURCE_H

#include "net/http_client.h"

struct pt_source;

struct pt_source_file {
    int fd; /* the receiver's to close */
    const char *path;
    bool cached; /* a model of the cache: it is not removed while fd is open (cache.h) */
    bool hashed; /* digest is of exactly these bytes, and the wanted one */
    uint8_t digest[32];
};
struct pt_source_options {
    struct pt_loop *loop;
    const char *uri;
    const uint8_t *digest;                                                /* 32 bytes; NULL: none is wanted */
    const char *cache_dir;                                                /* as the pod sees it; made when missing */
    int64_t cache_limit;                                                  /* bytes of all models in it; 0: none */
    int64_t wait_ms;                                                      /* for another process that downloads the same */
    struct pt_tls *tls;                                                   /* NULL: the system's roots */
    void (*progress)(void *arg, int64_t done_bytes, int64_t total_bytes); /* total -1: not known */
    /* The end of an attempt: file, or an error. PT_ECONFLICT: the digest is wrong; anything else: it could not be got. */
    void (*done)(void *arg, const struct pt_source_file *file, const struct pt_err *err);
    void *arg;
};
/* Strings are copied. */
int pt_source_create(const struct pt_source_options *o, struct pt_source **out, struct pt_err *err);
/* Starts an attempt; done follows, never from inside this call. One at a time. */
void pt_source_fetch(struct pt_source *s);
/* The file that was given turned out not to have the digest its name says: forget it. */
void pt_source_discard(struct pt_source *s);
/* No callback afterwards. What is on the pool is awaited: the memory goes when that is over. */
void pt_source_destroy(struct pt_source *s);

#endif
