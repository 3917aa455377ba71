/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.c: see progress.h.
 */
#include "cli/progress.h"

#include "base/sched.h"

#include <math.h>
#include <signal.h>
#include <unistd.h>

enum { REDRAW_MS = 100, BAR = 24 };

const char *const pt_progress_kinds[] = {"auto", "bar", "lines", "json", "none", NULL};
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

void pt_progress_catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}; /* asked a second time it ends at once */
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

bool pt_progress_interrupted(void)
{
    return interrupted != 0;
}

void pt_progress_init(struct pt_progress *p, enum pt_progress_kind kind, FILE *to)
{
    *p = (struct pt_progress){.kind = kind, .to = to, .began_ms = pt_clock_mono_ns() / 1000000, .first = -1};
    if (kind == PT_PROGRESS_AUTO)
        p->kind = isatty(fileno(to)) ? PT_PROGRESS_BAR : PT_PROGRESS_LINES;
}

static void close_bar(struct pt_progress *p)
{
    if (p->open)
        fputs("\r\033[K", p->to);
    p->open = false;
}

void pt_progress_finish(struct pt_progress *p)
{
    close_bar(p);
}

/* {"stage":"train","index":0,"count":3 : what every JSON line begins with. */
static void put_stage(const struct pt_progress *p)
{
    fprintf(p->to, "{\"stage\":\"%s\"", p->stage);
    if (p->count)
        fprintf(p->to, ",\"index\":%lld,\"count\":%lld", (long long)p->index, (long long)p->count);
}

/* By what is done so far in this process; -1 when nothing is. */
static double left_s(const struct pt_progress *p, int64_t done, int64_t total)
{
    double s = (double)(pt_clock_mono_ns() / 1000000 - p->began_ms) / 1000;
    int64_t first = p->first > 0 ? p->first : 0;
    return done > first && s > 0 ? s * (double)(total - done) / (double)(done - first) : -1;
}

static void tell(const struct pt_progress *p, int64_t epoch, int64_t epochs, int64_t done, int64_t total)
{
    if (p->tell)
        p->tell(p->tell_arg,
                &(struct pt_progress_now){p->stage, p->index + 1, p->count ? p->count : 1, epoch, epochs, done, total, left_s(p, done, total)});
}

void pt_progress_stage(struct pt_progress *p, const char *stage, int64_t index, int64_t count)
{
    snprintf(p->stage, sizeof p->stage, "%s", stage);
    p->index = index;
    p->count = count;
    p->drawn_ms = 0;
    p->first = -1;
    p->began_ms = pt_clock_mono_ns() / 1000000;
    close_bar(p);
    tell(p, 0, 0, 0, 0);
    if (p->kind == PT_PROGRESS_JSON) {
        put_stage(p);
        fputs(",\"begins\":true}\n", p->to);
        fflush(p->to);
    } else if (count && p->kind != PT_PROGRESS_NONE)
        fprintf(p->to, "stage %lld of %lld: %s\n", (long long)index + 1, (long long)count, stage);
}

void pt_progress_say(struct pt_progress *p, const char *fmt, ...)
{
    pt_auto_buf text = PT_BUF_INIT(0);
    char line[1024];
    va_list ap;
    if (p->kind == PT_PROGRESS_NONE)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    close_bar(p);
    if (p->kind == PT_PROGRESS_JSON) {
        pt_buf_json_string(&text, pt_str(line));
        put_stage(p);
        fprintf(p->to, ",\"message\":%s}\n", pt_buf_cstr(&text));
    } else
        fprintf(p->to, "%s\n", line);
    fflush(p->to);
}

static bool is_due(struct pt_progress *p, int64_t done, int64_t total)
{
    int64_t now = pt_clock_mono_ns() / 1000000;
    if (p->drawn_ms && now - p->drawn_ms < (p->kind == PT_PROGRESS_BAR ? REDRAW_MS : 10 * REDRAW_MS) && done < total)
        return false;
    p->drawn_ms = now;
    return true;
}

