/* SPDX-License-Identifier: Apache-2.0
 *
 * model.c: see model.h.
 */
#include "tests/unit/runtime/model.h"

#include "base/pbwire.h"
#include "base/rand.h"
#include "runtime/exec/session.h"

#define MAX_PARTS 16

static const struct {
    const char *name;
    enum pt_dtype dtype;
    size_t size;
} types[] = {{"f32", PT_FLOAT, 4},         {"f64", PT_DOUBLE, 8},  {"i64", PT_INT64, 8},
             {"i32", PT_INT32, 4},         {"i16", PT_INT16, 2},   {"i8", PT_INT8, 1},
             {"u8", PT_UINT8, 1},          {"u32", PT_UINT32, 4},  {"u64", PT_UINT64, 8},
             {"u16", PT_UINT16, 2},        {"f16", PT_FLOAT16, 2}, {"bf16", PT_BFLOAT16, 2},
             {"e4m3", PT_FLOAT8E4M3FN, 1}, {"i4", PT_INT4, 0},     {"u4", PT_UINT4, 0},
             {"u2", PT_UINT2, 0},          {"b", PT_BOOL, 1},      {"s", PT_STRING, sizeof(struct pt_string)}};

/* --- tensors ----------------------------------------------------------------------------------------------------------------- */

static size_t read_type(const char **s, struct pt_tensor *t)
{
    size_t len = strcspn(*s, "[");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strlen(types[i].name) != len || strncmp(*s, types[i].name, len) != 0)
            continue;
        t->dtype = types[i].dtype;
        *s += len + 1;
        while (**s != ']') {
            char *end;
            t->dims[t->rank++] = strtoll(*s, &end, 10);
            *s = end + (*end == ',');
        }
        ++*s;
        return types[i].size;
    }
    fail_msg("bad type in \"%s\"", *s);
    return 0;
}

static void put_value(const struct pt_tensor *t, size_t size, size_t i, const char **s)
{
    char *end, *p = (char *)t->data + i * size;
    if (t->dtype == PT_STRING) {
        struct pt_string v = {*s, strcspn(*s, ",")};
        memcpy(p, &v, sizeof v);
        *s += v.len + ((*s)[v.len] == ',');
        return;
    }
    if (t->dtype == PT_FLOAT || t->dtype == PT_DOUBLE) {
        double d = strtod(*s, &end);
        float f = (float)d;
        memcpy(p, size == 4 ? (void *)&f : (void *)&d, size);
    } else {
        unsigned long long v = strtoull(*s, &end, 0);
        unsigned bits = pt_dtype_bits(t->dtype);
        if (size)
            memcpy(p, &v, size);
        else /* packed, the low bits first */
            ((uint8_t *)t->data)[i * bits / 8] |= (uint8_t)((v & ((1u << bits) - 1)) << i * bits % 8);
    }
    if (end == *s)
        fail_msg("too few values before \"%s\"", *s);
    *s = end + (*end == ',');
}

struct pt_tensor test_tensor(const char *text)
{
    struct pt_tensor t = {0};
    size_t size = read_type(&text, &t);
    int64_t n = pt_tensor_count(&t);
    t.size_bytes = size ? (size_t)n * size : ((size_t)n * pt_dtype_bits(t.dtype) + 7) / 8;
    t.data = calloc(1, t.size_bytes + 1);
    if (*text == ':')
        text++;
    for (int64_t i = 0; i < n; i++) {
        if (i == 1 && size && t.dtype != PT_STRING && !*text) { /* one for all */
            for (; i < n; i++)
                memcpy((char *)t.data + (size_t)i * size, t.data, size);
            break;
        }
        put_value(&t, size, (size_t)i, &text);
    }
    return t;
}

/* --- protobuf ----------------------------------------------------------------------------------------------------------------- */

static void put_str(struct pt_buf *b, uint32_t field, const char *s, size_t len)
{
    pt_pb_put_bytes(b, field, s, len);
}

