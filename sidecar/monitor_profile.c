/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor_profile.c: the reference that what is seen now is compared with: profile.json,
 *
 *     {"columns": [{"name": "x[3]", "categorical": false, "count": 1797, "missing": 0, "min": 0, "max": 16, "values": [0, 0, 1, ...]}, ...]}
 *
 * values is all there were, or an even choice of at most 1000 of them in ascending order; of strings, numbers that stand for them.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"
#include "sidecar/monitor_impl.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_PROFILE = 16 << 20 };

/* --- reading ------------------------------------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int read_values(struct pt_mon_reference *r, struct pt_json *j, struct pt_err *err)
{
    if (r->values)
        return pt_fail(err, PT_EINVAL, "values: given twice");
    if (!(r->values = pt_calloc(PT_MON_PROFILE, sizeof *r->values)))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    int rc = pt_json_array(j, err);
    while (rc >= 0 && (rc = pt_json_element(j, err)) == 1) {
        double v;
        if (r->kept == PT_MON_PROFILE)
            return pt_fail(err, PT_ELIMIT, "more than %d values", PT_MON_PROFILE);
        if ((rc = pt_json_double(j, &v, err)) >= 0)
            r->values[r->kept++] = (float)v;
    }
    qsort(r->values, r->kept, sizeof *r->values, ascending);
    return rc;
}

static int read_reference(struct pt_mon_reference *r, struct pt_json *j, struct pt_err *err)
{
    pt_auto_buf name = PT_BUF_INIT(PT_MON_NAME);
    struct pt_str key;
    int rc = pt_json_object(j, err);
    while (rc >= 0 && (rc = pt_json_member(j, &key, err)) == 1) {
        if (pt_json_key_is(&key, "name"))
            rc = pt_json_string(j, &name, err);
        else if (pt_json_key_is(&key, "categorical"))
            rc = pt_json_bool(j, &r->categorical, err);
        else if (pt_json_key_is(&key, "count"))
            rc = pt_json_double(j, &r->count, err);
        else if (pt_json_key_is(&key, "missing"))
            rc = pt_json_double(j, &r->missing, err);
        else if (pt_json_key_is(&key, "min"))
            rc = pt_json_double(j, &r->min, err);
        else if (pt_json_key_is(&key, "max"))
            rc = pt_json_double(j, &r->max, err);
        else if (pt_json_key_is(&key, "values"))
            rc = read_values(r, j, err);
        else
            rc = pt_fail(err, PT_EINVAL, "unknown member \"" PT_STR_FMT "\"", (int)(key.len < 64 ? key.len : 64), key.p);
    }
    if (rc < 0)
        return rc;
    if (name.len == 0 || name.failed || name.len >= PT_MON_NAME || !r->values)
        return pt_fail(err, PT_EINVAL, "a column needs a name of 1 to %d bytes and values", PT_MON_NAME - 1);
    memcpy(r->name, name.data, name.len);
    return PT_OK;
}

static int read_columns(struct pt_monitor *m, struct pt_json *j, struct pt_err *err)
{
    int rc = pt_json_array(j, err);
    if (!m->references && !(m->references = pt_calloc(PT_MON_COLUMNS, sizeof *m->references)))
        return pt_fail(err, PT_ENOMEM, "out of memory");
    while (rc >= 0 && (rc = pt_json_element(j, err)) == 1) {
        if (m->reference_count == PT_MON_COLUMNS)
            return pt_fail(err, PT_ELIMIT, "more than %d columns", PT_MON_COLUMNS);
        rc = read_reference(&m->references[m->reference_count++], j, err);
    }
    return rc;
}

int pt_mon_parse_profile(struct pt_monitor *m, struct pt_str text, struct pt_err *err)
{
    struct pt_json j;
    struct pt_str key;
    pt_json_init(&j, text.p, text.len);
    int rc = pt_json_object(&j, err);
    while (rc >= 0 && (rc = pt_json_member(&j, &key, err)) == 1)
        rc = pt_json_key_is(&key, "columns")
                 ? read_columns(m, &j, err)
                 : pt_fail(err, PT_EINVAL, "unknown member \"" PT_STR_FMT "\"", (int)(key.len < 64 ? key.len : 64), key.p);
    if (rc >= 0)
        rc = pt_json_end(&j, err);
    return rc >= 0 && m->reference_count == 0 ? pt_fail(err, PT_EINVAL, "no columns") : rc;
}

int pt_mon_read_profile(struct pt_monitor *m, const char *path, struct pt_err *err)
{
    pt_auto_buf text = PT_BUF_INIT(MAX_PROFILE);
    if (pt_buf_read_file(&text, path, err) < 0)
        return pt_wrap(err, "monitoring.profile");
    int rc = pt_mon_parse_profile(m, (struct pt_str){text.data, text.len}, err);
    return rc < 0 ? pt_wrap(err, "monitoring.profile: %s", path) : PT_OK;
}

void pt_mon_free_profile(struct pt_monitor *m)
{
    for (size_t i = 0; i < m->reference_count; i++)
        pt_free(m->references[i].values);
    pt_free(m->references);
}

const struct pt_mon_reference *pt_mon_reference(const struct pt_monitor *m, const char *name)
{
    for (size_t i = 0; i < m->reference_count; i++)
        if (strcmp(m->references[i].name, name) == 0)
            return &m->references[i];
    return NULL;
}

/* --- values of the window ------------------------------------------------------------------------------------------------------------------ */

