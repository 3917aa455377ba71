/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.c: see settings.h. The log's level is the one thing that there is; "log_info" and its like are views of it.
 */
#include "sidecar/settings.h"

#include "base/log.h"

/* The level at which the setting's records appear; -1: its value cannot change. */
static const struct row {
    bool log;
    struct pt_setting setting;
    int level;
} rows[] = {
    {true, {"log_file", PT_SETTING_STRING, "", 0}, -1},
    {true, {"log_info", PT_SETTING_BOOL, NULL, 0}, PT_LOG_INFO},
    {true, {"log_warning", PT_SETTING_BOOL, NULL, 0}, PT_LOG_WARN},
    {true, {"log_error", PT_SETTING_BOOL, NULL, 0}, PT_LOG_ERROR},
    {true, {"log_verbose_level", PT_SETTING_NUMBER, NULL, 0}, PT_LOG_DEBUG},
    {true, {"log_format", PT_SETTING_STRING, "default", 0}, -1},
    {false, {"trace_level", PT_SETTING_STRING, "OFF", 0}, -1},
    {false, {"trace_rate", PT_SETTING_STRING, "1000", 0}, -1},
    {false, {"trace_count", PT_SETTING_STRING, "-1", 0}, -1},
    {false, {"log_frequency", PT_SETTING_STRING, "0", 0}, -1},
    {false, {"trace_file", PT_SETTING_STRING, "", 0}, -1},
    {false, {"trace_mode", PT_SETTING_STRING, "triton", 0}, -1},
};

void pt_settings_each(bool log, void (*fn)(void *arg, const struct pt_setting *s, bool log), void *arg)
{
    for (const struct row *r = rows; r < rows + sizeof rows / sizeof rows[0]; r++) {
        struct pt_setting s = r->setting;
        if (r->log != log)
            continue;
        if (r->level >= 0)
            s.number = (int)pt_log_level_get() <= r->level;
        fn(arg, &s, log);
    }
}

static int fixed(const struct row *r, struct pt_str value, struct pt_err *err)
{
    if (value.len == 0 || pt_str_eq(value, pt_str(r->setting.text)))
        return PT_OK;
    return pt_fail(err, PT_EUNSUPPORTED, "setting \"%s\": %s: it is \"%s\" and stays so, not \"" PT_STR_FMT "\"", r->setting.name,
                   r->log ? "logs go to stderr in one format" : "tracing is not supported", r->setting.text, (int)(value.len < 64 ? value.len : 64),
                   value.p);
}

static int set_level(const struct row *r, struct pt_str value, struct pt_err *err)
{
    int64_t n = 0;
    bool boolean = r->setting.kind == PT_SETTING_BOOL;
    if (boolean && (pt_str_eq(value, PT_STR("true")) || pt_str_eq(value, PT_STR("false"))))
        n = value.p[0] == 't';
    else if (boolean || pt_parse_i64(value, 0, UINT32_MAX, r->setting.name, &n, NULL) < 0)
        return pt_fail(err, PT_EINVAL, "setting \"%s\": want %s, got \"" PT_STR_FMT "\"", r->setting.name,
                       boolean ? "true or false" : "a whole number", (int)(value.len < 64 ? value.len : 64), value.p ? value.p : "");
    int now = (int)pt_log_level_get();
    if (n && now > r->level)
        pt_log_level_set((enum pt_log_level)r->level);
    else if (!n && now <= r->level)
        pt_log_level_set((enum pt_log_level)(r->level + 1));
    return PT_OK;
}

int pt_settings_set(bool log, struct pt_str name, struct pt_str value, struct pt_err *err)
{
    for (const struct row *r = rows; r < rows + sizeof rows / sizeof rows[0]; r++)
        if (r->log == log && pt_str_eq(name, pt_str(r->setting.name)))
            return r->level < 0 ? fixed(r, value, err) : set_level(r, value, err);
    return pt_fail(err, PT_EINVAL, "unknown %s setting \"" PT_STR_FMT "\"", log ? "log" : "trace", (int)(name.len < 64 ? name.len : 64),
                   name.p ? name.p : "");
}
