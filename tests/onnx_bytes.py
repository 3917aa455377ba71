# SPDX-License-Identifier: Apache-2.0
"""ONNX models written byte by byte, so that tests that need a small one need no package."""
import pathlib

FLOAT, INT64 = 1, 7


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


def node(op, inputs, output):
    return data(1, b"".join(data(1, i) for i in inputs) + data(2, output) + data(3, op + "_" + output) + data(4, op))


def value_info(name, dtype, dims):
    """dims: numbers, and names of free ones."""
    shape = b"".join(data(1, data(2, d) if isinstance(d, str) else number(1, d)) for d in dims)
    return data(1, name) + data(2, data(1, number(1, dtype) + data(2, shape)))


def graph_input(name, dtype, dims):
    return data(11, value_info(name, dtype, dims))


def graph_output(name, dtype, dims):
    return data(12, value_info(name, dtype, dims))


def constant(name, value):
    """An initializer, one INT64 [1]."""
    return data(5, number(1, 1) + number(2, INT64) + number(7, value) + data(8, name))


def write(path, name, *parts):
    """A model of opset 16; the parts are nodes, inputs, outputs and constants."""
    pathlib.Path(path).write_bytes(number(1, 8) + data(7, data(2, name) + b"".join(parts)) + data(8, data(1, "") + number(2, 16)))
