/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.h: what Triton's clients call trace and log settings. Logging follows them as far as levels go; tracing is always off, and a
 * setting that would need more is refused by its name.
 */
#ifndef PT_SIDECAR_SETTINGS_H
#define PT_SIDECAR_SETTINGS_H

#include "base/str.h"

enum pt_setting_kind { PT_SETTING_STRING, PT_SETTING_BOOL, PT_SETTING_NUMBER };
struct pt_setting {
    const char *name;
    enum pt_setting_kind kind;
    const char *text; /* of a string */
    int64_t number;
};
/* fn for each log or trace setting, with its value now. */
void pt_settings_each(bool log, void (*fn)(void *arg, const struct pt_setting *s, bool log), void *arg);
/* value: as text; empty asks for the default. PT_EINVAL, PT_EUNSUPPORTED name the setting and the value. */
int pt_settings_set(bool log, struct pt_str name, struct pt_str value, struct pt_err *err);

#endif
