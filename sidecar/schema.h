/* SPDX-License-Identifier: Apache-2.0
 *
 * schema.h: the messages and services of our gRPC protocols as short texts, and protobuf's FileDescriptorProto made from them: for server
 * reflection, by which tools like grpcurl learn what to send.
 *
 * A text has a line per fact; words are separated by one blank:
 *     m NAME                  a message; N.M is M nested in N
 *     NUMBER TYPE NAME        its field; TYPE is a scalar, or a message or enum of this or an imported file, written with its package;
 *                             "*" before TYPE: repeated; "%": a map from string; "?GROUP" after NAME: one of that group
 *     e NAME                  an enum;  = NUMBER NAME  its value
 *     s NAME                  a service;  NAME REQUEST RESPONSE [><]  its method; ">": the client streams, "<": the server does
 */
#ifndef PT_SIDECAR_SCHEMA_H
#define PT_SIDECAR_SCHEMA_H

#include "base/buf.h"

struct pt_schema {
    const char *file, *package, *imports; /* files, separated by blanks */
    const char *text;
};
extern const struct pt_schema pt_schemas[];
extern const size_t pt_schema_count;

/* Appends the FileDescriptorProto. */
void pt_schema_describe(const struct pt_schema *s, struct pt_buf *out);
/* The file that declares a message, enum, service, method or field by its full name; NULL. */
const struct pt_schema *pt_schema_of_symbol(struct pt_str name);
const struct pt_schema *pt_schema_of_file(struct pt_str file);
/* fn for each service, by its full name. */
void pt_schema_each_service(void (*fn)(void *arg, struct pt_str package, struct pt_str name), void *arg);

#endif
