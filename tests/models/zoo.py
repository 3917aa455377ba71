# SPDX-License-Identifier: Apache-2.0
"""zoo.py OUT: small networks of the kinds that users train, with random weights, written by PyTorch's own exporter. registry.py has their inputs."""
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F


class TextClassifier(nn.Module):
    """Two-way recurrent layers over words, attention over their states."""

    def __init__(self, cell):
        super().__init__()
        self.words = nn.Embedding(100, 24)
        self.cell = cell(24, 20, num_layers=2, bidirectional=True, batch_first=True)
        self.score, self.classes = nn.Linear(40, 1), nn.Linear(40, 5)

    def forward(self, ids):
        states, _ = self.cell(self.words(ids))
        weights = torch.softmax(self.score(torch.tanh(states)).squeeze(-1).masked_fill(ids == 0, -1e9), dim=1)
        return self.classes((weights.unsqueeze(-1) * states).sum(1)), weights


class Decoder(nn.Module):
    """One step of a decoder: attention to its own past, which comes and goes as tensors, and to an encoder's states."""

    def __init__(self, width=32, heads=4, layers=2):
        super().__init__()
        self.heads, self.width = heads, width
        self.words, self.places = nn.Embedding(50, width), nn.Embedding(64, width)
        self.layers = nn.ModuleList(nn.ModuleDict({n: nn.Linear(width, width) for n in ("q", "k", "v", "o", "cq", "ck", "cv", "co")}) for _ in range(layers))
        self.mlps = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width)) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers))

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, self.width // self.heads).transpose(1, 2)

    def attend(self, q, k, v, mask=None):
        scores = q @ k.transpose(-1, -2) / (self.width // self.heads) ** 0.5
        y = torch.softmax(scores if mask is None else scores + mask, dim=-1) @ v
        return y.transpose(1, 2).reshape(q.shape[0], q.shape[2], self.width)

    def forward(self, ids, past, memory):
        """past: [layers, 2, batch, heads, length, width]"""
        before, now = past.shape[4], ids.shape[1]
        place = torch.arange(before, before + now, device=ids.device)
        x = self.words(ids) + self.places(place)
        hidden = (torch.arange(before + now) > place[:, None]).float() * -1e4
        present = []
        for i, (layer, mlp) in enumerate(zip(self.layers, self.mlps)):
            y = self.norms[2 * i](x)
            k, v = (torch.cat([past[i, j], self.split(layer[n](y))], dim=2) for j, n in enumerate("kv"))
            present.append(torch.stack([k, v]))
            x = x + layer["o"](self.attend(self.split(layer["q"](y)), k, v, hidden))
            y = self.norms[2 * i + 1](x)
            x = x + layer["co"](self.attend(self.split(layer["cq"](y)), self.split(layer["ck"](memory)), self.split(layer["cv"](memory))))
            x = x + mlp(x)
        return x @ self.words.weight.t(), torch.stack(present)


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class EfficientNet(nn.Module):
    def __init__(self):
        super().__init__()

        def block(a, b, kernel, stride):
            return nn.Sequential(nn.Conv2d(a, 4 * a, 1, bias=False), nn.BatchNorm2d(4 * a), nn.SiLU(),
                                 nn.Conv2d(4 * a, 4 * a, kernel, stride, kernel // 2, groups=4 * a, bias=False), nn.BatchNorm2d(4 * a), nn.SiLU(),
                                 SqueezeExcite(4 * a), nn.Conv2d(4 * a, b, 1, bias=False), nn.BatchNorm2d(b))

        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Hardswish())
        self.blocks = nn.ModuleList([block(16, 16, 3, 1), block(16, 24, 5, 2), block(24, 24, 3, 1)])
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            y = block(x)
            x = x + y if x.shape == y.shape else y
        return self.head(x.mean((2, 3)))


class ConvNeXt(nn.Module):
    """Normalisation over the channels of every pixel, by permuting them to the end."""

    def __init__(self, width=24):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.depthwise = nn.ModuleList(nn.Conv2d(width, width, 7, padding=3, groups=width) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width, 1e-6) for _ in range(2))
        self.up, self.down = (nn.ModuleList(nn.Linear(*s) for _ in range(2)) for s in ((width, 96), (96, width)))
        self.gamma = nn.Parameter(torch.rand(width))

    def forward(self, x):
        x = self.stem(x)
        for conv, norm, up, down in zip(self.depthwise, self.norms, self.up, self.down):
            y = down(F.gelu(up(norm(conv(x).permute(0, 2, 3, 1)))))
            x = x + (self.gamma * y).permute(0, 3, 1, 2)
        return x.flatten(2).transpose(1, 2)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()

        def double(a, b):
            return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(4, b), nn.LeakyReLU(0.1), nn.Conv2d(b, b, 3, padding=1), nn.InstanceNorm2d(b, affine=True),
                                 nn.ELU())

        self.a, self.b, self.c = double(3, 8), double(8, 16), double(16, 32)
        self.up1, self.d = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
        self.e, self.out = double(24, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.avg_pool2d(b, 2))
        d = self.d(torch.cat([self.up1(c), b], 1))
        up = F.interpolate(d, size=a.shape[2:], mode="bilinear", align_corners=False)
        mask = torch.log_softmax(self.out(self.e(torch.cat([up, a], 1))), dim=1)
        return mask, mask.argmax(1)


