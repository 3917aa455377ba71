# SPDX-License-Identifier: Apache-2.0
"""export.py OUT: ResNet-18, MobileNetV2 and MiniLM as PyTorch modules, written by PyTorch's own exporter: its shape arithmetic,
constants and folded BatchNormalization are what users' models are made of."""
import pathlib
import sys

import numpy as np
import torch
from torch import nn

HEADS, WIDTH, LAYERS = 12, 384, 6


def conv_bn(inputs, outputs, kernel, stride=1, groups=1, act=None):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([act] if act else []))


class Residual(nn.Module):
    def __init__(self, body, shortcut=None, act=None):
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut or nn.Identity(), act or nn.Identity()

    def forward(self, x):
        return self.act(self.body(x) + self.shortcut(x))


def resnet18():
    layers, channels = [conv_bn(3, 64, 7, 2, act=nn.ReLU()), nn.MaxPool2d(3, 2, 1)], 64
    for width in 64, 128, 256, 512:
        for block in range(2):
            stride = 2 if width > 64 and not block else 1
            body = nn.Sequential(conv_bn(channels, width, 3, stride, act=nn.ReLU()), conv_bn(width, width, 3))
            layers.append(Residual(body, conv_bn(channels, width, 1, stride) if channels != width else None, nn.ReLU()))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def mobilenet_v2():
    layers, channels = [conv_bn(3, 32, 3, 2, act=nn.ReLU6())], 32
    for expand, out, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(count):
            hidden = channels * expand
            parts = [conv_bn(channels, hidden, 1, act=nn.ReLU6())] if expand > 1 else []
            parts += [conv_bn(hidden, hidden, 3, 1 if block else stride, hidden, nn.ReLU6()), conv_bn(hidden, out, 1)]
            layers.append(Residual(nn.Sequential(*parts)) if block else nn.Sequential(*parts))
            channels = out
    layers += [conv_bn(320, 1280, 1, act=nn.ReLU6()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(1280, 1000))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm = nn.LayerNorm(WIDTH, 1e-12)

    def split(self, x):
        return x.view(x.size()[:-1] + (HEADS, WIDTH // HEADS)).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        weights = torch.softmax(q @ k.transpose(-1, -2) / np.sqrt(WIDTH // HEADS) + mask, dim=-1)
        y = (weights @ v).permute(0, 2, 1, 3).contiguous()
        return self.norm(self.dense(y.view(y.size()[:-2] + (WIDTH,))) + x)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.up, self.down = Attention(), nn.Linear(WIDTH, 1536), nn.Linear(1536, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, 1e-12)

    def forward(self, x, mask):
        x = self.attention(x, mask)
        return self.norm(self.down(nn.functional.gelu(self.up(x))) + x)


class MiniLM(nn.Module):
    def __init__(self):
        super().__init__()
        self.word, self.position, self.kind = nn.Embedding(30522, WIDTH), nn.Embedding(512, WIDTH), nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, 1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.register_buffer("positions", torch.arange(512)[None])

    def forward(self, input_ids, attention_mask, token_type_ids):
        hidden = 1.0 - attention_mask[:, None, None, :].to(torch.float32)
        mask = hidden.masked_fill(hidden.bool(), torch.finfo(torch.float32).min)
        x = self.norm(self.word(input_ids) + self.kind(token_type_ids) + self.position(self.positions[:, : input_ids.size(1)]))
        for layer in self.layers:
            x = layer(x, mask)
        seen = attention_mask.unsqueeze(-1).expand(x.size()).float()
        return x, (x * seen).sum(1) / torch.clamp(seen.sum(1), min=1e-9)


def load_minilm(path):
    """The published weights, by the names they have there."""
    model, weights = MiniLM(), np.load(path)
    names = {"word": "embeddings.word_embeddings", "position": "embeddings.position_embeddings", "kind": "embeddings.token_type_embeddings",
             "norm": "embeddings.LayerNorm"}
    for i in range(LAYERS):
        here, there = f"layers.{i}.", f"encoder.layer.{i}."
        names.update({here + "attention." + n: there + "attention.self." + n for n in ("query", "key", "value")})
        names.update({here + "attention.dense": there + "attention.output.dense", here + "attention.norm": there + "attention.output.LayerNorm",
                      here + "up": there + "intermediate.dense", here + "down": there + "output.dense", here + "norm": there + "output.LayerNorm"})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            module, kind = name.rsplit(".", 1)
            parameter.copy_(torch.from_numpy(weights[f"{names[module]}.{kind}"]))
    return model


def calibrated(model):
    """Statistics of every BatchNorm2d from a sample batch, so that activations keep their scale."""
    torch.manual_seed(18)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    with torch.no_grad():
        model(nn.functional.interpolate(torch.randn(8, 3, 56, 56), scale_factor=4) + 0.5 * torch.randn(8, 3, 224, 224))
    return model


def export(model, out, inputs, names, outputs, axes, opset):
    out.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(model.eval(), inputs, str(out / "new.onnx"), input_names=names, output_names=outputs, dynamic_axes=axes,
                      opset_version=opset)
    (out / "new.onnx").rename(out / "model.onnx")


def main():
    torch.set_num_threads(1)
    torch.manual_seed(18)
    out = pathlib.Path(sys.argv[1])
    image = torch.randn(1, 3, 224, 224)
    export(calibrated(resnet18()), out / "resnet18-torch", (image,), ["x"], ["logits"], {"x": {0: "N"}, "logits": {0: "N"}}, 13)
    export(calibrated(mobilenet_v2()), out / "mobilenetv2-torch", (image,), ["x"], ["logits"],
           {"x": {0: "N", 2: "H", 3: "W"}, "logits": {0: "N"}}, 11)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    tokens = {0: "batch", 1: "sequence"}
    ones = torch.ones(2, 8, dtype=torch.int64)
    export(load_minilm(out / "minilm" / "weights.npz"), out / "minilm-torch", (ones, ones, ones), names, ["last_hidden_state", "sentence"],
           {**{n: tokens for n in names}, "last_hidden_state": tokens, "sentence": {0: "batch"}}, 17)


if __name__ == "__main__":
    main()