static void put_message(struct pt_buf *b, uint32_t field, struct pt_buf *m)
{
    pt_pb_put_bytes(b, field, m->data, m->len);
    pt_buf_finish(m);
}

static struct pt_buf tensor_proto(const char *name, size_t name_len, const char *text)
{
    struct pt_buf b = PT_BUF_INIT(0);
    struct pt_tensor t = test_tensor(text);
    for (int i = 0; i < t.rank; i++)
        pt_pb_put_varint(&b, 1, (uint64_t)t.dims[i]);
    pt_pb_put_varint(&b, 2, t.dtype);
    put_str(&b, 8, name, name_len);
    for (int64_t i = 0; t.dtype == PT_STRING && i < pt_tensor_count(&t); i++)
        pt_pb_put_bytes(&b, 6, ((const struct pt_string *)t.data)[i].p, ((const struct pt_string *)t.data)[i].len);
    if (t.dtype != PT_STRING)
        pt_pb_put_bytes(&b, 9, t.data, t.size_bytes);
    free(t.data);
    return b;
}

/* TypeProto. */
static struct pt_buf type_proto(const char *type)
{
    struct pt_buf proto = PT_BUF_INIT(0), inside = PT_BUF_INIT(0), shape = PT_BUF_INIT(0);
    struct pt_tensor t = {0};
    bool seq = strncmp(type, "seq:", 4) == 0, opt = strncmp(type, "opt:", 4) == 0;
    if (seq || opt) {
        struct pt_buf elem = type_proto(type + 4);
        put_message(&inside, 1, &elem);
        put_message(&proto, seq ? 4 : 9, &inside);
        return proto;
    }
    if (strncmp(type, "map:", 4) == 0) {
        struct pt_tensor key = {0};
        type += 4;
        read_type(&type, &key);
        struct pt_buf value = type_proto(type + 1);
        pt_pb_put_varint(&inside, 1, key.dtype);
        put_message(&inside, 2, &value);
        put_message(&proto, 5, &inside);
        return proto;
    }
    read_type(&type, &t);
    pt_pb_put_varint(&inside, 1, t.dtype);
    for (int i = 0; i < t.rank; i++) {
        struct pt_buf dim = PT_BUF_INIT(0);
        if (t.dims[i] >= 0)
            pt_pb_put_varint(&dim, 1, (uint64_t)t.dims[i]);
        else
            put_str(&dim, 2, "n", 1);
        put_message(&shape, 1, &dim);
    }
    put_message(&inside, 2, &shape);
    put_message(&proto, 1, &inside);
    return proto;
}

static struct pt_buf value_info(const char *name, size_t name_len, const char *type)
{
    struct pt_buf info = PT_BUF_INIT(0);
    put_str(&info, 1, name, name_len);
    if (type) {
        struct pt_buf proto = type_proto(type);
        put_message(&info, 2, &proto);
    }
    return info;
}

/* --- graphs by name, for attributes ---------------------------------------------------------------------------------------------------- */

#define MAX_GRAPHS 256
static struct named_graph {
    char name[32];
    struct pt_buf bytes;
} graphs[MAX_GRAPHS];
static size_t graph_count;

static void put_graph(struct pt_buf *attr, const char *name, size_t len)
{
    for (size_t i = graph_count; i-- > 0;)
        if (strlen(graphs[i].name) == len && strncmp(graphs[i].name, name, len) == 0) {
            pt_pb_put_bytes(attr, 6, graphs[i].bytes.data, graphs[i].bytes.len);
            return;
        }
    fail_msg("no graph \"%.*s\"", (int)len, name);
}

