/* SPDX-License-Identifier: Apache-2.0
 *
 * tfs.h: what both forms of TensorFlow Serving's protocol share: one signature, "serving_default", whose inputs and outputs are the model's;
 * rows of examples; which outputs are scores.
 */
#ifndef PT_SIDECAR_TFS_H
#define PT_SIDECAR_TFS_H

#include "sidecar/frontend.h"

enum pt_tfs_method { PT_TFS_PREDICT, PT_TFS_CLASSIFY, PT_TFS_REGRESS, PT_TFS_MULTI /* several of them; gRPC only, as */, PT_TFS_SESSION };
#define PT_TFS_SIGNATURE "serving_default"

/* "" or "serving_default"; else PT_EINVAL. */
int pt_tfs_check_signature(struct pt_str name, struct pt_err *err);
/* A version of 0 is the latest. Fails in TensorFlow Serving's words. */
int pt_tfs_find(struct pt_frontend *f, struct pt_model_ref *ref, struct pt_model_view *v, struct pt_err *err);
/* AVAILABLE and its number */
const char *pt_tfs_state(const struct pt_model_view *v, unsigned *number);
const char *pt_tfs_method_name(enum pt_tfs_method m); /* "tensorflow/serving/predict" */
const char *pt_tfs_dtype_name(const struct pt_datatype *t);

/* --- requests of rows: `count` rows, each with a value per input ---------------------------------------------------------------------- */

struct pt_tfs_column {
    int rank; /* of one row's value, as the client nests it; -1: no row was seen yet */
    int64_t dims[PT_MAX_RANK];
    size_t elements, seen; /* of a row; rows */
};
struct pt_tfs_rows {
    struct pt_request *q;
    size_t count, most;
    struct pt_tfs_column *columns; /* one per input */
};
/* most: elements that the client's bytes can hold at all; no room for more is made. */
int pt_tfs_rows_init(struct pt_tfs_rows *r, struct pt_request *q, size_t count, size_t most, struct pt_err *err);
/* Where the value of this row goes. In the first row it fixes the input's shape: that of the value, or the model's own when the value is a flat
 * list with as many elements. PT_EINVAL when rows differ or an input is given twice. */
int pt_tfs_rows_place(struct pt_tfs_rows *r, size_t row, size_t input, const int64_t *dims, int rank, void **place, struct pt_err *err);
int pt_tfs_rows_end(const struct pt_tfs_rows *r, size_t row, struct pt_err *err); /* has it all inputs? */

/* --- classes and values ------------------------------------------------------------------------------------------------------------------ */

/* Sets which outputs are wanted: for PT_TFS_PREDICT all. */
int pt_tfs_choose(struct pt_request *q, enum pt_tfs_method m, struct pt_err *err);
struct pt_tfs_scores {
    const struct pt_tensor *scores, *labels; /* labels may be NULL: a class is called by its index */
    size_t rows, classes;                    /* scores is [rows, classes] or, to regress, [rows] or [rows, 1] */
    bool label_per_row;                      /* labels is [rows, classes]; else [classes] */
};
int pt_tfs_scores(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, struct pt_tfs_scores *s, struct pt_err *err);
double pt_tfs_score(const struct pt_tfs_scores *s, size_t row, size_t k);
struct pt_str pt_tfs_label(const struct pt_tfs_scores *s, size_t row, size_t k, char text[24]);

/* --- REST bodies (tfs_json.c, tfs_answer.c) ------------------------------------------------------------------------------------------------ */

int pt_tfs_json_decode(struct pt_request *q, struct pt_str body, enum pt_tfs_method m, bool *columns, struct pt_err *err);
int pt_tfs_json_encode(struct pt_request *q, const struct pt_tensor *const *outputs, enum pt_tfs_method m, bool columns, struct pt_buf *out,
                       struct pt_err *err);
void pt_tfs_write_metadata(const struct pt_model_view *v, struct pt_buf *out);
void pt_tfs_write_status(const struct pt_model_view *v, struct pt_buf *out); /* an element of model_version_status */

#endif
