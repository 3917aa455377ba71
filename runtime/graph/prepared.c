/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared.c: see prepared.h. A region is a stretch of address space: anonymous, with pieces put one behind the other, or mapped from the file.
 */
#include "runtime/graph/prepared.h"

#include "base/mem.h"
#include "runtime/graph/prepared_file.h"
#include "runtime/graph/prepared_id.h"
#include "runtime/onnx/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ADOPTED 0x61646f70u /* what: bytes of the model as they are */
#define HUGE_PAGE ((size_t)2 << 20)
#define FIRST_CHUNK ((size_t)64 << 10)
#define LARGEST_CHUNK ((size_t)8 << 20)

enum state {
    EMPTY, /* to be filled */
    READY,
    DAMAGED, /* of a file */
};

struct piece {
    struct pt_prepared_entry e; /* at, sum: of the file, if it is there */
    char *data;
    enum state state;
};

struct region {
    char *base;
    size_t len, used;
    bool stored;  /* mapped from the file, for reading only */
    bool foreign; /* of the model's memory: not ours to unmap */
};

struct source {
    const char *base;
    size_t len;
    uint64_t id;
};

struct pt_prepared {
    pthread_mutex_t lock;
    char *folder, *path, name[2 * PT_IDENTITY_BYTES + sizeof ".weights"];
    uint8_t identity[PT_IDENTITY_BYTES];
    struct piece *pieces; /* the first `sorted` in the order of their keys: those of the file */
    size_t count, room, sorted;
    struct region *regions;
    size_t region_count, region_room;
    struct source *sources;
    size_t source_count, source_room;
    uint64_t made_constants, found, made;
    size_t chunk; /* size of the next one */
    int fd;       /* of the file; -1: there is none */
    bool saving;
    char ignored[PATH_MAX + 300];
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static int grow(void *list, size_t count, size_t *room, size_t size, struct pt_err *err)
{
    void **items = list;
    if (count < *room)
        return PT_OK;
    size_t more = *room ? *room * 2 : 64;
    void *bigger = pt_reallocarray(*items, more, size);
    if (!bigger)
        return pt_fail(err, PT_ENOMEM, "out of memory for prepared weights");
    *items = bigger;
    *room = more;
    return PT_OK;
}

static struct region *add_region(struct pt_prepared *p, struct region r, struct pt_err *err)
{
    if (grow(&p->regions, p->region_count, &p->region_room, sizeof *p->regions, err) < 0)
        return NULL;
    p->regions[p->region_count] = r;
    return &p->regions[p->region_count++];
}

static struct piece *add_piece(struct pt_prepared *p, struct piece piece, struct pt_err *err)
{
    if (grow(&p->pieces, p->count, &p->room, sizeof *p->pieces, err) < 0)
        return NULL;
    p->pieces[p->count] = piece;
    return &p->pieces[p->count++];
}

static void ignore(struct pt_prepared *p, const char *why)
{
    if (!p->ignored[0])
        snprintf(p->ignored, sizeof p->ignored, "%s: %s", p->path, why);
}

/* --- the file that is there --------------------------------------------------------------------------------------------------------- */

static void check_pieces(void *arg, size_t begin, size_t end)
{
    struct pt_prepared *p = arg;
    for (size_t i = begin; i < end; i++)
        p->pieces[i].state = pt_prepared_sum(p->pieces[i].data, p->pieces[i].e.bytes) == p->pieces[i].e.sum ? READY : DAMAGED;
}

/* Takes over what the mapped file has; its header and its list go. */
static int read_file(struct pt_prepared *p, char *map, size_t len, struct pt_threads *pool, struct pt_err *err)
{
    const struct pt_prepared_entry *entries;
    size_t count, page = page_bytes();
    struct pt_err wrong;
    if (pt_prepared_parse(map, len, p->identity, &entries, &count, &wrong) < 0) {
        ignore(p, wrong.msg);
        munmap(map, len);
        return PT_OK;
    }
    size_t end = (size_t)((const char *)entries - map);
    for (size_t i = 0; i < count; i++)
        if (!add_piece(p, (struct piece){entries[i], map + entries[i].at, EMPTY}, err))
            break;
    bool all = p->count == count && (end == page || add_region(p, (struct region){map + page, end - page, end - page, true, false}, err));
    munmap(map, all ? page : len);
    if (!all)
        return err->code;
    munmap(map + end, len - end);
    pt_parallel_for(pool, count, 1, check_pieces, p);
    p->sorted = count;
    for (size_t i = 0; i < count; i++)
        if (p->pieces[i].state == DAMAGED) {
            ignore(p, "some of its weights are damaged");
            p->made++; /* so that it is written anew */
        }
    return PT_OK;
}

/* Bytes that are mapped stay what they are: the file is only ever replaced. */
static int open_file(struct pt_prepared *p, struct pt_threads *pool, struct pt_err *err)
{
    struct stat st;
    int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        if (errno != ENOENT)
            ignore(p, strerror(errno));
        return PT_OK;
    }
    p->fd = fd;
    (void)futimens(fd, NULL); /* whoever makes room removes what was used longest ago */
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)page_bytes()) {
        ignore(p, "it is too short, or no regular file");
        return PT_OK;
    }
    size_t len = (size_t)st.st_size;
    char *map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        ignore(p, strerror(errno));
        return PT_OK;
    }
    return read_file(p, map, len, pool, err);
}

