/* SPDX-License-Identifier: Apache-2.0
 *
 * data.c: see data.h. Reading by form; labels; the part that is held out.
 */
#include "cli/data.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "cli/data_fit.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#define AT(member) offsetof(struct pt_data_options, member)
static const char *const tasks[] = {"auto", "classification", "regression", NULL};
const struct pt_cmd_option pt_data_rows[] = {
    {"data", PT_CMD_TEXT, AT(train), .letter = 'd', .key = "train", .value = "FILE",
     .help = "samples to learn from: .npz, .npy, .csv, IDX (also .gz), or a folder DIR/CLASS/*.png|jpg"},
    {"labels", PT_CMD_TEXT, AT(labels), .value = "FILE|NAME",
     .help = "their labels, where the data file holds none: .npy or IDX; of an .npz: the array's name, otherwise labels or y"},
    {"held-out", PT_CMD_TEXT, AT(held_out), .value = "FILE|SHARE",
     .help = "samples to judge by, never learned from: a file, or a share of the data (0.1), drawn by class"},
    {"held-out-labels", PT_CMD_TEXT, AT(held_out_labels), .value = "FILE|NAME", .help = "their labels"},
    {"calibration", PT_CMD_TEXT, AT(calibration), .value = "FILE", .help = "samples for ranges of quantisation; otherwise the data"},
    {"label-column", PT_CMD_TEXT, AT(label_column), .value = "COLUMN",
     .help = "of a CSV file: name, or number from 1; otherwise label, class, target or y"},
    {"task", PT_CMD_CHOICE, AT(task), .words = tasks, .def = "auto",
     .help = "what labels are: classes or numbers; auto: fractions are numbers, all else are classes"},
    {"scale", PT_CMD_REAL, AT(scale), .def = "0", .help = "what values are multiplied with; 0: 1/255 for images, else 1"},
    {"mean", PT_CMD_LIST, AT(mean), .value = "X,...", .help = "taken off behind that, one number or one a channel"},
    {"std", PT_CMD_LIST, AT(std), .value = "X,...", .help = "what is divided by in the end, one number or one a channel"},
};
const size_t pt_data_row_count = sizeof pt_data_rows / sizeof *pt_data_rows;

void pt_samples_finish(struct pt_samples *s)
{
    for (size_t i = 0; i < s->input_count; i++)
        pt_tensor_file_finish(&s->inputs[i]);
    pt_free(s->inputs);
    pt_free(s->views);
    pt_tensor_file_finish(&s->labels);
    *s = (struct pt_samples){0};
}

void pt_data_set_finish(struct pt_data_set *s)
{
    pt_samples_finish(&s->train);
    pt_samples_finish(&s->held_out);
    pt_samples_finish(&s->calibration);
    for (size_t i = 0; i < s->class_count; i++)
        pt_free(s->classes[i]);
    pt_free(s->classes);
    *s = (struct pt_data_set){0};
}

/* --- files ------------------------------------------------------------------------------------------------------------------------------------- */

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcasecmp(path + n - m, ending) == 0;
}

static int parse_bytes(const char *path, struct pt_str bytes, const struct pt_data_options *o, const char *labels, struct pt_data_file *out,
                       struct pt_err *err)
{
    if (ends_in(path, ".npz"))
        return pt_npz_parse(bytes.p, bytes.len, labels, PT_DATA_MAX, out, err);
    if (ends_in(path, ".csv") || ends_in(path, ".tsv"))
        return pt_csv_parse(bytes.p, bytes.len, o->label_column, (enum pt_task)o->task, out, err);
    if (ends_in(path, ".npy")) {
        struct pt_tensor_file *to = pt_data_file_add(out, PT_STR(""), err);
        return to ? pt_npy_parse(bytes.p, bytes.len, to, err) : PT_ENOMEM;
    }
    if (bytes.len >= 4 && bytes.p[0] == 0 && bytes.p[1] == 0)
        return pt_idx_parse(bytes.p, bytes.len, out, err);
    return pt_fail(err, PT_EUNSUPPORTED, "is none of .npz, .npy, .csv, IDX, or a folder of images");
}

