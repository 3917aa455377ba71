/* SPDX-License-Identifier: Apache-2.0
 *
 * gzip.h: whole bodies and messages in and out of gzip and deflate (zlib inside). No state is kept between calls.
 */
#ifndef PT_NET_GZIP_H
#define PT_NET_GZIP_H

#include "base/buf.h"

enum pt_encoding { PT_ENC_IDENTITY, PT_ENC_GZIP, PT_ENC_DEFLATE };

/* The value of a Content-Encoding or grpc-encoding header; empty is identity. PT_EUNSUPPORTED names it. */
int pt_encoding_parse(struct pt_str value, enum pt_encoding *out, struct pt_err *err);
const char *pt_encoding_name(enum pt_encoding e);
/* What an Accept-Encoding header allows that we like best: gzip, then deflate (a weight of 0 forbids; "*" is not followed). */
enum pt_encoding pt_encoding_choose(struct pt_str accept);

/* Appends the plain bytes to out. Over max_bytes in all: PT_ELIMIT, after no more than that was inflated. PT_EPARSE for broken or cut input, or bytes
 * behind its end. gzip takes several members; deflate takes the zlib form and, as some clients send it, the raw one. */
int pt_inflate(enum pt_encoding e, struct pt_str in, size_t max_bytes, struct pt_buf *out, struct pt_err *err);
/* Appends the compressed bytes, at zlib's fastest level: the other end is usually near. */
int pt_deflate(enum pt_encoding e, struct pt_str in, struct pt_buf *out, struct pt_err *err);

#endif
