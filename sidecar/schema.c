/* SPDX-License-Identifier: Apache-2.0
 *
 * schema.c: reads the texts of schema_text.c; see schema.h. They are ours and right, which a test of reflection shows: nothing here fails.
 */
#include "sidecar/schema.h"

#include "base/pbwire.h"

#include <stdlib.h>

/* Numbers of descriptor.proto. */
enum { FILE_NAME = 1, FILE_PACKAGE, FILE_DEPENDENCY, FILE_MESSAGE, FILE_ENUM, FILE_SERVICE, FILE_SYNTAX = 12 };
enum { MESSAGE_NAME = 1, MESSAGE_FIELD, MESSAGE_NESTED, MESSAGE_OPTIONS = 7, MESSAGE_ONEOF = 8 };
enum { FIELD_NAME = 1, FIELD_NUMBER = 3, FIELD_LABEL, FIELD_TYPE, FIELD_TYPE_NAME, FIELD_ONEOF = 9 };
enum { OPTIONAL = 1, REPEATED = 3, TYPE_MESSAGE = 11, TYPE_ENUM = 14 };

static const struct {
    const char *name;
    unsigned type;
} scalars[] = {{"double", 1}, {"float", 2}, {"int64", 3}, {"uint64", 4}, {"int32", 5}, {"bool", 8}, {"string", 9}, {"bytes", 12}, {"uint32", 13}};

static void put(struct pt_buf *b, uint32_t number, struct pt_str s)
{
    pt_pb_put_bytes(b, number, s.p, s.len);
}

static bool next_line(struct pt_str *text, struct pt_str *line)
{
    return pt_str_split(text, '\n', line) && line->len > 0;
}

