/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.h: weight clustering (Han et al., "Deep Compression", 2016): the weights of a tensor take at most K different values, so that a compressed
 * file is small. The model stays one of floats and computes as fast as before.
 */
#ifndef PT_RUNTIME_COMPRESS_CLUSTER_H
#define PT_RUNTIME_COMPRESS_CLUSTER_H

#include "runtime/compress/edit.h"
#include "runtime/train/train.h"

enum pt_cluster_start {
    PT_CLUSTER_PLUSPLUS /* k-means++ (Arthur & Vassilvitskii 2007) */,
    PT_CLUSTER_LINEAR /* evenly from the least to the greatest */
};
extern const char *const pt_cluster_starts[]; /* k-means++, linear */
struct pt_cluster_options {
    int64_t clusters; /* values of a tensor, zero included where it is kept; 2 to 4096 */
    enum pt_cluster_start start;
    bool keep_zeros;      /* weights that are zero stay zero: they count as one cluster */
    int64_t rounds;       /* of Lloyd's; 0: until nothing moves, at most 100 */
    int64_t min_elements; /* smaller tensors are left; 0: 1024 */
    uint64_t seed;
    const struct pt_str *skip; /* names of nodes, initializers, or types of operators */
    size_t skip_count;
};
struct pt_cluster_tensor {
    struct pt_str name, node;           /* initializer, and the node that reads it */
    int64_t elements, values;           /* values: different ones now */
    double sqnr;                        /* dB */
    double bits;                        /* entropy of a weight now, in bits: what a perfect coder needs */
    uint64_t bytes_before, bytes_coded; /* coded: indices at that entropy, and the table of values */
};
struct pt_cluster_report {
    struct pt_cluster_tensor *tensors;
    struct pt_arena arena; /* of the names in it */
    size_t count;
    uint64_t bytes_before, bytes_coded; /* of all initializers; those that are not clustered count as they are */
};
void pt_cluster_report_finish(struct pt_cluster_report *r);
int pt_cluster_report_json(const struct pt_cluster_report *r, struct pt_buf *out, struct pt_err *err);

/* Clusters the weights of Conv, ConvTranspose, Gemm, MatMul and Gather (embeddings) in place. */
int pt_cluster(struct pt_edit *model, const struct pt_cluster_options *o, struct pt_cluster_report *report, struct pt_err *err);
/* Trains a clustered model: the weights of a cluster move together, by the mean of their steps. What is clustered is what has at
 * most max_values different values. */
int pt_cluster_train(struct pt_edit *model, int64_t max_values, const struct pt_data *train, const struct pt_data *held_out,
                     const struct pt_train_options *t, struct pt_train_result *result, struct pt_err *err);

#endif