static int read_file(const char *path, const struct pt_data_options *o, const struct pt_edit *model, const char *labels, const char *const *classes,
                     size_t class_count, struct pt_data_file *out, struct pt_err *err)
{
    struct stat st;
    pt_auto_buf file = PT_BUF_INIT(0), plain = PT_BUF_INIT(0);
    *out = (struct pt_data_file){0};
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        struct pt_image_shape shape;
        int rc = pt_data_image_shape(model, &shape, NULL, err);
        return rc < 0 ? pt_wrap(err, "%s", path) : pt_image_folder_read(path, &shape, classes, class_count, out, err);
    }
    int rc = pt_buf_read_file(&file, path, err);
    if (rc < 0)
        return rc;
    rc = pt_gunzip(file.data, file.len, PT_DATA_MAX, &plain, err);
    struct pt_buf *b = plain.len ? &plain : &file;
    if (rc == PT_OK)
        rc = parse_bytes(path, (struct pt_str){b->data, b->len}, o, labels, out, err);
    if (rc < 0) {
        pt_data_file_finish(out);
        return pt_wrap(err, "%s", path);
    }
    return PT_OK;
}

int pt_data_file_read(const char *path, const struct pt_data_options *o, const struct pt_edit *model, const char *const *classes, size_t class_count,
                      struct pt_data_file *out, struct pt_err *err)
{
    return read_file(path, o, model, NULL, classes, class_count, out, err);
}

/* --- labels ------------------------------------------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that occur, sorted, each once. */
static int collect_classes(struct pt_data_set *s, const struct pt_tensor *labels, struct pt_err *err)
{
    const struct pt_string *text = labels->data;
    int64_t n = pt_tensor_count(labels);
    s->classes = pt_calloc((size_t)n + 1, sizeof *s->classes);
    for (int64_t i = 0; s->classes && i < n; i++) {
        if (!(s->classes[i] = pt_strndup(text[i].p, text[i].len)))
            return pt_fail(err, PT_ENOMEM, "out of memory");
        s->class_count++;
    }
    if (!s->classes)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    qsort(s->classes, s->class_count, sizeof *s->classes, by_text);
    size_t kept = 0;
    for (size_t i = 0; i < s->class_count; i++)
        if (kept && strcmp(s->classes[kept - 1], s->classes[i]) == 0)
            pt_free(s->classes[i]);
        else
            s->classes[kept++] = s->classes[i];
    s->class_count = kept;
    return PT_OK;
}

static int64_t class_of(const struct pt_data_set *s, const struct pt_string *text)
{
    for (size_t i = 0; i < s->class_count; i++)
        if (strlen(s->classes[i]) == text->len && memcmp(s->classes[i], text->p, text->len) == 0)
            return (int64_t)i;
    return -1;
}

static int name_labels(struct pt_data_set *s, const struct pt_tensor *from, struct pt_tensor_file *out, struct pt_err *err)
{
    int rc = s->classes ? PT_OK : collect_classes(s, from, err);
    if (rc == PT_OK)
        rc = pt_tensor_file_alloc(out, PT_INT64, 1, from->dims, err);
    for (int64_t i = 0; rc == PT_OK && i < from->dims[0]; i++) {
        const struct pt_string *text = (const struct pt_string *)from->data + i;
        if ((((int64_t *)out->t.data)[i] = class_of(s, text)) < 0)
            rc = pt_fail(err, PT_EINVAL, "label \"%.*s\" of sample %lld is no class of the model", (int)(text->len > 60 ? 60 : text->len), text->p,
                         (long long)i);
    }
    return rc;
}

/* Labels of any numeric type as classes or as numbers. */
static int number_labels(const struct pt_tensor *from, enum pt_task task, struct pt_tensor_file *out, struct pt_err *err)
{
    int64_t n = pt_tensor_count(from);
    bool fraction = from->dtype == PT_FLOAT || from->dtype == PT_DOUBLE || from->dtype == PT_FLOAT16;
    bool classes = task == PT_TASK_CLASSIFICATION || (task == PT_TASK_AUTO && !fraction);
    int64_t dims[PT_MAX_RANK];
    int rank = from->rank == 1 && !classes ? 2 : from->rank;
    memcpy(dims, from->dims, sizeof dims);
    if (rank > from->rank)
        dims[1] = 1;
    if (classes && rank == 2 && dims[1] == 1)
        rank = 1;
    if (classes && rank != 1)
        return pt_fail(err, PT_EINVAL, "labels of classes have rank %d, must have 1", from->rank);
    int rc = pt_tensor_file_alloc(out, classes ? PT_INT64 : PT_FLOAT, rank, dims, err);
    for (int64_t i = 0; rc == PT_OK && i < n; i++) {
        double v = pt_data_value(from, i);
        if (!isfinite(v) || (classes && (v < 0 || v > 1e9 || v != floor(v))))
            return pt_fail(err, PT_EINVAL, "label %g of sample %lld is no %s", v, (long long)(i / (n / dims[0])),
                           classes ? "class: 0, 1, 2, ..." : "number");
        if (classes)
            ((int64_t *)out->t.data)[i] = (int64_t)v;
        else
            ((float *)out->t.data)[i] = (float)v;
    }
    return rc;
}