static struct pt_str word(struct pt_str *line)
{
    struct pt_str w = {"", 0};
    pt_str_split(line, ' ', &w);
    return w;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Is this type, by its full name, an enum of some file? */
static bool is_enum(struct pt_str full)
{
    for (const struct pt_schema *s = pt_schemas; s < pt_schemas + pt_schema_count; s++) {
        struct pt_str text = pt_str(s->text), line, package = pt_str(s->package);
        while (next_line(&text, &line)) {
            struct pt_str kind = word(&line);
            if (pt_str_eq(kind, PT_STR("e")) && full.len == package.len + 1 + line.len && pt_str_starts(full, package) &&
                pt_str_eq(line, (struct pt_str){full.p + package.len + 1, line.len}))
                return true;
        }
    }
    return false;
}

static void put_type(struct pt_str type, struct pt_buf *b)
{
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (pt_str_eq(type, pt_str(scalars[i].name))) {
            pt_pb_put_varint(b, FIELD_TYPE, scalars[i].type);
            return;
        }
    pt_pb_put_varint(b, FIELD_TYPE, is_enum(type) ? TYPE_ENUM : TYPE_MESSAGE);
    size_t name = pt_pb_begin(b, FIELD_TYPE_NAME);
    pt_buf_putc(b, '.');
    pt_buf_append(b, type.p, type.len);
    pt_pb_end(b, name);
}

static void put_field(uint32_t at, struct pt_str name, uint64_t number, struct pt_str type, bool repeated, int group, struct pt_buf *b)
{
    size_t field = pt_pb_begin(b, at);
    put(b, FIELD_NAME, name);
    pt_pb_put_varint(b, FIELD_NUMBER, number);
    pt_pb_put_varint(b, FIELD_LABEL, repeated ? REPEATED : OPTIONAL);
    put_type(type, b);
    if (group >= 0)
        pt_pb_put_varint(b, FIELD_ONEOF, (uint64_t)group);
    pt_pb_end(b, field);
}

/* "raw_input" -> "RawInputEntry" */
static struct pt_str entry_name(struct pt_str field, char out[80])
{
    size_t n = 0;
    bool upper = true;
    for (size_t i = 0; i < field.len && n < 70; i++) {
        if (field.p[i] != '_')
            out[n++] = (char)(upper && field.p[i] >= 'a' && field.p[i] <= 'z' ? field.p[i] - 32 : field.p[i]);
        upper = field.p[i] == '_';
    }
    memcpy(out + n, "Entry", 5);
    return (struct pt_str){out, n + 5};
}

/* A map is a nested message of key and value, and a repeated field of it. */
static void put_map(const struct pt_schema *s, struct pt_str message, struct pt_str name, uint64_t number, struct pt_str type, struct pt_buf *b)
{
    char text[80];
    struct pt_str entry = entry_name(name, text);
    size_t nested = pt_pb_begin(b, MESSAGE_NESTED);
    put(b, MESSAGE_NAME, entry);
    put_field(MESSAGE_FIELD, PT_STR("key"), 1, PT_STR("string"), false, -1, b);
    put_field(MESSAGE_FIELD, PT_STR("value"), 2, type, false, -1, b);
    size_t options = pt_pb_begin(b, MESSAGE_OPTIONS);
    pt_pb_put_varint(b, 7, 1); /* map_entry */
    pt_pb_end(b, options);
    pt_pb_end(b, nested);
    pt_auto_buf full = {0};
    pt_buf_printf(&full, "%s." PT_STR_FMT "." PT_STR_FMT, s->package, PT_STR_ARG(message), PT_STR_ARG(entry));
    put_field(MESSAGE_FIELD, name, number, (struct pt_str){full.data, full.len}, true, -1, b);
}

/* A message's fields, its groups, and the messages nested in it; text stands behind its own line. */
static void put_message(const struct pt_schema *s, struct pt_str message, struct pt_str text, uint32_t at, struct pt_buf *b)
{
    struct pt_str line, groups[4], whole = pt_str(s->text), prefix;
    int group_count = 0;
    size_t begun = pt_pb_begin(b, at);
    const char *dot = memrchr(message.p, '.', message.len);
    put(b, MESSAGE_NAME, dot ? (struct pt_str){dot + 1, (size_t)(message.p + message.len - dot - 1)} : message);
    while (next_line(&text, &line) && is_digit(line.p[0])) {
        uint64_t number = strtoull(word(&line).p, NULL, 10);
        struct pt_str type = word(&line), name = word(&line);
        bool repeated = type.p[0] == '*', map = type.p[0] == '%';
        int group = -1;
        if (repeated || map)
            type = (struct pt_str){type.p + 1, type.len - 1};
        if (line.len && line.p[0] == '?') {
            for (group = 0; group < group_count && !pt_str_eq(groups[group], line); group++)
                ;
            if (group == group_count)
                groups[group_count++] = line;
        }
        if (map)
            put_map(s, message, name, number, type, b);
        else
            put_field(MESSAGE_FIELD, name, number, type, repeated, group, b);
    }
    while (next_line(&whole, &line)) { /* nested ones, wherever they stand */
        prefix = (struct pt_str){line.p + 2, line.len - 2};
        bool inside = line.p[0] == 'm' && prefix.len > message.len + 1 && pt_str_starts(prefix, message) && prefix.p[message.len] == '.';
        if (inside && !memchr(prefix.p + message.len + 1, '.', prefix.len - message.len - 1))
            put_message(s, prefix, whole, MESSAGE_NESTED, b);
    }
    for (int i = 0; i < group_count; i++) {
        size_t oneof = pt_pb_begin(b, MESSAGE_ONEOF);
        put(b, 1, (struct pt_str){groups[i].p + 1, groups[i].len - 1});
        pt_pb_end(b, oneof);
    }
    pt_pb_end(b, begun);
}

static void put_enum(struct pt_str name, struct pt_str text, struct pt_buf *b)
{
    struct pt_str line;
    size_t begun = pt_pb_begin(b, FILE_ENUM);
    put(b, 1, name);
    while (next_line(&text, &line) && line.p[0] == '=') {
        word(&line);
        size_t value = pt_pb_begin(b, 2);
        uint64_t number = strtoull(word(&line).p, NULL, 10);
        put(b, 1, line);
        pt_pb_put_varint(b, 2, number);
        pt_pb_end(b, value);
    }
    pt_pb_end(b, begun);
}

static void put_type_name(struct pt_str type, uint32_t number, struct pt_buf *b)
{
    size_t name = pt_pb_begin(b, number);
    pt_buf_putc(b, '.');
    pt_buf_append(b, type.p, type.len);
    pt_pb_end(b, name);
}

static bool is_kind(struct pt_str line)
{
    return line.len > 1 && line.p[1] == ' ' && strchr("mes=", line.p[0]);
}

static void put_service(struct pt_str name, struct pt_str text, struct pt_buf *b)
{
    struct pt_str line;
    size_t begun = pt_pb_begin(b, FILE_SERVICE);
    put(b, 1, name);
    while (next_line(&text, &line) && !is_kind(line)) {
        size_t method = pt_pb_begin(b, 2);
        put(b, 1, word(&line));
        put_type_name(word(&line), 2, b);
        put_type_name(word(&line), 3, b);
        if (line.len && line.p[0] == '>')
            pt_pb_put_varint(b, 5, 1);
        if (line.len && line.p[line.len - 1] == '<')
            pt_pb_put_varint(b, 6, 1);
        pt_pb_end(b, method);
    }
    pt_pb_end(b, begun);
}

void pt_schema_describe(const struct pt_schema *s, struct pt_buf *b)
{
    struct pt_str text = pt_str(s->text), imports = pt_str(s->imports), line, file;
    put(b, FILE_NAME, pt_str(s->file));
    put(b, FILE_PACKAGE, pt_str(s->package));
    while (imports.len && pt_str_split(&imports, ' ', &file))
        put(b, FILE_DEPENDENCY, file);
    while (next_line(&text, &line)) {
        struct pt_str name = {line.p + 2, line.len - 2};
        if (!is_kind(line))
            continue;
        if (line.p[0] == 'm' && !memchr(name.p, '.', name.len))
            put_message(s, name, text, FILE_MESSAGE, b);
        else if (line.p[0] == 'e')
            put_enum(name, text, b);
        else if (line.p[0] == 's')
            put_service(name, text, b);
    }
    put(b, FILE_SYNTAX, PT_STR("proto3"));
}

/* Does the file declare this name (its package already cut off), or something that has it as its first parts? */
static bool declares(const struct pt_schema *s, struct pt_str name)
{
    struct pt_str text = pt_str(s->text), line;
    while (next_line(&text, &line)) {
        struct pt_str declared = {line.p + 2, line.len - 2};
        bool type = is_kind(line) && line.p[0] != '=';
        if (type && pt_str_starts(name, declared) && (name.len == declared.len || name.p[declared.len] == '.'))
            return true;
    }
    return false;
}

const struct pt_schema *pt_schema_of_symbol(struct pt_str name)
{
    for (const struct pt_schema *s = pt_schemas; s < pt_schemas + pt_schema_count; s++) {
        struct pt_str package = pt_str(s->package);
        if (name.len > package.len + 1 && pt_str_starts(name, package) && name.p[package.len] == '.' &&
            declares(s, (struct pt_str){name.p + package.len + 1, name.len - package.len - 1}))
            return s;
    }
    return NULL;
}

const struct pt_schema *pt_schema_of_file(struct pt_str file)
{
    for (const struct pt_schema *s = pt_schemas; s < pt_schemas + pt_schema_count; s++)
        if (pt_str_eq(file, pt_str(s->file)))
            return s;
    return NULL;
}

void pt_schema_each_service(void (*fn)(void *arg, struct pt_str package, struct pt_str name), void *arg)
{
    for (const struct pt_schema *s = pt_schemas; s < pt_schemas + pt_schema_count; s++) {
        struct pt_str text = pt_str(s->text), line;
        while (next_line(&text, &line))
            if (is_kind(line) && line.p[0] == 's')
                fn(arg, pt_str(s->package), (struct pt_str){line.p + 2, line.len - 2});
    }
}
