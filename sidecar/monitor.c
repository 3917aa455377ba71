/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor.c: what is seen goes into the pane of its time. The first request shows how many columns there are and which output has the scores; from
 * then on observing allocates nothing but a pane's sample when the pane is first used.
 *
 * A sample is a reservoir of whole rows: each row of a pane has the same chance to be in it, which costs one random number a row. Answers that labels
 * may come for are in a ring, found by a hash of the request's id and the row; the oldest is written over.
 */
#include "sidecar/monitor_impl.h"

#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>

/* --- beginning and end ----------------------------------------------------------------------------------------------------------------- */

static int name_classes(struct pt_monitor *m, struct pt_err *err)
{
    struct pt_str rest = pt_str(m->config->monitoring.classes), part;
    m->classes = pt_calloc(PT_MON_CLASSES, sizeof *m->classes);
    if (!m->classes)
        return pt_fail(err, PT_ENOMEM, "monitoring: out of memory");
    while (rest.len && pt_str_split(&rest, ',', &part)) {
        part = pt_str_trim(part);
        if (m->named_classes == PT_MON_CLASSES || part.len == 0 || part.len >= PT_MON_NAME)
            return pt_fail(err, PT_EINVAL, "monitoring.classes: want up to %d names of 1 to %d bytes", PT_MON_CLASSES, PT_MON_NAME - 1);
        memcpy(m->classes[m->named_classes++], part.p, part.len);
    }
    return PT_OK;
}

int pt_monitor_create(const struct pt_config *config, struct pt_metrics *registry, uint64_t seed, struct pt_monitor **out, struct pt_err *err)
{
    struct pt_monitor *m = pt_calloc(1, sizeof *m);
    if (!m)
        return pt_fail(err, PT_ENOMEM, "monitoring: out of memory");
    m->config = &m->copy;
    m->registry = registry;
    m->refs = 1;
    pt_rand_init(&m->rand, seed);
    pthread_mutex_init(&m->lock, NULL);
    for (size_t i = 0; i < PT_MON_PANES; i++)
        m->panes[i].number = -1;
    int rc = pt_config_copy(&m->copy, config, err);
    if (rc == PT_OK)
        rc = name_classes(m, err);
    if (rc == PT_OK && config->monitoring.profile)
        rc = pt_mon_read_profile(m, config->monitoring.profile, err);
    if (rc < 0) {
        pt_monitor_unref(m);
        return pt_wrap(err, "model \"%s\"", config->model.name);
    }
    *out = m;
    return PT_OK;
}

struct pt_monitor *pt_monitor_ref(struct pt_monitor *m)
{
    m->refs++;
    return m;
}

void pt_monitor_unref(struct pt_monitor *m)
{
    if (!m || --m->refs > 0)
        return;
    for (size_t i = 0; i < PT_MON_PANES; i++) {
        pt_free(m->panes[i].sample);
        pt_free(m->panes[i].labelled_sample);
        pt_free(m->panes[i].confusion);
    }
    for (size_t i = 0; i < PT_MON_UNSURE; i++)
        pt_free(m->unsure[i].values);
    for (size_t i = 0; i < m->shown_count; i++)
        pt_metrics_remove(m->registry, m->shown[i].series);
    pt_mon_free_profile(m);
    pt_config_finish(&m->copy);
    pt_free(m->columns);
    pt_free(m->ring);
    pt_free(m->heads);
    pt_free(m->classes);
    pt_free(m->figures);
    pt_free(m->shown);
    pthread_mutex_destroy(&m->lock);
    pt_free(m);
}

/* --- layout ------------------------------------------------------------------------------------------------------------------------------ */

/* Rows of a tensor, and elements of one of them. */
static int64_t rows_of(const struct pt_tensor *t)
{
    return t->rank > 0 ? t->dims[0] : 1;
}

static int64_t width_of(const struct pt_tensor *t)
{
    int64_t width = 1;
    for (int i = 1; i < t->rank; i++)
        width *= t->dims[i];
    return width;
}

static bool is_readable(const struct pt_tensor *t)
{
    return t && t->data && t->size_bytes && pt_datatype_of(t->dtype);
}

