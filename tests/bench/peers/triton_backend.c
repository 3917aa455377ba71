/* SPDX-License-Identifier: Apache-2.0
 *
 * triton_backend.c: the smallest backend that lets Triton's C++ path serve the bench's models: a model folder with a model.onnx beside its
 * config.pbtxt runs on ONNX Runtime's C API, one without gives its input back. One input, one output, rows joined along the first dimension.
 *
 * Triton's and ONNX Runtime's headers are not in their packages, so the few calls needed are declared here: Triton's by name, ONNX Runtime's
 * by their place in its table of functions, which only ever grows at its end. The bench compiles this file; nothing of Pintle links it.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* --- Triton ------------------------------------------------------------------------------------------------------------------- */

typedef struct TRITONSERVER_Error error;
enum { ERROR_INTERNAL = 1, MEMORY_CPU = 0, TYPE_FP32 = 11, RELEASE_ALL = 1, COMPLETE_FINAL = 1, ARTIFACT_FILESYSTEM = 0 };

error *TRITONSERVER_ErrorNew(int code, const char *message);
error *TRITONBACKEND_ModelRepository(void *model, int *type, const char **path);
error *TRITONBACKEND_ModelSetState(void *model, void *state);
error *TRITONBACKEND_ModelState(void *model, void **state);
error *TRITONBACKEND_ModelInstanceModel(void *instance, void **model);
error *TRITONBACKEND_RequestInputByIndex(void *request, uint32_t index, void **input);
error *TRITONBACKEND_InputProperties(void *input, const char **name, int *type, const int64_t **shape, uint32_t *dims, uint64_t *bytes,
                                     uint32_t *buffers);
error *TRITONBACKEND_InputBuffer(void *input, uint32_t index, const void **buffer, uint64_t *bytes, int *memory, int64_t *memory_id);
error *TRITONBACKEND_ResponseNew(void **response, void *request);
error *TRITONBACKEND_ResponseOutput(void *response, void **output, const char *name, int type, const int64_t *shape, uint32_t dims);
error *TRITONBACKEND_OutputBuffer(void *output, void **buffer, uint64_t bytes, int *memory, int64_t *memory_id);
error *TRITONBACKEND_ResponseSend(void *response, uint32_t flags, error *e);
error *TRITONBACKEND_RequestRelease(void *request, uint32_t flags);

/* --- ONNX Runtime --------------------------------------------------------------------------------------------------------------- */

struct ort_base {
    void *const *(*get_api)(uint32_t version);
    const char *(*version)(void);
};
enum {
    ORT_MESSAGE = 2,
    ORT_CREATE_ENV = 3,
    ORT_CREATE_SESSION = 7,
    ORT_RUN = 9,
    ORT_CREATE_OPTIONS = 10,
    ORT_SET_THREADS = 24,
    ORT_INPUT_NAME = 36,
    ORT_OUTPUT_NAME = 37,
    ORT_TENSOR_OF = 49,
    ORT_DATA = 51,
    ORT_DIMS_COUNT = 61,
    ORT_DIMS = 62,
    ORT_SHAPE = 65,
    ORT_CPU_MEMORY = 69,
    ORT_ALLOCATOR = 78,
    ORT_RELEASE_VALUE = 96,
    ORT_RELEASE_SHAPE = 99,
};
static void *const *api;
static void *env, *cpu;

#define CALL(index, ...) (((void *(*)())(uintptr_t)api[index])(__VA_ARGS__)) /* a status, NULL: fine */

struct model {
    void *session; /* NULL: gives its input back */
    char *input, *output;
};

static error *failed(const char *what)
{
    return TRITONSERVER_ErrorNew(ERROR_INTERNAL, what);
}

static error *ort_failed(void *status)
{
    return failed(((const char *(*)(void *))(uintptr_t)api[ORT_MESSAGE])(status));
}

static error *start_runtime(void)
{
    void *library = dlopen(getenv("BENCH_ONNXRUNTIME"), RTLD_NOW | RTLD_LOCAL), *status;
    if (!library)
        return failed(dlerror());
    const struct ort_base *(*base)(void) = (const struct ort_base *(*)(void))dlsym(library, "OrtGetApiBase");
    api = base()->get_api(1);
    if ((status = CALL(ORT_CREATE_ENV, 3, "bench", &env)) || (status = CALL(ORT_CPU_MEMORY, 0, 0, &cpu)))
        return ort_failed(status);
    return NULL;
}

static error *open_session(struct model *m, const char *path)
{
    void *options, *allocator, *status;
    error *e = api ? NULL : start_runtime();
    if (e)
        return e;
    if ((status = CALL(ORT_CREATE_OPTIONS, &options)) || (status = CALL(ORT_SET_THREADS, options, 1)) ||
        (status = CALL(ORT_CREATE_SESSION, env, path, options, &m->session)) || (status = CALL(ORT_ALLOCATOR, &allocator)) ||
        (status = CALL(ORT_INPUT_NAME, m->session, (size_t)0, allocator, &m->input)) ||
        (status = CALL(ORT_OUTPUT_NAME, m->session, (size_t)0, allocator, &m->output)))
        return ort_failed(status);
    return NULL;
}