/* name=value; returns behind it. */
static const char *attribute(struct pt_buf *node, const char *s)
{
    struct pt_buf a = PT_BUF_INIT(0);
    size_t len = strcspn(s, "=");
    put_str(&a, 1, s, len);
    s += len + 1;
    bool list = *s == '[';
    if (list && s[1] == '\'') {
        while (*s++ != ']') {
            len = strcspn(++s, "'");
            put_str(&a, 9, s, len);
            s += len + 1;
        }
        pt_pb_put_varint(&a, 20, 8);
    } else if (*s == '\'') {
        len = strcspn(++s, "'");
        put_str(&a, 4, s, len);
        pt_pb_put_varint(&a, 20, 3);
        s += len + 1;
    } else if (*s == '@') {
        len = strcspn(++s, " \n");
        put_graph(&a, s, len);
        pt_pb_put_varint(&a, 20, 5);
        s += len;
    } else if (*s == '$') {
        len = strcspn(++s, ":");
        put_str(&a, 21, s, len);
        pt_pb_put_varint(&a, 20, strtoull(s + len + 1, NULL, 10));
        s += len;
        s += strcspn(s, " \n");
    } else if (*s == '{') {
        len = strcspn(++s, "}");
        char *text = strndup(s, len);
        struct pt_buf t = tensor_proto("", 0, text);
        free(text);
        put_message(&a, 5, &t);
        pt_pb_put_varint(&a, 20, 4);
        s += len + 1;
    } else {
        const char *p = s + list, *close = list ? strchr(s, ']') : s + strcspn(s, " \n");
        bool real = memchr(p, '.', (size_t)(close - p)) || memchr(p, 'n', (size_t)(close - p)); /* nan */
        while (p < close) {
            char *next;
            float f = strtof(p, &next);
            uint32_t bits;
            memcpy(&bits, &f, 4);
            if (real)
                pt_pb_put_i32(&a, list ? 7 : 2, bits);
            else
                pt_pb_put_varint(&a, list ? 8 : 3, (uint64_t)strtoll(p, &next, 10));
            assert_true(next > p);
            p = next + (*next == ',');
        }
        pt_pb_put_varint(&a, 20, list ? (real ? 6 : 7) : real ? 1 : 2);
        s = close + list;
    }
    put_message(node, 5, &a);
    return s;
}

/* "a, b" up to `close`: a field for each name. */
static void names(struct pt_buf *node, uint32_t field, const char *s, const char *close)
{
    while (s < close) {
        s += strspn(s, " ");
        size_t len = strcspn(s, ",)= ");
        if (s + len > close)
            len = (size_t)(close - s);
        put_str(node, field, s, len);
        s += len;
        s += strspn(s, " ");
        if (s < close && *s == ',')
            s++;
    }
}

static struct pt_buf node_proto(const char *line, size_t len)
{
    struct pt_buf b = PT_BUF_INIT(0);
    const char *eq = memchr(line, '=', len), *open = eq ? strchr(eq, '(') : NULL, *close = open ? strchr(open, ')') : NULL;
    if (!close)
        fail_msg("bad line \"%.*s\"", (int)len, line);
    names(&b, 1, open + 1, close);
    names(&b, 2, line, eq);
    const char *op = eq + 1 + strspn(eq + 1, " "), *colons = strstr(op, "::");
    if (*line != '_')
        put_str(&b, 3, line, strcspn(line, ", ="));
    if (colons && colons < open) {
        put_str(&b, 7, op, (size_t)(colons - op));
        op = colons + 2;
    }
    put_str(&b, 4, op, (size_t)(open - op));
    const char *s = close + 1;
    while ((s += strspn(s, " ")) < line + len)
        s = attribute(&b, s);
    return b;
}

static void put_import(struct pt_buf *to, uint32_t field, const char *domain, int version)
{
    struct pt_buf import = PT_BUF_INIT(0);
    put_str(&import, 1, domain, strlen(domain));
    pt_pb_put_varint(&import, 2, (uint64_t)version);
    put_message(to, field, &import);
}

static void put_entry(struct pt_buf *tensor, const char *key, const char *value)
{
    struct pt_buf entry = PT_BUF_INIT(0);
    if (strcmp(value, "-") == 0)
        return;
    put_str(&entry, 1, key, strlen(key));
    put_str(&entry, 2, value, strlen(value));
    put_message(tensor, 13, &entry);
}

