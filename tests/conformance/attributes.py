#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""attributes.py OUT [NAME...] [--seed N] [--count N]: random cases for operators of the standard in all their versions: attributes, shapes, element
types and omitted operands that ONNX's own suite does not try. As operators.py: a folder per case, one node, outputs of ONNX Runtime.

    python attributes.py --no-half DIR && conformance --rtol 2e-3 --atol 2e-5 DIR/*
"""
import argparse
import pathlib
import sys
import zlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from operators import Case, build, dims, expected, floats, maybe, write

onnxruntime.set_default_logger_severity(4)
OPS = {}


def op(name, *opsets):
    def register(make):
        OPS[name] = (opsets, make)
        return make

    return register


def real(rng, opset, f16_since=7):
    """An element type: mostly float32."""
    return rng.choice([np.float32] * 4 + [np.float64] + [np.float16])


def numbers(rng, shape, dtype):
    return floats(rng, shape).astype(dtype)


def size(rng, low=1, high=6, zero=0.03):
    return 0 if rng.random() < zero else int(rng.integers(low, high))


# --- windows ---------------------------------------------------------------------------------------------------------------------------

def window(rng, spatial, opset, dilations=True, auto=0.25):
    kernel = dims(rng, spatial, 4)
    attributes = {"kernel_shape": kernel, "strides": dims(rng, spatial, 4)}
    if dilations and rng.random() < 0.4:
        attributes["dilations"] = dims(rng, spatial, 3)
    dilation = attributes.get("dilations", [1] * spatial)
    image = [(k - 1) * d + 1 + int(rng.integers(0, 7)) for k, d in zip(kernel, dilation)]
    if rng.random() < auto and "dilations" not in attributes:
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    elif rng.random() < 0.6:
        attributes["pads"] = [int(rng.integers(0, k)) for k in kernel * 2]
    return image, attributes


@op("Conv", 1, 11, 22)
def conv(rng, opset):
    spatial, group = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3]))
    image, attributes = window(rng, spatial, opset)
    cin, cout, t = group * int(rng.integers(1, 4)), group * int(rng.integers(1, 4)), real(rng, opset)
    if rng.random() < 0.2:
        cin, cout, group = 3, 3, 3
    attributes["group"] = group
    w = numbers(rng, [cout, cin // group, *attributes["kernel_shape"]], t)
    if rng.random() < 0.3:
        del attributes["kernel_shape"]
    return Case([numbers(rng, [size(rng, 1, 3), cin, *image], t), w, maybe(rng, numbers(rng, [cout], t))], attributes, const={1} if rng.random() < 0.7 else ())


@op("ConvTranspose", 1, 11, 22)
def conv_transpose(rng, opset):
    spatial, group, t = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3])), rng.choice([np.float32, np.float32, np.float16])
    kernel, image = dims(rng, spatial, 4), dims(rng, spatial, 6)
    stride = dims(rng, spatial, 4)
    attributes = {"strides": stride, "group": group, "kernel_shape": kernel}
    if rng.random() < 0.4:
        attributes["dilations"] = dims(rng, spatial, 3)
    if rng.random() < 0.4:
        attributes["output_padding"] = [int(rng.integers(0, s)) for s in stride]
    kind = rng.random()
    if kind < 0.25 and all(k >= s for k, s in zip(kernel, stride)):  # there the output of SAME is smaller than the standard says when strides are longer
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    elif kind < 0.45:
        attributes["output_shape"] = [s * (i - 1) + int(rng.integers(1, k + 1)) for s, i, k in zip(stride, image, kernel)]
        if rng.random() < 0.5 and opset >= 11:
            attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER"]))
    elif kind < 0.8:
        attributes["pads"] = [int(rng.integers(0, k)) for k in kernel * 2]
    cin, cout = group * int(rng.integers(1, 4)), int(rng.integers(1, 4))
    return Case([numbers(rng, [size(rng, 1, 3), cin, *image], t), numbers(rng, [cin, cout, *kernel], t), maybe(rng, numbers(rng, [cout * group], t))], attributes)


@op("MaxPool", 1, 8, 10, 11, 12, 22)
def max_pool(rng, opset):
    spatial, t = int(rng.integers(1, 4)), real(rng, opset)
    image, attributes = window(rng, spatial, opset, opset >= 10)
    if opset >= 10:
        attributes["ceil_mode"] = int(rng.integers(0, 2))
    if opset >= 12 and rng.random() < 0.2:
        t = rng.choice([np.uint8, np.int8])
    indices = opset >= 8 and rng.random() < 0.4
    if indices:
        attributes["storage_order"] = int(rng.integers(0, 2))
    x = numbers(rng, [size(rng, 1, 3), size(rng, 1, 4), *image], np.float32)
    return Case([(x * 20).astype(t)], attributes, outputs=2 if indices else 1)


@op("AveragePool", 1, 7, 10, 11, 19, 22)
def average_pool(rng, opset):
    image, attributes = window(rng, int(rng.integers(1, 4)), opset, opset >= 19)
    if opset >= 7:
        attributes["count_include_pad"] = int(rng.integers(0, 2))
    if opset >= 10:
        attributes["ceil_mode"] = int(rng.integers(0, 2))
    return Case([numbers(rng, [size(rng, 1, 3), size(rng, 1, 4), *image], rng.choice([np.float32, np.float32, np.float16]))], attributes)


@op("LpPool", 2, 11, 18, 22)
def lp_pool(rng, opset):
    image, attributes = window(rng, int(rng.integers(1, 4)), opset, opset >= 18, 0)  # strides beyond the kernel give negative pads there
    attributes["p"] = int(rng.integers(1, 4))
    if opset >= 18:
        attributes["ceil_mode"] = int(rng.integers(0, 2))
    return Case([floats(rng, [size(rng, 1, 3), size(rng, 1, 4), *image])], attributes)


@op("GlobalLpPool", 2, 22)
def global_lp_pool(rng, opset):
    return Case([floats(rng, dims(rng, int(rng.integers(3, 6))))], {"p": int(rng.integers(1, 4))})


@op("GlobalMaxPool", 1, 22)
def global_max_pool(rng, opset):
    return Case([numbers(rng, dims(rng, int(rng.integers(3, 6))), real(rng, opset))])


@op("GlobalAveragePool", 1, 22)
def global_average_pool(rng, opset):
    return Case([numbers(rng, dims(rng, int(rng.integers(3, 6))), rng.choice([np.float32, np.float16]))])


@op("MaxRoiPool", 1, 22)
def max_roi_pool(rng, opset):
    n, c, h, w = dims(rng, 4, 9)
    k = size(rng)
    rois = np.concatenate([rng.integers(0, n, (k, 1)), rng.uniform(-2, 10, (k, 4))], axis=1).astype(np.float32)
    return Case([floats(rng, [n, c, h, w]), rois], {"pooled_shape": dims(rng, 2), "spatial_scale": float(rng.choice([1, 0.5]))})


@op("RoiAlign", 10, 16, 22)
def roi_align(rng, opset):
    n, c, h, w = dims(rng, 4, 9)
    k = size(rng)
    attributes = {"output_height": int(rng.integers(1, 5)), "output_width": int(rng.integers(1, 5)), "sampling_ratio": int(rng.integers(0, 4)),
                  "spatial_scale": float(rng.choice([1, 0.5])), "mode": str(rng.choice(["avg", "max"]))}
    if opset >= 16:
        attributes["coordinate_transformation_mode"] = str(rng.choice(["half_pixel", "output_half_pixel"]))
    start = rng.uniform(-2, 8, (k, 2))
    rois = np.concatenate([start, start + rng.uniform(0, 6, (k, 2))], axis=1).astype(np.float32)
    return Case([floats(rng, [n, c, h, w]), rois, rng.integers(0, n, k)], attributes)


# --- images ----------------------------------------------------------------------------------------------------------------------------------

@op("Resize", 10, 11, 13, 18, 19)
def resize(rng, opset):
    rank = int(rng.integers(2, 5))
    shape = dims(rng, rank, 7)
    if rank > 2:
        shape[0] = 1
    mode = str(rng.choice(["nearest", "linear"] if opset < 11 else ["nearest", "linear", "cubic"]))
    t = rng.choice([np.float32] * 5 + [np.uint8, np.int32, np.float16])
    x = (floats(rng, shape) * 10).astype(t)
    touched = [rank - 2, rank - 1] if mode != "nearest" or rng.random() < 0.5 else list(range(rank))
    scales = np.ones(rank, np.float32)
    exact = mode != "nearest" and t in (np.uint8, np.int32)  # where a value is whole, float32 decides which side of it is cut
    scales[touched] = rng.choice([0.5, 2, 4] if exact else [0.5, 2, 1.5, 3, 0.6, 0.8, 1, 2.5], len(touched))
    if opset < 11:
        return Case([x, scales], {"mode": mode}, const={1})
    transform = str(rng.choice(["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"] + ["tf_half_pixel_for_nn"] * (opset < 13) +
                               ["half_pixel_symmetric"] * (opset >= 19)))
    attributes = {"mode": mode, "coordinate_transformation_mode": transform}
    if mode == "nearest":
        attributes["nearest_mode"] = str(rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    if mode == "cubic":
        attributes["cubic_coeff_a"] = float(rng.choice([-0.75, -0.5]))
        attributes["exclude_outside"] = int(rng.integers(0, 2))
    roi = np.zeros(0, np.float32)
    sizes = (np.array(shape) * scales).astype(np.int64)
    sizes[sizes == 0] = 1
    by_size = rng.random() < 0.5 or transform == "align_corners"  # with scales its size is not rounded, there and in ONNX's tests
    axes = sorted(rng.choice(rank, 2, replace=False).tolist()) if opset >= 18 and rng.random() < 0.4 else None
    if axes:
        attributes["axes"] = axes
        scales, sizes = scales[axes], sizes[axes]
    if opset >= 18 and by_size and rng.random() < 0.3:
        attributes["keep_aspect_ratio_policy"] = str(rng.choice(["stretch", "not_larger", "not_smaller"]))
    return Case([x, roi if opset < 13 else None, (np.zeros(0, np.float32) if opset < 13 else None) if by_size else scales, sizes if by_size else None],
                attributes, const={1, 2, 3})


@op("Upsample", 7, 9)
def upsample(rng, opset):
    shape = [1, *dims(rng, 3, 6)]
    scales = np.array([1, 1, *rng.choice([1, 2, 3, 1.5], 2)], np.float32)
    attributes = {"mode": str(rng.choice(["nearest", "linear"]))}
    if opset < 9:
        return Case([floats(rng, shape)], {**attributes, "scales": scales.tolist()})
    return Case([floats(rng, shape), scales], attributes, const={1})


@op("GridSample", 16, 20, 22)
def grid_sample(rng, opset):
    spatial = 2 if opset < 20 else int(rng.integers(2, 4))
    names = ["bilinear", "nearest", "bicubic"] if opset < 20 else ["linear", "nearest"] + ["cubic"] * (spatial == 2)
    n, c = dims(rng, 2, 4)
    grid = rng.uniform(-2, 2, (n, *dims(rng, spatial), spatial)).astype(np.float32)
    return Case([floats(rng, [n, c, *[d + 1 for d in dims(rng, spatial)]]), grid],
                {"mode": str(rng.choice(names)), "padding_mode": str(rng.choice(["zeros", "border", "reflection"])), "align_corners": int(rng.integers(0, 2))})


@op("AffineGrid", 20)
def affine_grid(rng, opset):
    spatial = int(rng.integers(2, 4))
    n = int(rng.integers(1, 3))
    return Case([floats(rng, [n, spatial, spatial + 1]), np.array([n, 1, *[d + 1 for d in dims(rng, spatial)]])], {"align_corners": int(rng.integers(0, 2))},
                const={1})


@op("Col2Im", 18)
def col2im(rng, opset):
    spatial = 2
    image, attributes = window(rng, spatial, opset, auto=0)
    block = attributes.pop("kernel_shape")
    pads = attributes.get("pads", [0] * 4)
    dilations = attributes.get("dilations", [1] * spatial)
    windows = [(i + pads[k] + pads[spatial + k] - (b - 1) * d - 1) // s + 1
               for k, (i, b, d, s) in enumerate(zip(image, block, dilations, attributes["strides"]))]
    n, c = dims(rng, 2, 4)
    return Case([floats(rng, [n, c * int(np.prod(block)), int(np.prod(windows))]), np.array(image), np.array(block)], attributes, const={1, 2})


@op("DepthToSpace", 1, 11, 13)
def depth_to_space(rng, opset):
    b, t = int(rng.integers(1, 4)), rng.choice([np.float32, np.float64])
    return Case([numbers(rng, [size(rng), b * b * int(rng.integers(1, 4)), *dims(rng, 2)], t)],
                {"blocksize": b, **({"mode": str(rng.choice(["DCR", "CRD"]))} if opset >= 11 else {})})


@op("SpaceToDepth", 1, 13)
def space_to_depth(rng, opset):
    b, t = int(rng.integers(1, 4)), rng.choice([np.float32, np.float64])
    return Case([numbers(rng, [size(rng), int(rng.integers(1, 4)), b * int(rng.integers(1, 4)), b * int(rng.integers(1, 4))], t)], {"blocksize": b})


@op("CenterCropPad", 18)
def center_crop_pad(rng, opset):
    shape = dims(rng, int(rng.integers(1, 4)))
    axes = sorted(rng.choice(len(shape), int(rng.integers(1, len(shape) + 1)), replace=False).tolist())
    return Case([floats(rng, shape), rng.integers(1, 8, len(axes))], {"axes": axes}, const={1})


@op("Pad", 2, 11, 13, 18, 19, 21)
def pad(rng, opset):
    rank = int(rng.integers(1, 5))
    shape, t = [d + 2 for d in dims(rng, rank)], rng.choice([np.float32, np.float64, np.int32, np.int64, np.int8] if opset >= 13 else [np.float32, np.float64])
    mode = str(rng.choice(["constant", "reflect", "edge"] + ["wrap"] * (opset >= 19)))
    pads = rng.integers(-1, 3, 2 * rank)
    x = (floats(rng, shape) * 10).astype(t)
    if opset < 11:
        return Case([x], {"mode": mode, "pads": pads.tolist(), "value": 1.5})
    axes = np.array(sorted(rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False))) if opset >= 18 and rng.random() < 0.5 else None
    if axes is not None:
        pads = pads[: 2 * len(axes)]
    return Case([x, pads, maybe(rng, np.array(3, t)) if mode == "constant" else None, axes], {"mode": mode}, const={1, 3})


# --- movement --------------------------------------------------------------------------------------------------------------------------------

MOVED = [np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_, np.float16]


def any_values(rng, shape, t):
    return (floats(rng, shape) * 10).astype(t)


@op("Transpose", 1, 13, 21, 23)
def transpose(rng, opset):
    rank = int(rng.integers(0, 6))
    shape = [size(rng) for _ in range(rank)]
    return Case([any_values(rng, shape, rng.choice(MOVED))], {"perm": rng.permutation(rank).tolist()} if rank and rng.random() < 0.7 else {})


@op("Concat", 4, 11, 13)
def concat(rng, opset):
    shape, t = [size(rng) for _ in range(int(rng.integers(1, 5)))], rng.choice(MOVED)
    axis = int(rng.integers(-len(shape) if opset >= 11 else 0, len(shape)))
    parts = []
    for _ in range(int(rng.integers(1, 5))):
        shape[axis] = size(rng, zero=0.1)
        parts.append(any_values(rng, shape, t))
    return Case(parts, {"axis": axis})


@op("Split", 2, 11, 13, 18)
def split(rng, opset):
    shape, t = dims(rng, int(rng.integers(1, 5))), rng.choice([np.float32, np.int32, np.int64] if opset < 13 else MOVED)
    axis, n = int(rng.integers(-len(shape) if opset >= 11 else 0, len(shape))), int(rng.integers(1, 5))
    parts = rng.integers(0, 4, n)
    attributes = {"axis": axis}
    if rng.random() < 0.5:
        shape[axis] = int(parts.sum())
        if opset < 13:
            return Case([any_values(rng, shape, t)], {**attributes, "split": parts.tolist()}, outputs=n)
        return Case([any_values(rng, shape, t), parts], attributes, outputs=n, const={1})
    if opset >= 18:
        shape[axis] = int(rng.integers(n, 4 * n))
        return Case([any_values(rng, shape, t)], {**attributes, "num_outputs": n}, outputs=n)
    shape[axis] = n * int(rng.integers(1, 4))
    return Case([any_values(rng, shape, t)], attributes, outputs=n)


@op("Tile", 6, 13)
def tile(rng, opset):
    shape = [size(rng) for _ in range(int(rng.integers(1, 5)))]
    return Case([any_values(rng, shape, rng.choice([np.float32, np.float64, np.int32, np.int64, np.uint8])), rng.integers(0, 4, len(shape))], const={1})


# --- products --------------------------------------------------------------------------------------------------------------------------------

@op("Gemm", 7, 9, 11, 13)
def gemm(rng, opset):
    m, n, k = (size(rng, 1, 9) for _ in range(3))
    ta, tb, t = int(rng.integers(0, 2)), int(rng.integers(0, 2)), real(rng, opset)
    bias = [[m, n], [n], [1, n], [m, 1], [1], []][int(rng.integers(0, 6))]
    c = numbers(rng, bias, t)
    return Case([numbers(rng, [k, m] if ta else [m, k], t), numbers(rng, [n, k] if tb else [k, n], t), c if opset < 11 else maybe(rng, c)],
                {"transA": ta, "transB": tb, "alpha": float(rng.choice([1, 0.5])), "beta": float(rng.choice([1, 2, 0]))},
                const={1} if rng.random() < 0.5 else ())


@op("MatMul", 1, 9, 13)
def matmul(rng, opset):
    m, n, k = (size(rng, 1, 9, 0.02) for _ in range(3))
    t = rng.choice([np.float32] * 3 + [np.float64, np.float16] + [np.int32, np.int64, np.uint32, np.uint64] * (opset >= 9))
    batch = dims(rng, int(rng.integers(0, 3)), 4)
    a, b = [*batch, m, k], [*[d if rng.random() < 0.6 else 1 for d in batch[int(rng.integers(0, len(batch) + 1)):]], k, n]
    if rng.random() < 0.1:
        a = [k]
    if rng.random() < 0.1:
        b = [k]
    return Case([any_values(rng, a, t), any_values(rng, b, t)], const={1} if rng.random() < 0.4 else ())


@op("Einsum", 12)
def einsum(rng, opset):
    letters = list("abcdef")[: int(rng.integers(2, 6))]
    sizes = {c: int(rng.integers(1, 5)) for c in letters}
    terms = ["".join(rng.permutation(letters)[: int(rng.integers(1, len(letters) + 1))]) for _ in range(int(rng.integers(1, 4)))]
    used = sorted(set("".join(terms)))
    out = "".join(rng.permutation(used)[: int(rng.integers(0, len(used) + 1))])
    dots = rng.random() < 0.2
    t = rng.choice([np.float32, np.float32, np.float64, np.int32])
    lead = dims(rng, 1, 4) if dots else []
    text = ",".join("..." * dots + term for term in terms) + ("->" + "..." * dots + out if rng.random() < 0.8 else "")
    return Case([any_values(rng, [*lead, *(sizes[c] for c in term)], t) for term in terms], {"equation": text})


@op("Det", 11, 22)
def det(rng, opset):
    n = int(rng.integers(1, 6))
    return Case([floats(rng, [*dims(rng, int(rng.integers(0, 3))), n, n])])


# --- recurrent -------------------------------------------------------------------------------------------------------------------------------

ACTIVATIONS = ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "ScaledTanh", "Elu", "Softsign", "Softplus", "Affine", "ThresholdedRelu"]


def recurrent(rng, opset, gates, acts, states, more):
    length, batch, inner, hidden = dims(rng, 4, 6)
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    d = 2 if direction == "bidirectional" else 1
    attributes = {"hidden_size": hidden, "direction": direction, **more}
    if rng.random() < 0.3:
        attributes["activations"] = rng.choice(ACTIVATIONS, acts * d).tolist()
        if rng.random() < 0.7 or {"Affine", "ScaledTanh", "ThresholdedRelu"} & set(attributes["activations"]):  # whose defaults are 0 there
            attributes["activation_alpha"] = rng.uniform(0.2, 1, sum(a not in ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus") for a in attributes["activations"])).tolist()
            attributes["activation_beta"] = rng.uniform(0.2, 1, sum(a in ("HardSigmoid", "ScaledTanh", "Affine") for a in attributes["activations"])).tolist()
            for key in "activation_alpha", "activation_beta":
                if not attributes[key]:
                    del attributes[key]
    if rng.random() < 0.2:
        attributes["clip"] = 0.7
    w = [floats(rng, s, 0.5) for s in ([length, batch, inner], [d, gates * hidden, inner], [d, gates * hidden, hidden])]
    optional = [maybe(rng, floats(rng, [d, 2 * gates * hidden])), maybe(rng, rng.integers(1, length + 1, batch).astype(np.int32), 0.4)]
    optional += [maybe(rng, floats(rng, [d, batch, hidden])) for _ in range(states)]
    return Case(w + optional, attributes, outputs=1 + states, const={1, 2, 3}), d, hidden


@op("RNN", 7, 14, 22)
def rnn(rng, opset):
    return recurrent(rng, opset, 1, 1, 1, {})[0]


@op("GRU", 7, 14, 22)
def gru(rng, opset):
    return recurrent(rng, opset, 3, 2, 1, {"linear_before_reset": int(rng.integers(0, 2))})[0]


@op("LSTM", 7, 14, 22)
def lstm(rng, opset):
    case, d, hidden = recurrent(rng, opset, 4, 3, 2, {"input_forget": int(rng.integers(0, 2))} if rng.random() < 0.3 else {})
    case.inputs.append(maybe(rng, floats(rng, [d, 3 * hidden]), 0.3))
    return case


# --- attention -------------------------------------------------------------------------------------------------------------------------------

@op("Attention", 23, 24)
def attention(rng, opset):
    batch, kv_heads, length, width, v_width = dims(rng, 5, 5)
    group, keys, past = int(rng.integers(1, 3)), int(rng.integers(1, 12)), int(rng.integers(0, 4)) * int(rng.random() < 0.4)
    heads = kv_heads * group
    length = int(rng.integers(1, 12))
    if past:  # with is_causal the standard counts from the first new key; there it is the last one
        keys = length
    flat = rng.random() < 0.4
    attributes = {"is_causal": int(rng.integers(0, 2))}
    if flat:
        attributes.update(q_num_heads=heads, kv_num_heads=kv_heads)
    if rng.random() < 0.3:
        attributes["scale"] = 0.3
    if rng.random() < 0.3:
        attributes["softcap"] = 1.5

    def shape(h, n, w):
        return [batch, n, h * w] if flat else [batch, h, n, w]

    total = past + keys
    mask = None
    if rng.random() < 0.5:
        lead = [[], [heads], [batch, heads], [batch, 1], [1, heads]][int(rng.integers(0, 5))]
        mask = floats(rng, [*lead, length, total]) if rng.random() < 0.6 else rng.random([*lead, length, total]) < 0.8
        if mask.dtype == np.bool_:
            mask[..., 0] = True
    before = [floats(rng, [batch, kv_heads, past, w]) if past else None for w in (width, v_width)]
    return Case([floats(rng, shape(heads, length, width)), floats(rng, shape(kv_heads, keys, width)), floats(rng, shape(kv_heads, keys, v_width)), mask, *before],
                attributes, outputs=3 if past else 1)


@op("RotaryEmbedding", 23)
def rotary(rng, opset):
    batch, heads, length = dims(rng, 3)
    width = 2 * int(rng.integers(1, 5))
    by_heads, partial = rng.random() < 0.5, width >= 4 and rng.random() < 0.3
    half = 1 if partial else width // 2
    attributes = {"interleaved": int(rng.integers(0, 2)), "num_heads": heads}
    if partial:
        attributes["rotary_embedding_dim"] = 2 * half
    ids = maybe(rng, rng.integers(0, 9, (batch, length)))
    cache = (10, half) if ids is not None else (batch, length, half)
    return Case([floats(rng, (batch, heads, length, width) if by_heads else (batch, length, heads * width)), floats(rng, cache), floats(rng, cache), ids], attributes)


@op("TensorScatter", 24)
def tensor_scatter(rng, opset):
    shape = [d + 1 for d in dims(rng, int(rng.integers(2, 5)))]
    axis = int(rng.integers(1, len(shape)))
    update = list(shape)
    update[axis] = int(rng.integers(1, shape[axis] + 1))
    circular = rng.random() < 0.5
    at = rng.integers(0, shape[axis] if circular else shape[axis] - update[axis] + 1, shape[0])
    return Case([floats(rng, shape), floats(rng, update), maybe(rng, at, 0.8)], {"axis": axis, "mode": "circular" if circular else "linear"})


# --- signals ---------------------------------------------------------------------------------------------------------------------------------

@op("DFT", 17, 20)
def dft(rng, opset):
    shape = [*dims(rng, int(rng.integers(2, 4)), 9), int(rng.integers(1, 3))]
    axis, inverse = int(rng.integers(0 if opset >= 20 else 1, len(shape) - 1)), int(rng.integers(0, 2))
    onesided = int(shape[-1] == 1 and not inverse and rng.random() < 0.6)
    n = maybe(rng, np.array(rng.integers(1, 12)), 0.4)
    attributes = {"inverse": inverse, "onesided": onesided}
    if opset < 20:
        return Case([floats(rng, shape), n], {**attributes, "axis": axis}, const={1})
    return Case([floats(rng, shape), n, np.array(axis)], attributes, const={1, 2})


@op("STFT", 17)
def stft(rng, opset):
    batch, n = int(rng.integers(1, 3)), int(rng.integers(2, 9))
    window = maybe(rng, floats(rng, [n]), 0.7)
    return Case([floats(rng, [batch, n + int(rng.integers(0, 9)), 1]), np.array(rng.integers(1, 5)), window, np.array(n)], {"onesided": int(rng.integers(0, 2))},
                const={1, 3})


@op("MelWeightMatrix", 17)
def mel(rng, opset):
    return Case([np.array(rng.integers(1, 9)), np.array(64), np.array(16000), np.array(100.0, np.float32), np.array(7000.0, np.float32)], const={0, 1, 2})


for window_name in "HannWindow", "HammingWindow", "BlackmanWindow":
    @op(window_name, 17)
    def signal_window(rng, opset):
        return Case([np.array(rng.integers(2, 12))], {"periodic": int(rng.integers(0, 2)), "output_datatype": int(rng.choice([TensorProto.FLOAT, TensorProto.DOUBLE]))},
                    const={0})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-half", action="store_true", help="without float16, which must be judged less exactly")
    parser.add_argument("--free", action="store_true", help="no operand is an initializer: what decides shapes is known only in the run")
    parser.add_argument("--count", type=int, default=4, help="cases of each version")
    args = parser.parse_intermixed_args()
    for name, (opsets, make) in OPS.items():
        if args.names and name not in args.names:
            continue
        refused, why = 0, ""
        for opset in opsets:
            for i in range(args.count):
                rng = np.random.default_rng([zlib.crc32(name.encode()), opset, i, args.seed])
                case = make(rng, opset)
                case.const = set() if args.free else case.const
                if args.no_half and any(v is not None and np.asarray(v).dtype == np.float16 for v in case.inputs):
                    continue
                model, feeds = build(name, "", opset, case)
                try:
                    outputs = expected(model, feeds)
                except Exception as error:  # a combination that the yardstick lacks
                    refused, why = refused + 1, str(error)
                    continue
                half = any(v is not None and np.asarray(v).dtype == np.float16 for v in case.inputs)
                write(args.out / f"{name}_{opset}_{i}{'_half' if half else ''}", model, feeds, outputs)
        if refused:
            print(f"{name}: {refused} of {len(opsets) * args.count} refused by ONNX Runtime, such as: {why[:200]}", file=sys.stderr)


if __name__ == "__main__":
    main()
