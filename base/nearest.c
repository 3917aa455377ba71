/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest.c: the edit distance of Wagner and Fischer, one row at a time.
 */
#include "base/nearest.h"

#include <ctype.h>

/* Edits (letters put in, left out or changed, case aside) between two names; SIZE_MAX for long ones. */
static size_t distance(struct pt_str a, struct pt_str b)
{
    enum { MOST = 64 };
    size_t row[MOST + 1];
    if (a.len > MOST || b.len > MOST)
        return SIZE_MAX;
    for (size_t k = 0; k <= b.len; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b.len; k++) {
            size_t change = corner + (tolower((unsigned char)a.p[i - 1]) != tolower((unsigned char)b.p[k - 1]));
            corner = row[k];
            size_t least = row[k] < row[k - 1] ? row[k] + 1 : row[k - 1] + 1;
            row[k] = change < least ? change : least;
        }
    }
    return row[b.len];
}

const char *pt_nearest(struct pt_str name, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(name, pt_str(names[i]));
        if (d < least && 3 * d <= strlen(names[i]) + 2)
            least = d, best = names[i];
    }
    return best;
}
