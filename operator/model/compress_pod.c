/* SPDX-License-Identifier: Apache-2.0
 *
 * compress_pod.c: the pod that compresses: how it is made, and what is read of it.
 *
 * Its only container runs `pintle compress` on the recipe, which an annotation holds; model and output are arguments. It sees a pvc:// model and a
 * pvc:// output as folders. What it says in the end is its termination message.
 */
#include "operator/model/compress.h"

#include "base/mem.h"
#include "operator/ctrl/obj.h"
#include "operator/model/pack.h"

#include <stdio.h>
#include <stdlib.h>

int pt_compression_uri(const struct pt_spec *s, const char *digest, struct pt_buf *out, struct pt_err *err)
{
    pt_auto_obj *c = NULL;
    uint8_t bytes[32];
    if (pt_parse_digest(pt_str(digest), "status.compression.digest", bytes, err) < 0 ||
        pt_obj_parse(pt_str(s->compression.json), "compression", &c, err) < 0)
        return err->code;
    pt_buf_cat(out, pt_obj_text(c, "output.uri"), "/sha256-", digest + sizeof "sha256:" - 1, ".onnx", NULL);
    return pt_buf_check(out, "URI of the compressed model", err);
}

/* Of this work for this ModelDeployment: one that was deleted may have left its pod and folder behind, and a namesake must meet neither. */
static void work_name(const struct pt_md *md, char out[20])
{
    uint64_t seed = pt_hash64(md->spec.compression.key, strlen(md->spec.compression.key), 0);
    snprintf(out, 20, "%016llx", (unsigned long long)pt_hash64(md->o.uid, strlen(md->o.uid), seed));
}

void pt_compression_pod_name(const struct pt_md *md, char out[80])
{
    char work[20];
    work_name(md, work);
    snprintf(out, 80, "%.46s-compress-%.7s", md->o.name, work);
}

int pt_compression_result_read(const char *text, struct pt_compression_result *out, struct pt_err *err)
{
    pt_auto_obj *o = NULL;
    uint8_t bytes[32];
    *out = (struct pt_compression_result){.digest = ""};
    int rc = pt_obj_parse(pt_str(text), "result", &o, err);
    if (rc < 0) {
        snprintf(out->message, sizeof out->message, "%.1000s", text);
        return rc == PT_ENOMEM ? rc : PT_OK;
    }
    const char *digest = pt_obj_text(o, "digest");
    if (pt_parse_digest(pt_str(digest), "digest", bytes, NULL) == PT_OK)
        snprintf(out->digest, sizeof out->digest, "%s", digest);
    snprintf(out->message, sizeof out->message, "%.1000s", pt_obj_text(o, "message"));
    return PT_OK;
}

/* --- made ---------------------------------------------------------------------------------------------------------------- */

/* "/PATH" in a claim, or NULL. */
static const char *in_claim(const char *uri)
{
    return strncmp(uri, PT_SCHEME_PVC, sizeof PT_SCHEME_PVC - 1) ? NULL : strchr(uri + sizeof PT_SCHEME_PVC - 1, '/');
}

static void put_arg(struct pt_buf *b, const char *name, const char *folder, const char *value)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    pt_buf_cat(&text, folder, value, NULL);
    pt_buf_printf(b, ",\"%s\",", name);
    pt_buf_json_string(b, pt_str(pt_buf_cstr(&text)));
}

/* A model or a folder as the container sees it. */
static void put_place(struct pt_buf *b, const char *name, const char *uri, const char *mount)
{
    const char *path = in_claim(uri);
    char folder[64];
    snprintf(folder, sizeof folder, "file://%.48s", mount);
    put_arg(b, name, path ? folder : "", path ? path : uri);
}