static struct pt_buf external_proto(const char *line)
{
    struct pt_buf b = PT_BUF_INIT(0);
    struct pt_tensor t = {0};
    char name[64], type[64], location[256], offset[32], length[32], sha1[64];
    const char *s = type;
    if (sscanf(line, "external %63s %63s %255s %31s %31s %63s", name, type, location, offset, length, sha1) != 6)
        fail_msg("bad line \"%s\"", line);
    read_type(&s, &t);
    for (int i = 0; i < t.rank; i++)
        pt_pb_put_varint(&b, 1, (uint64_t)t.dims[i]);
    pt_pb_put_varint(&b, 2, t.dtype);
    put_str(&b, 8, name, strlen(name));
    put_entry(&b, "location", location);
    put_entry(&b, "offset", offset);
    put_entry(&b, "length", length);
    put_entry(&b, "checksum", sha1);
    pt_pb_put_varint(&b, 14, 1);
    return b;
}

/* A line of a graph or function, in the fields that the message has for it. */
static void put_line(struct pt_buf *to, const char *line, size_t len, bool function)
{
    char word[8] = "", name[64] = "", type[65536] = "", values[256] = "", indices[256] = "";
    struct pt_buf m, part;
    int parts = sscanf(line, "%7s %63s %65535[^\n]", word, name, type);
    if (strcmp(word, "in") == 0 && parts == 3) {
        m = value_info(name, strlen(name), type);
        put_message(to, 11, &m);
    } else if (strcmp(word, "const") == 0) {
        m = tensor_proto(name, strlen(name), type);
        put_message(to, 5, &m);
    } else if (strcmp(word, "externa") == 0) {
        m = external_proto(line);
        put_message(to, 5, &m);
    } else if (strcmp(word, "out") == 0) {
        m = value_info(name, strlen(name), *line && memchr(line + 4, ' ', len - 4) ? type : NULL);
        put_message(to, 12, &m);
    } else if (sscanf(line, "sparse %63s %65535s %255s %255s", name, type, values, indices) == 4) {
        m = (struct pt_buf)PT_BUF_INIT(0);
        part = tensor_proto(name, strlen(name), values);
        put_message(&m, 1, &part);
        part = tensor_proto("", 0, indices);
        put_message(&m, 2, &part);
        for (char *d = type, *end; *d; d = end + (*end == ','))
            pt_pb_put_varint(&m, 3, strtoull(d, &end, 10));
        put_message(to, 15, &m);
    } else {
        m = node_proto(line, len);
        put_message(to, function ? 7 : 1, &m);
    }
}

static const char *line_end(const char *line)
{
    size_t len = strcspn(line, "\n");
    return line + len + (line[len] == '\n');
}

/* Lines up to "end" or the end of the text, which *text is behind afterwards. */
static struct pt_buf read_block(const char **text, bool function)
{
    struct pt_buf block = PT_BUF_INIT(0);
    char name[32];
    for (const char *line = *text; *line; line = *text) {
        size_t len = strcspn(line, "\n");
        *text = line_end(line);
        if (len == 3 && strncmp(line, "end", 3) == 0)
            break;
        if (sscanf(line, "graph %31s", name) == 1 && strncmp(line, "graph ", 6) == 0) {
            struct pt_buf inner = read_block(text, false);
            assert_true(graph_count < MAX_GRAPHS);
            snprintf(graphs[graph_count].name, sizeof graphs->name, "%s", name);
            graphs[graph_count++].bytes = inner;
        } else if (len) {
            put_line(&block, line, len, function);
        }
    }
    return block;
}

