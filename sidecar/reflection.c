/* SPDX-License-Identifier: Apache-2.0
 *
 * reflection.c: grpc.reflection.v1 and v1alpha, which differ in nothing but the package: what services there are and what their messages look like.
 */
#include "sidecar/grpc_front.h"
#include "sidecar/schema.h"

#include <stdlib.h>

enum { BY_FILE = 3, BY_SYMBOL, BY_EXTENSION, ALL_EXTENSIONS, LIST };
enum { FILES = 4, SERVICES = 6, ERROR };

static void put_file(struct pt_buf *b, const struct pt_schema *s)
{
    struct pt_str imports = pt_str(s->imports), file;
    size_t at = pt_pb_begin(b, 1);
    pt_schema_describe(s, b);
    pt_pb_end(b, at);
    while (imports.len && pt_str_split(&imports, ' ', &file)) {
        const struct pt_schema *more = pt_schema_of_file(file);
        if (more)
            put_file(b, more);
    }
}

static void put_service(void *arg, struct pt_str package, struct pt_str name)
{
    struct pt_buf *b = arg;
    size_t service = pt_pb_begin(b, 1), text = pt_pb_begin(b, 1);
    pt_buf_append(b, package.p, package.len);
    pt_buf_putc(b, '.');
    pt_buf_append(b, name.p, name.len);
    pt_pb_end(b, text);
    pt_pb_end(b, service);
}

static void put_error(struct pt_buf *b, int code, const char *message)
{
    size_t error = pt_pb_begin(b, ERROR);
    pt_pb_put_varint(b, 1, (uint64_t)code);
    pt_pb_put_str(b, 2, pt_str(message));
    pt_pb_end(b, error);
}

static void put_answer(struct pt_buf *b, const struct pt_pb_field *asked)
{
    const struct pt_schema *s = asked->number == BY_FILE     ? pt_schema_of_file(asked->bytes)
                                : asked->number == BY_SYMBOL ? pt_schema_of_symbol(asked->bytes)
                                                             : NULL;
    if (s) {
        size_t files = pt_pb_begin(b, FILES);
        put_file(b, s);
        pt_pb_end(b, files);
    } else if (asked->number == LIST) {
        size_t services = pt_pb_begin(b, SERVICES);
        pt_schema_each_service(put_service, b);
        pt_pb_end(b, services);
    } else if (asked->number == BY_EXTENSION || asked->number == ALL_EXTENSIONS) {
        put_error(b, pt_err_grpc(PT_ENOTFOUND), "there are no extensions");
    } else {
        put_error(b, pt_err_grpc(PT_ENOTFOUND), "not found");
    }
}

static void message(void *arg, struct pt_grpc_call *c, struct pt_buf *m)
{
    struct pt_buf b = {0};
    struct pt_pb_reader r = pt_pb_reader(m->data, m->len);
    struct pt_pb_field f, asked = {0};
    struct pt_err err;
    int rc;
    (void)arg;
    while ((rc = pt_pb_next(&r, &f, &err)) == 1)
        if (f.number >= BY_FILE && f.number <= LIST && f.type == PT_PB_LEN)
            asked = f;
    if (rc < 0) {
        pt_grpc_fail(c, &err, 0);
        return;
    }
    pt_grpc_begin_message(&b);
    pt_pb_put_bytes(&b, 2, m->data, m->len);
    put_answer(&b, &asked);
    pt_grpc_send(c, &b);
}

static void end(void *arg, struct pt_grpc_call *c)
{
    (void)arg;
    pt_grpc_finish(c, PT_GRPC_OK, "");
}

const struct pt_grpc_method pt_reflection_grpc_methods[] = {
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, message, end},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true, message, end},
};
const size_t pt_reflection_grpc_method_count = sizeof pt_reflection_grpc_methods / sizeof pt_reflection_grpc_methods[0];
