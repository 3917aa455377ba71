# SPDX-License-Identifier: Apache-2.0
"""gradients [--bin DIR] [NAME...]: gradients of all weights beside PyTorch's autograd, on the same weights and one batch, for networks of many kinds, as
torch.onnx exports them for training and (second line, where that is another file) by default. The gradient is what one step of SGD with a
learning rate of 4096 takes away. Printed is the largest difference beside the largest gradient of a weight, over all weights. Exit 1 when one is above
1e-3, or when a network cannot be trained."""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
from common import ROOT, program

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

RATE, BATCH, CLASSES, BOUND = 4096.0, 6, 5, 1e-3


def conv(inputs, outputs, kernel=3, stride=1, groups=1, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs), act())


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, stride=stride), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.way = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)) if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.body(x) + self.way(x))


class Inverted(nn.Module):
    """MobileNetV2's block; with squeeze-and-excitation and another activation, MobileNetV3's and EfficientNet's."""
    def __init__(self, inputs, outputs, stride, act, squeeze):
        super().__init__()
        wide = 4 * inputs
        self.a = nn.Sequential(conv(inputs, wide, 1, act=act), conv(wide, wide, 3, stride, groups=wide, act=act))
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 8, 1), act(), nn.Conv2d(8, wide, 1), nn.Sigmoid()) if squeeze else None
        self.b = nn.Sequential(nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.joins = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.a(x)
        if self.squeeze is not None:
            y = y * self.squeeze(y)
        y = self.b(y)
        return x + y if self.joins else y


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = conv(3, 8)
        self.layers = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(8 + 6 * i), nn.ReLU(), nn.Conv2d(8 + 6 * i, 6, 3, 1, 1)) for i in range(3))
        self.last = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(26 * 64, CLASSES))

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.last(x)


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.ways = nn.ModuleList([conv(3, 6, 1), nn.Sequential(conv(3, 4, 1), nn.Conv2d(4, 6, (1, 5), padding=(0, 2)), nn.Conv2d(6, 6, (5, 1), padding=(2, 0))),
                                   nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(3, 5, 1)), nn.MaxPool2d(3, 1, 1)])
        self.last = nn.Linear(20, CLASSES)

    def forward(self, x):
        return self.last(torch.cat([way(x) for way in self.ways], 1).mean((2, 3)))


class Attention(nn.Module):
    """As BERT and MiniLM have it in transformers."""
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.q, self.k, self.v, self.o = heads, *(nn.Linear(width, width) for _ in range(4))

    def forward(self, x, mask):
        def split(t):
            return t.view(t.shape[0], t.shape[1], self.heads, -1).permute(0, 2, 1, 3)
        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + (1 - mask[:, None, None, :].to(x.dtype)) * -10000.0
        y = (F.softmax(scores, -1) @ v).permute(0, 2, 1, 3).contiguous()
        return self.o(y.view(y.shape[0], y.shape[1], -1))


class Bert(nn.Module):
    def __init__(self, width=32, heads=4, layers=2):
        super().__init__()
        self.words, self.places, self.norm = nn.Embedding(50, width), nn.Embedding(16, width), nn.LayerNorm(width)
        self.layers = nn.ModuleList(nn.ModuleList([Attention(width, heads), nn.LayerNorm(width), nn.Linear(width, 64), nn.Linear(64, width), nn.LayerNorm(width)])
                                    for _ in range(layers))
        self.last = nn.Linear(width, CLASSES)

    def forward(self, ids, mask):
        x = self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1])))
        for attention, norm_a, up, down, norm_b in self.layers:
            x = norm_a(x + attention(x, mask))
            x = norm_b(x + down(F.gelu(up(x))))
        weights = mask[:, :, None].to(x.dtype)
        return self.last((x * weights).sum(1) / weights.sum(1).clamp(min=1e-9))


class Encoder(nn.Module):
    """torch's own transformer."""
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 48, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Linear(32, CLASSES)

    def forward(self, ids):
        return self.last(self.body(self.words(ids)).mean(1))


