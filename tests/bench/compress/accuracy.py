# SPDX-License-Identifier: Apache-2.0
"""accuracy [--bin DIR] [--data mnist|digits] [--seeds N] [--epochs N]: the same recipe - network, initial weights, SGD with momentum, a cosine of the learning rate after a
warm-up, decoupled weight decay, label smoothing - in Pintle and in PyTorch, on real images; judged on others (samples.py). Both see the samples in
the same order. They round differently, and training amplifies that until runs are as far apart as those of two seeds, so what is compared are means:
printed are those over seeds, and their difference with its standard error, from the differences seed by seed."""
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
import recipe
import samples

RECIPE = {"rate": 0.05, "momentum": 0.9, "warmup": 100, "decay": 0.005, "smoothing": 0.1}


def spread(shares):
    return 100 * statistics.stdev(shares) if len(shares) > 1 else 0


def difference(ours, theirs):
    apart = [a - b for a, b in zip(ours, theirs)]
    return f"{100 * statistics.mean(apart):+.2f} +- {spread(apart) / math.sqrt(len(apart)):.2f}"


def in_pintle(binary, folder, seed, counts, epochs):
    done = subprocess.run([binary, folder / "net.onnx", folder / "x", folder / "y", str(counts[0]), f"hx={folder / 'hx'}", f"hy={folder / 'hy'}",
                           f"hcount={counts[1]}", f"epochs={epochs}", f"seed={seed}", "schedule=cosine",
                           *(f"{name}={value}" for name, value in RECIPE.items())], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
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
            seen[1].append(recipe.accuracy(recipe.learn(net, (x, y), seed, epochs, **RECIPE), held_x, held_y))
            print(f"{seed:<6}{100 * seen[0][-1]:8.2f}%{100 * seen[1][-1]:8.2f}%{middle - start:8.1f}{time.perf_counter() - middle:8.1f}", flush=True)
    print(f"mean  {100 * statistics.mean(seen[0]):8.2f}%{100 * statistics.mean(seen[1]):8.2f}%, deviation of a run {spread(seen[0]):.2f} and "
          f"{spread(seen[1]):.2f} points, difference {difference(*seen)} points")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="6, digits: 20")
    parser.add_argument("--data", choices=["mnist", "digits"], action="append", help="both, one after the other")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{cpu_model()}; PyTorch {torch.__version__}; batch 64, 1 thread")
    for name in args.data or ["digits", "mnist"]:
        compare(program(args.bin, "bench_train"), name, args)


if __name__ == "__main__":
    main()
