/* SPDX-License-Identifier: Apache-2.0
 *
 * options.h: options as a table. A row says a name, a type, what is allowed and what it is for, and from that one row come the long option
 * (--batch-size), the key of a recipe (batchSize), the text of --help, the list in the manual page and the table in docs/compression.md.
 * A row fills a member of a structure; several structures make the options of one command (groups).
 */
#ifndef PT_CLI_OPTIONS_H
#define PT_CLI_OPTIONS_H

#include "base/buf.h"

enum pt_cmd_option_type {
    PT_CMD_FLAG,   /* bool */
    PT_CMD_TEXT,   /* const char *: as long as the text that it was given in */
    PT_CMD_NUMBER, /* int64_t, from min to max */
    PT_CMD_REAL,   /* double, from low to high; high 0: no limit */
    PT_CMD_CHOICE, /* int: index in words */
    PT_CMD_LIST,   /* struct pt_cmd_list: given more than once, or with commas between */
    PT_CMD_PAIRS   /* struct pt_cli_pairs (cli/pairs.h): NAME=VALUE, given more than once */
};
struct pt_cmd_option {
    const char *name; /* without -- */
    enum pt_cmd_option_type type;
    size_t offset; /* of the member */
    int64_t min, max;
    double low, high;
    const char *const *words; /* of a choice; NULL behind the last */
    const char *def;     /* set by pt_cmd_defaults, as if it had been given; NULL: the member stays what it is */
    const char *value;   /* what --help calls it: "FILE"; NULL: by type */
    const char *help;    /* a sentence without a full stop; NULL: --help does not speak of it */
    const char *key;     /* of a recipe, where it is not the name in camel case */
    char letter;         /* short option; 0: none */
};
struct pt_cmd_list {
    struct pt_str items[64];
    size_t count;
};
struct pt_cmd_group {
    const struct pt_cmd_option *rows;
    size_t count;
    void *into;
};
#define PT_CMD_GROUP(rows, into)                                                                                                                     \
    {                                                                                                                                                \
        (rows), sizeof(rows) / sizeof *(rows), (into)                                                                                                \
    }

/* Defaults into zeroed members. A row whose default is not allowed is a mistake of ours: a test sets them all. */
int pt_cmd_defaults(const struct pt_cmd_option *rows, size_t count, void *into, struct pt_err *err);
/* Sets a member; `spelled` begins the message: "--batch-size" or "stages[1].train.batchSize". */
int pt_cmd_set(const struct pt_cmd_option *row, const char *spelled, const char *text, void *into, struct pt_err *err);
/* Fills the members of the groups; what is not given stays. 0, or the exit status after a message. optind is then the first argument that is no
 * option. -h is short for a row "help". */
int pt_cmd_options_of(int argc, char **argv, const struct pt_cmd_group *groups, size_t count);
int pt_cmd_options(int argc, char **argv, const struct pt_cmd_option *rows, size_t count, void *into);
/* Prints the usage and the options; the exit status. */
int pt_cmd_help(const char *usage, const struct pt_cmd_group *groups, size_t count);

/* The key of a recipe: "batchSize". out has room for 64. */
void pt_cmd_key(const struct pt_cmd_option *row, char out[64]);
/* The candidate that is most like `word`, or NULL when none is like it. next(arg, i) is NULL at the end. */
const char *pt_cmd_like(const char *word, const char *(*next)(void *arg, size_t i), void *arg);

/* What rows say of themselves: lines of --help, .TP entries of a manual page, rows of a Markdown table (key, option, value, default, what it is). */
void pt_cmd_help_text(struct pt_buf *out, const struct pt_cmd_option *rows, size_t count);
void pt_cmd_help_man(struct pt_buf *out, const struct pt_cmd_option *rows, size_t count);
void pt_cmd_help_markdown(struct pt_buf *out, const struct pt_cmd_option *rows, size_t count);

#endif
