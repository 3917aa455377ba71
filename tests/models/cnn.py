# SPDX-License-Identifier: Apache-2.0
"""ResNet-18, ResNet-50 (He et al. 2015, stride in the 3x3 convolution) and MobileNetV2 (Sandler et al. 2018) as ONNX graphs with
BatchNormalization kept as nodes. Weights are random; the statistics of each BatchNormalization are those of a sample batch."""
import numpy as np

from graph import Graph


class Net(Graph):
    def __init__(self, name, size):
        super().__init__(name)
        self.rng = np.random.default_rng(18)
        self.x = self.input("x", ["N", 3, *size], sample=images(self.rng, 4, 224, 224))

    def normal(self, name, shape, scale):
        return self.weight(name, self.rng.normal(0, scale, shape).astype(np.float32))

    def conv_bn(self, x, out, kernel, stride=1, group=1):
        channels = self.values[x].shape[1]
        name = f"conv{len(self.nodes)}"
        shape = (out, channels // group, kernel, kernel)
        pad = kernel // 2
        y = self.add("Conv", [x, self.normal(name + ".weight", shape, np.sqrt(2 / np.prod(shape[1:])))],
                     kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=group)
        sample = self.values[y]
        stats = {"gamma": self.rng.uniform(0.5, 1.5, out), "beta": self.rng.normal(0, 0.3, out),
                 "mean": sample.mean(axis=(0, 2, 3)), "var": sample.var(axis=(0, 2, 3)) + 1e-3}
        return self.add("BatchNormalization", [y] + [self.weight(f"{name}.{k}", v.astype(np.float32)) for k, v in stats.items()],
                        epsilon=1e-5)

    def classifier(self, x, classes=1000):
        pooled = self.add("Flatten", [self.add("GlobalAveragePool", [x])], axis=1)
        features = self.values[pooled].shape[1]
        self.forget()
        w = self.normal("fc.weight", (classes, features), np.sqrt(1 / features))
        self.output(self.add("Gemm", [pooled, w, self.normal("fc.bias", classes, 0.1)], transB=1), ["N", classes], rename="logits")

    def forget(self):
        """The sample has served: drop its activations."""
        self.values.clear()


def images(rng, n, h, w):
    """Noise at several scales, so that convolutions of every stride have something to see."""
    out = rng.normal(0, 0.5, (n, 3, h, w))
    for step in 4, 16:
        coarse = rng.normal(0, 0.7, (n, 3, -(-h // step), -(-w // step)))
        out += coarse.repeat(step, axis=2).repeat(step, axis=3)[:, :, :h, :w]
    return out.astype(np.float32)


def resnet(name, blocks, bottleneck):
    g = Net(name, (224, 224))

    def relu(x):
        return g.add("Relu", [x])

    x = relu(g.conv_bn(g.x, 64, 7, 2))
    x = g.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage, count in enumerate(blocks):
        width = 64 << stage
        out = width * (4 if bottleneck else 1)
        for block in range(count):
            stride = 2 if stage and not block else 1
            if bottleneck:
                y = relu(g.conv_bn(x, width, 1))
                y = relu(g.conv_bn(y, width, 3, stride))
                y = g.conv_bn(y, out, 1)
            else:
                y = relu(g.conv_bn(x, width, 3, stride))
                y = g.conv_bn(y, out, 3)
            if g.values[x].shape != g.values[y].shape:
                x = g.conv_bn(x, out, 1, stride)
            x = relu(g.add("Add", [y, x]))
    g.classifier(x)
    return g


def mobilenet_v2():
    g = Net("mobilenetv2", ("H", "W"))
    low, high = g.weight("zero", np.float32(0)), g.weight("six", np.float32(6))

    def relu6(x):
        return g.add("Clip", [x, low, high])

    x = relu6(g.conv_bn(g.x, 32, 3, 2))
    for expand, out, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(count):
            channels = g.values[x].shape[1]
            y = relu6(g.conv_bn(x, channels * expand, 1)) if expand > 1 else x
            y = relu6(g.conv_bn(y, channels * expand, 3, 1 if block else stride, group=channels * expand))
            y = g.conv_bn(y, out, 1)
            x = g.add("Add", [x, y]) if block else y
    g.classifier(relu6(g.conv_bn(x, 1280, 1)))
    return g
