#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""operators.py OUT [NAME...]: random cases for operators that ONNX's own suite does not judge, or judges too little: those of com.microsoft that
exported and optimised models carry, and the quantised ones. Each case is a folder in the shape of a backend test, with one node and the
outputs of ONNX Runtime. Cases follow from their number alone, so that a failure can be repeated.
"""
import pathlib
import sys
import zlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
CASES = {}


class Case:
    """One node: inputs by position (None: not given), attributes; const: which inputs are initializers."""

    def __init__(self, inputs, attributes=None, outputs=1, const=(), out_types=None):
        self.inputs, self.attributes, self.outputs, self.const = inputs, attributes or {}, outputs, set(const)


def op(name, count, domain=MS, opset=1):
    """Registers count cases of an operator; the function makes one from a random generator and the case's number."""

    def register(make):
        CASES.setdefault(name + ("" if domain == MS else "_onnx"), []).append((name, domain, opset, count, make))
        return make

    return register


def build(name, domain, opset, case):
    names = [f"x{i}" if v is not None else "" for i, v in enumerate(case.inputs)]
    while names and not names[-1]:
        names.pop()
    outs = [f"y{i}" for i in range(case.outputs)]
    given = {n: np.asarray(v) for n, v in zip(names, case.inputs) if v is not None}
    weights = {n: v for i, (n, v) in enumerate((n, given.get(n)) for n in names) if i in case.const and v is not None}
    node = helper.make_node(name, names, outs, name="node", domain=domain, **case.attributes)
    inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in given.items() if n not in weights]
    graph = helper.make_graph([node], name, inputs, [onnx.ValueInfoProto(name=o) for o in outs], [numpy_helper.from_array(v, n) for n, v in weights.items()])
    imports = [helper.make_opsetid("", opset if domain == "" else 21)] + [helper.make_opsetid(MS, 1)] * (domain == MS)
    model = helper.make_model(graph, opset_imports=imports, producer_name="pintle-tests")
    model.ir_version = 10
    return model, {n: v for n, v in given.items() if n not in weights}


def expected(model, feeds):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)


def write(folder, model, feeds, outputs):
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    for old in data.iterdir():
        old.unlink()
    onnx.save(model, folder / "model.onnx")
    for kind, values in ("input", feeds.values()), ("output", outputs):
        for i, value in enumerate(values):
            (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(np.asarray(value)).SerializeToString())


# --- random operands ------------------------------------------------------------------------------------------------------------

def dims(rng, rank, most=6):
    return [int(d) for d in rng.integers(1, most, rank)]


def floats(rng, shape, scale=1.0):
    return (rng.normal(size=shape) * scale).astype(np.float32)


def ints(rng, shape, dtype):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def weights(rng, shape, dtype):
    """7 bits: without VNNI instructions ONNX Runtime's sums of uint8 times int8 saturate at 16 bits, where Pintle's are exact."""
    return rng.integers(-64, 64, shape).astype(np.int8) if dtype == np.int8 else ints(rng, shape, dtype)


def byte(rng):
    return rng.choice([np.int8, np.uint8])


def scale(rng, shape=(), low=0.002, high=0.1):
    return rng.uniform(low, high, shape).astype(np.float32)


def zero(rng, dtype, shape=()):
    return rng.integers(-20, 20, shape).astype(np.int8) if dtype == np.int8 else rng.integers(100, 150, shape).astype(np.uint8)


def maybe(rng, value, chance=0.5):
    return value if rng.random() < chance else None


def broadcastable(rng, shape):
    cut = int(rng.integers(0, len(shape) + 1))
    return [d if rng.random() < 0.6 else 1 for d in shape[cut:]]


# --- quantised: ai.onnx ------------------------------------------------------------------------------------------------------------

