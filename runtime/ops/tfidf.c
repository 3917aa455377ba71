/* SPDX-License-Identifier: Apache-2.0
 *
 * tfidf.c: TfIdfVectorizer: counts the n-grams of a pool in rows of words (strings or integers).
 *
 * The pool is made into a tree, once: a word has the number of its first place in the pool, and a hash table holds the edges (node, word) -> node.
 * A node that ends an n-gram knows its number. A row is then walked from each position, for each distance between words that skipping allows.
 */
#include "runtime/ops/dict.h"

struct edge {
    uint64_t key; /* node << 32 | word, plus 1; 0: free */
    int32_t node;
};

struct tfidf {
    struct pt_dict words;
    struct edge *edges;
    uint64_t mask;
    int32_t *gram; /* per node: number of the n-gram that ends here, or -1 */
    int32_t nodes;
    const int64_t *columns; /* per n-gram */
    const float *weights;   /* per n-gram, or NULL */
    int64_t grams, width;
    int64_t min, max, skip;
    int mode;
};
enum { TF, IDF, TFIDF };

/* --- prepare ------------------------------------------------------------------------------------------------------------------------------- */

static struct edge *edge_of(const struct tfidf *p, int32_t node, int64_t word)
{
    uint64_t key = ((uint64_t)(uint32_t)node << 32 | (uint64_t)word) + 1;
    for (uint64_t at = (key * 0x9e3779b97f4a7c15) >> 20 & p->mask;; at = (at + 1) & p->mask)
        if (p->edges[at].key == key || p->edges[at].key == 0) {
            if (p->edges[at].key == 0)
                p->edges[at].node = -1;
            return &p->edges[at];
        }
}

static void insert(struct tfidf *p, const int64_t *words, int64_t n, int32_t gram)
{
    int32_t node = 0;
    for (int64_t i = 0; i < n; i++) {
        struct edge *e = edge_of(p, node, words[i]);
        if (e->node < 0) {
            e->key = ((uint64_t)(uint32_t)node << 32 | (uint64_t)words[i]) + 1;
            e->node = p->nodes;
            p->gram[p->nodes++] = -1;
        }
        node = e->node;
    }
    if (p->gram[node] < 0)
        p->gram[node] = gram;
}

/* Cuts the pool into n-grams: those of n words begin at counts[n - 1]. */
static int insert_all(struct pt_op_ctx *c, struct tfidf *p, const int64_t *words, int64_t n, const int64_t *counts, int64_t sizes)
{
    int64_t gram = 0;
    for (int64_t size = 1; size <= sizes; size++) {
        int64_t begin = counts[size - 1], end = size < sizes ? counts[size] : n;
        if (begin < 0 || end < begin || end > n || (end - begin) % size)
            return pt_op_fail(c, PT_EINVAL, "attribute 'ngram_counts': %lld to %lld of %lld words are no %lld-grams", (long long)begin,
                              (long long)end, (long long)n, (long long)size);
        for (int64_t at = begin; at < end; at += size, gram++) {
            if (gram >= p->grams)
                return pt_op_fail(c, PT_EINVAL, "attribute 'ngram_indexes' has %lld values, the pool more n-grams", (long long)p->grams);
            if (size >= p->min && size <= p->max)
                insert(p, words + at, size, (int32_t)gram);
        }
    }
    return gram == p->grams
               ? PT_OK
               : pt_op_fail(c, PT_EINVAL, "attribute 'ngram_indexes' has %lld values for %lld n-grams", (long long)p->grams, (long long)gram);
}

static int make_tree(struct pt_op_ctx *c, struct tfidf *p, const struct pt_tensor *pool)
{
    int64_t n = pool->dims[0], sizes;
    const int64_t *counts;
    size_t room = 16;
    int rc = pt_attr_int64s(c, "ngram_counts", &counts, &sizes);
    if (rc < 0 || (rc = pt_dict_make(c, pool, false, &p->words)) < 0)
        return rc;
    while (room < 2 * (size_t)n)
        room *= 2;
    p->mask = room - 1;
    p->edges = pt_op_alloc(c, room * sizeof *p->edges);
    p->gram = pt_op_alloc(c, ((size_t)n + 1) * sizeof *p->gram);
    pt_auto_free int64_t *words = pt_reallocarray(NULL, (size_t)n, sizeof *words);
    if (!p->edges || !p->gram)
        return c->err->code;
    if (!words)
        return pt_op_fail(c, PT_ENOMEM, "out of memory for a pool of %lld words", (long long)n);
    memset(p->edges, 0, room * sizeof *p->edges);
    p->gram[p->nodes++] = -1;
    pt_dict_find(&p->words, pool, 0, n, words);
    return insert_all(c, p, words, n, counts, sizes);
}