static void add_columns(struct pt_monitor *m, const char *name, const struct pt_tensor *t, bool output, size_t tensor)
{
    int64_t width = is_readable(t) ? width_of(t) : 0, count = width > PT_MON_WIDE ? 1 : width;
    for (int64_t i = 0; i < count && m->column_count < PT_MON_COLUMNS; i++) {
        struct pt_mon_column *c = &m->columns[m->column_count++];
        *c = (struct pt_mon_column){.output = output, .categorical = t->dtype == PT_STRING || t->dtype == PT_BOOL, .tensor = tensor, .element = i};
        if (width > PT_MON_WIDE)
            c->element = -1;
        if (count > 1)
            snprintf(c->name, sizeof c->name, "%.60s[%d]", name, (int)i);
        else
            snprintf(c->name, sizeof c->name, "%.60s", name);
    }
}

static bool may_be_scores(const struct pt_tensor *t)
{
    bool number = t && (t->dtype == PT_FLOAT || t->dtype == PT_DOUBLE || t->dtype == PT_FLOAT16 || t->dtype == PT_BFLOAT16);
    return number && t->data && t->rank <= 2 && width_of(t) >= 1 && width_of(t) <= PT_MON_CLASSES;
}

/* The output that is meant, by name or by what it looks like. */
static bool find_scores(const struct pt_monitor *m, const struct pt_model_info *info, const struct pt_tensor *const *outputs, size_t *found)
{
    static const char *const names[] = {"probabilities", "scores", "output_probability", "probability"};
    for (size_t i = 0; m->config->monitoring.output && i < info->output_count; i++)
        if (strcmp(info->outputs[i]->name, m->config->monitoring.output) == 0) {
            *found = i;
            return may_be_scores(outputs[i]);
        }
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
        for (size_t i = 0; i < info->output_count; i++)
            if (strcmp(info->outputs[i]->name, names[k]) == 0 && may_be_scores(outputs[i])) {
                *found = i;
                return true;
            }
    for (size_t i = 0; i < info->output_count; i++)
        if (may_be_scores(outputs[i])) {
            *found = i;
            return true;
        }
    return false;
}

static void choose_task(struct pt_monitor *m, const struct pt_model_info *info, const struct pt_tensor *const *outputs)
{
    const char *wanted = m->config->monitoring.task;
    m->task = PT_MON_NO_TASK;
    if (!find_scores(m, info, outputs, &m->scores))
        return;
    int64_t width = width_of(outputs[m->scores]);
    bool classes = strcmp(wanted, "auto") == 0 ? width > 1 : strcmp(wanted, "classification") == 0;
    m->task = classes ? PT_MON_CLASSIFICATION : width == 1 ? PT_MON_REGRESSION : PT_MON_NO_TASK;
    m->class_count = !classes ? 1 : width == 1 ? 2 : (size_t)width;
}

