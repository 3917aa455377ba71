/* SPDX-License-Identifier: Apache-2.0
 *
 * custom.c: a registered operator is a row of the table whose infer and run call the program's. Rows are added to a list and never leave it, so that
 * sessions may point to them; adding is guarded by a lock, looking up needs none.
 */
#include "runtime/ops/custom.h"

#include <stdatomic.h>

struct custom {
    struct pt_op row; /* first member: nodes point to it */
    struct pt_custom_op given;
    struct custom *next;
};

static _Atomic(struct custom *) list;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool pt_custom_any(void)
{
    return atomic_load(&list) != NULL;
}

/* --- calls ------------------------------------------------------------------------------------------------------------------------------ */

static const struct custom *custom_of(const struct pt_node *n)
{
    return (const struct custom *)(const void *)n->op;
}

static int call(struct pt_op_ctx *c, int (*fn)(const struct pt_custom_call *, struct pt_err *), const char *what)
{
    struct pt_err err = {0};
    struct pt_custom_call call = {.inputs = c->in,
                                  .outputs = c->out,
                                  .input_count = (size_t)c->in_count,
                                  .output_count = (size_t)c->out_count,
                                  .user = custom_of(c->node)->given.user,
                                  .node = c->node};
    int rc = fn(&call, &err);
    err.msg[sizeof err.msg - 1] = '\0';
    return rc < 0 ? pt_op_fail(c, rc, "%s", *err.msg ? err.msg : what) : rc;
}

static int first_unknown(const struct pt_op_ctx *c)
{
    for (int i = 0; i < c->in_count; i++)
        if (c->in[i] && !c->in[i]->data)
            return i;
    return -1;
}

static int custom_infer(struct pt_op_ctx *c)
{
    int rc = call(c, custom_of(c->node)->given.infer, "its shapes cannot be told"), unknown = first_unknown(c);
    if (rc == PT_CUSTOM_NEEDS_DATA)
        return unknown < 0 ? pt_op_fail(c, PT_EINTERNAL, "asks for data that it has") : pt_op_needs_data(c, unknown, "as it says");
    for (int i = 0; rc == PT_OK && i < c->out_count; i++) {
        const struct pt_tensor *t = c->out[i];
        if (t && (t->rank < 0 || t->rank > PT_MAX_RANK || pt_dtype_size(t->dtype) == 0))
            return pt_op_fail(c, PT_EINVAL, "output %d has type %s and rank %d, must be a type of whole bytes and 0 to %d", i,
                              pt_dtype_name(t->dtype), t->rank, PT_MAX_RANK);
    }
    return rc < 0 ? rc : PT_OK;
}

static int custom_run(struct pt_op_ctx *c)
{
    int rc = call(c, custom_of(c->node)->given.run, "it failed");
    return rc < 0 ? rc : PT_OK;
}

/* --- the list --------------------------------------------------------------------------------------------------------------------------- */

const struct pt_op *pt_custom_find(struct pt_str domain, struct pt_str type, int64_t version, int *since)
{
    const struct custom *best = NULL;
    for (const struct custom *c = atomic_load(&list); c; c = c->next)
        if (pt_str_eq(domain, pt_str(c->row.domain)) && pt_str_eq(type, pt_str(c->row.type)) && c->row.since[0] <= version &&
            (!best || c->row.since[0] > best->row.since[0]))
            best = c;
    if (since)
        *since = best ? best->row.since[0] : 0;
    return best ? &best->row : NULL;
}

static int check(const struct pt_custom_op *op, struct pt_err *err)
{
    if (!op->domain || !*op->domain || !op->name || !*op->name)
        return pt_fail(err, PT_EINVAL, "register an operator: it needs a domain and a name");
    if (!op->infer || !op->run)
        return pt_fail(err, PT_EINVAL, "register operator %s::%s: it needs infer and run", op->domain, op->name);
    if (op->since_version < 1 || op->since_version > UINT8_MAX)
        return pt_fail(err, PT_EINVAL, "register operator %s::%s: since_version %d is not in 1..%d", op->domain, op->name, op->since_version,
                       UINT8_MAX);
    if (op->min_inputs < 0 || op->max_inputs < op->min_inputs || op->max_outputs < 1)
        return pt_fail(err, PT_EINVAL, "register operator %s::%s: %d to %d inputs and up to %d outputs", op->domain, op->name, op->min_inputs,
                       op->max_inputs, op->max_outputs);
    return PT_OK;
}

/* Under the lock. */
static int add(struct custom *c, struct pt_err *err)
{
    int since;
    struct pt_str domain = pt_str(c->row.domain), type = pt_str(c->row.type);
    if (pt_op_find(domain, type, c->row.since[0], &since) && since == c->row.since[0])
        return pt_fail(err, PT_EEXIST, "register operator %s::%s: there is one since version %d already", c->row.domain, c->row.type, since);
    c->next = atomic_load(&list);
    atomic_store(&list, c);
    return PT_OK;
}

int pt_register_operator(const struct pt_custom_op *given, struct pt_err *err)
{
    struct pt_custom_op op;
    int rc = pt_options_read(given, sizeof op, &op, sizeof op, "operator", err);
    if (rc == PT_OK)
        rc = check(&op, err);
    if (rc < 0)
        return rc;
    struct custom *c = pt_calloc(1, sizeof *c);
    char *domain = pt_strdup(op.domain), *name = pt_strdup(op.name);
    if (c && domain && name) {
        *c = (struct custom){.given = op,
                             .row = {.domain = domain,
                                     .type = name,
                                     .since = {(uint8_t)op.since_version},
                                     .min_in = op.min_inputs,
                                     .max_in = op.max_inputs,
                                     .max_out = op.max_outputs,
                                     .infer = custom_infer,
                                     .run = custom_run}};
        pthread_mutex_lock(&lock);
        rc = add(c, err);
        pthread_mutex_unlock(&lock);
    } else {
        rc = pt_fail(err, PT_ENOMEM, "out of memory registering an operator");
    }
    if (rc < 0) {
        pt_free(c);
        pt_free(domain);
        pt_free(name);
    }
    return rc;
}

/* --- attributes ---------------------------------------------------------------------------------------------------------------------------- */

static const struct pt_onnx_attr *attr(const struct pt_custom_call *c, const char *name, enum pt_attr_type type)
{
    const struct pt_onnx_attr *a = pt_node_attr(c->node, name);
    return a && a->type == type ? a : NULL;
}

int64_t pt_custom_int(const struct pt_custom_call *c, const char *name, int64_t def)
{
    const struct pt_onnx_attr *a = attr(c, name, PT_ATTR_INT);
    return a ? a->i : def;
}

float pt_custom_float(const struct pt_custom_call *c, const char *name, float def)
{
    const struct pt_onnx_attr *a = attr(c, name, PT_ATTR_FLOAT);
    return a ? a->f : def;
}

struct pt_string pt_custom_text(const struct pt_custom_call *c, const char *name)
{
    const struct pt_onnx_attr *a = attr(c, name, PT_ATTR_STRING);
    return a ? (struct pt_string){a->s.p, a->s.len} : (struct pt_string){NULL, 0};
}

const int64_t *pt_custom_ints(const struct pt_custom_call *c, const char *name, size_t *count)
{
    const struct pt_onnx_attr *a = attr(c, name, PT_ATTR_INTS);
    *count = a ? a->count : 0;
    return a ? a->ints : NULL;
}

const struct pt_tensor *pt_custom_tensor(const struct pt_custom_call *c, const char *name)
{
    const struct pt_onnx_attr *a = attr(c, name, PT_ATTR_TENSOR);
    return a ? &a->t->t : NULL;
}
