/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_rollout.c: pintle rollout ACTION mdep/NAME: status, history, undo, pause, resume, restart; in kubectl's words.
 *
 * undo only sets the annotation that anybody may set: the operator writes the spec. One row per action.
 */
#include "cli/commands.h"
#include "cli/printer.h"

#include "base/contract.h"
#include "base/mem.h"
#include "base/sched.h"
#include "operator/ctrl/obj.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define POLL_MS 200

static const char help[] = "usage: pintle rollout status|history|undo|pause|resume|restart mdep/NAME [-n NAMESPACE] [--socket PATH | --kubeconfig FILE]\n"
                           "\n"
                           "  status   waits until the newest spec is rolled out; fails when it makes no progress\n"
                           "             --timeout DURATION   how long to wait (default: until the progress deadline)\n"
                           "  history  the revisions that can be gone back to\n"
                           "             --revision N         what one of them says\n"
                           "  undo     back to the revision before\n"
                           "             --to-revision N      or to another one\n"
                           "  pause    replaces no more pods until resume\n"
                           "  restart  replaces every pod\n";

typedef int action_fn(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err);

static int get(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, cJSON **out, struct pt_err *err)
{
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(k, o->ns, name, &path);
    return pt_cli_request_json(o, "GET", pt_buf_cstr(&path), NULL, (struct pt_str){0}, out, err);
}

static int patch(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, const char *body, struct pt_err *err)
{
    pt_auto_obj *answer = NULL;
    pt_auto_buf path = PT_BUF_INIT(2048);
    pt_cli_path(k, o->ns, name, &path);
    return pt_cli_request_json(o, "PATCH", pt_buf_cstr(&path), "application/merge-patch+json", pt_str(body), &answer, err);
}

static void say(const struct pt_cli_kind *k, const char *name, const char *what)
{
    char label[96];
    pt_cli_kind_label(k, label, sizeof label);
    printf("%s/%s %s\n", label, name, what);
}

/* --- status -------------------------------------------------------------------------------------------------------------- */

static const cJSON *condition(const cJSON *object, const char *type)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, pt_obj_get(object, "status.conditions")) if (!strcmp(pt_obj_text(c, "type"), type)) return c;
    return NULL;
}

/* 1: done, 0: not yet (with what is waited for), negative: it will not be. */
static int look(const cJSON *object, const char *name, char waiting[160], struct pt_err *err)
{
    long long wanted = pt_obj_int(object, "spec.replicas", 1), updated = pt_obj_int(object, "status.updatedReplicas", 0),
              all = pt_obj_int(object, "status.replicas", 0);
    const cJSON *stalled = condition(object, "Stalled");
    if (pt_obj_int(object, "status.observedGeneration", 0) < pt_obj_int(object, "metadata.generation", 1)) {
        snprintf(waiting, 160, "spec update to be observed");
        return 0;
    }
    if (!strcmp(pt_obj_text(condition(object, "Ready"), "status"), "True"))
        return 1;
    if (!strcmp(pt_obj_text(stalled, "status"), "True"))
        return pt_fail(err, PT_EUNAVAILABLE, "%s \"%s\": %s: %s", PT_KIND, name, pt_obj_text(stalled, "reason"), pt_obj_text(stalled, "message"));
    if (pt_obj_true(object, "spec.paused"))
        snprintf(waiting, 160, "rollout to be resumed");
    else if (updated < wanted)
        snprintf(waiting, 160, "rollout to finish: %lld out of %lld new replicas have been updated", updated, wanted);
    else if (all > updated)
        snprintf(waiting, 160, "rollout to finish: %lld old replicas are pending termination", all - updated);
    else
        snprintf(waiting, 160, "rollout to finish: %lld of %lld updated replicas are available",
                 (long long)pt_obj_int(object, "status.availableReplicas", 0), wanted);
    return 0;
}

