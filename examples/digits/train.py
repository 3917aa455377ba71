#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the digits example and writes everything that is derived from it. Users do not need this: its results are committed.

    pip install numpy scikit-learn onnx && examples/digits/train.py

Data: the UCI handwritten digits that scikit-learn ships, 1,797 scans of 8x8 pixels with values 0..16. A fifth, stratified by
digit and fixed by SEED, is held out: it is written to heldout.csv and never seen in training.
Network: two 3x3 convolutions of 16 and 32 channels, each followed by Relu and 2x2 max pooling, then one linear layer. The
forward and backward passes are written out in numpy, so that a run depends on nothing but SEED and the rounding of its BLAS.
Writes: digits.onnx, heldout.csv (label,p0,...,p63 per line) and, through ./manifests, digits.yaml and digits-https.yaml.
"""
import pathlib
import subprocess

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 2024
EPOCHS = 60
BATCH = 32
HERE = pathlib.Path(__file__).resolve().parent


def patches(x):
    """[N,C,H,W] -> [N,H,W,C*9]: the 3x3 neighbourhood of every pixel, zeros outside."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    n, c, h, w = x.shape
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, c * 9)


class Conv:
    """3x3 convolution with padding 1, Relu and 2x2 max pooling."""

    def __init__(self, rng, inputs, outputs):
        self.w = rng.normal(0, np.sqrt(2 / (inputs * 9)), (inputs * 9, outputs)).astype(np.float32)
        self.b = np.zeros(outputs, np.float32)

    def forward(self, x):
        self.shape, self.cols = x.shape, patches(x)
        y = np.maximum(self.cols @ self.w + self.b, 0)  # [N,H,W,K]
        n, h, w, k = y.shape
        tiles = y.reshape(n, h // 2, 2, w // 2, 2, k).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, k, 4)
        self.winner = tiles.argmax(axis=-1)
        top = tiles.max(axis=-1)
        self.alive = top > 0
        return top.transpose(0, 3, 1, 2)

    def backward(self, grad):
        """Gradients of (w, b) and of the input, given that of the output."""
        grad = grad.transpose(0, 2, 3, 1) * self.alive
        n, h, w, k = grad.shape
        tiles = np.zeros((n, h, w, k, 4), np.float32)
        np.put_along_axis(tiles, self.winner[..., None], grad[..., None], axis=-1)
        flat = tiles.reshape(n, h, w, k, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(-1, k)
        self.grads = [self.cols.reshape(len(flat), -1).T @ flat, flat.sum(axis=0)]
        back = (flat @ self.w.T).reshape(n, 2 * h, 2 * w, self.shape[1], 3, 3)
        out = np.zeros((n, self.shape[1], 2 * h + 2, 2 * w + 2), np.float32)
        for i in range(3):
            for j in range(3):
                out[:, :, i : i + 2 * h, j : j + 2 * w] += back[..., i, j].transpose(0, 3, 1, 2)
        return out[:, :, 1:-1, 1:-1]


class Linear:
    def __init__(self, rng, inputs, outputs):
        self.w = rng.normal(0, np.sqrt(1 / inputs), (inputs, outputs)).astype(np.float32)
        self.b = np.zeros(outputs, np.float32)

    def forward(self, x):
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.x @ self.w + self.b

    def backward(self, grad):
        self.grads = [self.x.T @ grad, grad.sum(axis=0)]
        return (grad @ self.w.T).reshape(self.shape)


def forward(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def shifted(rng, x):
    """Every other image, by chance, moved by up to one pixel in each direction: more data, the same digits."""
    out = np.zeros_like(x)
    moves = rng.integers(-1, 2, (len(x), 2)) * rng.integers(0, 2, (len(x), 1))
    for i, (dy, dx) in enumerate(moves):
        out[i, 0, max(dy, 0) : 8 + min(dy, 0), max(dx, 0) : 8 + min(dx, 0)] = \
            x[i, 0, max(-dy, 0) : 8 + min(-dy, 0), max(-dx, 0) : 8 + min(-dx, 0)]
    return out


def train(x, labels):
    """Adam on cross entropy with a rate that falls to zero along a cosine."""
    rng = np.random.default_rng(SEED)
    layers = [Conv(rng, 1, 16), Conv(rng, 16, 32), Linear(rng, 128, 10)]
    params = [p for layer in layers for p in (layer.w, layer.b)]
    mean, var = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    steps, step = EPOCHS * (len(x) // BATCH), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for at in range(0, len(x) - BATCH + 1, BATCH):
            pick = order[at : at + BATCH]
            grad = softmax(forward(layers, shifted(rng, x[pick])))
            grad[np.arange(BATCH), labels[pick]] -= 1
            grad /= BATCH
            for layer in reversed(layers):
                grad = layer.backward(grad)
            rate = 0.002 * (1 + np.cos(np.pi * step / steps)) / 2
            step += 1
            for i, g in enumerate(g for layer in layers for g in layer.grads):
                mean[i] += 0.1 * (g - mean[i])
                var[i] += 0.001 * (g * g - var[i])
                params[i] -= rate * (mean[i] / (1 - 0.9**step)) / (np.sqrt(var[i] / (1 - 0.999**step)) + 1e-8)
    return layers


def to_onnx(layers):
    """The trained layers as an ONNX graph over raw pixels: their scale, 1/16, is folded into the first convolution."""
    c1, c2, fc = layers

    def kernel(w):  # [C*9,K] -> [K,C,3,3]
        return np.ascontiguousarray(w.T.reshape(w.shape[1], -1, 3, 3))

    weights = {"conv1.weight": kernel(c1.w) / np.float32(16), "conv1.bias": c1.b, "conv2.weight": kernel(c2.w),
               "conv2.bias": c2.b, "fc.weight": np.ascontiguousarray(fc.w.T), "fc.bias": fc.b}
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        ("Conv", "conv1", ["x", "conv1.weight", "conv1.bias"], conv), ("Relu", "relu1", ["conv1"], {}),
        ("MaxPool", "pool1", ["relu1"], pool),
        ("Conv", "conv2", ["pool1", "conv2.weight", "conv2.bias"], conv), ("Relu", "relu2", ["conv2"], {}),
        ("MaxPool", "pool2", ["relu2"], pool),
        ("Flatten", "flat", ["pool2"], {"axis": 1}),
        ("Gemm", "logits", ["flat", "fc.weight", "fc.bias"], {"transB": 1}),
        ("Softmax", "probabilities", ["logits"], {"axis": 1}),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [name], name=name, **attributes) for op, name, inputs, attributes in nodes],
        "digits",
        [tensor("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [tensor("logits", TensorProto.FLOAT, ["N", 10]), tensor("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(np.asarray(w, np.float32), name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="pintle-examples")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    data = load_digits()
    x = data.images.astype(np.float32)[:, None]
    x_train, x_test, y_train, y_test = train_test_split(x, data.target, test_size=0.2, random_state=SEED, stratify=data.target)
    layers = train(x_train / 16, y_train)
    for name, images, labels in ("training", x_train, y_train), ("held-out", x_test, y_test):
        right = int((forward(layers, images / 16).argmax(axis=1) == labels).sum())
        print(f"{name} accuracy {100 * right / len(labels):.2f} % ({right} of {len(labels)})")
    onnx.save(to_onnx(layers), HERE / "digits.onnx")
    lines = (",".join(str(int(v)) for v in (label, *image.ravel())) for image, label in zip(x_test, y_test))
    (HERE / "heldout.csv").write_text("\n".join(lines) + "\n")
    subprocess.run([HERE / "manifests"], check=True)


if __name__ == "__main__":
    main()
