/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/train/checkpoint.h"

#include "base/path.h"
#include "runtime/onnx/onnx.h"

#define MAGIC "PTTRAIN1"
#define HEAD 24 /* magic, fingerprint, count */
#define SUM 20

int pt_checkpoint_save(const char *path, uint64_t fingerprint, const struct pt_checkpoint_part *parts, size_t count, struct pt_err *err)
{
    struct pt_buf b = {0};
    uint8_t sum[SUM];
    uint64_t n = count;
    pt_buf_append(&b, MAGIC, 8);
    pt_buf_append(&b, &fingerprint, 8);
    pt_buf_append(&b, &n, 8);
    for (size_t i = 0; i < count; i++) {
        uint64_t len = parts[i].bytes;
        pt_buf_append(&b, &len, 8);
        pt_buf_append(&b, parts[i].data, parts[i].bytes);
    }
    if (!b.failed) {
        pt_sha1(b.data, b.len, sum);
        pt_buf_append(&b, sum, sizeof sum);
    }
    int rc = pt_buf_check(&b, "a checkpoint", err);
    if (rc == PT_OK)
        rc = pt_path_write_atomic(path, b.data, b.len, 0644, err);
    pt_buf_finish(&b);
    return rc;
}

static int damaged(const char *where, struct pt_err *err)
{
    return pt_fail(err, PT_EPARSE, "%s: the checkpoint is damaged; remove it to start anew", where);
}

int pt_checkpoint_parse(struct pt_str bytes, const char *where, uint64_t fingerprint, const struct pt_checkpoint_part *parts, size_t count,
                        struct pt_err *err)
{
    uint64_t head[2];
    uint8_t sum[SUM];
    if (bytes.len < HEAD + SUM || memcmp(bytes.p, MAGIC, 8) != 0)
        return pt_fail(err, PT_EPARSE, "%s is no checkpoint of a training", where);
    pt_sha1(bytes.p, bytes.len - SUM, sum);
    if (memcmp(sum, bytes.p + bytes.len - SUM, SUM) != 0)
        return damaged(where, err);
    memcpy(head, bytes.p + 8, sizeof head);
    if (head[0] != fingerprint || head[1] != count)
        return pt_fail(err, PT_ECONFLICT, "%s is the checkpoint of another training: model, data or options differ", where);
    for (int fill = 0; fill < 2; fill++) {
        struct pt_str rest = {bytes.p + HEAD, bytes.len - HEAD - SUM};
        for (size_t i = 0; i < count; i++) {
            uint64_t len;
            if (rest.len < 8)
                return damaged(where, err);
            memcpy(&len, rest.p, 8);
            rest.p += 8, rest.len -= 8;
            if (len != parts[i].bytes || rest.len < len)
                return len != parts[i].bytes
                           ? pt_fail(err, PT_ECONFLICT, "%s is the checkpoint of another training: part %zu has %llu bytes, not %zu", where, i,
                                     (unsigned long long)len, parts[i].bytes)
                           : damaged(where, err);
            if (fill && len)
                memcpy(parts[i].data, rest.p, len);
            rest.p += len, rest.len -= len;
        }
        if (rest.len)
            return damaged(where, err);
    }
    return PT_OK;
}

int pt_checkpoint_load(const char *path, uint64_t fingerprint, const struct pt_checkpoint_part *parts, size_t count, struct pt_err *err)
{
    struct pt_buf b = {0};
    int rc = pt_buf_read_file(&b, path, err);
    if (rc == PT_OK)
        rc = pt_checkpoint_parse((struct pt_str){b.data, b.len}, path, fingerprint, parts, count, err);
    pt_buf_finish(&b);
    return rc;
}
