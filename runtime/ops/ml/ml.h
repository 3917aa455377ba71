/* SPDX-License-Identifier: Apache-2.0
 *
 * ml.h: what the operators of ai.onnx.ml share: matrices with a sample per row, class labels, and what is done to scores at the end.
 */
#ifndef PT_RUNTIME_OPS_ML_H
#define PT_RUNTIME_OPS_ML_H

#include "runtime/ops/dict.h"

#define PT_ML_DOMAIN "ai.onnx.ml"
#define PT_ML_NUM (PT_TS_FLOAT | PT_TS_INDEX)

/* Input i as rows of columns: rank 2, or rank 1 as one row. */
int pt_ml_matrix(struct pt_op_ctx *c, int i, int64_t *rows, int64_t *columns);
/* The same of a tensor known to be such a matrix. */
static inline int64_t pt_ml_rows(const struct pt_tensor *x)
{
    return x->rank == 2 ? x->dims[0] : 1;
}
static inline int64_t pt_ml_columns(const struct pt_tensor *x)
{
    return x->dims[x->rank - 1];
}

/* Element `to` of y <- element `from` of x, both numbers of any type. */
void pt_ml_convert(struct pt_tensor *y, int64_t to, const struct pt_tensor *x, int64_t from);

/* --- pieces of rows on the pool ----------------------------------------------------------------------------------------------------- */
#define PT_ML_PIECES 16
/* Calls fn(arg, piece, first, end) for disjoint ranges of rows, piece < PT_ML_PIECES, so that each can have memory of its own. `work`: operations
 * that a row takes, about; for few of them no thread is woken. */
typedef void (*pt_ml_rows_fn)(void *arg, int piece, int64_t first, int64_t end);
void pt_ml_each_row(struct pt_threads *t, int64_t rows, int64_t work, pt_ml_rows_fn fn, void *arg);

/* --- scores ---------------------------------------------------------------------------------------------------------------------------- */
enum pt_ml_post { PT_ML_NONE, PT_ML_SOFTMAX, PT_ML_LOGISTIC, PT_ML_SOFTMAX_ZERO, PT_ML_PROBIT, PT_ML_POST_COUNT };
/* Attribute 'post_transform'. */
int pt_ml_read_post(struct pt_op_ctx *c, int *post);
void pt_ml_post(int post, double *s, int64_t n);

/* How one score becomes those of two classes. */
enum pt_ml_second {
    PT_ML_ALONE,      /* it stays one */
    PT_ML_COMPLEMENT, /* 1 - s, s: it is a probability already */
    PT_ML_OPPOSITE,   /* -s, s */
};
/* z <- the n scores after post and second; how many there are. s has room for two. */
int64_t pt_ml_write_scores(int post, enum pt_ml_second second, double *s, int64_t n, float *z);

/* --- labels ---------------------------------------------------------------------------------------------------------------------------- */
struct pt_ml_labels {
    struct pt_tensor list; /* int64 or strings */
    int64_t count;
};
/* Exactly one of the two attributes must be given. */
int pt_ml_read_labels(struct pt_op_ctx *c, const char *ints, const char *strings, struct pt_ml_labels *l);
/* Row `row` of y (or of nothing) <- label `which`; beyond the list, the number itself. */
void pt_ml_put_label(const struct pt_ml_labels *l, struct pt_tensor *y, int64_t row, int64_t which);
int64_t pt_ml_best(const double *s, int64_t n); /* index of the first greatest */

#endif