static void put_args(struct pt_buf *b, const struct pt_md *md, bool reports, const cJSON *user, const cJSON *c)
{
    const char *output = pt_obj_text(c, "output.uri"), *digest = pt_obj_text(user, "model.digest");
    char work[64], name[20];
    work_name(md, name);
    pt_buf_puts(b, "\"compress\",\"" PT_PATH_CONFIG "\"");
    put_place(b, "--model", pt_obj_text(user, "model.uri"), PT_PATH_MODEL);
    if (*digest)
        put_arg(b, "--digest", "", digest);
    put_place(b, "--publish", output, PT_PATH_OUTPUT);
    if (pt_obj_get(c, "output.credentialsSecretRef"))
        pt_buf_puts(b, ",\"--publish-credentials\",\"" PT_PATH_OUTPUT_CREDENTIALS "\"");
    /* beside the output, so that another node goes on; a bucket is no folder */
    snprintf(work, sizeof work, "/.work-%s", name);
    if (!strncmp(output, "file://", 7))
        put_arg(b, "--work", output + 7, work);
    else if (in_claim(output)) {
        pt_auto_buf path = PT_BUF_INIT(0);
        pt_buf_cat(&path, in_claim(output), work, NULL);
        put_arg(b, "--work", PT_PATH_OUTPUT, pt_buf_cstr(&path));
    } else
        put_arg(b, "--work", PT_PATH_CACHE, work);
    pt_buf_puts(b, ",\"--cache\",\"" PT_PATH_CACHE "\",\"--result\",\"" PT_PATH_TERMINATION "\",\"--progress\",\"lines\"");
    if (reports)
        pt_buf_puts(b, ",\"--operator\",\"" PT_PATH_REPORT "\"");
}

/* The elements of a list of the user's, behind ours. */
static void put_elements(struct pt_buf *b, const cJSON *list, struct pt_err *err)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, list)
    {
        pt_buf_putc(b, ',');
        (void)pt_obj_print(e, b, err); /* a failure sticks to the buffer */
    }
}

struct place {
    const char *volume, *path;
    const char *name; /* of the claim or Secret; NULL: there is none of it */
    bool claim, writable;
};
enum { PLACES = 4 };

static void find_places(const cJSON *user, const cJSON *c, char claims[2][256], struct place out[PLACES])
{
    const char *uris[2] = {pt_obj_text(user, "model.uri"), pt_obj_text(c, "output.uri")};
    for (int i = 0; i < 2; i++) {
        const char *path = in_claim(uris[i]), *start = uris[i] + sizeof PT_SCHEME_PVC - 1;
        snprintf(claims[i], 256, "%.*s", path ? (int)(path - start) : 0, start);
    }
    const struct place all[PLACES] = {
        {"pintle-model", PT_PATH_MODEL, *claims[0] ? claims[0] : NULL, true, false},
        {"pintle-output", PT_PATH_OUTPUT, *claims[1] ? claims[1] : NULL, true, true},
        {"pintle-credentials", PT_PATH_CREDENTIALS, pt_obj_str(user, "model.credentialsSecretRef.name"), false, false},
        {"pintle-output-credentials", PT_PATH_OUTPUT_CREDENTIALS, pt_obj_str(c, "output.credentialsSecretRef.name"), false, false}};
    memcpy(out, all, sizeof all);
}