/* --- beginning and end --------------------------------------------------------------------------------------------------------------- */

static int identify(struct pt_prepared *p, const char *folder, const char *text, size_t text_len, struct pt_err *err)
{
    pt_auto_buf all = PT_BUF_INIT(0);
    if (!pt_prepared_build(&all) && !all.failed)
        return pt_fail(err, PT_EUNSUPPORTED, "this build has no ID (linker option --build-id): prepared weights could be another's");
    pt_prepared_cpu(&all);
    pt_buf_append(&all, text, text_len);
    int rc = pt_buf_check(&all, "prepared weights", err);
    if (rc < 0)
        return rc;
    pt_sha1(all.data, all.len, p->identity);
    for (size_t i = 0; i < PT_IDENTITY_BYTES; i++)
        snprintf(p->name + 2 * i, 3, "%02x", p->identity[i]);
    strcat(p->name, ".weights");
    p->folder = pt_strdup(folder);
    p->path = pt_asprintf("%s/%s", folder, p->name);
    return p->folder && p->path ? PT_OK : pt_fail(err, PT_ENOMEM, "out of memory for prepared weights");
}

int pt_prepared_create(const char *folder, const char *text, size_t text_len, struct pt_threads *pool, struct pt_prepared **out, struct pt_err *err)
{
    struct pt_prepared *p = pt_calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return pt_fail(err, PT_ENOMEM, "out of memory for prepared weights");
    pthread_mutex_init(&p->lock, NULL);
    p->fd = -1;
    p->chunk = FIRST_CHUNK;
    int rc = identify(p, folder, text, text_len, err);
    if (rc == PT_OK)
        rc = open_file(p, pool, err);
    if (rc < 0)
        pt_prepared_destroy(p);
    else
        *out = p;
    return rc;
}

void pt_prepared_destroy(struct pt_prepared *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->region_count; i++)
        if (!p->regions[i].foreign)
            munmap(p->regions[i].base, p->regions[i].len);
    if (p->fd >= 0)
        close(p->fd);
    pthread_mutex_destroy(&p->lock);
    pt_free(p->regions);
    pt_free(p->pieces);
    pt_free(p->sources);
    pt_free(p->folder);
    pt_free(p->path);
    pt_free(p);
}

