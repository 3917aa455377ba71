/* SPDX-License-Identifier: Apache-2.0
 *
 * data_files.h: labelled samples in the forms that people keep them in: NumPy archives, CSV, IDX, folders of images. What comes out is what the file
 * says; fitting it to a model is cli/data.c's. The parsers work on bytes in memory and meet any input; messages name line, value or member, the
 * caller puts the file's name in front.
 */
#ifndef PT_CLI_DATA_FILES_H
#define PT_CLI_DATA_FILES_H

#include "cli/tensor_file.h"

#define PT_DATA_MAX ((size_t)16 << 30) /* bytes of one array */

/* Arrays with names, and labels where the file has them. Labels are int64 or float32 of rank 1, or strings: names of classes. */
struct pt_data_file {
    struct pt_data_array {
        char *name; /* "" where the form has no names */
        struct pt_tensor_file value;
    } * arrays;
    size_t count;
    struct pt_tensor_file labels; /* dtype 0: none */
    bool pixels;                  /* the array holds bytes 0 to 255 of images, [n, h, w, channels] or [n, h, w] */
    char **classes;               /* names that the labels 0, 1, ... stand for, or NULL */
    size_t class_count;
};
void pt_data_file_finish(struct pt_data_file *f);
/* A new array; its value is to be filled. NULL: out of memory, written. */
struct pt_tensor_file *pt_data_file_add(struct pt_data_file *f, struct pt_str name, struct pt_err *err);

/* NumPy's archive: a zip file of .npy members, stored or deflated; `max` bounds what a member becomes. The member called `labels` (NULL: "labels" or
 * "y", where there is one) is no input. */
int pt_npz_parse(const void *bytes, size_t len, const char *labels, size_t max, struct pt_data_file *out, struct pt_err *err);

enum pt_task { PT_TASK_AUTO, PT_TASK_CLASSIFICATION, PT_TASK_REGRESSION };
/* RFC 4180, or with semicolons or tabs where the header has no comma. The first line names the columns. label: a column's name, or its number from 1;
 * "": none; NULL: the column "label", "class", "target" or "y". All others are numbers, float32 [n, columns]. */
int pt_csv_parse(const void *bytes, size_t len, const char *label, enum pt_task task, struct pt_data_file *out, struct pt_err *err);

/* LeCun's format: 0 0 type rank dims data, big-endian. One array; labels are an array of rank 1. */
int pt_idx_parse(const void *bytes, size_t len, struct pt_data_file *out, struct pt_err *err);
/* Undoes gzip when the bytes begin so, else *out is empty. */
int pt_gunzip(const void *bytes, size_t len, size_t max, struct pt_buf *out, struct pt_err *err);

/* One image, PNG or JPEG, as width x height x channels bytes (1: grey, 3: RGB; transparency lies on black), resized bilinearly. */
struct pt_image_shape {
    int64_t height, width, channels;
};
int pt_image_parse(const void *bytes, size_t len, const struct pt_image_shape *want, uint8_t *out, struct pt_err *err);
/* DIR/CLASS/IMAGE.png|jpg|jpeg: folders in the order of their names, and so the images. classes (NULL: the folders that are there): then each
 * folder must be one of them. */
int pt_image_folder_read(const char *dir, const struct pt_image_shape *want, const char *const *classes, size_t class_count, struct pt_data_file *out,
                         struct pt_err *err);

#endif
