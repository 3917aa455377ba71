# SPDX-License-Identifier: Apache-2.0
"""What Pintle's training, pruning and quantisation do, written with PyTorch for the benches: the same optimiser, schedules, losses and masks, and the
same order of samples, so that two runs from the same weights differ by rounding alone - which a training amplifies. Needs torch."""
import copy
import math

import torch

WORD = (1 << 64) - 1
MULTIPLIER, INCREMENT = 6364136223846793005, 1442695040888963407


def order_of(count, seed, epoch):
    """The order of samples in an epoch: Fisher and Yates by PCG32 and Lemire's bounded integers, as base/rand.h has them."""
    state = (((seed * 0x9E3779B97F4A7C15 + epoch & WORD) + INCREMENT & WORD) * MULTIPLIER + INCREMENT) & WORD
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        below = i + 1
        while True:
            old, state = state, (state * MULTIPLIER + INCREMENT) & WORD
            shifted, turn = ((old >> 18 ^ old) >> 27) & 0xFFFFFFFF, old >> 59
            product = ((shifted >> turn | shifted << (-turn & 31)) & 0xFFFFFFFF) * below
            if product & 0xFFFFFFFF >= (1 << 32) % below:
                break
        k = product >> 32
        order[i], order[k] = order[k], order[i]
    return torch.tensor(order)


class Pruner:
    """Zeros by magnitude, layer by layer, along Zhu and Gupta's polynomial from step 0 to two thirds of the training."""

    def __init__(self, net, amount, steps, every=10):
        self.weights = [m.weight for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
        self.keep = [torch.ones_like(w, dtype=torch.bool) for w in self.weights]
        self.amount, self.end, self.every = amount, steps * 2 // 3, every

    def after_step(self, optimizer, done):
        with torch.no_grad():
            for keep, w in zip(self.keep, self.weights):
                w *= keep
                optimizer.state[w]["momentum_buffer"] *= keep
            if done > self.end or (done % self.every and done != self.end):
                return
            share = self.amount * (1 - (1 - done / self.end) ** 3)
            for i, w in enumerate(self.weights):
                self.keep[i] = torch.ones(w.numel(), dtype=torch.bool)
                self.keep[i][w.abs().flatten().sort(stable=True)[1][: math.floor(share * w.numel() + 0.5)]] = False
                self.keep[i] = self.keep[i].reshape(w.shape)
                w *= self.keep[i]


def learn(net, data, seed, epochs, batch=64, rate=0.05, momentum=0.9, warmup=0, decay=0, smoothing=0, teacher=None, temperature=1, hardness=0, prune=0):
    """SGD with momentum under a cosine that ends at zero, weight decay beside the gradient and for matrices and kernels only."""
    x, y = data
    steps = (len(y) + batch - 1) // batch * epochs
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: (step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))
    pruner = Pruner(net, prune, steps) if prune else None
    if teacher:
        with torch.no_grad():
            answers = (torch.cat([teacher(part) for part in x.split(256)]) / temperature).softmax(1)
    net.train()
    done = 0
    for epoch in range(epochs):
        for at in order_of(len(y), seed, epoch).split(batch):
            optimizer.zero_grad()
            scores = net(x[at])
            loss = (1 - hardness) * torch.nn.functional.cross_entropy(scores, y[at], label_smoothing=smoothing)
            if teacher:
                apart = torch.nn.functional.kl_div((scores / temperature).log_softmax(1), answers[at], reduction="batchmean")
                loss = loss + hardness * temperature**2 * apart
            loss.backward()
            with torch.no_grad():
                for weights in net.parameters():
                    if decay and weights.dim() > 1:
                        weights *= 1 - optimizer.param_groups[0]["lr"] * decay
            optimizer.step()
            schedule.step()
            done += 1
            if pruner:
                pruner.after_step(optimizer, done)
    return net.eval()


def accuracy(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) == y).double().mean().item()


class Quantised(torch.nn.Module):
    """A chain of layers as 8-bit integers compute it, by PyTorch's observers: weights symmetric, a scale for each output channel; what goes in, and what
    comes out of each Relu, unsigned between the least and the greatest that some samples have. The last product's sums stay floats."""

    def __init__(self, net, samples):
        super().__init__()
        from torch.ao.quantization import MinMaxObserver, PerChannelMinMaxObserver
        self.layers, self.grids = [], []
        for layer in net:
            if isinstance(layer, torch.nn.BatchNorm2d):
                self.layers[-1] = torch.nn.utils.fusion.fuse_conv_bn_eval(self.layers[-1], layer)
            else:
                self.layers.append(copy.deepcopy(layer).eval())
        with torch.no_grad():
            value = samples
            for layer in [None, *self.layers]:
                value = layer(value) if layer else value
                observer = MinMaxObserver(dtype=torch.quint8) if layer is None or isinstance(layer, torch.nn.ReLU) else None
                if observer:
                    observer(value)
                self.grids.append(observer and observer.calculate_qparams())
            for layer in self.layers:
                if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                    observer = PerChannelMinMaxObserver(ch_axis=0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-127, quant_max=127)
                    observer(layer.weight)
                    scale, zero = observer.calculate_qparams()
                    layer.weight.copy_(torch.fake_quantize_per_channel_affine(layer.weight, scale, zero.int(), 0, -127, 127))

    def forward(self, value):
        for layer, grid in zip([None, *self.layers], self.grids):
            value = layer(value) if layer else value
            if grid:
                value = torch.fake_quantize_per_tensor_affine(value, grid[0], grid[1].int(), 0, 255)
        return value
