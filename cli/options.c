/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c: see options.h.
 */
#include "cli/options.h"

#include "base/json.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/pairs.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

enum { FIRST = 256 };

/* --- one value ------------------------------------------------------------------------------------------------------------------ */

int pt_cli_pairs_add(struct pt_cli_pairs *pairs, const char *text, struct pt_err *err)
{
    struct pt_str rest = pt_str(text), name;
    pt_str_split(&rest, '=', &name);
    if (!rest.p || name.len == 0)
        return pt_fail(err, PT_EINVAL, "\"%s\" is not of the form NAME=VALUE", text);
    for (size_t i = 0; i < pairs->count; i++)
        if (pt_str_eq(pairs->list[i].name, name))
            return pt_fail(err, PT_EINVAL, "\"" PT_STR_FMT "\" is given twice", PT_STR_ARG(name));
    if (pairs->count == sizeof pairs->list / sizeof *pairs->list)
        return pt_fail(err, PT_EINVAL, "more than %zu values of one kind", pairs->count);
    pairs->list[pairs->count++] = (struct pt_cli_pair){name, rest.p};
    return PT_OK;
}

static int set_choice(const struct pt_cmd_option *row, const char *spelled, const char *text, int *member, struct pt_err *err)
{
    pt_auto_buf words = PT_BUF_INIT(0);
    for (int i = 0; row->words[i]; i++) {
        if (strcmp(row->words[i], text) == 0) {
            *member = i;
            return PT_OK;
        }
        pt_buf_cat(&words, i ? ", " : "", row->words[i], NULL);
    }
    return pt_fail(err, PT_EINVAL, "%s: \"%s\" is none of %s", spelled, text, pt_buf_cstr(&words));
}

static int set_real(const struct pt_cmd_option *row, const char *spelled, const char *text, double *member, struct pt_err *err)
{
    struct pt_json j;
    double v;
    pt_json_init(&j, text, strlen(text));
    if (pt_json_double(&j, &v, NULL) < 0 || pt_json_end(&j, NULL) < 0)
        return pt_fail(err, PT_EINVAL, "%s: \"%s\" is not a number", spelled, text);
    bool bounded = row->high > row->low;
    if (!isfinite(v) || v < row->low || (bounded && v > row->high))
        return bounded ? pt_fail(err, PT_EINVAL, "%s: \"%s\" is not a number from %g to %g", spelled, text, row->low, row->high)
                       : pt_fail(err, PT_EINVAL, "%s: \"%s\" is not a number of %g or more", spelled, text, row->low);
    *member = v;
    return PT_OK;
}

static int add_items(const char *spelled, const char *text, struct pt_cmd_list *list, struct pt_err *err)
{
    struct pt_str rest = pt_str(text), part;
    while (pt_str_split(&rest, ',', &part)) {
        part = pt_str_trim(part);
        if (!part.len)
            return pt_fail(err, PT_EINVAL, "%s: \"%s\" has an empty item", spelled, text);
        if (list->count == sizeof list->items / sizeof *list->items)
            return pt_fail(err, PT_ELIMIT, "%s: more than %zu items", spelled, sizeof list->items / sizeof *list->items);
        list->items[list->count++] = part;
    }
    return PT_OK;
}

int pt_cmd_set(const struct pt_cmd_option *row, const char *spelled, const char *text, void *into, struct pt_err *err)
{
    void *member = (char *)into + row->offset;
    switch (row->type) {
    case PT_CMD_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return pt_fail(err, PT_EINVAL, "%s: \"%s\" is neither true nor false", spelled, text);
        *(bool *)member = *text == 't';
        return PT_OK;
    case PT_CMD_TEXT:
        memcpy(member, &text, sizeof text);
        return PT_OK;
    case PT_CMD_NUMBER:
        return pt_parse_i64(pt_str(text), row->min, row->max, spelled, member, err);
    case PT_CMD_REAL:
        return set_real(row, spelled, text, member, err);
    case PT_CMD_CHOICE:
        return set_choice(row, spelled, text, member, err);
    case PT_CMD_LIST:
        return add_items(spelled, text, member, err);
    case PT_CMD_PAIRS:
        return pt_cli_pairs_add(member, text, err) < 0 ? pt_wrap(err, "%s", spelled) : PT_OK;
    }
    return pt_fail(err, PT_EINTERNAL, "%s: type %d", spelled, (int)row->type);
}

int pt_cmd_defaults(const struct pt_cmd_option *rows, size_t count, void *into, struct pt_err *err)
{
    int rc = PT_OK;
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        if (rows[i].def)
            rc = pt_cmd_set(&rows[i], rows[i].name, rows[i].def, into, err);
    return rc;
}