class Vit(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 17, width))
        self.attention, self.norm = Attention(width, 4), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
        self.last = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        x = x + self.attention(self.norm(x), torch.ones(x.shape[:2]))
        x = x + self.mlp(x)
        return self.last(x[:, 0])


class Auto(nn.Module):
    """Down and up again."""
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(conv(3, 8, stride=2), conv(8, 12, stride=2))
        self.up = nn.Sequential(nn.ConvTranspose2d(12, 8, 3, 2, 1, 1), nn.LeakyReLU(0.1), nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=2))
        self.last = nn.Linear(4 * 256, CLASSES)

    def forward(self, x):
        return self.last(self.up(self.down(x)).tanh().flatten(1))


class Upsampling(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.a, self.b, self.mode = conv(3, 8, stride=2), conv(11, 6), mode
        self.last = nn.Linear(6, CLASSES)

    def forward(self, x):
        y = F.interpolate(self.a(x), scale_factor=2, mode=self.mode)
        return self.last(self.b(torch.cat([x, y], 1)).amax((2, 3)))


def image(size=16, channels=3):
    return (torch.randn(BATCH, channels, size, size),)


def tokens(mask):
    ids = torch.randint(0, 50, (BATCH, 12))
    return (ids, (torch.arange(12)[None] < torch.tensor([12, 5, 7, 12, 9, 3])[:, None]).long()) if mask else (ids,)


NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(20, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 24), nn.SiLU(), nn.Linear(24, CLASSES)),
            lambda: (torch.randn(BATCH, 20),)),
    "mlp-batchnorm": (lambda: nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ELU(), nn.Dropout(0.0), nn.Linear(32, CLASSES), nn.Softmax(-1)),
                      lambda: (torch.randn(BATCH, 20),)),
    "vgg": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                                  nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 32), nn.ReLU(),
                                  nn.Dropout(0.0), nn.Linear(32, CLASSES)), image),
    "resnet": (lambda: nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(8, 8, 1),
                                     Residual(8, 16, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)), lambda: image(32)),
    "mobilenetv2": (lambda: nn.Sequential(conv(3, 8, 3, 2, act=nn.ReLU6), Inverted(8, 8, 1, nn.ReLU6, False), Inverted(8, 12, 2, nn.ReLU6, False),
                                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES)), image),
    "mobilenetv3": (lambda: nn.Sequential(conv(3, 8, 3, 2, act=nn.Hardswish), Inverted(8, 8, 1, nn.Hardswish, True), nn.AdaptiveAvgPool2d(1),
                                          nn.Flatten(), nn.Linear(8, CLASSES)), image),
    "efficientnet": (lambda: nn.Sequential(conv(3, 8, 3, 2, act=nn.SiLU), Inverted(8, 8, 1, nn.SiLU, True), Inverted(8, 12, 2, nn.SiLU, True),
                                           nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES)), image),
    "densenet": (Dense, image),
    "inception": (Inception, image),
    "speech": (lambda: nn.Sequential(nn.Conv1d(4, 8, 5, 2, 2), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 12, 3, padding=2, dilation=2), nn.PReLU(12),
                                     nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(12, CLASSES)), lambda: (torch.randn(BATCH, 4, 40),)),
    "groupnorm": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.Mish(), nn.Conv2d(8, 8, 3), nn.InstanceNorm2d(8, affine=True),
                                        nn.Softplus(), nn.Flatten(), nn.Linear(8 * 144, CLASSES)), image),
    "bert": (Bert, lambda: tokens(True)),
    "transformer": (Encoder, lambda: tokens(False)),
    "vit": (Vit, image),
    "autoencoder": (Auto, image),
    "unet-nearest": (lambda: Upsampling("nearest"), image),
    "unet-bilinear": (lambda: Upsampling("bilinear"), image),
}