/* "function Bar(a, b) -> y": its FunctionProto, lines included. */
static struct pt_buf function_proto(const char **text, int version)
{
    struct pt_buf f = PT_BUF_INIT(0), body;
    const char *head = *text + strlen("function "), *open = strchr(head, '('), *close = strchr(head, ')'), *arrow = strstr(head, "->");
    assert_true(open && close && arrow);
    put_str(&f, 1, head, (size_t)(open - head));
    names(&f, 4, open + 1, close);
    names(&f, 5, arrow + 2, arrow + strcspn(arrow, "\n"));
    put_import(&f, 9, "", version);
    put_import(&f, 9, "com.foo", 1);
    put_str(&f, 10, "com.foo", 7);
    *text = line_end(*text);
    body = read_block(text, true);
    pt_buf_append(&f, body.data, body.len);
    pt_buf_finish(&body);
    return f;
}

struct pt_buf test_model(const char *text)
{
    struct pt_buf model = PT_BUF_INIT(0), graph = PT_BUF_INIT(0), functions = PT_BUF_INIT(0);
    int version = 17, domain_version = 0;
    char domain[64] = "com.foo";
    graph_count = 0;
    while (*text) {
        if (sscanf(text, "opset %d", &version) == 1 || sscanf(text, "domain %63s %d", domain, &domain_version) == 2) {
            text = line_end(text);
        } else if (strncmp(text, "function ", 9) == 0) {
            struct pt_buf f = function_proto(&text, version);
            put_message(&functions, 25, &f);
        } else if (strncmp(text, "graph ", 6) == 0) {
            char name[32];
            assert_int_equal(sscanf(text, "graph %31s", name), 1);
            text = line_end(text);
            assert_true(graph_count < MAX_GRAPHS);
            struct pt_buf inner = read_block(&text, false);
            snprintf(graphs[graph_count].name, sizeof graphs->name, "%s", name);
            graphs[graph_count++].bytes = inner;
        } else {
            if (*text != '\n')
                put_line(&graph, text, strcspn(text, "\n"), false);
            text = line_end(text);
        }
    }
    pt_pb_put_varint(&model, 1, 8);
    put_import(&model, 8, "", version);
    put_import(&model, 8, domain, domain_version ? domain_version : 1);
    if (strcmp(domain, "com.microsoft") != 0)
        put_import(&model, 8, "com.microsoft", 1);
    put_message(&model, 7, &graph);
    pt_buf_append(&model, functions.data, functions.len);
    pt_buf_finish(&functions);
    for (size_t i = 0; i < graph_count; i++)
        pt_buf_finish(&graphs[i].bytes);
    return model;
}

/* --- running ------------------------------------------------------------------------------------------------------------------- */

static double value_at(const struct pt_tensor *t, int64_t i)
{
    size_t bits = pt_dtype_bits(t->dtype);
    if (bits < 8)
        return ((const uint8_t *)t->data)[(size_t)i * bits / 8] >> (size_t)i * bits % 8 & ((1u << bits) - 1);
    switch (t->dtype) {
    case PT_FLOAT:
        return (double)((const float *)t->data)[i];
    case PT_DOUBLE:
        return ((const double *)t->data)[i];
    case PT_INT64:
    case PT_UINT64:
        return (double)((const int64_t *)t->data)[i];
    case PT_INT32:
        return ((const int32_t *)t->data)[i];
    case PT_UINT32:
        return ((const uint32_t *)t->data)[i];
    case PT_INT16:
        return ((const int16_t *)t->data)[i];
    case PT_UINT16:
    case PT_FLOAT16:
    case PT_BFLOAT16:
        return ((const uint16_t *)t->data)[i];
    case PT_INT8:
        return ((const int8_t *)t->data)[i];
    default:
        return ((const uint8_t *)t->data)[i];
    }
}

