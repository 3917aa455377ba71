/* SPDX-License-Identifier: Apache-2.0
 *
 * health.c: see health.h.
 */
#include "operator/ctrl/health.h"

#include <string.h>

static bool is_listed(struct pt_str list, const char *name)
{
    struct pt_str part;
    while (list.len && pt_str_split(&list, ',', &part))
        if (pt_str_eq(part, pt_str(name)))
            return true;
    return false;
}

int pt_health_text(const char *endpoint, const struct pt_health_check *checks, size_t count, void *arg, struct pt_str only, struct pt_str exclude, bool verbose,
                   struct pt_buf *out)
{
    pt_auto_buf lines = PT_BUF_INIT(0);
    bool bad = false, any = false;
    for (size_t i = 0; i < count; i++) {
        if (only.len && !pt_str_eq(only, pt_str(checks[i].name)))
            continue;
        any = true;
        const char *why = is_listed(exclude, checks[i].name) ? "" : checks[i].failed(arg);
        bad |= why && *why;
        if (why && !*why)
            pt_buf_printf(&lines, "[+]%s excluded: ok\n", checks[i].name);
        else if (why)
            pt_buf_printf(&lines, "[-]%s failed: %s\n", checks[i].name, why);
        else
            pt_buf_printf(&lines, "[+]%s ok\n", checks[i].name);
    }
    if (only.len && !any) {
        pt_buf_puts(out, "404 page not found\n");
        return 404;
    }
    if (!bad && !verbose) {
        pt_buf_puts(out, "ok");
        return 200;
    }
    pt_buf_append(out, lines.data, lines.len);
    pt_buf_printf(out, "%s check %s\n", endpoint, bad ? "failed" : "passed");
    return bad ? 503 : 200;
}