static int read_columns(struct pt_op_ctx *c, struct tfidf *p)
{
    int64_t n;
    int rc = pt_attr_int64s(c, "ngram_indexes", &p->columns, &p->grams);
    if (rc < 0 || (rc = pt_attr_floats(c, "weights", &p->weights, &n)) < 0)
        return rc;
    if (p->grams < 1)
        return pt_op_fail(c, PT_EINVAL, "attribute 'ngram_indexes' is missing");
    if (n >= 0 && n != p->grams)
        return pt_op_fail(c, PT_EINVAL, "attribute 'weights' has %lld values for %lld n-grams", (long long)n, (long long)p->grams);
    p->weights = n >= 0 ? p->weights : NULL;
    for (int64_t i = 0; i < p->grams; i++) {
        if (p->columns[i] < 0 || p->columns[i] > INT32_MAX)
            return pt_op_fail(c, PT_EINVAL, "attribute 'ngram_indexes' has the value %lld", (long long)p->columns[i]);
        p->width = p->columns[i] >= p->width ? p->columns[i] + 1 : p->width;
    }
    return PT_OK;
}

static int tfidf_prepare(struct pt_op_ctx *c, void **prepared)
{
    static const char *const modes[] = {"TF", "IDF", "TFIDF", NULL}, *const pools[] = {"pool_strings", "pool_int64s", NULL};
    static const char *const needed[] = {"max_gram_length", "max_skip_count", "min_gram_length", "mode", "ngram_counts"};
    struct tfidf *p = pt_op_alloc(c, sizeof *p);
    struct pt_tensor pool;
    int which, rc;
    if (!p)
        return c->err->code;
    *p = (struct tfidf){0};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!pt_node_attr(c->node, needed[i]))
            return pt_op_fail(c, PT_EINVAL, "attribute '%s' is missing", needed[i]);
    if ((rc = pt_attr_int(c, "min_gram_length", 1, 1, INT32_MAX, &p->min)) < 0 ||
        (rc = pt_attr_int(c, "max_gram_length", 1, p->min, INT32_MAX, &p->max)) < 0 ||
        (rc = pt_attr_int(c, "max_skip_count", 0, 0, INT32_MAX, &p->skip)) < 0 || (rc = pt_attr_choice(c, "mode", modes, 0, &p->mode)) < 0 ||
        (rc = read_columns(c, p)) < 0 || (rc = pt_attr_one_list(c, pools, &pool, &which)) < 0)
        return rc;
    if (pool.dtype != (which ? PT_INT64 : PT_STRING) || pool.rank != 1)
        return pt_op_fail(c, PT_EINVAL, "attribute '%s' is %s, which is no such list", pools[which], PT_SHAPE(&pool));
    *prepared = p;
    return make_tree(c, p, &pool);
}

/* --- run ----------------------------------------------------------------------------------------------------------------------------------- */

static int tfidf_infer(struct pt_op_ctx *c)
{
    const struct tfidf *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    if (x->rank < 1 || x->rank > 2)
        return pt_op_fail(c, PT_EINVAL, "input %s must have rank 1 or 2", PT_SHAPE(x));
    if ((x->dtype == PT_STRING) != (p->words.list.dtype == PT_STRING))
        return pt_op_fail(c, PT_EINVAL, "input %s does not go with a pool of %s", PT_SHAPE(x), pt_dtype_name(p->words.list.dtype));
    int64_t dims[2] = {x->dims[0], p->width};
    c->scratch_bytes = (size_t)x->dims[x->rank - 1] * sizeof(int64_t);
    pt_op_set_out(c, 0, PT_FLOAT, x->rank, dims + 2 - x->rank);
    return PT_OK;
}

/* Counts the n-grams that begin at words[0] and take every `step`-th word, from `least` words on. */
static void count_from(const struct tfidf *p, const int64_t *words, int64_t n, int64_t step, int64_t least, float *y)
{
    int32_t node = 0;
    for (int64_t at = 0, size = 1; at < n && size <= p->max && words[at] >= 0; at += step, size++) {
        if ((node = edge_of(p, node, words[at])->node) < 0)
            return;
        int32_t gram = p->gram[node];
        if (gram < 0 || size < least)
            continue;
        float w = p->weights ? p->weights[gram] : 1;
        float *to = &y[p->columns[gram]];
        if (p->mode == IDF)
            *to = w;
        else
            *to += p->mode == TF ? 1 : w;
    }
}

static int tfidf_run(struct pt_op_ctx *c)
{
    const struct tfidf *p = c->node->prepared;
    const struct pt_tensor *x = c->in[0];
    int64_t n = x->dims[x->rank - 1], rows = x->rank == 2 ? x->dims[0] : 1, *words = c->scratch;
    float *y = c->out[0]->data;
    memset(y, 0, c->out[0]->size_bytes);
    for (int64_t r = 0; r < rows; r++, y += p->width) {
        int64_t least = p->min;
        pt_dict_find(&p->words, x, r * n, n, words);
        for (int64_t step = 1; step <= p->skip + 1 && step <= n; step++) {
            for (int64_t at = 0; at < n; at++)
                count_from(p, words + at, n - at, step, least, y);
            if (least == 1 && ++least > p->max) /* single words skip nothing: they count once */
                break;
        }
    }
    return PT_OK;
}

const struct pt_op pt_op_tfidf_vectorizer = {.type = "TfIdfVectorizer",
                                             .since = {9},
                                             .min_in = 1,
                                             .max_in = 1,
                                             .max_out = 1,
                                             .types = {PT_TS_STRING | PT_TS_INDEX},
                                             .prepare = tfidf_prepare,
                                             .infer = tfidf_infer,
                                             .run = tfidf_run};