/* --- keys ---------------------------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    const uint64_t both[2] = {a, b};
    return pt_hash_words(both, sizeof both);
}

int pt_prepared_add_source(struct pt_prepared *p, const void *base, size_t len, uint64_t id, struct pt_err *err)
{
    pthread_mutex_lock(&p->lock);
    int rc = grow(&p->sources, p->source_count, &p->source_room, sizeof *p->sources, err);
    if (rc == PT_OK)
        p->sources[p->source_count++] = (struct source){base, len, id};
    pthread_mutex_unlock(&p->lock);
    return rc;
}

bool pt_prepared_source(struct pt_prepared *p, const void *data, uint64_t *id)
{
    bool known = false;
    pthread_mutex_lock(&p->lock);
    for (size_t i = p->count; i-- > 0 && !known;)
        if ((known = p->pieces[i].data == data && p->pieces[i].e.what != ADOPTED && p->pieces[i].state != DAMAGED))
            *id = mix(p->pieces[i].e.source, p->pieces[i].e.what);
    for (size_t i = 0; i < p->source_count && !known; i++) {
        const struct source *s = &p->sources[i];
        size_t at = (size_t)((uintptr_t)data - (uintptr_t)s->base);
        if ((known = (uintptr_t)data >= (uintptr_t)s->base && at < s->len))
            *id = mix(s->id, at);
    }
    pthread_mutex_unlock(&p->lock);
    return known;
}

uint64_t pt_prepared_next_id(struct pt_prepared *p)
{
    pthread_mutex_lock(&p->lock);
    uint64_t n = ++p->made_constants;
    pthread_mutex_unlock(&p->lock);
    return mix(n, ~n);
}

static int compare(const void *a, const void *b)
{
    return pt_prepared_compare(&((const struct piece *)a)->e, &((const struct piece *)b)->e);
}

static struct piece *find(struct pt_prepared *p, uint64_t source, uint64_t what, size_t bytes)
{
    const struct piece key = {.e = {.source = source, .what = what, .bytes = bytes}};
    struct piece *stored = p->sorted ? bsearch(&key, p->pieces, p->sorted, sizeof key, compare) : NULL;
    if (stored && stored->state != DAMAGED)
        return stored;
    for (size_t i = p->count; i-- > p->sorted;)
        if (compare(&p->pieces[i], &key) == 0)
            return &p->pieces[i];
    return NULL;
}

/* --- memory of pieces ----------------------------------------------------------------------------------------------------------------- */

/* Anonymous memory; large ones lie so that they can have huge pages, which are far fewer to come by. */
static char *map_chunk(size_t len)
{
    if (pt_mem_is_armed() && pt_mem_must_fail())
        return NULL;
    size_t more = len >= HUGE_PAGE ? HUGE_PAGE : 0;
    char *at = mmap(NULL, len + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || !more)
        return at == MAP_FAILED ? NULL : at;
    char *aligned = (char *)round_up((uintptr_t)at, HUGE_PAGE);
    if (aligned > at)
        munmap(at, (size_t)(aligned - at));
    munmap(aligned + len, (size_t)(at + more - aligned));
    madvise(aligned, len, MADV_HUGEPAGE); /* where there are none, small ones do as well */
    return aligned;
}

static char *allocate(struct pt_prepared *p, size_t bytes, struct pt_err *err)
{
    size_t need = round_up(bytes ? bytes : 1, 64);
    struct region *r = p->region_count ? &p->regions[p->region_count - 1] : NULL;
    if (!r || r->stored || r->foreign || need > r->len - r->used) {
        size_t len = need > p->chunk ? round_up(need, page_bytes()) : p->chunk;
        char *base = need <= PTRDIFF_MAX - HUGE_PAGE ? map_chunk(len) : NULL;
        r = base ? add_region(p, (struct region){base, len, 0, false, false}, err) : NULL;
        if (!r && base)
            munmap(base, len);
        if (!r) {
            pt_fail(err, PT_ENOMEM, "out of memory for prepared weights (%zu bytes)", bytes);
            return NULL;
        }
        p->chunk = p->chunk < LARGEST_CHUNK ? p->chunk * 2 : p->chunk;
    }
    char *data = r->base + r->used;
    r->used += need;
    return data;
}

static void *get(struct pt_prepared *p, uint64_t source, uint64_t what, size_t bytes, bool *ready, struct pt_err *err)
{
    struct piece *piece = find(p, source, what, bytes);
    if (piece) {
        *ready = piece->state == READY;
        p->found += piece < p->pieces + p->sorted ? bytes : 0;
        return piece->data;
    }
    struct piece fresh = {.e = {.source = source, .what = what, .bytes = bytes}, .data = allocate(p, bytes, err)};
    *ready = false;
    return fresh.data && add_piece(p, fresh, err) ? fresh.data : NULL;
}

void *pt_prepared_get(struct pt_prepared *p, uint64_t source, uint64_t what, size_t bytes, bool *ready, struct pt_err *err)
{
    pthread_mutex_lock(&p->lock);
    void *data = get(p, source, what, bytes, ready, err);
    pthread_mutex_unlock(&p->lock);
    return data;
}