def matmul_shapes(rng, i):
    if i % 6 == 5:  # more rows and columns than a task of the product has
        return [*dims(rng, i // 6 % 2, 3), int(rng.integers(97, 130)), 75], [75, int(rng.integers(129, 160))]
    m, n, k = dims(rng, 3, 20)
    batch = dims(rng, int(rng.integers(0, 3)), 4)
    return batch + [m, k], (batch if rng.random() < 0.5 else []) + [k, n]


@op("MatMulInteger", 12, "", 13)
def matmul_integer(rng, i):
    a, b = matmul_shapes(rng, i)
    ta, tb = np.uint8, byte(rng)
    zb = zero(rng, tb, (b[-1],) if i % 3 == 0 and len(b) == 2 else ())
    return Case([ints(rng, a, ta), weights(rng, b, tb), maybe(rng, zero(rng, ta)), maybe(rng, zb)], const={1} if i % 2 else ())


@op("QLinearMatMul", 12, "", 13)
def qlinear_matmul(rng, i):
    a, b = matmul_shapes(rng, i)
    ta = byte(rng)
    tb = np.int8 if ta == np.int8 else byte(rng)
    each = (b[-1],) if i % 3 == 0 and len(b) == 2 else ()
    return Case([ints(rng, a, ta), scale(rng), zero(rng, ta), weights(rng, b, tb), scale(rng, each), zero(rng, tb, each), scale(rng, (), 0.5, 3), zero(rng, ta)],
                const={3, 4, 5})


def conv_shapes(rng, spatial):
    group = int(rng.choice([1, 1, 2, 3]))
    cin, cout = group * int(rng.integers(1, 4)), group * int(rng.integers(1, 4))
    kernel = dims(rng, spatial, 4)
    dilation = dims(rng, spatial, 3)
    image = [k * d + int(rng.integers(2, 8)) for k, d in zip(kernel, dilation)]
    attributes = {"group": group, "dilations": dilation, "strides": dims(rng, spatial, 3), "kernel_shape": kernel}
    if rng.random() < 0.7:
        attributes["pads"] = [int(p) for p in rng.integers(0, 3, 2 * spatial)]
    elif rng.random() < 0.7:
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        attributes["dilations"] = [1] * spatial
    return [int(rng.integers(1, 3)), cin, *image], [cout, cin // group, *kernel], attributes


@op("ConvInteger", 10, "", 10)
def conv_integer(rng, i):
    x, w, attributes = conv_shapes(rng, 1 + i % 3)
    return Case([ints(rng, x, np.uint8), ints(rng, w, np.uint8)] + ([np.uint8(0), zero(rng, np.uint8)] if i % 2 else []), attributes, const={1})


@op("QLinearConv", 24, "", 10)
def qlinear_conv(rng, i):
    x, w, attributes = conv_shapes(rng, 1 + i % 3)
    return Case(qlinear_conv_inputs(rng, i, x, w), attributes, const={1, 2, 3, 4, 5, 6, 7, 8})


def qlinear_conv_inputs(rng, i, x, w):
    tx, tw = byte(rng), byte(rng)
    if tx == np.int8:
        tw = np.int8
    each = (w[0],) if i % 2 else ()
    zw = np.full(each, zero(rng, tw)) if tw == np.uint8 else np.zeros(each, np.int8)
    bias = maybe(rng, rng.integers(-3000, 3000, w[0]).astype(np.int32))
    return [ints(rng, x, tx), scale(rng), zero(rng, tx), weights(rng, w, tw), scale(rng, each), zw, scale(rng, (), 0.1, 2), zero(rng, tx), bias]


# --- quantised: com.microsoft --------------------------------------------------------------------------------------------------------

@op("QLinearConv", 12)
def ms_qlinear_conv(rng, i):
    x, w, attributes = conv_shapes(rng, 1 + i % 2)
    if i % 3:
        attributes["channels_last"] = 1
        x = [x[0], *x[2:], x[1]]
    return Case(qlinear_conv_inputs(rng, i, x, w), attributes, const={1, 2, 3, 4, 5, 6, 7, 8})


@op("MatMulIntegerToFloat", 12)
def matmul_integer_to_float(rng, i):
    a, b = matmul_shapes(rng, i)
    b = b[-2:]
    ta, tb = byte(rng), byte(rng)
    each = (b[-1],) if i % 3 == 0 else ()
    if ta == np.int8:
        tb = np.int8
    return Case([ints(rng, a, ta), weights(rng, b, tb), scale(rng), scale(rng, each), maybe(rng, zero(rng, ta)), maybe(rng, zero(rng, tb, each)),
                 maybe(rng, floats(rng, b[-1]))], const={1, 3, 5})


@op("DynamicQuantizeMatMul", 12)
def dynamic_quantize_matmul(rng, i):
    a, b = matmul_shapes(rng, i)
    b, tb = b[-2:], byte(rng)
    each = (b[-1],) if i % 3 == 0 else ()
    return Case([floats(rng, a), weights(rng, b, tb), scale(rng, each), maybe(rng, zero(rng, tb, each)), maybe(rng, floats(rng, b[-1]))], const={1, 2, 3})


@op("MatMulInteger16", 4)
def matmul_integer16(rng, i):
    a, b = matmul_shapes(rng, i)
    return Case([rng.integers(-2000, 2000, a).astype(np.int16), rng.integers(-2000, 2000, b).astype(np.int16)])


@op("QGemm", 14)
def qgemm(rng, i):
    m, n, k = dims(rng, 3, 12)
    ta, tb = byte(rng), byte(rng)
    if ta == np.int8:
        tb = np.int8
    each = (n,) if i % 2 else ()
    trans_a, trans_b = int(rng.integers(0, 2)), int(rng.integers(0, 2))
    quantised = i % 3 > 0
    bias = [None, rng.integers(-999, 999, (n,)).astype(np.int32), rng.integers(-999, 999, (m, n)).astype(np.int32)][int(rng.integers(0, 3))]
    return Case([ints(rng, [k, m] if trans_a else [m, k], ta), scale(rng), zero(rng, ta), weights(rng, [n, k] if trans_b else [k, n], tb), scale(rng, each),
                 zero(rng, tb, each), bias, scale(rng, (), 0.5, 2) if quantised else None, zero(rng, ta) if quantised else None],
                {"transA": trans_a, "transB": trans_b, "alpha": float(rng.choice([1, 0.5]))}, const={3, 4, 5, 6, 7, 8})


def qlinear_binary(rng, i, low, high):
    t, shape = byte(rng), dims(rng, 1 + i % 4)
    other = broadcastable(rng, shape)
    if i % 2:
        shape, other = other, shape
    big = dims(rng, 1, 200) if i % 5 == 0 else None
    return Case([ints(rng, big or shape, t), scale(rng), zero(rng, t), ints(rng, big or other, t), scale(rng), zero(rng, t),
                 scale(rng, (), low, high), zero(rng, t)], const={1, 2, 4, 5, 6, 7})


@op("QLinearAdd", 24)
def qlinear_add(rng, i):
    return qlinear_binary(rng, i, 0.02, 0.2)


@op("QLinearMul", 24)
def qlinear_mul(rng, i):
    return qlinear_binary(rng, i, 0.1, 1)


@op("QLinearSigmoid", 6)
def qlinear_sigmoid(rng, i):
    t = byte(rng)
    return Case([ints(rng, dims(rng, 3), t), scale(rng), zero(rng, t), scale(rng, (), 0.003, 0.01), zero(rng, t)], const={1, 2, 3, 4})


@op("QLinearLeakyRelu", 6)
def qlinear_leaky_relu(rng, i):
    t = byte(rng)
    return Case([ints(rng, dims(rng, 3), t), scale(rng), zero(rng, t), scale(rng), zero(rng, t)],
                {"alpha": float(rng.uniform(0, 0.5))}, const={1, 2, 3, 4})


@op("QLinearSoftmax", 10)
def qlinear_softmax(rng, i):
    t, shape = byte(rng), dims(rng, 3)
    return Case([ints(rng, shape, t), scale(rng), zero(rng, t), np.float32(1 / 256), np.uint8(0) if t == np.uint8 else np.int8(-128)],
                {"axis": int(rng.integers(-3, 3)), "opset": int(rng.choice([11, 13]))}, const={1, 2, 3, 4})


@op("QLinearAveragePool", 12)
def qlinear_average_pool(rng, i):
    t, x, attributes = byte(rng), *pool_shapes(rng, 1 + i % 3)
    attributes["count_include_pad"] = i // 2 % 2
    if i % 2:
        attributes["channels_last"] = 1
        x = [x[0], *x[2:], x[1]]
    return Case([ints(rng, x, t), scale(rng), zero(rng, t), scale(rng), zero(rng, t)], attributes, const={1, 2, 3, 4})


def pool_shapes(rng, spatial):
    kernel = [int(k) for k in rng.integers(2, 4, spatial)]
    attributes = {"kernel_shape": kernel, "strides": dims(rng, spatial, 3), "ceil_mode": int(rng.integers(0, 2))}
    if rng.random() < 0.7:
        attributes["pads"] = [int(p) for p in rng.integers(0, 2, 2 * spatial)]
    return [*dims(rng, 2, 4), *(k + int(rng.integers(1, 8)) for k in kernel)], attributes


@op("QLinearGlobalAveragePool", 8)
def qlinear_global_average_pool(rng, i):
    t = byte(rng)
    return Case([ints(rng, dims(rng, 4, 9), t), scale(rng), zero(rng, t), scale(rng, (), 0.001, 0.05), zero(rng, t)], {"channels_last": i % 2},
                const={1, 2, 3, 4})


@op("NhwcMaxPool", 8)
def nhwc_max_pool(rng, i):
    x, attributes = pool_shapes(rng, 1 + i % 3)
    return Case([ints(rng, [x[0], *x[2:], x[1]], byte(rng))], attributes)


@op("QLinearConcat", 10)
def qlinear_concat(rng, i):
    t, shape = byte(rng), dims(rng, 3)
    axis = int(rng.integers(-3, 3))
    inputs = [scale(rng), zero(rng, t)]
    for _ in range(int(rng.integers(1, 4))):
        shape[axis] = int(rng.integers(1, 5))
        inputs += [ints(rng, shape, t), scale(rng), zero(rng, t)]
    return Case(inputs, {"axis": axis}, const=set(range(len(inputs))) - {2, 5, 8})


# --- fused: com.microsoft ---------------------------------------------------------------------------------------------------------------

@op("Gelu", 2)
def gelu(rng, i):
    return Case([floats(rng, dims(rng, 3), 2)])


@op("Unique", 4)
def unique(rng, i):
    x = np.floor(floats(rng, int(rng.integers(1, 40)), 4)).astype(np.float32)
    return Case([x], outputs=3, const=(0,) if i == 3 else (), out_types=[TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT64])


@op("CDist", 6)
def cdist(rng, i):
    m, n, k = (int(v) for v in rng.integers(1, 9, 3))
    dtype = np.float64 if i % 3 == 2 else np.float32
    return Case([floats(rng, (m, k), 3).astype(dtype), floats(rng, (n, k), 3).astype(dtype)], {} if i == 0 else {"metric": ["sqeuclidean", "euclidean"][i % 2]})


@op("Inverse", 6)
def inverse(rng, i):
    n, lead = int(rng.integers(1, 7)), dims(rng, i % 3)
    return Case([(floats(rng, (*lead, n, n)) + 4 * np.eye(n)).astype(np.float64 if i % 2 else np.float32)])


@op("QuickGelu", 3)
def quick_gelu(rng, i):
    return Case([floats(rng, dims(rng, 3), 2)], {} if i % 2 else {"alpha": 1.3})


@op("BiasGelu", 3)
def bias_gelu(rng, i):
    x = floats(rng, dims(rng, 3), 2)
    return Case([x, floats(rng, x.shape[-1])])


@op("FastGelu", 4)
def fast_gelu(rng, i):
    x = floats(rng, dims(rng, 3), 2)
    return Case([x, maybe(rng, floats(rng, x.shape[-1]))])


@op("SkipLayerNormalization", 10)
def skip_layer_normalization(rng, i):
    shape = dims(rng, 2 + i % 2, 9)
    n = shape[-1]
    skip = [shape, [1, *shape[1:]] if len(shape) == 3 else shape, shape[-2:]][int(rng.integers(0, 3))]
    return Case([floats(rng, shape), floats(rng, skip), floats(rng, n), maybe(rng, floats(rng, n)), maybe(rng, floats(rng, n))], {"epsilon": 1e-5},
                outputs=4 if i % 4 == 1 else 1)


@op("SkipSimplifiedLayerNormalization", 8)
def skip_simplified_layer_normalization(rng, i):
    shape = dims(rng, 2 + i % 2, 9)
    n = shape[-1]
    return Case([floats(rng, shape), floats(rng, shape), floats(rng, n), maybe(rng, floats(rng, n))], {"epsilon": 1e-5}, outputs=4 if i % 4 == 1 else 1)


@op("SimplifiedLayerNormalization", 4, "", 17)
def simplified_layer_normalization(rng, i):
    shape = dims(rng, 3, 9)
    axis = int(rng.choice([-1, 1, 2]))
    return Case([floats(rng, shape), floats(rng, shape[axis:])], {"axis": axis, "epsilon": 1e-5, "stash_type": 1})


@op("LayerNormalization", 4, "", 13)
def early_layer_normalization(rng, i):
    """Optimisers write it before opset 17, where the standard has it from."""
    shape = dims(rng, 3, 9)
    return Case([floats(rng, shape), floats(rng, shape[-1]), maybe(rng, floats(rng, shape[-1]))], {"axis": -1, "epsilon": 1e-5})


@op("EmbedLayerNormalization", 8)
def embed_layer_normalization(rng, i):
    batch, length, n = dims(rng, 3, 9)
    words, positions, segments = 20, length + 2, 3
    with_segments = i % 2
    inputs = [rng.integers(0, words, (batch, length)).astype(np.int32), rng.integers(0, segments, (batch, length)).astype(np.int32) if with_segments else None,
              floats(rng, (words, n)), floats(rng, (positions, n)), floats(rng, (segments, n)) if with_segments else None, floats(rng, n), floats(rng, n),
              maybe(rng, rng.integers(0, 2, (batch, length)).astype(np.int32)),
              maybe(rng, rng.integers(0, positions, (batch if i % 3 else 1, length)).astype(np.int32))]
    return Case(inputs, {"epsilon": 1e-5, "mask_index_type": 1} if i % 4 == 3 else {"epsilon": 1e-5}, outputs=2 + i % 2, const={2, 3, 4, 5, 6})


ACTIVATIONS = [("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2]), ("HardSigmoid", [0.3, 0.4])]


@op("FusedConv", 12)
def fused_conv(rng, i):
    x, w, attributes = conv_shapes(rng, 2)
    activation, params = ACTIVATIONS[i % 5]
    attributes["activation"] = activation
    if params:
        attributes["activation_params"] = params
    inputs = [floats(rng, x), floats(rng, w), maybe(rng, floats(rng, w[0]))]
    if i % 2 and inputs[2] is not None:
        plain = {k: v for k, v in attributes.items() if not k.startswith("activation")}
        model, feeds = build("Conv", "", 11, Case(inputs, plain))
        inputs.append(floats(rng, expected(model, feeds)[0].shape))
    return Case(inputs, attributes, const={1, 2})


@op("FusedGemm", 6)
def fused_gemm(rng, i):
    m, n, k = dims(rng, 3, 9)
    trans_a, trans_b = i % 2, i // 2 % 2
    activation, params = ACTIVATIONS[i % 5]
    attributes = {"activation": activation, "transA": trans_a, "transB": trans_b, "alpha": 0.5, "beta": 2.0}
    attributes.update(zip(("activation_alpha", "activation_beta"), params))
    return Case([floats(rng, [k, m] if trans_a else [m, k]), floats(rng, [n, k] if trans_b else [k, n]), maybe(rng, floats(rng, n))], attributes)


@op("FusedMatMul", 16)
def fused_matmul(rng, i):
    m, n, k = dims(rng, 3, 9)
    batch = dims(rng, int(rng.integers(0, 3)), 4)
    trans_a, trans_b = i % 2, i // 2 % 2
    # the batch axes of an operand may come with the first one moved behind the others
    batch_a, batch_b = (int(i // 4 % 2), int(i // 8 % 2)) if batch else (0, 0)

    def laid(rows, columns, trans, trans_batch):
        if trans:
            rows, columns = columns, rows
        return [rows, *batch, columns] if trans_batch else [*batch, rows, columns]

    return Case([floats(rng, laid(m, k, trans_a, batch_a)), floats(rng, laid(k, n, trans_b, batch_b))],
                {"transA": trans_a, "transB": trans_b, "transBatchA": batch_a, "transBatchB": batch_b, "alpha": float(rng.choice([1, 0.25]))})


# --- attention: com.microsoft ------------------------------------------------------------------------------------------------------------

def key_mask(rng, i, batch, queries, keys):
    ends = rng.integers(1, keys + 1, batch)
    left = (np.arange(keys) < ends[:, None]).astype(np.int32)
    return [None, left, ends.astype(np.int32), np.repeat(left[:, None], queries, axis=1)][i % 4]


@op("MultiHeadAttention", 36)
def multi_head_attention(rng, i):
    batch, heads, queries = dims(rng, 3, 4)
    width = int(rng.choice([2, 4, 8]))
    keys = queries if i % 3 else int(rng.integers(1, 6))
    hidden = heads * width
    attributes = {"num_heads": heads, "unidirectional": int(i % 4 == 3 and keys == queries)}
    if i % 5 == 0:
        attributes["scale"] = 0.3
    kind = i % 6  # packed operands are for GPUs only there
    q = floats(rng, (batch, queries, hidden))
    k, v = floats(rng, (batch, keys, hidden)), floats(rng, (batch, keys, hidden))
    bias = maybe(rng, floats(rng, 3 * hidden))
    past = [None, None]
    if kind == 3:
        k, v, bias = floats(rng, (batch, heads, keys, width)), floats(rng, (batch, heads, keys, width)), None
    elif kind == 4:
        before = int(rng.integers(1, 5))
        past = [floats(rng, (batch, heads, before, width)), floats(rng, (batch, heads, before, width))]
        keys += before
    mask = key_mask(rng, int(rng.integers(0, 4)), batch, queries, keys)
    attention_bias = maybe(rng, floats(rng, (rng.choice([1, batch]), rng.choice([1, heads]), queries, keys)), 0.3)
    if kind == 3:
        mask = attention_bias = None
    return Case([q, k, v, bias, mask, attention_bias, *past], attributes, outputs=3 if kind == 4 else 1)


@op("Attention", 24)
def attention(rng, i):
    batch, heads, queries = dims(rng, 3, 4)
    width, inner = int(rng.choice([2, 4, 8])), int(rng.integers(1, 9))
    v_width = width if i % 3 else width * 2
    columns = heads * (2 * width + v_width)
    attributes = {"num_heads": heads, "unidirectional": i % 2}
    if v_width != width:
        attributes["qkv_hidden_sizes"] = [heads * width, heads * width, heads * v_width]
    before = int(rng.integers(1, 4)) if i % 4 == 1 and v_width == width else 0
    keys = queries + before
    ends = key_mask(rng, 2, batch, queries, keys)
    mask = [None, key_mask(rng, 1, batch, queries, keys), ends, key_mask(rng, 3, batch, queries, keys), np.concatenate([ends, np.zeros_like(ends)])][i % 5]
    past = floats(rng, (2, batch, heads, before, width)) if before else None
    return Case([floats(rng, (batch, queries, inner)), floats(rng, (inner, columns)), floats(rng, columns), mask, past], attributes,
                outputs=2 if before else 1, const={1, 2} if i % 2 else ())


@op("QAttention", 8)
def qattention(rng, i):
    batch, heads, queries = dims(rng, 3, 4)
    width, inner = 4, int(rng.integers(1, 9))
    columns, tw = 3 * heads * width, [np.int8, np.uint8][i % 2]
    each = (columns,) if i % 4 == 0 else ()
    zeros = np.zeros(each, tw) if each else zero(rng, tw)
    return Case([ints(rng, (batch, queries, inner), np.uint8), weights(rng, (inner, columns), tw), floats(rng, columns), scale(rng), scale(rng, each),
                 key_mask(rng, i % 3, batch, queries, queries), zero(rng, np.uint8), zeros], {"num_heads": heads, "unidirectional": i // 2 % 2},
                const={1, 2, 3, 4, 6, 7})


def rotation_cache(rng, rows, half):
    angle = rng.uniform(0, 6.28, (rows, half))
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


@op("GroupQueryAttention", 24)
def group_query_attention(rng, i):
    batch, kv_heads = dims(rng, 2, 4)
    heads, width = kv_heads * int(rng.integers(1, 3)), 16
    first = i % 2 == 0
    before = 0 if first else int(rng.integers(1, 6))
    queries = int(rng.integers(1, 6)) if first or batch == 1 else 1
    total = before + queries
    room = before  # the cache has just what was seen
    lengths = np.full(batch, total - 1) if not first else rng.integers(0, total, batch)
    if first:
        lengths[0] = total - 1
    attributes = {"num_heads": heads, "kv_num_heads": kv_heads}
    if i % 3 == 0:
        attributes["local_window_size"] = int(rng.integers(1, 4))
    if i % 4 == 3:
        attributes["softcap"] = 2.0
    cos = sin = None
    if i % 3:
        attributes.update(do_rotary=1, rotary_interleaved=i // 6 % 2)
        cos, sin = rotation_cache(rng, total + 3, width // 2)
    q, k, v = floats(rng, (batch, queries, heads * width)), floats(rng, (batch, queries, kv_heads * width)), floats(rng, (batch, queries, kv_heads * width))
    if i % 5 == 4:
        q, k, v = np.concatenate([q, k, v], axis=2), None, None
    past = [floats(rng, (batch, kv_heads, room, width)) for _ in range(2)]
    if not first:
        lengths = np.full(batch, total - 1)
    return Case([q, k, v, *past, lengths.astype(np.int32), np.array(total, np.int32), cos, sin], attributes, outputs=3, const={6})


@op("RotaryEmbedding", 12)
def rotary_embedding(rng, i):
    batch, heads, length = dims(rng, 3, 4)
    width = int(rng.choice([4, 8]))
    partial = i % 4 == 3
    half = width // 4 if partial else width // 2
    attributes = {"interleaved": i % 2}
    by_heads = i % 3 == 0
    if partial:
        attributes.update(num_heads=heads, rotary_embedding_dim=2 * half)
    x = floats(rng, (batch, heads, length, width) if by_heads else (batch, length, heads * width))
    ids = np.array([2]) if i % 2 else rng.integers(0, 9, (batch, length))
    return Case([x, ids, *rotation_cache(rng, 10, half)], attributes)


@op("MatMulNBits", 24)
def matmul_nbits(rng, i):
    large = i % 4 == 3  # more columns and a longer K than are unpacked at a time
    n, rows = int(rng.integers(33, 80) if large else rng.integers(1, 9)), dims(rng, int(rng.integers(1, 3)), 4)
    bits, block = [4, 8, 4][i % 3], int(rng.choice([16, 32, 64]))
    k = block * int(rng.integers(17, 20) if large else rng.integers(1, 4)) - (block // 2 if i % 5 == 4 and bits == 4 else 0)
    blocks = -(-k // block)
    zeros = [None, rng.integers(0, 256, (n, -(-blocks * bits // 8))).astype(np.uint8)][i // 3 % 2]
    b = rng.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    return Case([floats(rng, [*rows, k]), b, scale(rng, (n, blocks)), zeros, None, floats(rng, n) if i % 7 == 6 else None],
                {"K": k, "N": n, "bits": bits, "block_size": block}, const={1, 2, 3, 5})


@op("DynamicQuantizeLSTM", 16)
def dynamic_quantize_lstm(rng, i):
    length, batch, inner = dims(rng, 3, 6)
    hidden, directions, t = int(rng.integers(1, 6)), 1 + (i % 3 == 2), [np.int8, np.uint8][i % 2]
    each = (directions, 4 * hidden) if i % 4 == 3 and t == np.int8 else (directions,)
    zeros = np.zeros(each, t) if t == np.int8 else zero(rng, t, each)
    state = (directions, batch, hidden)
    first = maybe(rng, floats(rng, state, 0.5))
    attributes = {"hidden_size": hidden, "direction": ["forward", "reverse", "bidirectional"][i % 3]}
    if i % 5 == 4:
        attributes["clip"] = 0.8
    return Case([floats(rng, (length, batch, inner)), weights(rng, (directions, inner, 4 * hidden), t), weights(rng, (directions, hidden, 4 * hidden), t),
                 maybe(rng, floats(rng, (directions, 8 * hidden), 0.2)), None, first, None if first is None else floats(rng, state, 0.5),
                 maybe(rng, floats(rng, (directions, 3 * hidden), 0.2), 0.3), scale(rng, each, 0.005, 0.02), zeros, scale(rng, each, 0.005, 0.02), zeros],
                attributes, outputs=3, const={1, 2, 3, 7, 8, 9, 10, 11})


# --- names of com.microsoft for standard operators ---------------------------------------------------------------------------------------

@op("Trilu", 4)
def trilu(rng, i):
    return Case([floats(rng, dims(rng, 3)), np.array(int(rng.integers(-2, 3)))], {"upper": i % 2}, const={1})


@op("Range", 3)
def arange(rng, i):
    return Case([np.array(v, [np.float32, np.int64, np.int32][i]) for v in (2, 11, 3)], const={0, 1, 2})


@op("GatherND", 3)
def gather_nd(rng, i):
    shape = dims(rng, 3)
    rank = 1 + i
    return Case([floats(rng, shape), np.stack([rng.integers(0, d, 4) for d in shape[:rank]], axis=-1)])


@op("Pad", 6)
def pad(rng, i):
    shape = [d + 2 for d in dims(rng, 2)]
    mode = ["constant", "reflect", "edge"][i % 3]
    return Case([floats(rng, shape), rng.integers(0, 2, 4), np.array(0.5, np.float32) if mode == "constant" and i else None], {"mode": mode}, const={1, 2})


@op("GridSample", 6)
def grid_sample(rng, i):
    n, c, h, w = (d + 1 for d in dims(rng, 4))
    return Case([floats(rng, (n, c, h, w)), rng.uniform(-1.2, 1.2, (n, 3, 4, 2)).astype(np.float32)],
                {"mode": ["bilinear", "nearest"][i % 2], "padding_mode": ["zeros", "border", "reflection"][i % 3], "align_corners": i // 3})


@op("QuantizeLinear", 6)
def quantize_linear(rng, i):
    t, shape = byte(rng), dims(rng, 3)
    each = (shape[1],) if i % 2 else ()
    return Case([floats(rng, shape, 3), scale(rng, each, 0.02, 0.05), zero(rng, t, each)], {"axis": 1} if each else {}, const={1, 2})


@op("DequantizeLinear", 6)
def dequantize_linear(rng, i):
    t, shape = byte(rng), dims(rng, 3)
    each = (shape[1],) if i % 2 else ()
    return Case([ints(rng, shape, t), scale(rng, each), zero(rng, t, each)], {"axis": 1} if each else {}, const={1, 2})


def main():
    out, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    refused = 0
    for key, rows in CASES.items():
        if wanted and key not in wanted:
            continue
        for name, domain, opset, count, make in rows:
            for i in range(count):
                rng = np.random.default_rng([zlib.crc32(key.encode()), i])
                case = make(rng, i)
                if case is None:
                    continue
                model, feeds = build(name, domain, opset, case)
                try:
                    outputs = expected(model, feeds)
                except Exception as why:  # a combination that the yardstick lacks
                    print(f"{key} {i}: {str(why)[:300]}", file=sys.stderr)
                    refused += 1
                    continue
                write(out / f"{key}_{i}", model, feeds, outputs)
    print(f"{refused} combinations refused by ONNX Runtime")


if __name__ == "__main__":
    main()