static void put_container(struct pt_buf *b, const struct pt_md *md, const struct pt_settings *s, const cJSON *user, const cJSON *c,
                          const struct place places[PLACES], struct pt_err *err)
{
    const char *image = pt_obj_text(c, "image");
    const cJSON *resources = pt_obj_get(c, "resources");
    pt_buf_puts(b, "{\"name\":\"" PT_CONTAINER_COMPRESS "\",\"image\":");
    pt_buf_json_string(b, pt_str(*image ? image : s->sidecar_image));
    pt_buf_puts(b, ",\"command\":[\"" PT_PROGRAM_COMPRESS "\"],\"args\":[");
    put_args(b, md, s->report_url != NULL, user, c);
    pt_buf_puts(b, "],\"env\":[{\"name\":\"TMPDIR\",\"value\":\"" PT_PATH_CACHE "\"},");
    pt_build_identity(b);
    pt_buf_puts(b, "],\"terminationMessagePath\":\"" PT_PATH_TERMINATION
                   "\"," PT_CONTAINER_SECURITY);
    if (resources) {
        pt_buf_puts(b, ",\"resources\":");
        (void)pt_obj_print(resources, b, err);
    }
    pt_buf_puts(b, ",\"volumeMounts\":[{\"name\":\"pintle-config\",\"mountPath\":\"" PT_PATH_CONFIG_DIR "\",\"readOnly\":true},"
                   "{\"name\":\"pintle-cache\",\"mountPath\":\"" PT_PATH_CACHE "\"}");
    if (s->report_url)
        pt_buf_puts(b, "," PT_TOKEN_MOUNT);
    for (int i = 0; i < PLACES; i++)
        if (places[i].name)
            pt_buf_printf(b, ",{\"name\":\"%s\",\"mountPath\":\"%s\"%s}", places[i].volume, places[i].path,
                          places[i].writable ? "" : ",\"readOnly\":true");
    put_elements(b, pt_obj_get(c, "volumeMounts"), err);
    pt_buf_puts(b, "]}");
}

#define ANNOTATION_FILE(file, annotation) \
    "{\"path\":\"" file "\",\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":\"metadata.annotations['" annotation "']\"}}"

static void put_volumes(struct pt_buf *b, bool reports, const cJSON *c, const struct place places[PLACES], struct pt_err *err)
{
    pt_buf_puts(b, "{\"name\":\"pintle-config\",\"downwardAPI\":{\"items\":[" ANNOTATION_FILE("config.json", PT_ANNOTATION_CONFIG));
    pt_buf_puts(b, reports ? "," ANNOTATION_FILE("report.json", PT_ANNOTATION_REPORT) : "");
    pt_buf_puts(b, "]}},{\"name\":\"pintle-cache\",\"emptyDir\":{}}");
    pt_buf_puts(b, reports ? "," PT_TOKEN_VOLUME : "");
    for (int i = 0; i < PLACES; i++) {
        const struct place *p = &places[i];
        if (!p->name)
            continue;
        pt_buf_printf(b, ",{\"name\":\"%s\",", p->volume);
        if (!p->claim)
            pt_buf_printf(b, "\"secret\":{\"secretName\":\"%s\",\"defaultMode\":288}}", p->name); /* 0440 */
        else
            pt_buf_printf(b, "\"persistentVolumeClaim\":{\"claimName\":\"%s\"}}", p->name);
    }
    put_elements(b, pt_obj_get(c, "volumes"), err);
}

int pt_build_compression_pod(const struct pt_md *md, const struct pt_settings *s, int attempt, struct pt_buf *out, struct pt_err *err)
{
    pt_auto_obj *user = NULL, *c = NULL;
    pt_auto_buf recipe = PT_BUF_INIT(262144); /* the API server's limit of all annotations */
    char name[80], claims[2][256];
    struct place places[PLACES];
    if (pt_obj_parse(pt_str(md->spec.user_json), "spec", &user, err) < 0 ||
        pt_obj_parse(pt_str(md->spec.compression.json), "compression", &c, err) < 0 || pt_obj_print(pt_obj_get(c, "recipe"), &recipe, err) < 0)
        return err->code;
    find_places(user, c, claims, places);
    pt_compression_pod_name(md, name);
    pt_buf_printf(out,
                  "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"labels\":{\"" PT_LABEL_MANAGED_BY
                  "\":\"" PT_COMPRESSOR "\",\"" PT_LABEL_INSTANCE "\":\"%s\",\"" PT_LABEL_COMPRESSION "\":\"%s\",\"" PT_LABEL_ATTEMPT
                  "\":\"%d\"},\"annotations\":{\"" PT_ANNOTATION_CONFIG "\":",
                  name, md->o.ns, md->o.name, md->spec.compression.key, attempt);
    pt_buf_json_string(out, (struct pt_str){recipe.data, recipe.len});
    if (s->report_url) {
        pt_auto_buf report = PT_BUF_INIT(0);
        pt_build_report(&report, s);
        pt_buf_puts(out, ",\"" PT_ANNOTATION_REPORT "\":");
        pt_buf_json_string(out, pt_str(pt_buf_cstr(&report)));
    }
    pt_buf_puts(out, "},");
    pt_build_owner(out, md);
    pt_buf_puts(out, "},\"spec\":{\"restartPolicy\":\"Never\",\"automountServiceAccountToken\":false,\"enableServiceLinks\":false," PT_POD_SECURITY
                     ",\"containers\":[");
    put_container(out, md, s, user, c, places, err);
    pt_buf_puts(out, "],\"volumes\":[");
    put_volumes(out, s->report_url != NULL, c, places, err);
    pt_buf_puts(out, "]}}");
    return pt_buf_check(out, "build pod that compresses", err);
}

