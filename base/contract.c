/* SPDX-License-Identifier: Apache-2.0
 *
 * contract.c: the texts of the model's states and of the reasons it failed.
 */
#include "base/contract.h"

#include <stddef.h>
#include <string.h>

#define PT_X(name, text) text,
static const char *const states[] = {PT_MODEL_STATES(PT_X)};
static const char *const reasons[] = {PT_MODEL_REASONS(PT_X)};
#undef PT_X

static int parse(const char *const *texts, int count, const char *text)
{
    for (int i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return i;
    return -1;
}

const char *pt_model_state_text(enum pt_model_state state)
{
    return (unsigned)state < PT_MODEL_STATE_COUNT ? states[state] : "";
}

const char *pt_model_reason_text(enum pt_model_reason reason)
{
    return (unsigned)reason < PT_MODEL_REASON_COUNT ? reasons[reason] : "";
}

int pt_model_state_parse(const char *text)
{
    return parse(states, PT_MODEL_STATE_COUNT, text);
}

int pt_model_reason_parse(const char *text)
{
    return parse(reasons, PT_MODEL_REASON_COUNT, text);
}

static const struct {
    const char *text;
    bool of_labels;
    const char *reason;
} figures[] = {
#define PT_X(name, text, of_labels, reason) {text, of_labels, reason},
    PT_FIGURES(PT_X)
#undef PT_X
};

const char *pt_figure_text(enum pt_figure figure)
{
    return figures[figure].text;
}

int pt_figure_parse(const char *text)
{
    for (int i = 0; i < PT_FIGURE_COUNT; i++)
        if (!strcmp(figures[i].text, text))
            return i;
    return -1;
}

bool pt_figure_of_labels(enum pt_figure figure)
{
    return figures[figure].of_labels;
}

const char *pt_figure_reason(enum pt_figure figure)
{
    return figures[figure].reason;
}
