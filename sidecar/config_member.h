/* SPDX-License-Identifier: Apache-2.0
 *
 * config_member.h: the table of the configuration's members, for what fills them: file, environment, flags.
 */
#ifndef PT_SIDECAR_CONFIG_MEMBER_H
#define PT_SIDECAR_CONFIG_MEMBER_H

#include "base/str.h"
#include "sidecar/config.h"

enum { PT_CONFIG_MAX_FILE = 256 << 10, PT_MEMBERS_MOST = 128 };

enum pt_member_kind {
    PT_MEMBER_STRING,
    PT_MEMBER_DIGEST,
    PT_MEMBER_NUMBER,
    PT_MEMBER_SIZES,
    PT_MEMBER_GROUP, /* an object: the section "SECTION.KEY" */
};

/* A member: where it stands in the file and in the struct, and what it may be. */
struct pt_member {
    const char *section, *key;
    enum pt_member_kind kind;
    size_t offset;
    int64_t min, max; /* of a number; max: most characters of a string */
    int64_t number;   /* defaults */
    const char *string;
};
extern const struct pt_member pt_members[];
extern const size_t pt_member_count;

const struct pt_member *pt_member_find(const char *section, struct pt_str key); /* NULL: unknown */
/* Sets a member from its text. PT_EINVAL: `want` says what it may be. */
int pt_member_set(struct pt_config *c, const struct pt_member *m, struct pt_str text, char want[96]);
/* The variable of a member: "serving.tls", "certFile" -> "PINTLE_SERVING_TLS_CERT_FILE". */
void pt_member_env(const struct pt_member *m, char name[96]);

#endif
