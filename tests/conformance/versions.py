#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""versions.py OUT [--seed N] [NAME...]: random cases over every version and element type of the elementwise operators, reductions, normalisations, casts, what
makes, reshapes and selects values, and strings. The schemas of the onnx package say which versions and types exist. Each case is a folder in the shape of a backend test with one
node; the outputs are those of ONNX Runtime, or where it lacks the version or the type, of onnx's reference evaluator. Values hold NaN, infinities and zeros,
shapes are odd, scalar and empty. Cases follow from seed and number alone.

    python versions.py DIR && conformance --rtol 4e-3 --atol 1e-5 DIR/*
"""
import pathlib
import sys
import warnings
import zlib

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

TYPES = {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16,
         "int8": TensorProto.INT8, "int16": TensorProto.INT16, "int32": TensorProto.INT32, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8,
         "uint16": TensorProto.UINT16, "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64, "bool": TensorProto.BOOL, "string": TensorProto.STRING,
         "float8e4m3fn": TensorProto.FLOAT8E4M3FN, "float8e4m3fnuz": TensorProto.FLOAT8E4M3FNUZ, "float8e5m2": TensorProto.FLOAT8E5M2,
         "float8e5m2fnuz": TensorProto.FLOAT8E5M2FNUZ, "int4": TensorProto.INT4, "uint4": TensorProto.UINT4, "float4e2m1": TensorProto.FLOAT4E2M1,
         "int2": TensorProto.INT2, "uint2": TensorProto.UINT2}
REAL = {"float", "double", "float16", "bfloat16"}
F8 = {t for t in TYPES if t.startswith("float8")}
KINDS = {}  # operator: function(rng, version, type) -> (inputs, attributes), or None for "no case"


def kind(*names, count=3):
    def register(make):
        for name in names:
            KINDS[name] = (make, count)
        return make

    return register


# --- values ---------------------------------------------------------------------------------------------------------------------

def shape(rng, least=0, most=4):
    rank = int(rng.integers(least, most + 1))
    dims = [int(rng.integers(1, 6)) for _ in range(rank)]
    if rank and rng.random() < 0.08:
        dims[int(rng.integers(0, rank))] = 0
    return dims


def np_type(t):
    return helper.tensor_dtype_to_np_dtype(TYPES[t])


def values(rng, t, dims, special=True, low=None):
    """low 0: not negative; 1: in (-1, 1)"""
    if t == "string":
        return rng.choice(["a", "b", "", "Straße", "ab"], dims).astype(object)
    if t == "bool":
        return rng.random(dims) < 0.5
    if t in REAL or t in F8 or t == "float4e2m1":
        x = np.asarray(rng.normal(size=dims) * 3)
        x = np.abs(x) if low == 0 else np.tanh(x) if low == 1 else x
        if special and x.size and rng.random() < 0.5:
            x.reshape(-1)[int(rng.integers(0, x.size))] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0])
        return np.asarray(x).astype(np_type(t))
    unsigned = t.startswith("u")
    bits = int(t.lstrip("uint"))
    least, most = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if bits > 8 and rng.random() < 0.8:
        least, most = max(least, -100), min(most, 100)
    x = rng.integers(least, most, dims, endpoint=True, dtype=np.uint64 if unsigned else np.int64)
    return np.asarray(x).astype(np_type(t))


def second(rng, dims):
    """A shape that broadcasts with dims."""
    out = [d if rng.random() < 0.6 else 1 for d in dims[int(rng.integers(0, len(dims) + 1)):]]
    return out


def scalar(v, dtype):
    return np.asarray(v, dtype=dtype)


# --- operators --------------------------------------------------------------------------------------------------------------------

ONE = {"LeakyRelu": ["alpha"], "Elu": ["alpha"], "Celu": ["alpha"], "Selu": ["alpha", "gamma"], "ThresholdedRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"],
       "Shrink": ["bias", "lambd"], "Swish": ["alpha"]}
UNARY = ["Abs", "Neg", "Sign", "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Asin", "Acos",
         "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Erf", "Softplus", "Softsign", "HardSwish", "Mish", "Not", "BitwiseNot", "IsNaN", "IsInf", "Gelu",
         "Identity", *ONE]


@kind(*UNARY)
def unary(rng, name, version, t):
    attributes = {a: float(np.float32(rng.uniform(0.1, 2))) for a in ONE.get(name, []) if rng.random() < 0.7}
    if name == "IsInf" and rng.random() < 0.5:
        attributes = {"detect_negative": int(rng.integers(0, 2)), "detect_positive": int(rng.integers(0, 2))}
    if name == "Gelu" and rng.random() < 0.5:
        attributes = {"approximate": "tanh"}
    dims = shape(rng)
    if name in ("Identity", "Reshape") and (t in F8 or t.endswith("4") and "int" in t):
        dims = [3, 3]
    return [values(rng, t, dims, low={"Sqrt": 0, "Log": 0, "Asin": 1, "Acos": 1, "Atanh": 1}.get(name))], attributes


@kind("Add", "Sub", "Mul", "Div", "Pow", "Mod", "And", "Or", "Xor", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "BitShift", "BitwiseAnd",
      "BitwiseOr", "BitwiseXor", "PRelu")
def binary(rng, name, version, t):
    dims = shape(rng)
    attributes = {}
    other = second(rng, dims)
    if name == "PRelu":
        if version < 7:
            dims = shape(rng, 2)
            other = [1] if rng.random() < 0.5 else [dims[1]]
    elif version < 7:
        other = list(dims)
        if rng.random() < 0.7 and dims:
            start = int(rng.integers(0, len(dims)))
            stop = int(rng.integers(start, len(dims) + 1))
            other = dims[start:stop]
            attributes = {"broadcast": 1, "axis": start} if stop < len(dims) or rng.random() < 0.5 else {"broadcast": 1}
    elif rng.random() < 0.3:
        dims, other = other, dims
    if name == "PRelu" and version >= 7 and len(other) > len(dims):
        dims, other = other, dims
    x, y = values(rng, t, dims), values(rng, t, other)
    if name in ("Div", "Mod") and t not in REAL:
        y[y == 0] = 3
        if not t.startswith("u"):
            y[y == -1] = 2
    if name == "Mod":
        attributes = {"fmod": 1 if t in REAL else int(rng.integers(0, 2))}
    if name == "BitShift":
        attributes = {"direction": str(rng.choice(["LEFT", "RIGHT"]))}
        y = np.asarray(y % (8 * y.dtype.itemsize)).astype(y.dtype)
    if name == "Pow":
        x = values(rng, t, dims, special=False, low=0)
        y = values(rng, t, other, special=False) if t in REAL else np.asarray(rng.integers(0, 4, other)).astype(np_type(t))
        if version >= 12 and rng.random() < 0.5:
            y = np.asarray(rng.integers(0, 4, other)).astype(np_type(str(rng.choice(["int32", "int64", "float", "double"]))))
    return [x, y], attributes


@kind("Max", "Min", "Sum", "Mean")
def variadic(rng, name, version, t):
    dims = shape(rng)
    n = int(rng.integers(1, 4))
    return [values(rng, t, dims if version < 8 or i == 0 else second(rng, dims)) for i in range(n)], {}


@kind("Where")
def where(rng, name, version, t):
    dims = shape(rng)
    parts = [dims, second(rng, dims), second(rng, dims)]
    rng.shuffle(parts)
    return [values(rng, "bool", parts[0]), values(rng, t, parts[1]), values(rng, t, parts[2])], {}


@kind("Clip")
def clip(rng, name, version, t):
    x = values(rng, t, shape(rng))
    if version < 11:
        return [x], {a: v for a, v in (("min", -1.5), ("max", 2.25)) if rng.random() < 0.7}
    lo, hi = values(rng, t, [], special=False), values(rng, t, [], special=False)
    return [x, lo if rng.random() < 0.7 else None, hi if rng.random() < 0.7 else None], {}


@kind("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", count=6)
def reduce(rng, name, version, t):
    x = values(rng, t, shape(rng), special=name in ("ReduceMax", "ReduceMin", "ReduceSum"), low=0 if name == "ReduceLogSum" else None)
    if t not in REAL and t != "bool":
        x = np.asarray(np.abs(x.astype(np.int64)) % 5 + 1).astype(x.dtype)
    attributes = {"keepdims": int(rng.integers(0, 2))} if rng.random() < 0.7 else {}
    axes = [a - (x.ndim if rng.random() < 0.4 and version >= 11 else 0) for a in range(x.ndim) if rng.random() < 0.5]
    given = rng.random() < 0.8 and (axes or x.ndim)
    if version >= (13 if name == "ReduceSum" else 18):
        if rng.random() < 0.3:
            attributes["noop_with_empty_axes"] = 1
        return [x] + ([np.asarray(axes, np.int64)] if given else []), attributes
    return [x], {**attributes, **({"axes": axes} if given and axes else {})}


@kind("ArgMax", "ArgMin")
def arg(rng, name, version, t):
    dims = shape(rng, 1)
    axis = int(rng.integers(-len(dims) if version >= 11 else 0, len(dims)))
    x = values(rng, t, [max(d, 1) if i == axis % len(dims) else d for i, d in enumerate(dims)], special=False)
    if t not in REAL:
        x = np.asarray(x % 3).astype(x.dtype)
    return [x], {"axis": axis, "keepdims": int(rng.integers(0, 2)), **({"select_last_index": int(rng.integers(0, 2))} if version >= 12 else {})}


@kind("Softmax", "LogSoftmax", "Hardmax", count=5)
def softmax(rng, name, version, t):
    x = values(rng, t, shape(rng, 1), special=False)
    return [x], {"axis": int(rng.integers(-x.ndim if version >= 11 else 0, x.ndim))} if x.ndim < 2 or rng.random() < 0.8 else {}


@kind("CumSum", "CumProd")
def running(rng, name, version, t):
    x = values(rng, t, shape(rng, 1), special=False)
    return [x, scalar(rng.integers(-x.ndim, x.ndim), np.int64 if rng.random() < 0.5 else np.int32)], {a: int(rng.integers(0, 2)) for a in ("exclusive", "reverse")}


@kind("LpNormalization")
def lp(rng, name, version, t):
    x = values(rng, t, shape(rng, 1), special=False)
    return [x], {"p": int(rng.integers(1, 3)), "axis": int(rng.integers(-x.ndim, x.ndim))}


@kind("BatchNormalization", count=5)
def batch(rng, name, version, t):
    x = values(rng, t, [max(d, 1) for d in shape(rng, 2)], special=False)
    c = x.shape[1]
    return [x, *(values(rng, t, [c], special=False, low=0 if i == 3 else None) for i in range(4))], {"epsilon": 0.01, **({"is_test": 1} if version < 7 else {})}


@kind("InstanceNormalization", "GroupNormalization", "LRN", "MeanVarianceNormalization")
def images(rng, name, version, t):
    c = int(rng.choice([2, 4, 6]))
    x = values(rng, t, [int(rng.integers(1, 4)), c, *(int(d) for d in rng.integers(2, 6, 2))], special=False)
    if name == "LRN":
        return [x], {"size": int(rng.integers(1, 5)), "alpha": 0.3, "beta": 0.6, "bias": 1.5}
    if name == "MeanVarianceNormalization":
        return [x], {"axes": [a for a in range(4) if rng.random() < 0.6]} if rng.random() < 0.5 else {}
    if name == "InstanceNormalization":
        return [x, values(rng, t, [c], special=False), values(rng, t, [c], special=False)], {"epsilon": 0.01}
    n = 2 if version < 21 else c
    return [x, values(rng, t, [n], special=False), values(rng, t, [n], special=False)], {"num_groups": 2, "epsilon": 0.01}


@kind("LayerNormalization", "RMSNormalization", count=5)
def layers(rng, name, version, t):
    x = values(rng, t, [max(d, 2) for d in shape(rng, 1)], special=False)
    axis = int(rng.integers(-x.ndim, x.ndim))
    part = list(x.shape[axis % x.ndim:])
    inputs = [x, values(rng, t, part, special=False)]
    if name[0] == "L" and rng.random() < 0.5:
        inputs.append(values(rng, t, part, special=False))
    return inputs, {"axis": axis, "epsilon": 0.01}


@kind("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", count=6)
def losses(rng, name, version, t):
    dims = [int(rng.integers(1, 4)), int(rng.integers(1, 5)), *(int(d) for d in rng.integers(1, 4, int(rng.integers(0, 3))))]
    labels = np.asarray(rng.integers(0, dims[1], dims[:1] + dims[2:])).astype(np.int64 if rng.random() < 0.5 else np.int32)
    attributes = {"reduction": str(rng.choice(["none", "sum", "mean"]))}
    if rng.random() < 0.5:
        attributes["ignore_index"] = int(rng.choice([0, -1, -100]))
        if attributes["ignore_index"] < 0:
            labels[rng.random(labels.shape) < 0.3] = attributes["ignore_index"]
    inputs = [values(rng, t, dims, special=False), labels]
    return inputs + ([values(rng, t, [dims[1]], special=False, low=0)] if rng.random() < 0.5 else []), attributes


@kind("Cast", count=16)
def cast(rng, name, version, t):
    schema = onnx.defs.get_schema(name, version, "")
    allowed = next(c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == "T2")
    to = str(rng.choice(sorted(a[7:-1] for a in allowed if a[7:-1] in TYPES and a not in ("tensor(string)", f"tensor({t})"))))
    low = 0 if to.startswith("u") else None
    x = values(rng, t, shape(rng), low=low, special=to in REAL or to in F8)
    if t == "string":
        x = np.asarray(rng.integers(0 if low == 0 else -50, 50, x.shape)).astype(str).astype(object)
    attributes = {"to": to.upper() if version < 6 else int(TYPES[to])}
    if version >= 19 and to in F8 and rng.random() < 0.5:
        attributes["saturate"] = 0
    return [x], attributes


@kind("QuantizeLinear", count=6)
def quantize(rng, name, version, t):
    x = values(rng, t, [max(d, 1) for d in shape(rng, 2)], special=False)
    to = str(rng.choice(["int8", "uint8"] if version < 19 else ["int8", "uint8", *sorted(F8)] if version < 21 else ["int8", "uint8", "int16", "uint16", "int4", "uint4"]))
    scale_type = "float" if t == "int32" or version < 19 else t
    dims, attributes = granularity(rng, version, x)
    scale = (np.abs(values(rng, scale_type, dims, special=False).astype(np.float32)) * 0.05 + 0.01).astype(np_type(scale_type))
    if rng.random() < 0.7 or to != "uint8":
        zero = np.zeros(dims, np_type(to)) if to in F8 else values(rng, to, dims)
        return [x, scale, zero], attributes
    return [x, scale], attributes


def granularity(rng, version, x):
    how = rng.random()
    if how < 0.4 or version < 13:
        return [], {}
    axis = int(rng.integers(0, x.ndim))
    if how < 0.7 or version < 21:
        return [x.shape[axis]], {"axis": axis - (x.ndim if rng.random() < 0.5 else 0)}
    block = int(rng.integers(1, x.shape[axis] + 1))
    return [-(-d // block) if i == axis else d for i, d in enumerate(x.shape)], {"axis": axis, "block_size": block}


@kind("DequantizeLinear", count=6)
def dequantize(rng, name, version, t):
    x = values(rng, t, [max(d, 1) for d in shape(rng, 2)], special=False)
    scale_type = "float" if version < 19 else str(rng.choice(["float", "float16"]))
    dims, attributes = granularity(rng, version, x)
    scale = (np.abs(values(rng, scale_type, dims, special=False).astype(np.float32)) * 0.05 + 0.01).astype(np_type(scale_type))
    if rng.random() < 0.5 and t != "int32":
        return [x, scale, np.zeros(dims, np_type(t)) if t in F8 or t == "float4e2m1" else values(rng, t, dims)], attributes
    return [x, scale], attributes


@kind("DynamicQuantizeLinear")
def dynamic(rng, name, version, t):
    return [values(rng, t, [max(d, 1) for d in shape(rng)], special=False)], {}


@kind("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Shape", "Size", count=3)
def movement(rng, name, version, t):
    x = values(rng, t, shape(rng, 1))
    if name == "Flatten":
        return [x], {"axis": int(rng.integers(-x.ndim if version >= 11 else 0, x.ndim + 1))}
    if name == "Shape" and version >= 15:
        return [x], {a: int(rng.integers(-6, 6)) for a in ("start", "end") if rng.random() < 0.6}
    if name in ("Shape", "Size"):
        return [x], {}
    if name == "Expand":
        target = [d if d != 1 else int(rng.integers(1, 4)) for d in x.shape]
        return [x, np.asarray(([2] if rng.random() < 0.5 else []) + target, np.int64)], {}
    if name == "Reshape":
        target = [int(np.prod(x.shape)) // max(x.shape[-1], 1), -1 if x.size else x.shape[-1]]
        if 0 in x.shape:
            target = [0] * x.ndim
        return ([x], {"shape": target}) if version < 5 else ([x, np.asarray(target, np.int64)], {})
    if name == "Squeeze":
        x = values(rng, t, [1, 3, 1][: int(rng.integers(1, 4))])
        axes = [a for a, d in enumerate(x.shape) if d == 1 and rng.random() < 0.8]
    else:
        axes = sorted({int(a) for a in rng.integers(0, x.ndim + 1, int(rng.integers(1, 3)))})
    if version >= 11 and axes and rng.random() < 0.5:
        rank = x.ndim + (len(axes) if name == "Unsqueeze" else 0)
        axes = [a - rank for a in axes]
    if not axes and name == "Squeeze":
        return [x], {}
    return ([x], {"axes": axes}) if version < 13 else ([x, np.asarray(axes, np.int64)], {})


@kind("EyeLike", "ConstantOfShape", "Range", count=3)
def makers(rng, name, version, t):
    if name == "EyeLike":
        return [values(rng, t, [int(d) for d in rng.integers(1, 5, 2)], special=False)], {"k": int(rng.integers(-3, 4)), **({"dtype": int(TYPES[str(rng.choice(
            ["float", "int64", "bool", "double", "int32"]))])} if rng.random() < 0.7 else {})}
    if name == "Range":
        start, step = int(rng.integers(0, 20)), int(rng.choice([-3, 1, 2]))
        return [scalar(start, np_type(t)), scalar(start + step * int(rng.integers(-1, 8)), np_type(t)), scalar(step, np_type(t))], {}
    return [np.asarray(shape(rng), np.int64)], {"value": numpy_helper.from_array(values(rng, t, [1], special=False))}


# Selection: shapes without empty axes, on which ONNX Runtime ends its process; no NaN where the order of elements matters.

def full(rng, t, least=1, **more):
    return values(rng, t, [int(d) for d in rng.integers(1, 5, int(rng.integers(least, 4)))], **more)


def indices(rng, dims, size):
    return np.asarray(rng.integers(-size, size, dims), rng.choice([np.int32, np.int64]))


def tuples(rng, dims, sizes):
    """Coordinates into axes of those sizes, along a last axis."""
    return np.stack([np.asarray(rng.integers(-s, s, dims)) for s in sizes], -1).astype(np.int64)


def reduction(rng, version, t):
    kinds = ["none"] if version < 16 or t == "string" else ["none", "add", "mul"] + (["max", "min"] if version >= 18 else [])
    return {} if version < 16 else {"reduction": str(rng.choice(kinds))}


@kind("Gather", "GatherElements", "GatherND", "Scatter", "ScatterElements", "ScatterND", count=3)
def by_index(rng, name, version, t):
    scatters = name.startswith("Scatter")
    x = full(rng, t, special=not scatters)
    axis = int(rng.integers(-x.ndim, x.ndim))
    if name == "Gather":
        return [x, indices(rng, [int(d) for d in rng.integers(0, 4, int(rng.integers(0, 3)))], x.shape[axis])], {"axis": axis}
    if name.endswith("ND"):
        batch = int(rng.integers(0, x.ndim)) if name == "GatherND" and version >= 12 else 0
        depth = int(rng.integers(1, x.ndim - batch + 1))
        at = tuples(rng, list(x.shape[:batch]) + [int(d) for d in rng.integers(1, 4, int(rng.integers(0, 2)))], x.shape[batch : batch + depth])
        if not scatters:
            return [x, at], {"batch_dims": batch} if version >= 12 else {}
        return [x, at, values(rng, t, list(at.shape[:-1]) + list(x.shape[depth:]), special=False)], reduction(rng, version, t)
    dims = [int(rng.integers(1, d + 1)) for d in x.shape]
    dims[axis] = int(rng.integers(1, 4))
    at = indices(rng, dims, x.shape[axis])
    if not scatters:
        return [x, at], {"axis": axis}
    return [x, at, values(rng, t, dims, special=False)], {"axis": axis, **(reduction(rng, version, t) if name == "ScatterElements" else {})}


@kind("TopK", "Unique", "NonZero", "Compress", count=3)
def by_value(rng, name, version, t):
    x = full(rng, t, special=False)
    axis = int(rng.integers(-x.ndim, x.ndim))
    if name == "NonZero":
        return [x], {}
    if name == "Compress":
        some = {"axis": axis} if rng.random() < 0.6 else {}
        return [x, rng.random(int(rng.integers(1, (x.shape[axis] if some else x.size) + 1))) < 0.5], some
    if name == "Unique":
        return [x], {"sorted": int(rng.integers(0, 2)), **({"axis": axis} if rng.random() < 0.6 else {})}
    k = int(rng.integers(1, x.shape[axis] + 1))
    if version == 1:
        return [x], {"axis": axis, "k": k}
    return [x, np.asarray([k], np.int64)], {"axis": axis, **({"largest": int(rng.integers(0, 2))} if version >= 11 else {})}


@kind("Slice", "Trilu", "ReverseSequence", "OneHot", count=3)
def by_place(rng, name, version, t):
    if name == "OneHot":
        depth = int(rng.integers(1, 5))
        at = np.asarray(rng.integers(0 if version < 11 or t.startswith("u") else -depth, depth + 2, [int(d) for d in rng.integers(1, 4, 2)])).astype(np_type(t))
        return [at, np.asarray(depth, np.int64), values(rng, str(rng.choice(["float", "int64", "string"])), [2])], {"axis": int(rng.integers(-3, 3))}
    x = full(rng, t, least=1 if name == "Slice" else 2)
    if name == "Trilu" and t == "string":  # the evaluator writes numbers
        return None
    if name == "Trilu":
        return [x] + ([np.asarray(int(rng.integers(-4, 5)), np.int64)] if rng.random() < 0.7 else []), {"upper": int(rng.integers(0, 2))}
    if name == "ReverseSequence":
        time = int(rng.integers(0, 2))
        return [x, np.asarray(rng.integers(1, x.shape[time] + 1, x.shape[1 - time]), np.int64)], {"time_axis": time, "batch_axis": 1 - time}
    axes = [int(a) for a in rng.permutation(x.ndim)[: int(rng.integers(1, x.ndim + 1))]]
    steps = [int(s) for s in rng.choice([1, 1, 2, -1, -2], len(axes))] if version >= 10 else [1] * len(axes)
    starts = [int(s) for s in rng.integers(-6, 6, len(axes))]
    ends = [int(rng.choice([int(rng.integers(-6, 6)), 2**31 - 1 if s > 0 else -(2**31)])) for s in steps]
    if version < 10:
        return [x], {"axes": axes, "starts": starts, "ends": ends}
    return [x] + [np.asarray(v, np.int64) for v in (starts, ends, axes, steps)], {}


@kind("StringConcat", "StringNormalizer", "RegexFullMatch")
def texts(rng, name, version, t):
    if name == "StringConcat":
        x = values(rng, t, shape(rng))
        return [x, values(rng, t, second(rng, list(x.shape)))], {}
    if name == "RegexFullMatch":
        return [values(rng, t, shape(rng))], {"pattern": str(rng.choice(["a?b?", "[^b]*", "(?i)STRA.E", ".{2,}", "\\w+|", "(a|ab)(b|)$"]))}
    stop = {"stopwords": [str(w) for w in rng.choice(["A", "b", "Straße", "ab"], 2)]} if rng.random() < 0.7 else {}
    return [values(rng, t, [int(rng.integers(1, 7))])], {"case_change_action": str(rng.choice(["NONE", "LOWER", "UPPER"])), "locale": "C.UTF-8",
                                                       "is_case_sensitive": int(rng.integers(0, 2)), **stop}


# --- building ----------------------------------------------------------------------------------------------------------------------

def outputs_of(schema, name, rng):
    if name == "BatchNormalization":
        return 1
    most = len(schema.outputs)
    return most if name in ("DynamicQuantizeLinear", "LayerNormalization") else int(rng.integers(1, most + 1)) if most else 1


def model_of(name, version, inputs, attributes, outs):
    names = [f"x{i}" if v is not None else "" for i, v in enumerate(inputs)]
    while names and not names[-1]:
        names.pop()
    feeds = {n: v for n, v in zip(names, inputs) if n}
    infos = [helper.make_tensor_value_info(n, TensorProto.STRING if v.dtype == object else helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in feeds.items()]
    node = helper.make_node(name, names, [f"y{i}" for i in range(outs)], name="node", **attributes)
    graph = helper.make_graph([node], name, infos, [onnx.ValueInfoProto(name=f"y{i}") for i in range(outs)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], producer_name="pintle-tests")
    model.ir_version = 10
    return model, feeds


def modern(name, version, inputs, attributes):
    """What a node of an old version means, said in a version that engines have kept; None when it needs no translation."""
    if name == "Cast" and version < 6:
        return name, 9, inputs, {"to": int(getattr(TensorProto, attributes["to"]))}
    if name == "BatchNormalization" and version < 7:
        return name, 9, inputs, {"epsilon": attributes["epsilon"]}
    if name == "Clip" and version < 6:
        return name, 6, inputs, attributes
    if name == "DequantizeLinear" and version < 19:
        return name, 19, inputs, attributes
    newer = 11 if name == "Equal" else 7
    if version >= 7 or name not in ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Less", "Greater", "PRelu"):
        return None
    x, y = inputs
    if name == "PRelu":
        y = y if y.size == 1 else y.reshape([-1] + [1] * (x.ndim - 2))
    elif attributes.get("broadcast"):
        y = y.reshape(list(y.shape) + [1] * (x.ndim - attributes.get("axis", x.ndim - y.ndim) - y.ndim))
    return name, newer, [x, y], {}


def on_ort(model, feeds):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)


def is_half(v):
    return v is not None and v.dtype in (np.float16, ml_dtypes.bfloat16)


def expected(name, version, inputs, attributes, outs):
    """Half types that ONNX Runtime lacks are computed in float32 and rounded once; the reference evaluator, which rounds after every step, tells the types."""
    node = modern(name, version, inputs, attributes) or (name, version, inputs, attributes)
    model, feeds = model_of(*node, outs)
    narrow = any(v.dtype.type.__module__.startswith("ml_dtypes") for v in feeds.values()) or attributes.get("to") in [TYPES[f] for f in F8]
    try:
        if narrow:
            raise TypeError
        return "ort", on_ort(model, feeds)
    except Exception:
        results = ReferenceEvaluator(model).run(None, feeds)
    if name in ("Cast", "QuantizeLinear", "DequantizeLinear") or not any(is_half(v) for v in inputs):
        return "reference", results
    wide = [v.astype(np.float32) if is_half(v) else v for v in node[2]]
    try:
        exact = on_ort(*model_of(node[0], node[1], wide, node[3], outs))
    except Exception:
        exact = ReferenceEvaluator(model_of(node[0], node[1], wide, node[3], outs)[0]).run(None, {f"x{i}": v for i, v in enumerate(wide) if v is not None})
    return "widened", [e.astype(np.asarray(r).dtype) for e, r in zip(exact, results)]


def distrusted(source, name, version, t, inputs, attributes):
    """Where the oracle itself is wrong or the result is not defined: found by hand, each once."""
    empty = any(v is not None and v.size == 0 for v in inputs)
    special = t in REAL and any(v is not None and v.dtype != object and not np.isfinite(v.astype(np.float64)).all() for v in inputs)
    if name == "ReduceMean" and empty or name == "Gather" and t == "string":  # ONNX Runtime forgets strings on inner axes
        return True
    if name.startswith("Scatter") and source == "widened" and attributes.get("reduction", "none") != "none":  # rounds once, not after each update
        return True
    if source != "ort" and name == "Unique" and not attributes["sorted"]:  # sorts all the same when asked for one output
        return True
    if source != "ort":  # the reference evaluator
        return (name in ("Hardmax", "Softmax", "LogSoftmax") and version < 13 or name in ("LRN", "Shape", "OneHot")
                or name.startswith("Reduce") and (t not in REAL or special) or name == "QuantizeLinear" and t == "int32" or name == "LpNormalization"
                or name == "LayerNormalization" and t == "bfloat16" or name == "PRelu" and special)
    whole = t not in REAL
    return (name in ("ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "Pow", "Shrink") and whole  # overflows, or goes through float32
            or name in ("ReduceMax", "ReduceMin", "Sign") and special  # loses NaN
            or name == "QuantizeLinear" and t == "float16")  # divides in float32


def to_proto(v):
    v = np.asarray(v)
    if v.dtype.kind in "OU":
        return helper.make_tensor("", TensorProto.STRING, v.shape, [s.encode() for s in v.reshape(-1).tolist()])
    return numpy_helper.from_array(v)


def write(folder, model, feeds, outputs):
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    for stale in data.iterdir():
        stale.unlink()
    onnx.save(model, folder / "model.onnx")
    for what, arrays in ("input", feeds.values()), ("output", outputs):
        for i, v in enumerate(arrays):
            (data / f"{what}_{i}.pb").write_bytes(to_proto(v).SerializeToString())


def types_of(schema, name):
    position = {"Where": 1, "ConstantOfShape": None}.get(name, 0)
    constraints = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    allowed = constraints["T2"] if position is None else constraints.get(schema.inputs[position].type_str, [schema.inputs[position].type_str])
    return [t[7:-1] for t in sorted(allowed) if t.startswith("tensor(") and t[7:-1] in TYPES]


def one(out, schema, t, number, seed):
    name, version = schema.name, schema.since_version
    case = f"{name}_{version}_{t}_{seed}{number}"
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    made = KINDS[name][0](rng, name, version, t)
    if made is None:
        return None
    outs = outputs_of(schema, name, rng)
    source, results = expected(name, version, *made, outs)
    if distrusted(source, name, version, t, *made):
        return "distrusted"
    model, feeds = model_of(name, version, *made, outs)
    write(out / f"{case}_{source}", model, feeds, results)
    return source


def main():
    arguments = sys.argv[1:]
    seed = ""
    if "--seed" in arguments:
        at = arguments.index("--seed")
        seed = arguments[at + 1] + "."
        del arguments[at : at + 2]
    out, wanted = pathlib.Path(arguments[0]), set(arguments[1:])
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    counts = {}
    for schema in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: (s.name, s.since_version)):
        if schema.domain or schema.name not in KINDS or (wanted and schema.name not in wanted) or schema.since_version > 27:
            continue
        for t in types_of(schema, schema.name):
            for number in range(KINDS[schema.name][1]):
                try:
                    source = one(out, schema, t, number, seed)
                except Exception as e:  # neither engine can say what is right
                    source = "nobody knows"
                    if wanted:
                        print(f"{schema.name}-{schema.since_version} {t}: {str(e)[:200]}", file=sys.stderr)
                counts[source] = counts.get(source, 0) + 1
    print(counts)


if __name__ == "__main__":
    main()