static int take_labels(struct pt_data_set *s, const struct pt_data_options *o, const struct pt_tensor *from, struct pt_samples *to,
                       struct pt_err *err)
{
    if (from->rank < 1 || from->dims[0] != to->data.count)
        return pt_fail(err, PT_EINVAL, "%lld labels for %lld samples", from->rank < 1 ? 1LL : (long long)from->dims[0], (long long)to->data.count);
    int rc = from->dtype == PT_STRING ? name_labels(s, from, &to->labels, err) : number_labels(from, (enum pt_task)o->task, &to->labels, err);
    if (rc == PT_OK)
        to->data.labels = to->labels.t;
    return rc;
}

/* --- sets -----------------------------------------------------------------------------------------------------------------------------------------
 */

/* The labels' file, where they are not with the samples. */
static int read_labels(struct pt_data_set *s, const struct pt_data_options *o, const char *path, const struct pt_edit *model, struct pt_samples *to,
                       struct pt_err *err)
{
    struct pt_data_file f;
    struct pt_data_options plain = *o;
    plain.label_column = "";
    int rc = read_file(path, &plain, model, NULL, NULL, 0, &f, err);
    if (rc < 0)
        return rc;
    if (f.count != 1)
        rc = pt_fail(err, PT_EINVAL, "%s: %zu arrays, labels are one", path, f.count);
    else if ((rc = take_labels(s, o, &f.arrays[0].value.t, to, err)) < 0)
        pt_wrap(err, "%s", path);
    pt_data_file_finish(&f);
    return rc;
}

static int read_samples(struct pt_data_set *s, const struct pt_data_options *o, const char *path, const char *labels, const struct pt_edit *model,
                        struct pt_samples *out, struct pt_err *err)
{
    struct pt_data_file f;
    bool inside = labels && ends_in(path, ".npz");
    int rc = read_file(path, o, model, inside ? labels : NULL, (const char *const *)s->classes, s->class_count, &f, err);
    if (rc < 0)
        return rc;
    rc = pt_data_fit(&f, o, model, out, err);
    if (rc == PT_OK && f.classes && !s->classes) {
        s->classes = pt_steal(f.classes);
        s->class_count = f.class_count;
        f.class_count = 0;
    }
    if (rc == PT_OK && f.labels.t.dtype)
        rc = take_labels(s, o, &f.labels.t, out, err);
    if (rc < 0)
        pt_wrap(err, "%s", path);
    else if (labels && !inside)
        rc = f.labels.t.dtype ? pt_fail(err, PT_EINVAL, "%s has labels: none are taken from %s", path, labels)
                              : read_labels(s, o, labels, model, out, err);
    pt_data_file_finish(&f);
    return rc;
}

static int gather(const struct pt_samples *from, const int64_t *at, int64_t n, struct pt_samples *out, struct pt_err *err)
{
    *out = (struct pt_samples){.inputs = pt_calloc(from->input_count + 1, sizeof *out->inputs),
                               .views = pt_calloc(from->input_count + 1, sizeof *out->views),
                               .input_count = from->input_count};
    if (!out->inputs || !out->views)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (size_t i = 0; i <= from->input_count; i++) {
        const struct pt_tensor *t = i < from->input_count ? &from->views[i] : &from->labels.t;
        struct pt_tensor_file *to = i < from->input_count ? &out->inputs[i] : &out->labels;
        int64_t dims[PT_MAX_RANK];
        memcpy(dims, t->dims, sizeof dims);
        dims[0] = n;
        if (!t->dtype)
            continue;
        int rc = pt_tensor_file_alloc(to, t->dtype, t->rank, dims, err);
        if (rc < 0)
            return rc;
        pt_data_gather(t, at, n, &to->t);
        if (i < from->input_count)
            out->views[i] = to->t;
    }
    out->data = (struct pt_data){.inputs = out->views, .input_count = out->input_count, .count = n, .labels = out->labels.t};
    return PT_OK;
}