static void draw_bar(struct pt_progress *p, const char *what, int64_t done, int64_t total, const char *more)
{
    double s = left_s(p, done, total), share = total > 0 ? (double)done / (double)total : 0;
    char bar[BAR + 1], age[64] = "";
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(share * BAR) ? '=' : i == (int)(share * BAR) ? '>' : ' ';
    bar[BAR] = '\0';
    if (s >= 0)
        snprintf(age, sizeof age, " ETA %lld:%02lld", (long long)s / 60, (long long)s % 60);
    fprintf(p->to, "\r\033[K%s [%s] %3.0f %%%s%s", what, bar, 100 * share, age, more);
    fflush(p->to);
    p->open = true;
}

void pt_progress_at(struct pt_progress *p, const char *what, int64_t done, int64_t total)
{
    tell(p, 0, 0, done, total);
    if (p->kind == PT_PROGRESS_NONE || p->kind == PT_PROGRESS_LINES || !is_due(p, done, total))
        return;
    if (p->kind == PT_PROGRESS_BAR) {
        draw_bar(p, what ? what : p->stage, done, total, "");
        return;
    }
    put_stage(p);
    fprintf(p->to, ",\"doing\":\"%s\",\"done\":%lld,\"total\":%lld}\n", what ? what : p->stage, (long long)done, (long long)total);
    fflush(p->to);
}

static void put_figure(FILE *to, const char *name, double v)
{
    if (!isnan(v))
        fprintf(to, ",\"%s\":%.9g", name, v);
}

static void put_epoch_json(struct pt_progress *p, const struct pt_train_progress *t)
{
    put_stage(p);
    fprintf(p->to, ",\"epoch\":%lld,\"epochs\":%lld,\"step\":%lld,\"steps\":%lld", (long long)t->now.epoch, (long long)t->epochs,
            (long long)t->now.step, (long long)t->steps);
    put_figure(p->to, "rate", t->now.rate);
    put_figure(p->to, "loss", t->now.loss);
    put_figure(p->to, "accuracy", t->now.accuracy);
    if (t->epoch_ended) {
        put_figure(p->to, "heldOutLoss", t->now.held_out_loss);
        put_figure(p->to, "heldOutAccuracy", t->now.held_out_accuracy);
    }
    fputs("}\n", p->to);
    fflush(p->to);
}

static void put_epoch_line(struct pt_progress *p, const struct pt_train_progress *t)
{
    close_bar(p);
    fprintf(p->to, "epoch %lld/%lld  loss %.4f", (long long)t->now.epoch, (long long)t->epochs, t->now.loss);
    if (!isnan(t->now.accuracy))
        fprintf(p->to, "  accuracy %.4f", t->now.accuracy);
    if (!isnan(t->now.held_out_loss))
        fprintf(p->to, "  held out: loss %.4f", t->now.held_out_loss);
    if (!isnan(t->now.held_out_accuracy))
        fprintf(p->to, "  accuracy %.4f", t->now.held_out_accuracy);
    fprintf(p->to, "  rate %.3g  %.1f s\n", t->now.rate, t->now.seconds);
    fflush(p->to);
}

int pt_progress_train(void *arg, const struct pt_train_progress *t)
{
    struct pt_progress *p = arg;
    char more[64] = "";
    if (p->first < 0)
        p->first = t->now.step - 1;
    tell(p, t->now.epoch, t->epochs, t->now.step, t->steps);
    if (p->kind == PT_PROGRESS_JSON && (t->epoch_ended || is_due(p, t->now.step, t->steps)))
        put_epoch_json(p, t);
    else if (t->epoch_ended && p->kind != PT_PROGRESS_NONE && p->kind != PT_PROGRESS_JSON)
        put_epoch_line(p, t);
    else if (p->kind == PT_PROGRESS_BAR && is_due(p, t->now.step, t->steps)) {
        snprintf(more, sizeof more, "  loss %.4f", t->now.loss);
        draw_bar(p, p->stage, t->now.step, t->steps, more);
    }
    return pt_progress_interrupted();
}