struct pt_point *pt_mon_values(struct pt_monitor *m, size_t column, int64_t now_ms, size_t *count, double *missing)
{
    size_t room = 0;
    *count = 0;
    *missing = 0;
    pthread_mutex_lock(&m->lock);
    for (const struct pt_mon_pane *p = m->panes; p < m->panes + PT_MON_PANES; p++)
        room += pt_mon_in_window(m, p, now_ms) ? p->kept : 0;
    struct pt_point *points = pt_malloc((room + 1) * sizeof *points);
    for (const struct pt_mon_pane *p = m->panes; points && p < m->panes + PT_MON_PANES; p++) {
        double weight = p->kept ? (double)p->rows / (double)p->kept : 0;
        for (uint64_t i = 0; pt_mon_in_window(m, p, now_ms) && i < p->kept; i++) {
            double v = (double)p->sample[i * m->column_count + column];
            if (isfinite(v))
                points[(*count)++] = (struct pt_point){v, weight};
            else
                *missing += weight;
        }
    }
    pthread_mutex_unlock(&m->lock);
    return points;
}

/* --- writing -------------------------------------------------------------------------------------------------------------------------------- */

void pt_mon_put_number(struct pt_buf *b, double v)
{
    char text[PT_NUM_MAX];
    if (isfinite(v))
        pt_buf_append(b, text, pt_num_put_f64(text, v));
    else
        pt_buf_puts(b, "null");
}

static void put_number(struct pt_buf *b, const char *key, double v)
{
    pt_buf_printf(b, ",\"%s\":", key);
    pt_mon_put_number(b, v);
}

static bool put_column(struct pt_monitor *m, size_t k, int64_t now_ms, struct pt_buf *b)
{
    size_t n;
    double missing;
    struct pt_point *p = pt_mon_values(m, k, now_ms, &n, &missing);
    if (!p)
        return false;
    pt_points_sort(p, n);
    pt_buf_puts(b, "{\"name\":");
    pt_buf_json_string(b, pt_str(m->columns[k].name));
    pt_buf_printf(b, ",\"categorical\":%s", m->columns[k].categorical ? "true" : "false");
    put_number(b, "count", pt_points_weight(p, n) + missing);
    put_number(b, "missing", missing);
    put_number(b, "min", n ? p[0].value : 0);
    put_number(b, "max", n ? p[n - 1].value : 0);
    pt_buf_puts(b, ",\"values\":[");
    size_t kept = n < PT_MON_PROFILE ? n : PT_MON_PROFILE;
    for (size_t i = 0; i < kept; i++) {
        if (i)
            pt_buf_putc(b, ',');
        float v = (float)p[kept == n ? i : (2 * i + 1) * n / (2 * kept)].value;
        char text[PT_NUM_MAX];
        pt_buf_append(b, text, pt_num_put_f32(text, v));
    }
    pt_buf_puts(b, "]}");
    pt_free(p);
    return true;
}

int pt_monitor_write_profile(struct pt_monitor *m, int64_t now_ms, struct pt_buf *b, struct pt_err *err)
{
    int rc = PT_OK;
    uint64_t kept = 0;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < PT_MON_PANES; i++)
        kept += pt_mon_in_window(m, &m->panes[i], now_ms) ? m->panes[i].kept : 0;
    size_t columns = m->column_count;
    pthread_mutex_unlock(&m->lock);
    if (!kept)
        rc = pt_fail(err, PT_EUNAVAILABLE, "profile: no rows in the window yet");
    pt_buf_puts(b, "{\"columns\":[");
    for (size_t k = 0; rc == PT_OK && k < columns; k++) {
        if (k)
            pt_buf_putc(b, ',');
        if (!put_column(m, k, now_ms, b))
            rc = pt_fail(err, PT_ENOMEM, "profile: out of memory");
    }
    pt_buf_puts(b, "]}\n");
    return rc < 0 ? rc : pt_buf_check(b, "profile", err);
}