static int status(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err)
{
    int64_t timeout_ms = INT64_MAX / 2, start_ms = pt_clock_mono_ns() / 1000000;
    char said[160] = "", waiting[160];
    if (o->timeout && pt_parse_duration_ms(pt_str(o->timeout), "--timeout", &timeout_ms, err) < 0)
        return err->code;
    for (;;) {
        pt_auto_obj *object = NULL;
        int rc = get(o, k, name, &object, err);
        if (rc == PT_OK)
            rc = look(object, name, waiting, err);
        if (rc != 0) {
            if (rc > 0)
                printf("%s \"%s\" successfully rolled out\n", PT_KIND, name);
            return rc < 0 ? rc : PT_OK;
        }
        if (strcmp(said, waiting) != 0) {
            printf("Waiting for %s \"%s\" %s...\n", PT_KIND, name, waiting);
            fflush(stdout);
            memcpy(said, waiting, sizeof said);
        }
        if (pt_clock_mono_ns() / 1000000 - start_ms >= timeout_ms)
            return pt_fail(err, PT_ETIMEDOUT, "%s \"%s\": timed out waiting for %s", PT_KIND, name, waiting);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL);
    }
}

/* --- history ------------------------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    int64_t x = pt_obj_int(*(const cJSON *const *)a, "revision", 0), y = pt_obj_int(*(const cJSON *const *)b, "revision", 0);
    return x < y ? -1 : x > y;
}

static bool is_owned(const cJSON *revision, const char *uid)
{
    const cJSON *owner;
    cJSON_ArrayForEach(owner, pt_obj_get(revision, "metadata.ownerReferences")) if (!strcmp(pt_obj_text(owner, "uid"), uid)) return true;
    return false;
}

static void print_history(const cJSON **all, size_t n)
{
    printf("%-10s%-48s%s\n", "REVISION", "NAME", "CHANGE-CAUSE");
    for (size_t i = 0; i < n; i++) {
        const char *cause = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pt_obj_get(all[i], "metadata.annotations"), PT_ANNOTATION_CAUSE));
        printf("%-10lld%-48s%s\n", (long long)pt_obj_int(all[i], "revision", 0), pt_obj_text(all[i], "metadata.name"), cause ? cause : "<none>");
    }
}

static int print_one(const cJSON **all, size_t n, const char *number, struct pt_err *err)
{
    int64_t wanted;
    if (pt_parse_i64(pt_str(number), 1, INT64_MAX, "--revision", &wanted, err) < 0)
        return err->code;
    for (size_t i = 0; i < n; i++)
        if (pt_obj_int(all[i], "revision", 0) == wanted) {
            pt_print_yaml(pt_obj_get(all[i], "data"), 0);
            return PT_OK;
        }
    return pt_fail(err, PT_ENOTFOUND, "unable to find the specified revision %lld", (long long)wanted);
}

struct revisions {
    cJSON *list;
    const cJSON **all; /* by number */
    size_t count;
};

static void finish_revisions(struct revisions *r)
{
    pt_obj_free(r->list);
    pt_free(r->all);
}

static int read_revisions(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct revisions *out, struct pt_err *err)
{
    pt_auto_obj *object = NULL;
    int rc = get(o, k, name, &object, err);
    if (rc == PT_OK)
        rc = get(o, pt_cli_kind_find("controllerrevisions"), NULL, &out->list, err);
    if (rc < 0)
        return rc;
    const cJSON *items = pt_obj_get(out->list, "items"), *r;
    out->all = pt_calloc((size_t)cJSON_GetArraySize(items) + 1, sizeof *out->all);
    if (!out->all)
        return pt_fail(err, PT_ENOMEM, "out of memory");
    cJSON_ArrayForEach(r, items) if (is_owned(r, pt_obj_text(object, "metadata.uid"))) out->all[out->count++] = r;
    qsort(out->all, out->count, sizeof *out->all, by_number);
    return PT_OK;
}

static int history(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err)
{
    struct revisions r = {0};
    int rc = read_revisions(o, k, name, &r, err);
    if (rc == PT_OK && o->revision)
        rc = print_one(r.all, r.count, o->revision, err);
    else if (rc == PT_OK)
        print_history(r.all, r.count);
    finish_revisions(&r);
    return rc;
}

/* --- changes ------------------------------------------------------------------------------------------------------------- */

/* The operator says so too, later and as an event: whoever types the command should see it. 0: the revision before. */
static int check_target(const struct revisions *r, const char *name, int64_t number, struct pt_err *err)
{
    if (number == 0 && r->count < 2)
        return pt_fail(err, PT_ENOTFOUND, "%s \"%s\" has no revision before this one to go back to", PT_KIND, name);
    for (size_t i = 0; i < r->count; i++)
        if (number == 0 || pt_obj_int(r->all[i], "revision", 0) == number)
            return PT_OK;
    return pt_fail(err, PT_ENOTFOUND, "unable to find the specified revision %lld", (long long)number);
}