static bool make_ring(struct pt_monitor *m)
{
    uint32_t size = 1;
    m->record_bytes = (sizeof(struct pt_mon_record) + m->class_count * sizeof(float) + 7) / 8 * 8;
    m->record_count = (uint32_t)(PT_MON_RING_BYTES / (m->record_bytes + 2 * sizeof *m->heads));
    while (size < m->record_count)
        size *= 2;
    m->head_mask = size / 2 - 1;
    m->ring = pt_malloc(m->record_count * m->record_bytes);
    m->heads = pt_malloc(size / 2 * sizeof *m->heads);
    if (!m->ring || !m->heads)
        return false;
    memset(m->heads, 0xff, size / 2 * sizeof *m->heads);
    for (uint32_t i = 0; i < m->record_count; i++)
        pt_mon_record(m, i)->at_ms = -1;
    return true;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Without memory nothing is watched until there is some. */
static bool lay_out(struct pt_monitor *m, const struct pt_request *q, const struct pt_tensor *const *outputs)
{
    const struct pt_model_info *info = q->model;
    if (!m->columns && !(m->columns = pt_calloc(PT_MON_COLUMNS, sizeof *m->columns)))
        return false;
    m->column_count = 0;
    for (size_t i = 0; i < info->input_count; i++)
        add_columns(m, info->inputs[i]->name, &q->inputs[i], false, i);
    m->input_columns = m->column_count;
    for (size_t i = 0; i < info->output_count; i++)
        add_columns(m, info->outputs[i]->name, outputs[i], true, i);
    choose_task(m, info, outputs);
    if (m->task != PT_MON_NO_TASK && !m->ring && !make_ring(m)) {
        pt_free(pt_steal(m->ring));
        pt_free(pt_steal(m->heads));
        return false;
    }
    size_t row = (m->column_count ? m->column_count : 1) * sizeof(float), labelled = (m->class_count + 1) * sizeof(float);
    m->sample_rows = smaller(PT_MON_SAMPLE_ROWS, PT_MON_SAMPLE_BYTES / PT_MON_PANES / row);
    m->labelled_rows = smaller(PT_MON_SAMPLE_ROWS, PT_MON_LABELLED_BYTES / PT_MON_PANES / labelled);
    m->laid_out = true;
    return true;
}

/* --- panes -------------------------------------------------------------------------------------------------------------------------------- */

struct pt_mon_pane *pt_mon_pane(struct pt_monitor *m, int64_t now_ms)
{
    int64_t number = now_ms / pt_mon_pane_ms(m);
    struct pt_mon_pane *p = &m->panes[number % PT_MON_PANES];
    if (p->number == number)
        return p;
    struct pt_mon_pane fresh = {.number = number, .sample = p->sample, .labelled_sample = p->labelled_sample, .confusion = p->confusion};
    *p = fresh;
    if (p->confusion)
        memset(p->confusion, 0, m->class_count * m->class_count * sizeof *p->confusion);
    if (!p->sample)
        p->sample = pt_malloc(m->sample_rows * m->column_count * sizeof(float));
    return p;
}

size_t pt_mon_place(struct pt_monitor *m, uint64_t before, size_t room, uint64_t *kept)
{
    if (*kept < room)
        return (size_t)(*kept)++;
    uint64_t at = before < UINT32_MAX ? pt_rand_below(&m->rand, (uint32_t)before + 1) : room;
    return at < room ? (size_t)at : SIZE_MAX;
}

/* --- values ------------------------------------------------------------------------------------------------------------------------------- */

static float value_at(const struct pt_tensor *t, size_t i)
{
    const void *p = t->data;
    switch (t->dtype) {
    case PT_FLOAT:
        return ((const float *)p)[i];
    case PT_DOUBLE:
        return (float)((const double *)p)[i];
    case PT_FLOAT16:
        return (float)pt_num_f16_value(((const uint16_t *)p)[i]);
    case PT_BFLOAT16:
        return (float)pt_num_bf16_value(((const uint16_t *)p)[i]);
    case PT_INT8:
        return ((const int8_t *)p)[i];
    case PT_INT16:
        return ((const int16_t *)p)[i];
    case PT_INT32:
        return (float)((const int32_t *)p)[i];
    case PT_INT64:
        return (float)((const int64_t *)p)[i];
    case PT_UINT8:
        return ((const uint8_t *)p)[i];
    case PT_UINT16:
        return ((const uint16_t *)p)[i];
    case PT_UINT32:
        return (float)((const uint32_t *)p)[i];
    case PT_UINT64:
        return (float)((const uint64_t *)p)[i];
    case PT_BOOL:
        return ((const uint8_t *)p)[i] != 0;
    case PT_STRING: { /* a category: 24 bits of a hash are a float exactly */
        const struct pt_string *s = (const struct pt_string *)p + i;
        return s->len ? (float)(pt_hash64(s->p, s->len, 0) & 0xffffff) : NAN;
    }
    default:
        return NAN;
    }
}

static float read_column(struct pt_monitor *m, const struct pt_mon_column *c, const struct pt_tensor *t, int64_t rows, int64_t row)
{
    if (!is_readable(t))
        return NAN;
    int64_t width = width_of(t), total = rows_of(t) * width;
    if (rows_of(t) != rows) /* it has no rows of its own: any of its values */
        return total > 0 ? value_at(t, pt_rand_below(&m->rand, total < UINT32_MAX ? (uint32_t)total : UINT32_MAX)) : NAN;
    int64_t element = c->element >= 0 ? c->element : pt_rand_below(&m->rand, width < UINT32_MAX ? (uint32_t)width : UINT32_MAX);
    return element < width ? value_at(t, (size_t)(row * width + element)) : NAN;
}

/* Columns from k on that are neighbours in one tensor. */
static size_t neighbours(const struct pt_monitor *m, size_t k, size_t count)
{
    const struct pt_mon_column *c = &m->columns[k];
    size_t n = 1;
    while (c->element >= 0 && k + n < count && c[n].tensor == c->tensor && c[n].output == c->output)
        n++;
    return n;
}

static void read_row(struct pt_monitor *m, const struct pt_request *q, const struct pt_tensor *const *outputs, int64_t rows, int64_t row,
                     size_t count, float *out)
{
    for (size_t k = 0, n; k < count; k += n) {
        const struct pt_mon_column *c = &m->columns[k];
        const struct pt_tensor *t = c->output ? outputs[c->tensor] : &q->inputs[c->tensor];
        n = neighbours(m, k, count);
        if (c->element >= 0 && is_readable(t) && t->dtype == PT_FLOAT && rows_of(t) == rows && c->element + (int64_t)n <= width_of(t)) {
            memcpy(out + k, (const float *)t->data + row * width_of(t) + c->element, n * sizeof *out);
            continue;
        }
        for (size_t i = 0; i < n; i++)
            out[k + i] = read_column(m, c + i, t, rows, row);
    }
}

/* --- groups ------------------------------------------------------------------------------------------------------------------------------- */

/* As much of a text as there is room for, and no part of a character. */
static size_t cut(struct pt_str s, size_t room)
{
    size_t n = s.len < room ? s.len : room;
    while (n < s.len && n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* The place of a parameter's value among the groups; a new one gets the next. */
static size_t group_of(struct pt_monitor *m, struct pt_str value)
{
    size_t i = 0;
    value.len = cut(value, PT_MON_NAME - 1);
    if (value.len == 0)
        value = PT_STR("(empty)");
    else if (memchr(value.p, 0, value.len) || !pt_utf8_valid(value))
        value = PT_STR("(not text)");
    while (i < m->group_count && !pt_str_eq(pt_str(m->groups[i]), value))
        i++;
    if (i < m->group_count)
        return i;
    if (i >= PT_MON_GROUPS - 1) {
        value = PT_STR("(others)");
        i = PT_MON_GROUPS - 1;
    }
    m->group_count = i + 1;
    memcpy(m->groups[i], value.p, value.len);
    m->groups[i][value.len] = 0;
    return i;
}

/* --- answers ------------------------------------------------------------------------------------------------------------------------------ */

size_t pt_mon_best(const float *p, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = p[i] > p[best] ? i : best;
    return best;
}

uint64_t pt_mon_key(struct pt_str id, int64_t row)
{
    return pt_hash64(id.p, id.len, 0) + (uint64_t)row * 0x9e3779b97f4a7c15u;
}

uint32_t *pt_mon_head(struct pt_monitor *m, uint64_t id)
{
    return &m->heads[(id ^ id >> 32) & m->head_mask];
}

static void forget(struct pt_monitor *m, uint32_t i)
{
    uint32_t *at = pt_mon_head(m, pt_mon_record(m, i)->id);
    while (*at != i)
        at = &pt_mon_record(m, *at)->next;
    *at = pt_mon_record(m, i)->next;
}

static void remember(struct pt_monitor *m, uint64_t id, size_t group, const float *scores, int64_t now_ms)
{
    uint32_t i = m->record_next, *head = pt_mon_head(m, id);
    struct pt_mon_record *r = pt_mon_record(m, i);
    m->record_next = i + 1 < m->record_count ? i + 1 : 0;
    if (r->at_ms >= 0)
        forget(m, i);
    r->id = id;
    r->at_ms = now_ms;
    r->group = (uint8_t)group;
    r->labelled = false;
    memcpy(r->scores, scores, m->class_count * sizeof *scores);
    r->next = *head;
    *head = i;
}

/* Who labels by hand should see what the model was least sure of: the last ones of those. */
static void keep_unsure(struct pt_monitor *m, struct pt_str id, const struct pt_request *q, int64_t rows, int64_t row, const float *p, int64_t now_ms)
{
    struct pt_mon_unsure *u = &m->unsure[m->unsure_seen++ % PT_MON_UNSURE];
    size_t answer = pt_mon_best(p, m->class_count);
    if (!u->values && m->input_columns && !(u->values = pt_malloc(m->input_columns * sizeof *u->values)))
        return;
    size_t len = cut(id, sizeof u->id - 1);
    memcpy(u->id, id.len ? id.p : "", len);
    u->id[len] = 0;
    u->at_ms = now_ms;
    u->confidence = p[answer];
    u->answer = (int)answer;
    read_row(m, q, NULL, rows, row, m->input_columns, u->values);
}

static void observe_classes(struct pt_monitor *m, struct pt_mon_pane *pane, struct pt_mon_group *g, const float *p)
{
    size_t best = pt_mon_best(p, m->class_count);
    float second = 0;
    double entropy = 0;
    for (size_t i = 0; i < m->class_count; i++) {
        if (i != best && p[i] > second)
            second = p[i];
        if (p[i] > 0)
            entropy -= (double)(p[i] * logf(p[i]));
    }
    pane->scored++;
    pane->entropy += entropy;
    pane->margin += (double)(p[best] - second);
    pane->unsure += (double)p[best] * 100 < (double)m->config->monitoring.low_confidence;
    if (g) {
        g->rows++;
        g->chosen += best == (size_t)m->config->monitoring.positive;
    }
}

static void observe_answer(struct pt_monitor *m, struct pt_mon_pane *pane, const struct pt_request *q, const struct pt_tensor *scores, int64_t rows,
                           int64_t row, int64_t now_ms)
{
    float raw[PT_MON_CLASSES], p[PT_MON_CLASSES + 1];
    struct pt_str id = q->plain_id;
    int64_t width = width_of(scores);
    bool classes = m->task == PT_MON_CLASSIFICATION;
    if (rows_of(scores) != rows || (size_t)width + (classes && width == 1) != m->class_count)
        return;
    for (int64_t i = 0; i < width; i++)
        raw[i] = value_at(scores, (size_t)(row * width + i));
    size_t group = q->group.p ? group_of(m, q->group) : PT_MON_GROUPS;
    struct pt_mon_group *g = group < PT_MON_GROUPS ? &pane->groups[group] : NULL;
    if (classes && pt_stat_probabilities(raw, (size_t)width, &m->logits, p)) {
        uint64_t unsure = pane->unsure;
        observe_classes(m, pane, g, p);
        if (pane->unsure > unsure)
            keep_unsure(m, id, q, rows, row, p, now_ms);
    } else {
        memset(p, 0, sizeof p);
        p[0] = classes || !isfinite(raw[0]) ? NAN : raw[0]; /* what is no number is not judged */
        if (g && !classes)
            g->rows++;
    }
    if (id.len)
        remember(m, pt_mon_key(id, row), group, p, now_ms);
}

void pt_monitor_observe(struct pt_monitor *m, const struct pt_request *q, const struct pt_tensor *const *outputs, int64_t now_ms)
{
    pthread_mutex_lock(&m->lock);
    struct pt_mon_pane *pane = m->laid_out || lay_out(m, q, outputs) ? pt_mon_pane(m, now_ms) : NULL;
    const struct pt_tensor *first = q->model->input_count ? &q->inputs[0] : NULL;
    int64_t rows = first ? rows_of(first) : 1, watched = rows < PT_MON_ROWS ? rows : PT_MON_ROWS;
    for (int64_t row = 0; pane && row < watched; row++) {
        size_t at = pane->sample && m->column_count ? pt_mon_place(m, pane->rows, m->sample_rows, &pane->kept) : SIZE_MAX;
        if (at != SIZE_MAX)
            read_row(m, q, outputs, rows, row, m->column_count, pane->sample + at * m->column_count);
        pane->rows++;
        if (m->task != PT_MON_NO_TASK && is_readable(outputs[m->scores]))
            observe_answer(m, pane, q, outputs[m->scores], rows, row, now_ms);
    }
    m->changes++;
    pthread_mutex_unlock(&m->lock);
}
