# SPDX-License-Identifier: Apache-2.0
"""accuracy [--bin DIR] [--data mnist|digits] [--seeds N] [--epochs N]: the same recipe - network, initial weights, SGD with momentum, a cosine of the learning rate after a
warm-up, decoupled weight decay, label smoothing - in Pintle and in PyTorch, on real images; judged on others (samples.py). The order of samples is each
program's own, so single runs differ; printed are means over seeds, their spread, and how far apart the means are beside the error that they have."""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
from common import ROOT, cpu_model, program

import torch
import models
import samples

BATCH, RATE, MOMENTUM, WARMUP, DECAY, SMOOTHING = 64, 0.05, 0.9, 100, 0.005, 0.1


def in_torch(net, x, y, held_x, held_y, epochs):
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
    per_epoch = (len(y) + BATCH - 1) // BATCH
    steps = per_epoch * epochs

    def factor(step):
        if step < WARMUP:
            return (step + 1) / WARMUP
        return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (steps - WARMUP)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    net.train()
    for _ in range(epochs):
        for at in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[at]), y[at], label_smoothing=SMOOTHING).backward()
            with torch.no_grad():
                for weights in net.parameters():
                    if weights.dim() > 1:
                        weights *= 1 - optimizer.param_groups[0]["lr"] * DECAY
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        return (net(held_x).argmax(1) == held_y).double().mean().item()


def in_pintle(binary, folder, seed, counts, epochs):
    done = subprocess.run([binary, folder / "net.onnx", folder / "x", folder / "y", str(counts[0]), f"hx={folder / 'hx'}", f"hy={folder / 'hy'}",
                           f"hcount={counts[1]}", f"batch={BATCH}", f"epochs={epochs}", f"seed={seed}", f"rate={RATE}", f"momentum={MOMENTUM}",
                           "schedule=cosine", f"warmup={WARMUP}", f"decay={DECAY}", f"smoothing={SMOOTHING}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    return json.loads(done.stdout)["held_out_accuracy"]


def compare(binary, name, args):
    data = getattr(samples, name)()
    epochs = args.epochs or {"mnist": 6, "digits": 20}[name]
    x, y, held_x, held_y = (torch.from_numpy(d) for d in data)
    print(f"{name}: {len(y)} images, {len(held_y)} held out, {epochs} epochs")
    print(f"{'seed':6}{'pintle':>9}{'PyTorch':>9}{'seconds':>16}")
    seen = [[], []]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for file, array in zip(("x", "y", "hx", "hy"), data):
            array.tofile(folder / file)
        for seed in range(1, args.seeds + 1):
            torch.manual_seed(seed)
            net = models.teacher(x.shape[-1])
            models.export(net, x[:2], folder / "net.onnx")
            start = time.perf_counter()
            seen[0].append(in_pintle(binary, folder, seed, (len(y), len(held_y)), epochs))
            middle = time.perf_counter()
            seen[1].append(in_torch(net, x, y, held_x, held_y, epochs))
            print(f"{seed:<6}{100 * seen[0][-1]:8.2f}%{100 * seen[1][-1]:8.2f}%{middle - start:8.1f}{time.perf_counter() - middle:8.1f}", flush=True)
    means = [statistics.mean(s) for s in seen]
    deviations = [statistics.stdev(s) if len(s) > 1 else 0 for s in seen]
    error = math.sqrt(sum(d * d for d in deviations) / len(seen[0]))
    print(f"mean  {100 * means[0]:8.2f}%{100 * means[1]:8.2f}%, deviation of a run {100 * deviations[0]:.2f} and {100 * deviations[1]:.2f} points, "
          f"difference {100 * (means[0] - means[1]):+.2f} +- {100 * error:.2f} points")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="6, digits: 20")
    parser.add_argument("--data", choices=["mnist", "digits"], action="append", help="both, one after the other")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{cpu_model()}; PyTorch {torch.__version__}; batch {BATCH}, 1 thread")
    for name in args.data or ["digits", "mnist"]:
        compare(program(args.bin, "bench_train"), name, args)


if __name__ == "__main__":
    main()