void pt_prepared_filled(struct pt_prepared *p, void *data)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = p->count; i-- > p->sorted;)
        if (p->pieces[i].data == data && p->pieces[i].state == EMPTY) {
            p->pieces[i].state = READY;
            p->made += p->pieces[i].e.bytes;
        }
    pthread_mutex_unlock(&p->lock);
}

/* The file over memory with the same bytes. at: in the file, a page's beginning. */
static bool map_over(const struct pt_prepared *p, void *base, size_t len, uint64_t at)
{
    return mmap(base, len, PROT_READ, MAP_PRIVATE | MAP_FIXED, p->fd, (off_t)at) != MAP_FAILED;
}

static int adopt(struct pt_prepared *p, char *base, size_t len, struct pt_err *err)
{
    uint64_t id = 0;
    size_t page = page_bytes();
    for (size_t i = 0; i < p->source_count && !id; i++)
        if (base >= p->sources[i].base && base + len <= p->sources[i].base + p->sources[i].len)
            id = mix(p->sources[i].id, (uint64_t)(base - p->sources[i].base));
    struct piece *known = find(p, id, ADOPTED, len);
    bool stored = known && known < p->pieces + p->sorted && known->e.at % page == 0;
    if (!id || (known && !stored))
        return PT_OK;
    struct region *r = add_region(p, (struct region){base, len, len, false, true}, err);
    if (!r)
        return err->code;
    if (stored) {
        if ((r->stored = map_over(p, base, len, known->e.at)))
            p->found += len;
        return PT_OK;
    }
    p->made += len;
    return add_piece(p, (struct piece){.e = {.source = id, .what = ADOPTED, .bytes = len}, .data = base, .state = READY}, err) ? PT_OK : err->code;
}

int pt_prepared_adopt(struct pt_prepared *p, void *base, size_t len, struct pt_err *err)
{
    size_t page = page_bytes();
    uintptr_t from = round_up((uintptr_t)base, page), to = ((uintptr_t)base + len) / page * page;
    if (to <= from)
        return PT_OK;
    pthread_mutex_lock(&p->lock);
    int rc = adopt(p, (char *)from, to - from, err);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

/* --- saving ----------------------------------------------------------------------------------------------------------------------------- */

/* What is saved: the regions as far as they were used when it began, and where each is in the file. A region that another thread is still filling is
 * written too, for the pieces of it that are ready, but not mapped. */
struct save {
    struct region *regions;
    struct pt_prepared_span *spans;
    uint64_t *at;
    bool *busy;
    size_t region_count;
    struct piece *pieces;
    struct pt_prepared_entry *entries;
    size_t count;
    uint64_t made;
};

static void save_finish(struct save *s)
{
    pt_free(s->regions);
    pt_free(s->spans);
    pt_free(s->at);
    pt_free(s->busy);
    pt_free(s->pieces);
    pt_free(s->entries);
}

static bool is_in(const struct region *r, const struct piece *piece)
{
    return piece->data >= r->base && piece->data < r->base + r->len;
}

/* Adopted memory that is mapped from the file already is there once more, with the file itself. */
static bool is_saved(const struct region *r)
{
    return r->used && !(r->foreign && r->stored);
}

static int begin_save(struct pt_prepared *p, struct save *s, struct pt_err *err)
{
    s->regions = pt_calloc(p->region_count + 1, sizeof *s->regions);
    s->spans = pt_calloc(p->region_count + 1, sizeof *s->spans);
    s->at = pt_calloc(p->region_count + 1, sizeof *s->at);
    s->busy = pt_calloc(p->region_count + 1, sizeof *s->busy);
    s->pieces = pt_calloc(p->count + 1, sizeof *s->pieces);
    s->entries = pt_calloc(p->count + 1, sizeof *s->entries);
    if (!s->regions || !s->spans || !s->at || !s->busy || !s->pieces || !s->entries)
        return pt_fail(err, PT_ENOMEM, "save prepared weights: out of memory");
    s->made = p->made;
    for (size_t i = 0; i < p->region_count; i++) {
        struct region *r = &p->regions[i];
        if (!is_saved(r))
            continue;
        r->used = round_up(r->used, page_bytes()); /* what comes next has pages of its own */
        size_t n = s->region_count++;
        s->regions[n] = *r;
        s->spans[n] = (struct pt_prepared_span){r->base, r->used};
        s->at[n] = pt_prepared_place(n ? s->at[n - 1] : 0, n ? s->spans[n - 1].len : 0);
    }
    for (size_t i = 0; i < p->count; i++) {
        for (size_t k = 0; k < s->region_count; k++)
            s->busy[k] = s->busy[k] || (p->pieces[i].state == EMPTY && is_in(&s->regions[k], &p->pieces[i]));
        if (p->pieces[i].state == READY)
            s->pieces[s->count++] = p->pieces[i];
    }
    return PT_OK;
}

static uint64_t place_of(const struct save *s, const struct piece *piece)
{
    for (size_t k = 0; k < s->region_count; k++)
        if (is_in(&s->regions[k], piece))
            return s->at[k] + (uint64_t)(piece->data - s->regions[k].base);
    return piece->e.at;
}

/* Where everything will be, in the order of the keys. */
static void make_entries(struct save *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct pt_prepared_entry *e = &s->pieces[i].e;
        e->at = place_of(s, &s->pieces[i]);
        if (!e->sum) /* it is not of the file */
            e->sum = pt_prepared_sum(s->pieces[i].data, e->bytes);
    }
    if (s->count)
        qsort(s->pieces, s->count, sizeof *s->pieces, compare);
    for (size_t i = 0; i < s->count; i++)
        s->entries[i] = s->pieces[i].e;
}