class Detector(nn.Module):
    """Boxes of two scales, decoded, the best first: shapes and indices that come from data."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, 4, 1), nn.Conv2d(16, 16, 3, 2, 1)
        self.heads = nn.ModuleList(nn.Conv2d(16, 5 + 3, 1) for _ in range(2))

    def forward(self, x):
        a = F.relu6(self.a(x))
        boxes = []
        for y, head in zip((a, F.hardtanh(self.b(a))), self.heads):
            p = head(y)
            h, w = p.shape[2], p.shape[3]
            grid = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")[::-1], -1).view(1, h * w, 2)
            p = p.flatten(2).transpose(1, 2)
            boxes.append(torch.cat([(p[..., :2].sigmoid() + grid) / torch.tensor([w, h]), p[..., 2:4].exp(), p[..., 4:].sigmoid()], -1))
        boxes = torch.cat(boxes, 1)
        score, kind = (boxes[..., 4:5] * boxes[..., 5:]).max(-1)
        best, order = score.topk(8, dim=1)
        chosen = boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
        return chosen, best, kind.gather(1, order), (score > 0.3).nonzero()


def write(out, name, model, inputs, names, outputs, axes, opset):
    torch.manual_seed(7)
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.xavier_normal_(p, 1.5)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(model.eval(), inputs, str(folder / "new.onnx"), input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=opset)
    (folder / "new.onnx").rename(folder / "model.onnx")


def main():
    torch.set_num_threads(1)
    out, ids, picture = pathlib.Path(sys.argv[1]), torch.ones(2, 7, dtype=torch.int64), torch.rand(2, 3, 64, 64)
    words, pixels = {0: "batch", 1: "length"}, {0: "batch", 2: "height", 3: "width"}
    for name, cell in ("zoo-text-lstm", nn.LSTM), ("zoo-text-gru", nn.GRU), ("zoo-text-rnn", nn.RNN):
        write(out, name, TextClassifier(cell), (ids,), ["ids"], ["classes", "weights"], {"ids": words}, 14)
    write(out, "zoo-decoder", Decoder(), (ids, torch.rand(2, 2, 2, 4, 3, 8), torch.rand(2, 5, 32)), ["ids", "past", "memory"], ["logits", "present"],
          {"ids": words, "past": {2: "batch", 4: "before"}, "memory": {0: "batch", 1: "source"}}, 13)
    layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True, norm_first=True)
    write(out, "zoo-encoder", nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (torch.rand(2, 7, 32),), ["x"], ["y"], {"x": words}, 14)
    for name, model, opset in ("zoo-efficientnet", EfficientNet(), 11), ("zoo-convnext", ConvNeXt(), 16), ("zoo-unet", UNet(), 15):
        write(out, name, model, (picture,), ["x"], ["y", "classes"][: 1 + (name == "zoo-unet")], {"x": pixels}, opset)
    write(out, "zoo-detector", Detector(), (picture,), ["x"], ["boxes", "scores", "kinds", "found"], {"x": pixels}, 13)


if __name__ == "__main__":
    main()
