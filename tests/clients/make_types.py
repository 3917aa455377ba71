#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_types.py FILE BOTH: an ONNX model that gives each of its inputs back, one of each type, shape [-1, 2]; in BOTH one with outputs "scores", its
input x [-1, 2], and "value", the sum of each row."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from onnx_bytes import FLOAT, constant, graph_input, graph_output, node, write

TYPES = {"FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BYTES": 8, "BOOL": 9, "FP16": 10, "FP64": 11, "UINT32": 12,
         "UINT64": 13, "BF16": 16}
parts = []
for name, dtype in TYPES.items():
    parts += [node("Identity", [name], "out_" + name), graph_input(name, dtype, ["batch", 2]), graph_output("out_" + name, dtype, ["batch", 2])]
write(sys.argv[1], "types", *parts)
write(sys.argv[2], "both", node("Identity", ["x"], "scores"), node("ReduceSum", ["x", "axes"], "value"), constant("axes", 1),
      graph_input("x", FLOAT, ["batch", 2]), graph_output("scores", FLOAT, ["batch", 2]), graph_output("value", FLOAT, ["batch", 1]))