/* --- read ---------------------------------------------------------------------------------------------------------------- */

static const char *label(const cJSON *tree, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(tree, "metadata.labels"), name));
    return s ? s : "";
}

/* Why it is not scheduled, or NULL. */
static const char *unschedulable(const cJSON *tree)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(tree, "status.conditions")) if (!strcmp(pt_obj_text(c, "type"), "PodScheduled") &&
                                                                     !strcmp(pt_obj_text(c, "status"), "False")) return pt_obj_text(c, "message");
    return NULL;
}

int pt_work_decode(struct pt_str json, struct pt_object **out, struct pt_err *err)
{
    struct pt_packer p = {.count = 0};
    struct pt_work_pod pod = {.exit_code = -1};
    pt_auto_obj *tree = NULL;
    int64_t attempt = 0;
    if (pt_obj_parse(json, "pod", &tree, err) < 0 || pt_object_meta(&p, &pod.o, tree, err) < 0)
        return err->code;
    const cJSON *state = pt_obj_get(tree, "status.containerStatuses.0.state"), *end = pt_obj_get(state, "terminated"),
                *wait = pt_obj_get(state, "waiting");
    const char *phase = pt_obj_text(tree, "status.phase"), *waits = unschedulable(tree);
    (void)pt_parse_i64(pt_str(label(tree, PT_LABEL_ATTEMPT)), 0, 1000000, "attempt", &attempt, NULL);
    pod.attempt = (int)attempt;
    pod.terminating = pt_obj_get(tree, "metadata.deletionTimestamp") != NULL;
    pod.ended = !strcmp(phase, "Failed") || !strcmp(phase, "Succeeded");
    pod.exit_code = (int)pt_obj_int(end, "exitCode", -1);
    pt_pack_put(&p, &pod.key, label(tree, PT_LABEL_COMPRESSION));
    pt_pack_put(&p, &pod.node, pt_obj_str(tree, "spec.nodeName"));
    pt_pack_put(&p, &pod.reason,
                end     ? pt_obj_str(end, "reason")
                : wait  ? pt_obj_str(wait, "reason")
                : waits ? "Unschedulable"
                        : pt_obj_str(tree, "status.reason"));
    pt_pack_put(&p, &pod.message,
                end                                   ? NULL
                : wait && pt_obj_str(wait, "message") ? pt_obj_str(wait, "message")
                : waits                               ? waits
                                                      : pt_obj_str(tree, "status.message"));
    pt_pack_put(&p, &pod.result, pt_obj_str(end, "message"));
    struct pt_work_pod *packed = pt_pack(&p, &pod, sizeof pod);
    *out = packed ? &packed->o : NULL;
    return packed ? PT_OK : pt_fail(err, PT_ENOMEM, "decode pod: out of memory");
}