struct place {
    int64_t class, at;
    uint32_t lot;
};

static int by_class(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    if (x->lot != y->lot)
        return x->lot < y->lot ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Of every class (regression: of all) the share with the lowest lots goes, one at least; both parts keep the order. */
int pt_samples_split(const struct pt_samples *all, double share, uint64_t seed, struct pt_samples *stay, struct pt_samples *go, struct pt_err *err)
{
    int64_t n = all->data.count, kept = 0, gone = 0;
    struct pt_rand r;
    pt_auto_free struct place *places = pt_calloc((size_t)n + 1, sizeof *places);
    pt_auto_free int64_t *at = pt_calloc(2 * (size_t)n + 1, sizeof *at);
    *stay = *go = (struct pt_samples){0};
    if (!places || !at)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    pt_rand_init(&r, seed);
    for (int64_t i = 0; i < n; i++)
        places[i] = (struct place){all->labels.t.dtype == PT_INT64 ? ((const int64_t *)all->labels.t.data)[i] : 0, i, pt_rand_u32(&r)};
    qsort(places, (size_t)n, sizeof *places, by_class);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && places[end].class == places[i].class;)
            end++;
        int64_t take = llround(share * (double)(end - i));
        take = take < 1 ? 1 : take;
        if (take >= end - i)
            return all->labels.t.dtype == PT_INT64
                       ? pt_fail(err, PT_EINVAL, "class %lld has %lld sample%s: too few to hold %g of them out", (long long)places[i].class,
                                 (long long)(end - i), end - i == 1 ? "" : "s", share)
                       : pt_fail(err, PT_EINVAL, "%lld sample%s: too few to hold %g of them out", (long long)n, n == 1 ? "" : "s", share);
        for (int64_t k = i; k < end; k++)
            if (k - i < take)
                at[n + gone++] = places[k].at;
            else
                at[kept++] = places[k].at;
    }
    qsort(at, (size_t)kept, sizeof *at, by_number);
    qsort(at + n, (size_t)gone, sizeof *at, by_number);
    int rc = gather(all, at, kept, stay, err);
    return rc < 0 ? rc : gather(all, at + n, gone, go, err);
}

/* Classes that the model knows by name: metadata "pintle.classes", a JSON list. */
static int known_classes(struct pt_data_set *s, const struct pt_edit *model, struct pt_err *err)
{
    for (size_t i = 0; i < model->model.metadata_count; i++) {
        struct pt_json j;
        const struct pt_onnx_pair *m = &model->model.metadata[i];
        int rc;
        if (!pt_str_eq(m->key, PT_STR("pintle.classes")))
            continue;
        pt_json_init(&j, m->value.p, m->value.len);
        rc = pt_json_array(&j, err);
        while (rc >= 0 && (rc = pt_json_element(&j, err)) == 1) {
            pt_auto_buf name = PT_BUF_INIT(4096);
            char **list = pt_reallocarray(s->classes, s->class_count + 1, sizeof *list);
            if (!list)
                return pt_fail(err, PT_ENOMEM, "out of memory");
            s->classes = list;
            if ((rc = pt_json_string(&j, &name, err)) < 0)
                break;
            if (!(s->classes[s->class_count] = pt_strndup(name.data, name.len)))
                return pt_fail(err, PT_ENOMEM, "out of memory");
            s->class_count++;
        }
        if (rc < 0)
            return pt_wrap(err, "the model's metadata \"pintle.classes\"");
    }
    return PT_OK;
}

/* How many classes the model tells apart; 0: it does not say. */
static int64_t classes_of(const struct pt_edit *model)
{
    const struct pt_onnx_graph *g = &model->model.graph;
    const struct pt_onnx_type *t = g->output_count ? &g->outputs[0].type : NULL;
    return t && t->rank == 2 && t->dims[1] > 1 ? t->dims[1] : 0;
}