def export(net, inputs, path, friendly):
    names = [f"x{i}" for i in range(len(inputs))]
    net.train(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, inputs, path, opset_version=17, input_names=names, output_names=["z"], dynamic_axes={n: {0: "n"} for n in [*names, "z"]},
                          **({"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE} if friendly else {}))


def read_weights(path):
    raw = path.read_bytes()
    head, numbers = raw.split(b"\n\n", 1)
    numbers, at, out = np.frombuffer(numbers, np.float32), 0, {}
    for line in head.decode().splitlines():
        name, *dims = json.loads(line)
        count = int(np.prod(dims))
        out[name] = numbers[at:at + count].reshape(dims)
        at += count
    return out


def pintle(binary, folder, inputs, labels, options):
    for i, x in enumerate(inputs):
        x.numpy().tofile(folder / f"x{i}")
    labels.numpy().tofile(folder / "y")
    done = subprocess.run([binary, folder / "net.onnx", ",".join(str(folder / f"x{i}") for i in range(len(inputs))), folder / "y", str(BATCH),
                           f"batch={BATCH}", f"weights={folder / 'w'}", "momentum=0", *options], capture_output=True, text=True)
    return None if done.returncode else read_weights(folder / "w"), done.stderr.strip().splitlines()[-1:] or [""]


def autograd(net, inputs, labels, training):
    """Weights and gradients. Where BatchNormalization was folded into what is in front of it, as in inference."""
    net.train(training)
    net.zero_grad()
    z = net(*inputs)
    (F.nll_loss(torch.log(z), labels) if isinstance(list(net.modules())[-1], nn.Softmax) else F.cross_entropy(z, labels)).backward()
    return [(name, p.detach().numpy(), p.grad.numpy()) for name, p in net.named_parameters()]


def match(value, known):
    """The weight of PyTorch that has this value, perhaps transposed."""
    for name, p, g in known:
        for turn in (lambda t: t, lambda t: t.T, lambda t: t.reshape(value.shape) if t.size == value.size else t):
            if turn(p).shape == value.shape and np.array_equal(turn(p), value):
                yield name, turn(g)


def check(binary, name, friendly, folder):
    make, data = NETWORKS[name]
    torch.manual_seed(7)
    net, inputs, labels = make(), data(), torch.randint(0, CLASSES, (BATCH,))
    for module in net.modules():  # no two weights are equal, and dropout draws nothing
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * torch.randn_like(p)
    folded = not friendly and any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in net.modules())
    frozen = ["frozen=1"] if folded else []
    export(net, inputs, folder / "net.onnx", friendly)
    before, why = pintle(binary, folder, inputs, labels, ["rate=1e-30", *frozen])
    after, why = pintle(binary, folder, inputs, labels, [f"rate={RATE}", *frozen]) if before else (None, why)
    if after is None:
        return None, why[0]
    known, worst, found, unknown = autograd(net, inputs, labels, not folded), 0, set(), []
    largest = max(np.abs(g).max() for _, _, g in known)
    for key, value in before.items():
        mine = (value - after[key]) / RATE
        theirs = list(match(value, known))
        if not theirs:
            unknown.append(key)
            continue
        found |= {n for n, _ in theirs}
        worst = max(worst, min(np.abs(mine - g).max() / max(np.abs(g).max(), 1e-3 * largest) for _, g in theirs))
    missing = sorted({n for n, _, _ in known} - found)
    def some(names):
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    note = (f"; not in the file: {some(missing)}" if missing else "") + (f"; not PyTorch's: {some(unknown)}" if unknown else "")
    return worst, f"{len(found)} of {len(known)} weights{note}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("networks", nargs="*", metavar="NAME", help="of " + ", ".join(NETWORKS))
    args = parser.parse_args()
    binary, failed = program(args.bin, "bench_train"), 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks or NETWORKS:
            for friendly in (True, False):
                worst, note = check(binary, name, friendly, pathlib.Path(folder))
                bad = worst is None or worst > BOUND
                failed |= bad and friendly
                print(f"{name if friendly else '':16}{'for training' if friendly else 'by default':14}{'--' if worst is None else f'{worst:.1e}':>9}  {note}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