static int undo(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err)
{
    char body[160];
    int64_t number = 0;
    if (o->to_revision && pt_parse_i64(pt_str(o->to_revision), 0, INT64_MAX, "--to-revision", &number, err) < 0)
        return err->code;
    snprintf(body, sizeof body, "{\"metadata\":{\"annotations\":{\"" PT_ANNOTATION_ROLLBACK "\":\"%lld\"}}}", (long long)number);
    struct revisions r = {0};
    int rc = read_revisions(o, k, name, &r, err);
    if (rc == PT_OK)
        rc = check_target(&r, name, number, err);
    finish_revisions(&r);
    if (rc == PT_OK)
        rc = patch(o, k, name, body, err);
    if (rc == PT_OK)
        say(k, name, "rolled back");
    return rc;
}

static int set_paused(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, bool paused, struct pt_err *err)
{
    pt_auto_obj *object = NULL;
    int rc = get(o, k, name, &object, err);
    if (rc == PT_OK && pt_obj_true(object, "spec.paused") == paused)
        return pt_fail(err, PT_EINVAL, "%s \"%s\" is %s", k->plural, name, paused ? "already paused" : "not paused");
    if (rc == PT_OK)
        rc = patch(o, k, name, paused ? "{\"spec\":{\"paused\":true}}" : "{\"spec\":{\"paused\":null}}", err);
    if (rc == PT_OK)
        say(k, name, paused ? "paused" : "resumed");
    return rc;
}

static int pause_it(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err)
{
    return set_paused(o, k, name, true, err);
}

static int resume(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err)
{
    return set_paused(o, k, name, false, err);
}

static int restart(const struct pt_cli_options *o, const struct pt_cli_kind *k, const char *name, struct pt_err *err)
{
    char body[192], now[24];
    pt_format_time(pt_clock_wall_ms(), now);
    snprintf(body, sizeof body, "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/restartedAt\":\"%s\"}}}}}", now);
    int rc = patch(o, k, name, body, err);
    if (rc == PT_OK)
        say(k, name, "restarted");
    return rc;
}

static const struct {
    const char *name;
    action_fn *run;
} actions[] = {{"status", status}, {"history", history}, {"undo", undo}, {"pause", pause_it}, {"resume", resume}, {"restart", restart}};

static action_fn *find_action(struct pt_cli_options *o, struct pt_err *err)
{
    const char *name = o->arg_count ? o->args[0] : NULL;
    for (size_t i = 0; name && i < sizeof actions / sizeof *actions; i++)
        if (!strcmp(name, actions[i].name)) {
            memmove(o->args, o->args + 1, --o->arg_count * sizeof *o->args);
            return actions[i].run;
        }
    pt_fail(err, PT_EINVAL, "%s%s%s: status, history, undo, pause, resume or restart is needed", name ? "\"" : "", name ? name : "rollout",
            name ? "\"" : "");
    return NULL;
}

int pt_cmd_rollout(int argc, char **argv)
{
    struct pt_cli_options o;
    struct pt_err err;
    const struct pt_cli_kind *k = NULL;
    const char *names[16];
    size_t count = 0;
    action_fn *run = NULL;
    int rc = pt_cli_parse(argc, argv, "RVT", &o, &err);
    if (rc == PT_OK && o.help) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == PT_OK && !(run = find_action(&o, &err)))
        rc = PT_EINVAL;
    if (rc == PT_OK)
        rc = pt_cli_resource_args(&o, &k, names, &count, &err);
    if (rc == PT_OK && k != pt_cli_kind_find(PT_PLURAL))
        rc = pt_fail(&err, PT_EINVAL, "%s are not rolled out; %s are", k->plural, PT_PLURAL);
    if (rc == PT_OK && count == 0)
        rc = pt_fail(&err, PT_EINVAL, "a name is needed: %s/NAME", PT_SHORT_NAME);
    for (size_t i = 0; rc == PT_OK && i < count; i++)
        rc = run(&o, k, names[i], &err);
    return rc < 0 ? pt_cli_exit(&err) : 0;
}
