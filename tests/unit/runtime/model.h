/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h: small ONNX models for tests, written as text and assembled into the file format by a writer that shares nothing with the reader.
 *
 *     opset 13                                  first line; default 17
 *     in x f32[2,-1]                            -1: free
 *     in m map:i64[]:f32[]                      a map from int64 to float32
 *     const w f32[2,2]:1,2,3,4                  an initializer; one value stands for all: f32[2,2]:0
 *     y, m = MaxPool(x) kernel_shape=[2,2] auto_pad='VALID'
 *     out y
 *
 *     graph body                                a graph for an attribute: name=@body. Between it and "end" lines as above; out may have a type
 *     end
 *     function Bar(a, b) -> y                   a function of domain com.foo, lines up to "end"; an attribute a=$b:1 refers to the call's b, type 1
 *     external w f32[2] file 0 8 SHA1           an initializer in another file: offset and length ("-": not said), checksum ("-": none)
 *     sparse w 2,3 f32[2]:5,6 i64[2]:1,4        a sparse initializer: dims, values, indices
 *
 * Attributes: 1 int, 1.0 float, [1,2] ints, [1.0] floats, 'text' string, ['a','b'] strings, {f32[2]:1,2} tensor. Strings: s[2]:a,b. A type may be
 * seq:f32[2] or opt:f32[2]. An operand left empty is not given. A domain is written in front: com.foo::Op(x); its version is 1, or what a line
 * "domain com.foo 2" says (for one domain). A node is named after its first output; one that begins with "_" leaves it without a name.
 */
#ifndef PT_TESTS_MODEL_H
#define PT_TESTS_MODEL_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "pintle/runtime.h"

/* The model's bytes; the caller finishes the buffer. Ends the test on a mistake in the text. */
struct pt_buf test_model(const char *text);
/* A tensor from its text, data from malloc. */
struct pt_tensor test_tensor(const char *text);

/* Ends the test when they differ: element type, shape, elements (floats by 1e-5, relative or absolute). */
void test_compare(const struct pt_tensor *got, const char *expected, const char *what);

/* Runs the model on the inputs (texts, in order) as the compiler likes it, and node by node without any optimisation, and compares output i with
 * expected[i] (texts; "" to skip): floats within 1e-5 relative or absolute. */
void test_run(const char *model, const char *const *inputs, const char *const *expected);
/* Runs the model on made-up inputs (free dims are 3), optimised and as the reference, and compares all outputs: integers exactly, floats within
 * rounding. Returns how many steps the optimised program has. */
int test_same(const char *model);
/* Opening or running must fail with a message that contains `message`. */
void test_fails(const char *model, const char *const *inputs, const char *message);

/* Opens and runs the model once for each allocation that this takes, which fails; each time the result must be an error that says so. */
void test_out_of_memory(const char *model, const char *const *inputs);

/* One node (opset is that of its domain): attrs as above, inputs and outputs as texts separated by " | ". Each input is tried as an input of the model and as a constant. An
 * input that starts with '!' is always a constant, "-" is not given. */
void test_op(int opset, const char *op, const char *attrs, const char *inputs, const char *outputs);
void test_op_fails(int opset, const char *op, const char *attrs, const char *inputs, const char *message);

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