EXPORT error *TRITONBACKEND_ModelInitialize(void *model)
{
    struct model *m = calloc(1, sizeof *m);
    const char *folder;
    char path[4096];
    int type;
    error *e = TRITONBACKEND_ModelRepository(model, &type, &folder);
    if (e)
        return e;
    snprintf(path, sizeof path, "%s/1/model.onnx", folder);
    if (access(path, R_OK) == 0 && (e = open_session(m, path)))
        return e;
    return TRITONBACKEND_ModelSetState(model, m);
}

/* --- running -------------------------------------------------------------------------------------------------------------------- */

struct part {
    const int64_t *shape;
    uint32_t dims, buffers;
    uint64_t bytes;
    void *input;
};

static error *look(void *request, struct part *p)
{
    const char *name;
    int type;
    error *e = TRITONBACKEND_RequestInputByIndex(request, 0, &p->input);
    return e ? e : TRITONBACKEND_InputProperties(p->input, &name, &type, &p->shape, &p->dims, &p->bytes, &p->buffers);
}

/* The input's bytes: where they lie if they are in one piece and to is NULL. */
static error *gather(const struct part *p, char *to, const void **from)
{
    for (uint32_t i = 0; i < p->buffers; i++) {
        int memory = MEMORY_CPU;
        int64_t id = 0;
        uint64_t bytes;
        error *e = TRITONBACKEND_InputBuffer(p->input, i, from, &bytes, &memory, &id);
        if (e)
            return e;
        if (to) {
            memcpy(to, *from, bytes);
            to += bytes;
        }
    }
    return NULL;
}

static error *answer(void *request, const char *name, const int64_t *shape, uint32_t dims, const void *data, uint64_t bytes)
{
    void *response, *output, *to;
    int memory = MEMORY_CPU;
    int64_t id = 0;
    error *e = TRITONBACKEND_ResponseNew(&response, request);
    if (e || (e = TRITONBACKEND_ResponseOutput(response, &output, name, TYPE_FP32, shape, dims)) ||
        (e = TRITONBACKEND_OutputBuffer(output, &to, bytes, &memory, &id)))
        return e;
    memcpy(to, data, bytes);
    return TRITONBACKEND_ResponseSend(response, COMPLETE_FINAL, NULL);
}

static error *give_back(void *request)
{
    struct part p;
    const void *data;
    error *e = look(request, &p);
    if (e)
        return e;
    char *joined = p.buffers == 1 ? NULL : malloc(p.bytes);
    e = gather(&p, joined, &data);
    e = e ? e : answer(request, "y", p.shape, p.dims, joined ? joined : data, p.bytes);
    free(joined);
    return e;
}

static error *run(const struct model *m, void **requests, uint32_t count)
{
    struct part p[count];
    uint64_t bytes = 0, at = 0;
    const void *data = NULL;
    void *in, *out = NULL, *shape, *result, *status;
    int64_t rows = 0, dims[8];
    size_t rank;
    error *e;
    for (uint32_t i = 0; i < count; i++) {
        if ((e = look(requests[i], &p[i])))
            return e;
        bytes += p[i].bytes;
        rows += p[i].shape[0];
    }
    char *joined = count == 1 && p[0].buffers == 1 ? NULL : malloc(bytes);
    for (uint32_t i = 0; i < count; at += p[i++].bytes)
        if ((e = gather(&p[i], joined ? joined + at : NULL, &data)))
            return e;
    memcpy(dims, p[0].shape, p[0].dims * sizeof *dims);
    dims[0] = rows;
    if ((status = CALL(ORT_TENSOR_OF, cpu, joined ? joined : (void *)(uintptr_t)data, (size_t)bytes, dims, (size_t)p[0].dims, 1, &in)) ||
        (status = CALL(ORT_RUN, m->session, NULL, &m->input, &in, (size_t)1, &m->output, (size_t)1, &out)) ||
        (status = CALL(ORT_DATA, out, &result)) || (status = CALL(ORT_SHAPE, out, &shape)) || (status = CALL(ORT_DIMS_COUNT, shape, &rank)) ||
        (status = CALL(ORT_DIMS, shape, dims, rank)))
        return ort_failed(status);
    uint64_t row_bytes = 4;
    for (size_t k = 1; k < rank; k++)
        row_bytes *= (uint64_t)dims[k];
    const char *from = result;
    for (uint32_t i = 0; i < count; i++) {
        dims[0] = p[i].shape[0];
        if ((e = answer(requests[i], m->output, dims, (uint32_t)rank, from, row_bytes * (uint64_t)dims[0])))
            return e;
        from += row_bytes * (uint64_t)dims[0];
    }
    CALL(ORT_RELEASE_SHAPE, shape);
    CALL(ORT_RELEASE_VALUE, out);
    CALL(ORT_RELEASE_VALUE, in);
    free(joined);
    return NULL;
}

EXPORT error *TRITONBACKEND_ModelInstanceExecute(void *instance, void **requests, uint32_t count)
{
    void *model;
    struct model *m;
    error *e = TRITONBACKEND_ModelInstanceModel(instance, &model);
    if (e || (e = TRITONBACKEND_ModelState(model, (void **)&m)))
        return e;
    if (m->session)
        e = run(m, requests, count);
    for (uint32_t i = 0; !e && !m->session && i < count; i++)
        e = give_back(requests[i]);
    for (uint32_t i = 0; !e && i < count; i++)
        e = TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
    return e;
}