/* The file over the region, as far as it was written. What was put behind that since is a region of its own from now on. */
static void map_region(struct pt_prepared *p, size_t index, size_t used, uint64_t at)
{
    struct region *r = &p->regions[index];
    if (!map_over(p, r->base, used, at))
        return;
    const struct region rest = {r->base + used, r->len - used, r->used - used, false, false};
    bool has_rest = !r->stored && !r->foreign && rest.len;
    r->stored = true;
    if (!has_rest || (rest.used && !add_region(p, rest, &(struct pt_err){0})))
        return;
    r = &p->regions[index];
    r->len = r->used = used;
    if (!rest.used)
        munmap(rest.base, rest.len);
}

static void end_save(struct pt_prepared *p, const struct save *s, int fd)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = fd;
    p->made -= s->made;
    for (size_t i = 0; i < p->count; i++)
        p->pieces[i].e.at = place_of(s, &p->pieces[i]);
    for (size_t k = 0; k < s->region_count; k++) {
        size_t index = 0;
        while (p->regions[index].base != s->regions[k].base)
            index++;
        if (!s->busy[k])
            map_region(p, index, s->regions[k].used, s->at[k]);
    }
}

int pt_prepared_save(struct pt_prepared *p, struct pt_err *err)
{
    pt_cleanup(save_finish) struct save s = {0};
    pthread_mutex_lock(&p->lock);
    bool needed = !p->saving && p->made;
    int rc = p->saving ? pt_fail(err, PT_EBUSY, "prepared weights are being saved by another thread") : needed ? begin_save(p, &s, err) : PT_OK;
    p->saving = p->saving || (needed && rc == PT_OK);
    pthread_mutex_unlock(&p->lock);
    if (rc < 0 || !needed)
        return rc;
    make_entries(&s);
    int fd = pt_prepared_write(p->folder, p->name, p->identity, s.spans, s.region_count, s.entries, s.count, err);
    pthread_mutex_lock(&p->lock);
    if (fd >= 0)
        end_save(p, &s, fd);
    p->saving = false;
    pthread_mutex_unlock(&p->lock);
    return fd < 0 ? fd : PT_OK;
}

uint64_t pt_prepared_bytes(struct pt_prepared *p)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->count; i++)
        bytes += p->pieces[i].state == READY ? p->pieces[i].e.bytes : 0;
    pthread_mutex_unlock(&p->lock);
    return bytes;
}

void pt_prepared_rest(struct pt_prepared *p)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->region_count; i++)
        if (p->regions[i].stored)
            madvise(p->regions[i].base, p->regions[i].len, MADV_DONTNEED);
    pthread_mutex_unlock(&p->lock);
}

void pt_prepared_get_state(struct pt_prepared *p, struct pt_prepared_state *out)
{
    pthread_mutex_lock(&p->lock);
    *out = (struct pt_prepared_state){p->path, p->found, p->made, p->ignored};
    pthread_mutex_unlock(&p->lock);
}
