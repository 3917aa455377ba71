/* SPDX-License-Identifier: Apache-2.0
 *
 * depth.c: DepthToSpace (DCR and CRD order) and SpaceToDepth: blocks of pixels to channels and back.
 */
#include "runtime/ops/types.h"

struct depth {
    int64_t block;
    int mode; /* 0 DCR, 1 CRD */
};

static int read_block(struct pt_op_ctx *c)
{
    static const char *const modes[] = {"DCR", "CRD", NULL};
    struct depth *p = c->params;
    int rc = pt_attr_int(c, "blocksize", 0, 1, INT32_MAX, &p->block);
    if (rc == PT_OK)
        rc = pt_attr_choice(c, "mode", modes, 0, &p->mode);
    if (rc < 0)
        return rc;
    if (p->block < 1 || c->in[0]->rank != 4)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 4 and attribute 'blocksize' be given", PT_SHAPE(c->in[0]));
    return PT_OK;
}

static int to_space_infer(struct pt_op_ctx *c)
{
    const struct depth *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int rc = read_block(c);
    int64_t b = p->block, dims[4];
    if (rc < 0)
        return rc;
    if (x->dims[1] % (b * b) || __builtin_mul_overflow(x->dims[2], b, &dims[2]) || __builtin_mul_overflow(x->dims[3], b, &dims[3]))
        return pt_op_fail(c, PT_EINVAL, "channels of %s are not a multiple of %lld squared", PT_SHAPE(x), (long long)b);
    dims[0] = x->dims[0];
    dims[1] = x->dims[1] / (b * b);
    pt_op_set_out(c, 0, x->dtype, 4, dims);
    return PT_OK;
}

static int to_depth_infer(struct pt_op_ctx *c)
{
    const struct depth *p = c->params;
    const struct pt_tensor *x = c->in[0];
    int rc = read_block(c);
    int64_t b = p->block, dims[4];
    if (rc < 0)
        return rc;
    if (x->dims[2] % b || x->dims[3] % b || __builtin_mul_overflow(x->dims[1], b * b, &dims[1]))
        return pt_op_fail(c, PT_EINVAL, "image of %s is not a multiple of %lld", PT_SHAPE(x), (long long)b);
    dims[0] = x->dims[0];
    dims[2] = x->dims[2] / b;
    dims[3] = x->dims[3] / b;
    pt_op_set_out(c, 0, x->dtype, 4, dims);
    return PT_OK;
}

/* Walks the image with small channels `s` (many pixels); its partner `d` has the channels. */
static int move(struct pt_op_ctx *c, bool to_space)
{
    const struct depth *p = c->params;
    const struct pt_tensor *s = to_space ? c->out[0] : c->in[0], *d = to_space ? c->in[0] : c->out[0];
    size_t size = pt_dtype_size(s->dtype);
    int64_t b = p->block, ch = s->dims[1], h = s->dims[2], w = s->dims[3], count = pt_tensor_count(s);
    for (int64_t i = 0; i < count; i++) {
        int64_t x = i % w, y = i / w % h, k = i / (w * h) % ch, n = i / (w * h * ch), in_block = y % b * b + x % b;
        int64_t dc = p->mode ? k * b * b + in_block : in_block * ch + k;
        int64_t at = ((n * d->dims[1] + dc) * d->dims[2] + y / b) * d->dims[3] + x / b;
        memcpy((char *)c->out[0]->data + (size_t)(to_space ? i : at) * size, (const char *)c->in[0]->data + (size_t)(to_space ? at : i) * size, size);
    }
    return PT_OK;
}

static int to_space_run(struct pt_op_ctx *c)
{
    return move(c, true);
}

static int to_depth_run(struct pt_op_ctx *c)
{
    return move(c, false);
}

const struct pt_op pt_op_depth_to_space = {.type = "DepthToSpace",
                                           .since = {1, 11, 13},
                                           .min_in = 1,
                                           .max_in = 1,
                                           .max_out = 1,
                                           .types = {PT_TS_BYTES},
                                           .params_size = sizeof(struct depth),
                                           .infer = to_space_infer,
                                           .run = to_space_run};
const struct pt_op pt_op_space_to_depth = {.type = "SpaceToDepth",
                                           .since = {1, 13},
                                           .min_in = 1,
                                           .max_in = 1,
                                           .max_out = 1,
                                           .types = {PT_TS_BYTES},
                                           .params_size = sizeof(struct depth),
                                           .infer = to_depth_infer,
                                           .run = to_depth_run};