void test_compare(const struct pt_tensor *got, const char *expected, const char *what)
{
    struct pt_tensor want = test_tensor(expected);
    if (got->dtype != want.dtype || got->rank != want.rank || got->size_bytes != want.size_bytes)
        fail_msg("%s: got %s of rank %d, %zu bytes; expected %s", what, pt_dtype_name(got->dtype), got->rank, got->size_bytes, expected);
    for (int i = 0; i < want.rank; i++)
        if (got->dims[i] != want.dims[i])
            fail_msg("%s: dim %d is %lld; expected %s", what, i, (long long)got->dims[i], expected);
    for (int64_t i = 0; want.dtype == PT_STRING && i < pt_tensor_count(&want); i++) {
        const struct pt_string *g = (const struct pt_string *)got->data + i, *w = (const struct pt_string *)want.data + i;
        if (g->len != w->len || (g->len && memcmp(g->p, w->p, g->len) != 0))
            fail_msg("%s: element %lld is \"%.*s\"; expected %s", what, (long long)i, (int)g->len, g->p ? g->p : "", expected);
    }
    if (pt_dtype_bits(want.dtype) < 8 && want.size_bytes && want.dtype != PT_STRING) /* packed: no garbage behind the last element */
        assert_memory_equal(got->data, want.data, want.size_bytes);
    for (int64_t i = 0; want.dtype != PT_STRING && i < pt_tensor_count(&want); i++) {
        double g = value_at(got, i), w = value_at(&want, i);
        if (!(g == w || (isnan(g) && isnan(w)) || fabs(g - w) <= 1e-5 * fmax(1, fabs(w))))
            fail_msg("%s: element %lld is %.9g; expected %.9g of %s", what, (long long)i, g, w, expected);
    }
    free(want.data);
}

static int run_once(const struct pt_buf *model, const char *const *inputs, const char *const *expected, bool no_opt, struct pt_err *err)
{
    struct pt_session_options o = {.thread_count = 1, .no_opt = no_opt, .max_arena_bytes = 64 << 20};
    struct pt_session *s;
    struct pt_run *r = NULL;
    struct pt_tensor in[MAX_PARTS] = {0};
    size_t n = 0;
    int rc = pt_session_open_memory(model->data, model->len, &o, &s, err);
    if (rc == PT_OK)
        rc = pt_run_create(s, &r, err);
    for (; rc == PT_OK && inputs && inputs[n]; n++) {
        in[n] = test_tensor(inputs[n]);
        rc = pt_run_set_input(r, n, &in[n], err);
    }
    for (int again = 0; rc == PT_OK && again < 2; again++) { /* the second run finds everything in place */
        rc = pt_run_execute(r, err);
        for (size_t i = 0; rc == PT_OK && expected && expected[i]; i++)
            if (expected[i][0])
                test_compare(pt_run_output(r, i), expected[i], no_opt ? "reference" : "optimised");
    }
    for (size_t i = 0; i <= n && i < MAX_PARTS; i++)
        free(in[i].data);
    pt_run_destroy(r);
    pt_session_close(s);
    return rc;
}

/* The model read and written again: it must mean the same, and written once more be the same bytes. Models with files beside them stay as they are.
 */
static struct pt_buf written(const struct pt_buf *model)
{
    struct pt_buf out[2] = {{0}};
    const struct pt_buf *from = model;
    for (int k = 0; k < 2; k++, from = out) {
        struct pt_arena arena;
        struct pt_onnx_model m;
        struct pt_err err = {0};
        pt_arena_init(&arena, 0);
        if (pt_onnx_read(from->data, from->len, &arena, NULL, &m, &err) < 0 || pt_onnx_write(&m, &out[k], &err) < 0)
            fail_msg("the model cannot be written: %s", err.msg);
        pt_arena_finish(&arena);
    }
    assert_int_equal(out[0].len, out[1].len);
    assert_memory_equal(out[0].data, out[1].data, out[0].len);
    pt_buf_finish(&out[1]);
    return out[0];
}

void test_run(const char *text, const char *const *inputs, const char *const *expected)
{
    struct pt_buf model = test_model(text), copy = written(&model);
    for (int no_opt = 0; no_opt < 2; no_opt++) {
        struct pt_err err = {0};
        if (run_once(no_opt ? &copy : &model, inputs, expected, no_opt, &err) < 0)
            fail_msg("%s\nof model:\n%s", err.msg, text);
    }
    pt_buf_finish(&copy);
    pt_buf_finish(&model);
}