/* A label that the model has no class for, or a class that nobody can learn, because no sample has it. */
static int check_classes(const struct pt_data_set *s, const struct pt_edit *model, struct pt_err *err)
{
    const struct pt_tensor *labels = &s->train.labels.t;
    if (labels->dtype != PT_INT64)
        return PT_OK;
    int64_t classes = classes_of(model), n = s->train.data.count, most = (int64_t)s->class_count;
    most = (classes > most ? classes : most) - 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t label = ((const int64_t *)labels->data)[i];
        if (classes && label >= classes)
            return pt_fail(err, PT_EINVAL, "label %lld of sample %lld is outside of the model's %lld classes", (long long)label, (long long)i,
                           (long long)classes);
        most = label > most ? label : most;
    }
    if (most >= n)
        return pt_fail(err, PT_EINVAL, "label %lld, and %lld samples: there are empty classes", (long long)most, (long long)n);
    pt_auto_free bool *seen = pt_calloc((size_t)most + 1, sizeof *seen);
    if (!seen)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    for (int64_t i = 0; i < n; i++)
        seen[((const int64_t *)labels->data)[i]] = true;
    for (int64_t c = 0; c <= most; c++)
        if (!seen[c])
            return pt_fail(err, PT_EINVAL, "class %lld%s%s has no samples to learn from", (long long)c, (size_t)c < s->class_count ? ", " : "",
                           (size_t)c < s->class_count ? s->classes[c] : "");
    return PT_OK;
}

static bool is_share(const char *text, double *share)
{
    struct pt_json j;
    pt_json_init(&j, text, strlen(text));
    return pt_json_double(&j, share, NULL) == PT_OK && pt_json_end(&j, NULL) == PT_OK;
}

static int hold_out(struct pt_data_set *s, const struct pt_data_options *o, const struct pt_edit *model, uint64_t seed, struct pt_err *err)
{
    double share;
    struct pt_samples stay = {0};
    if (!is_share(o->held_out, &share))
        return read_samples(s, o, o->held_out, o->held_out_labels, model, &s->held_out, err);
    if (!(share > 0 && share < 1))
        return pt_fail(err, PT_EINVAL, "held-out: \"%s\" is no share between 0 and 1", o->held_out);
    if (!o->train)
        return pt_fail(err, PT_EINVAL, "held-out: %s of what? No data are given", o->held_out);
    if (o->held_out_labels)
        return pt_fail(err, PT_EINVAL, "held-out-labels: samples that are held out of the data have their labels");
    int rc = pt_samples_split(&s->train, share, seed, &stay, &s->held_out, err);
    pt_samples_finish(rc < 0 ? &stay : &s->train);
    if (rc == PT_OK)
        s->train = stay;
    return rc;
}

int pt_data_set_read(struct pt_data_set *s, const struct pt_data_options *o, const struct pt_edit *model, uint64_t seed, struct pt_err *err)
{
    *s = (struct pt_data_set){0};
    int rc = known_classes(s, model, err);
    if (rc == PT_OK && o->train)
        rc = read_samples(s, o, o->train, o->labels, model, &s->train, err);
    if (rc == PT_OK && o->held_out)
        rc = hold_out(s, o, model, seed, err);
    if (rc == PT_OK && o->calibration)
        rc = read_samples(s, o, o->calibration, NULL, model, &s->calibration, err);
    if (rc == PT_OK && s->train.data.count && (rc = check_classes(s, model, err)) < 0)
        pt_wrap(err, "%s", o->train);
    enum pt_dtype a = s->train.labels.t.dtype, b = s->held_out.labels.t.dtype;
    if (rc == PT_OK && a && b && a != b)
        rc = pt_fail(err, PT_EINVAL, "labels of the data are %s, of the held-out samples %s", a == PT_INT64 ? "classes" : "numbers",
                     b == PT_INT64 ? "classes" : "numbers");
    s->loss = (a ? a : b) == PT_FLOAT ? PT_LOSS_MSE : PT_LOSS_CROSS_ENTROPY;
    return rc;
}

int pt_data_set_note(const struct pt_data_set *s, const struct pt_data_options *o, struct pt_edit *model, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    (void)o;
    if (!s->class_count)
        return PT_OK;
    for (size_t i = 0; i < s->class_count; i++) {
        pt_buf_putc(&text, i ? ',' : '[');
        pt_buf_json_string(&text, pt_str(s->classes[i]));
    }
    pt_buf_putc(&text, ']');
    int rc = pt_buf_check(&text, "names of classes", err);
    return rc < 0 ? rc : pt_edit_note(model, "pintle.classes", pt_buf_cstr(&text), err);
}

void pt_data_paths(const struct pt_data_options *o, const char *list[6])
{
    double share;
    size_t n = 0;
    const char *const all[] = {o->train, o->labels, o->held_out && is_share(o->held_out, &share) ? NULL : o->held_out, o->held_out_labels,
                               o->calibration};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            list[n++] = all[i];
    list[n] = NULL;
}
