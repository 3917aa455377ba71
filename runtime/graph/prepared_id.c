/* SPDX-License-Identifier: Apache-2.0
 *
 * prepared_id.c: which build this is and what the CPU can do.
 */
#include "runtime/graph/prepared_id.h"

#include "base/cpu.h"

#include <link.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

struct search {
    uintptr_t inside; /* an address of the object that is looked for */
    const void *id;
    size_t len;
};

/* The linker's note (--build-id) in one segment of notes. */
static void find_note(const char *p, size_t len, struct search *s)
{
    while (len >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) n;
        memcpy(&n, p, sizeof n);
        size_t name = ((size_t)n.n_namesz + 3) / 4 * 4, desc = ((size_t)n.n_descsz + 3) / 4 * 4, all = sizeof n + name + desc;
        if (all > len)
            return;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(p + sizeof n, "GNU", 4) == 0) {
            s->id = p + sizeof n + name;
            s->len = n.n_descsz;
            return;
        }
        p += all;
        len -= all;
    }
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    bool is_it = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + h->p_vaddr;
        is_it = is_it || (h->p_type == PT_LOAD && s->inside >= at && s->inside - at < h->p_memsz);
    }
    for (int i = 0; is_it && !s->id && i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            find_note((const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), info->dlpi_phdr[i].p_memsz, s);
    return is_it;
}

bool pt_prepared_build(struct pt_buf *out)
{
    struct search s = {.inside = (uintptr_t)look};
    dl_iterate_phdr(look, &s);
    if (!s.id || !s.len)
        return false;
    pt_buf_append(out, s.id, s.len);
    return true;
}

void pt_prepared_cpu(struct pt_buf *out)
{
    pt_buf_puts(out, pt_isa_text(pt_cpu_isa()));
#if defined(__x86_64__)
    unsigned r[3][4] = {{0}};
    __get_cpuid(1, &r[0][0], &r[0][1], &r[0][2], &r[0][3]);
    r[0][1] = 0; /* which CPU this is */
    r[0][2] &= ~bit_OSXSAVE;
    __get_cpuid_count(7, 0, &r[1][0], &r[1][1], &r[1][2], &r[1][3]);
    __get_cpuid_count(7, 1, &r[2][0], &r[2][1], &r[2][2], &r[2][3]);
    pt_buf_append(out, r, sizeof r);
#else
    unsigned long r[2] = {getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
    pt_buf_append(out, r, sizeof r);
#endif
}