/* --- optimised against reference ------------------------------------------------------------------------------------------------- */

static struct pt_tensor made_up(const struct pt_value_info *vi, struct pt_rand *rand)
{
    struct pt_tensor t = {.dtype = vi->dtype, .rank = vi->rank};
    for (int i = 0; i < t.rank; i++)
        t.dims[i] = vi->dims[i] < 0 ? 3 : vi->dims[i];
    assert_true(pt_tensor_need(t.dtype, t.rank, t.dims, &t.size_bytes));
    t.data = calloc(1, t.size_bytes + 1);
    for (int64_t i = 0; i < pt_tensor_count(&t); i++) {
        double d = pt_rand_normal(rand);
        float f = (float)d;
        int64_t small = t.dtype == PT_BOOL ? pt_rand_below(rand, 2) : pt_rand_below(rand, 5);
        const void *v = t.dtype == PT_FLOAT ? (const void *)&f : t.dtype == PT_DOUBLE ? (const void *)&d : (const void *)&small;
        memcpy((char *)t.data + (size_t)i * pt_dtype_size(t.dtype), v, pt_dtype_size(t.dtype));
    }
    return t;
}

static void check_equal(const struct pt_tensor *a, const struct pt_tensor *b, size_t output, const char *text)
{
    assert_int_equal(a->dtype, b->dtype);
    assert_true(pt_dims_equal(a, b));
    for (int64_t i = 0; i < pt_tensor_count(a); i++) {
        double x = value_at(a, i), y = value_at(b, i), bound = a->dtype == PT_FLOAT ? 2e-5 : a->dtype == PT_DOUBLE ? 1e-12 : 0;
        if (!(x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= bound * (1 + fabs(y))))
            fail_msg("output %zu, element %lld: %.9g, the reference has %.9g, model:\n%s", output, (long long)i, x, y, text);
    }
}

int test_same(const char *text)
{
    struct pt_buf model = test_model(text);
    struct pt_tensor in[MAX_PARTS] = {0};
    struct pt_session *s[2];
    struct pt_run *r[2];
    struct pt_err err = {0};
    struct pt_rand rand;
    pt_rand_init(&rand, 7);
    for (int k = 0; k < 2; k++) {
        struct pt_session_options o = {.thread_count = 1, .no_opt = k};
        if (pt_session_open_memory(model.data, model.len, &o, &s[k], &err) < 0 || pt_run_create(s[k], &r[k], &err) < 0)
            fail_msg("%s, model:\n%s", err.msg, text);
        for (size_t i = 0; i < pt_session_input_count(s[k]); i++) {
            if (k == 0)
                in[i] = made_up(pt_session_input(s[k], i), &rand);
            assert_int_equal(pt_run_set_input(r[k], i, &in[i], &err), PT_OK);
        }
        if (pt_run_execute(r[k], &err) < 0)
            fail_msg("%s, model:\n%s", err.msg, text);
    }
    for (size_t i = 0; i < pt_session_output_count(s[0]); i++)
        check_equal(pt_run_output(r[0], i), pt_run_output(r[1], i), i, text);
    int steps = s[0]->units[0].programs[0]->step_count;
    for (int k = 0; k < 2; k++) {
        pt_run_destroy(r[k]);
        pt_session_close(s[k]);
    }
    for (size_t i = 0; i < MAX_PARTS; i++)
        free(in[i].data);
    pt_buf_finish(&model);
    return steps;
}

void test_fails(const char *text, const char *const *inputs, const char *message)
{
    struct pt_buf model = test_model(text);
    struct pt_err err = {0};
    if (run_once(&model, inputs, NULL, false, &err) == PT_OK)
        fail_msg("no error where \"%s\" was expected, model:\n%s", message, text);
    if (!strstr(err.msg, message))
        fail_msg("the error is \"%s\", expected \"%s\"", err.msg, message);
    pt_buf_finish(&model);
}

