/* SPDX-License-Identifier: Apache-2.0
 *
 * num.h: numbers as text. Reading is exact (the nearest value, ties to even), writing gives the shortest text that reads back equal
 * and among those the nearest one. Independent of the locale; no allocation; any thread.
 */
#ifndef PT_BASE_NUM_H
#define PT_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A number of JSON's grammar, cut from a text: (-1)^negative * digits * 10^exp10. */
struct pt_num {
    uint64_t digits; /* the first 19 significant ones */
    int64_t exp10;
    bool negative;
    bool cut;               /* there are more than 19 */
    const char *start, *end; /* of the text without the sign */
};
/* Cuts the number at p; where it ends, or NULL when there is none. What follows it is the caller's matter. */
const char *pt_num_scan(const char *p, const char *end, struct pt_num *n);
/* The nearest double or float; infinite when it is too large. */
double pt_num_to_f64(const struct pt_num *n);
float pt_num_to_f32(const struct pt_num *n);
/* Reads up to count numbers with a comma, and perhaps one blank, behind each, as long as they are plain ones: no exponent, at most 19 digits.
 * Returns how many; *p is behind the last one's comma. Whatever else comes next, the end of the text too, is for pt_num_scan. */
size_t pt_num_read_f32s(const char **p, const char *end, float *out, size_t count);
/* The magnitude when it is a whole number that fits ("12", "1.0", "1e3"); false otherwise. */
bool pt_num_to_u64(const struct pt_num *n, uint64_t *v);

#define PT_NUM_MAX 32 /* bytes that any of these may write; they return how many they wrote, without a terminator */
size_t pt_num_put_u64(char *out, uint64_t v);
size_t pt_num_put_i64(char *out, int64_t v);
/* "1", "-0", "0.1", "1e-7", "1.5e300"; NaN, +Inf and -Inf as Prometheus names them. */
size_t pt_num_put_f64(char *out, double v);
size_t pt_num_put_f32(char *out, float v);

/* float16 and bfloat16: the nearest one, ties to even, infinity when v is too large; and back, exactly. */
uint16_t pt_num_f16_bits(double v);
uint16_t pt_num_bf16_bits(double v);
double pt_num_f16_value(uint16_t bits);
double pt_num_bf16_value(uint16_t bits);

#endif
