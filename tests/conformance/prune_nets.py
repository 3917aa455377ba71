# SPDX-License-Identifier: Apache-2.0
"""prune_nets.py OUT: small networks of the families that channels and heads are removed from, with random weights, written by PyTorch's own exporter.
Needs torch."""
import pathlib
import sys
import warnings

import torch
from torch import nn
from torch.nn import functional as F


def conv(i, o, k=3, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class Vgg(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.Linear(32 * 64, 48), nn.ReLU(), nn.Dropout(), nn.Linear(48, 10))

    def forward(self, x):
        return self.head(torch.flatten(self.features(x), 1))


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 16)
        self.layers = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(16 + 8 * i), nn.ReLU(), nn.Conv2d(16 + 8 * i, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
                                                  nn.Conv2d(32, 8, 3, padding=1, bias=False)) for i in range(4))
        self.down = nn.Sequential(nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 24, 1), nn.AvgPool2d(2))
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(F.adaptive_avg_pool2d(self.down(x), 1).view(x.shape[0], -1))


class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.last = conv(3, 16), nn.Conv2d(48, 10, 1)
        self.squeeze = nn.ModuleList([nn.Conv2d(16, 8, 1), nn.Conv2d(48, 8, 1)])
        self.one = nn.ModuleList([nn.Conv2d(8, 24, 1), nn.Conv2d(8, 24, 1)])
        self.three = nn.ModuleList([nn.Conv2d(8, 24, 3, padding=1), nn.Conv2d(8, 24, 3, padding=1)])

    def forward(self, x):
        x = self.stem(x)
        for s, a, b in zip(self.squeeze, self.one, self.three):
            x = torch.relu(s(x))
            x = torch.cat([torch.relu(a(x)), torch.relu(b(x))], 1)
        return torch.relu(self.last(x)).mean((2, 3))


class Block(nn.Module):
    """A bottleneck with squeeze-and-excitation, grouped in the middle."""

    def __init__(self, i, o, groups):
        super().__init__()
        self.body = nn.Sequential(conv(i, 32, 1), conv(32, 32, 3, groups=groups), nn.Conv2d(32, o, 1), nn.BatchNorm2d(o))
        self.gate = nn.Sequential(nn.Linear(o, 8), nn.ReLU(), nn.Linear(8, o), nn.Sigmoid())
        self.skip = nn.Identity() if i == o else nn.Sequential(nn.Conv2d(i, o, 1), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.body(x)
        gate = self.gate(y.mean((2, 3)))
        return torch.relu(y * gate.view(gate.shape[0], -1, 1, 1) + self.skip(x))


class SeResNeXt(nn.Module):
    def __init__(self, groups):
        super().__init__()
        self.body = nn.Sequential(conv(3, 16), Block(16, 48, groups), Block(48, 48, groups))
        self.head = nn.Linear(48, 10)

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(self.body(x), 1).flatten(1))


class ShuffleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = conv(3, 32), nn.Linear(32, 10)
        self.units = nn.ModuleList(nn.Sequential(conv(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), conv(16, 16, 1)) for _ in range(2))

    def forward(self, x):
        x = self.stem(x)
        for unit in self.units:
            a, b = x.chunk(2, 1)
            x = torch.cat([a, unit(b)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = torch.softmax(q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(b, n, c))


class Vit(nn.Module):
    def __init__(self, width=32, heads=4):
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, width, 8, 8), nn.Linear(width, 10)
        self.first, self.places = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 17, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(5))
        self.attend = nn.ModuleList(Attention(width, heads) for _ in range(2))
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)) for _ in range(2))

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        for i in range(2):
            x = x + self.attend[i](self.norms[2 * i](x))
            x = x + self.mlps[i](self.norms[2 * i + 1](x))
        return self.head(self.norms[4](x)[:, 0])


class Encoder(nn.Module):
    """torch.nn's own transformer, batch first, and its attention with one query that is learned, length first: heads are folded into the batch."""

    def __init__(self, width=32, heads=4):
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, width, 8, 8), nn.Linear(width, 10)
        self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, heads, 64, batch_first=True), 2)
        self.query, self.pool = nn.Parameter(torch.randn(1, 1, width)), nn.MultiheadAttention(width, heads)
        for p in self.parameters():  # layers are copies of each other, and biases zero
            nn.init.normal_(p, std=0.2)

    def forward(self, x):
        x = self.body(self.patch(x).flatten(2).transpose(1, 2)).transpose(0, 1)
        return self.head(self.pool(self.query.expand(-1, x.shape[1], -1), x, x, need_weights=False)[0][0])


NETS = {"vgg": Vgg, "densenet": DenseNet, "squeezenet": SqueezeNet, "se-resnext-4": lambda: SeResNeXt(4), "se-resnext-16": lambda: SeResNeXt(16),
        "shufflenet": ShuffleNet, "vit": Vit, "encoder": Encoder}


def main():
    out = pathlib.Path(sys.argv[1])
    for name, make in NETS.items():
        torch.manual_seed(1)
        net = make()
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                for p in (m.weight, m.running_var):
                    nn.init.uniform_(p, 0.5, 1.5)
                for p in (m.bias, m.running_mean):
                    nn.init.normal_(p, 0, 0.3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net.eval(), torch.randn(2, 3, 32, 32), out / f"{name}.onnx", opset_version=14, input_names=["x"], output_names=["y"],
                              dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})


if __name__ == "__main__":
    main()