void test_out_of_memory(const char *text, const char *const *inputs)
{
    struct pt_buf model = test_model(text);
    struct pt_err err = {0};
    for (int64_t i = 0, total = 0; i <= total; i++) {
        uint64_t before = pt_mem_count();
        pt_mem_fail_at(i, 0);
        int rc = run_once(&model, inputs, NULL, false, &err);
        pt_mem_fail_at(0, 0);
        total = i ? total : (int64_t)(pt_mem_count() - before);
        if (i ? rc != PT_ENOMEM && rc != PT_ELIMIT : rc != PT_OK)
            fail_msg("allocation %lld of %lld failed, the result was %d: %s\nof model:\n%s", (long long)i, (long long)total, rc, err.msg, text);
    }
    pt_buf_finish(&model);
}

/* --- single nodes ---------------------------------------------------------------------------------------------------------------- */

/* Cuts a copy of s at " | "; the parts point into it. */
static size_t cut(char *s, const char *parts[MAX_PARTS])
{
    size_t n = 0;
    while (s && *s) {
        char *bar = strstr(s, " | ");
        if (bar)
            *bar = 0;
        assert_true(n + 1 < MAX_PARTS);
        parts[n++] = s;
        s = bar ? bar + 3 : NULL;
    }
    parts[n] = NULL;
    return n;
}

/* The model of one node, inputs as graph inputs or as constants; given: the texts to feed. */
static void one_node(struct pt_buf *text, int opset, const char *op, const char *attrs, const char *const *in, size_t outs, bool constant,
                     const char *given[MAX_PARTS])
{
    size_t fed = 0;
    const char *colons = strstr(op, "::");
    if (colons)
        pt_buf_printf(text, "domain %.*s %d\n", (int)(colons - op), op, opset);
    else
        pt_buf_printf(text, "opset %d\n", opset);
    for (size_t i = 0; in[i]; i++) {
        const char *t = in[i] + (in[i][0] == '!');
        if (strcmp(t, "-") == 0)
            continue;
        if (constant || in[i][0] == '!') {
            pt_buf_printf(text, "const x%zu %s\n", i, t);
        } else {
            pt_buf_printf(text, "in x%zu %.*s\n", i, (int)(strchr(t, ']') + 1 - t), t);
            given[fed++] = t;
        }
    }
    given[fed] = NULL;
    for (size_t i = 0; i < outs; i++)
        pt_buf_printf(text, "%sy%zu", i ? "," : "", i);
    pt_buf_printf(text, " = %s(", op);
    for (size_t i = 0; in[i]; i++) {
        pt_buf_puts(text, i ? "," : "");
        if (strcmp(in[i], "-") != 0)
            pt_buf_printf(text, "x%zu", i);
    }
    pt_buf_printf(text, ") %s\n", attrs);
    for (size_t i = 0; i < outs; i++)
        pt_buf_printf(text, "out y%zu\n", i);
}

void test_op(int opset, const char *op, const char *attrs, const char *inputs, const char *outputs)
{
    char *in_text = strdup(inputs), *out_text = strdup(outputs);
    const char *in[MAX_PARTS], *out[MAX_PARTS], *given[MAX_PARTS];
    size_t outs;
    cut(in_text, in);
    outs = cut(out_text, out);
    for (int constant = 0; constant < 2; constant++) {
        struct pt_buf text = PT_BUF_INIT(0);
        one_node(&text, opset, op, attrs, in, outs, constant, given);
        test_run(pt_buf_cstr(&text), given, out);
        pt_buf_finish(&text);
    }
    free(in_text);
    free(out_text);
}

void test_op_fails(int opset, const char *op, const char *attrs, const char *inputs, const char *message)
{
    char *in_text = strdup(inputs);
    const char *in[MAX_PARTS], *given[MAX_PARTS];
    struct pt_buf text = PT_BUF_INIT(0);
    cut(in_text, in);
    one_node(&text, opset, op, attrs, in, 1, false, given);
    test_fails(pt_buf_cstr(&text), given, message);
    pt_buf_finish(&text);
    free(in_text);
}
