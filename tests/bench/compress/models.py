# SPDX-License-Identifier: Apache-2.0
"""The networks that the benches train, in PyTorch, and as ONNX files with its weights. Needs torch."""
import warnings

import torch
from torch import nn


def mnist_cnn(batchnorm):
    """conv 3x3x32, relu, conv 3x3x64, relu, max pool, dense 128, relu, dense 10; optionally with BatchNormalization behind each convolution."""
    norm = (lambda n: [nn.BatchNorm2d(n)]) if batchnorm else (lambda n: [])
    return nn.Sequential(nn.Conv2d(1, 32, 3), *norm(32), nn.ReLU(), nn.Conv2d(32, 64, 3), *norm(64), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))


def convolutional(size, channels, width):
    def block(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*block(1, 16), nn.MaxPool2d(2), *block(16, 32), nn.MaxPool2d(2), *block(32, channels), nn.Flatten(),
                         nn.Linear(channels * (size // 4) ** 2, width), nn.ReLU(), nn.Linear(width, 10))


def teacher(size):
    """Three convolutions with BatchNormalization, two of them pooled, then dense layers: of 28 x 28 pixels 2 M multiplications, 0.4 M weights."""
    return convolutional(size, 64, 128)


def student(size):
    """The same with half of the last convolution and of the first dense layer: 1.6 M multiplications, 0.1 M weights."""
    return convolutional(size, 32, 64)


def export(model, sample, path, opset=17):
    """As one trains: nothing folded, BatchNormalization as such. The first dim is free."""
    was = model.training
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), sample, path, opset_version=opset, input_names=["x"], output_names=["z"], do_constant_folding=False,
                          dynamic_axes={"x": {0: "n"}, "z": {0: "n"}}, training=torch.onnx.TrainingMode.PRESERVE)
    model.train(was)
