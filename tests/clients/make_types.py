#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_types.py FILE [BOTH]: an ONNX model that gives each of its inputs back, one of each type, shape [-1, 2]; in BOTH one with outputs "scores", its
input x [-1, 2], and "value", the sum of each row: written byte by byte, so that no package is needed."""
import pathlib
import sys

TYPES = {"FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BYTES": 8, "BOOL": 9, "FP16": 10, "FP64": 11, "UINT32": 12,
         "UINT64": 13, "BF16": 16}


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def value_info(name, dtype, width=2):
    shape = data(1, data(2, "batch")) + data(1, number(1, width))
    return data(1, name) + data(2, data(1, number(1, dtype) + data(2, shape)))


def write(path, graph):
    pathlib.Path(path).write_bytes(number(1, 8) + data(7, graph) + data(8, data(1, "") + number(2, 16)))


graph = data(2, "types")
for name, dtype in TYPES.items():
    graph += data(1, data(1, name) + data(2, "out_" + name) + data(3, "echo_" + name) + data(4, "Identity"))
    graph += data(11, value_info(name, dtype)) + data(12, value_info("out_" + name, dtype))
write(sys.argv[1], graph)
if len(sys.argv) > 2:
    axis = data(5, number(1, 1) + number(2, 7) + number(7, 1) + data(8, "axes"))  # an initializer [1] of INT64: 1
    write(sys.argv[2], data(2, "both") + data(1, data(1, "x") + data(2, "scores") + data(3, "copy") + data(4, "Identity"))
          + data(1, data(1, "x") + data(1, "axes") + data(2, "value") + data(3, "sum") + data(4, "ReduceSum")) + axis
          + data(11, value_info("x", 1)) + data(12, value_info("scores", 1)) + data(12, value_info("value", 1, 1)))
