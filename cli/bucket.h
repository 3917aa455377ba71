/* SPDX-License-Identifier: Apache-2.0
 *
 * bucket.h: files and small texts in an S3 bucket, one request after the other, each on the bucket's own loop until it is done. What may pass (no
 * connection, 429, 5xx) is tried again with growing pauses. A file goes in parts when it is larger than one: each part is tried again by itself, so
 * that there is no limit of 5 GB and a connection that breaks costs one part. Never two threads at a time.
 */
#ifndef PT_CLI_BUCKET_H
#define PT_CLI_BUCKET_H

#include "base/buf.h"

struct pt_bucket;
int pt_bucket_create(struct pt_bucket **out, struct pt_err *err);
void pt_bucket_destroy(struct pt_bucket *b);
/* uri: s3://BUCKET/KEY. PT_EDENIED, PT_EUNAVAILABLE; what the server said is in the message. */
int pt_bucket_put_file(struct pt_bucket *b, const char *uri, const char *file, struct pt_err *err);
int pt_bucket_put(struct pt_bucket *b, const char *uri, struct pt_str text, struct pt_err *err);
/* Appended to out, up to its cap. PT_ENOTFOUND: there is no such object. */
int pt_bucket_get(struct pt_bucket *b, const char *uri, struct pt_buf *out, struct pt_err *err);
int pt_bucket_remove(struct pt_bucket *b, const char *uri, struct pt_err *err); /* also what is not there */

/* What the answer to "begin an upload in parts" calls the upload, percent-encoded as part of a query. PT_EUNAVAILABLE: it has no such name. */
int pt_bucket_read_upload(struct pt_str answer, char id[1024], struct pt_err *err);

#endif