/* --- the command line ------------------------------------------------------------------------------------------------------------ */

/* A row and the structure that it fills. */
struct slot {
    const struct pt_cmd_option *row;
    void *into;
};

static const char *next_name(void *arg, size_t i)
{
    const struct option *options = arg;
    return options[i].name;
}

static int unknown(char **argv, int result, const struct option *options)
{
    char word[64];
    const char *given = argv[optind - 1], *like = NULL;
    if (result == '?' && !optopt && strncmp(given, "--", 2) == 0) {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(given + 2, "="), given + 2);
        like = pt_cmd_like(word, next_name, (void *)(uintptr_t)options);
    }
    return like ? pt_cmd_usage(argv[0], "unknown option %s: did you mean --%s?", given, like) : pt_cmd_bad_option(argv, result);
}

/* What getopt_long needs to know of the rows. */
static void make_options(const struct pt_cmd_group *groups, size_t count, struct slot *slots, struct option *options, char *shorts)
{
    size_t n = 0;
    *shorts++ = ':';
    for (size_t g = 0; g < count; g++)
        for (size_t i = 0; i < groups[g].count; i++, n++) {
            const struct pt_cmd_option *row = &groups[g].rows[i];
            char letter = strcmp(row->name, "help") == 0 ? 'h' : row->letter;
            slots[n] = (struct slot){row, groups[g].into};
            options[n] =
                (struct option){row->name, row->type == PT_CMD_FLAG ? no_argument : required_argument, NULL, letter ? letter : FIRST + (int)n};
            if (letter)
                *shorts++ = letter;
            if (letter && row->type != PT_CMD_FLAG)
                *shorts++ = ':';
        }
}

int pt_cmd_options_of(int argc, char **argv, const struct pt_cmd_group *groups, size_t count)
{
    size_t total = 0;
    for (size_t g = 0; g < count; g++)
        total += groups[g].count;
    pt_auto_free struct option *options = pt_calloc(total + 1, sizeof *options);
    pt_auto_free struct slot *slots = pt_calloc(total + 1, sizeof *slots);
    pt_auto_free char *shorts = pt_calloc(2 * total + 4, 1);
    if (!options || !slots || !shorts)
        return pt_cmd_fail(&(struct pt_err){.code = PT_ENOMEM, .msg = "out of memory"});
    make_options(groups, count, slots, options, shorts);
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, shorts, options, NULL)) != -1;) {
        size_t i = 0;
        struct pt_err err;
        char spelled[64];
        if (o == '?' || o == ':')
            return unknown(argv, o, options);
        while (i + 1 < total && options[i].val != o)
            i++;
        snprintf(spelled, sizeof spelled, "--%s", slots[i].row->name);
        if (pt_cmd_set(slots[i].row, spelled, slots[i].row->type == PT_CMD_FLAG ? "true" : optarg, slots[i].into, &err) < 0)
            return pt_cmd_usage(argv[0], "%s", err.msg);
    }
    return 0;
}

int pt_cmd_options(int argc, char **argv, const struct pt_cmd_option *rows, size_t count, void *into)
{
    return pt_cmd_options_of(argc, argv, &(struct pt_cmd_group){rows, count, into}, 1);
}

/* --- names ------------------------------------------------------------------------------------------------------------------------ */

void pt_cmd_key(const struct pt_cmd_option *row, char out[64])
{
    size_t n = 0;
    const char *name = row->key ? row->key : row->name;
    for (bool up = false; *name && n < 63; name++) {
        if (*name == '-' && !row->key)
            up = true;
        else {
            out[n++] = up ? (char)toupper((unsigned char)*name) : *name;
            up = false;
        }
    }
    out[n] = '\0';
}

/* Levenshtein's distance, for words of less than 64 letters. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; *a; i++, a++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (tolower((unsigned char)*a) != tolower((unsigned char)b[j - 1]));
            size_t skip = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = change < skip ? change : skip;
        }
    }
    return row[n];
}

const char *pt_cmd_like(const char *word, const char *(*next)(void *arg, size_t i), void *arg)
{
    const char *best = NULL, *name;
    size_t least = strlen(word) / 3 + 2;
    if (strlen(word) > 60)
        return NULL;
    for (size_t i = 0; (name = next(arg, i)); i++) {
        size_t d = strlen(name) > 60 ? least : distance(word, name);
        if (d < least) {
            least = d;
            best = name;
        }
    }
    return best;
}
