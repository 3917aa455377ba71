# SPDX-License-Identifier: Apache-2.0
"""train [--bin DIR] [--rounds N] [--steps N] [--threads N] [--batch N]: a training step beside PyTorch: forward, backward, SGD with momentum, on
MNIST-like images. Both begin with the same weights; each round runs both, the order changing; printed are CPU milliseconds of a step, medians over the
rounds of the medians over steps, and their ratio (below 1: Pintle is faster). CPU time is what is compared, for the machine is shared; with more than
one thread that is the sum over threads."""
import argparse
import json
import os
import pathlib
import subprocess
import statistics
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
from common import ROOT, cpu_model, median_spread, program

if "--threads" not in sys.argv:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import torch
import models


def torch_steps(model, x, y, args):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    model.train()
    times = []
    for _ in range(args.steps):
        start = time.process_time()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def pintle_steps(binary, folder, name, count, args):
    done = subprocess.run([binary, folder / f"{name}.onnx", folder / "x", folder / "y", str(count), f"batch={args.batch}", f"threads={args.threads}",
                           f"steps={args.steps}", f"epochs={args.steps}", "rate=0.01", "momentum=0.9"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True, text=True)
    return json.loads(done.stdout)["median_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    binary = program(args.bin, "bench_train")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    x, y = torch.randn(args.batch, 1, 28, 28), torch.randint(0, 10, (args.batch,))
    nets = {"cnn": models.mnist_cnn(False), "cnn-batchnorm": models.mnist_cnn(True)}
    print(f"{cpu_model()}; PyTorch {torch.__version__}; batch {args.batch}, {args.threads} thread{'s' * (args.threads > 1)}; medians of {args.rounds} rounds")
    print(f"{'network':18}{'pintle ms':>10}{'PyTorch ms':>12}{'ratio':>7}{'spread':>14}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        x.numpy().tofile(folder / "x")
        y.numpy().tofile(folder / "y")
        for name, net in nets.items():
            models.export(net, x[:2], folder / f"{name}.onnx")
        for name, net in nets.items():
            seen = [[], []]
            for round_ in range(args.rounds):
                for side in (0, 1) if round_ % 2 == 0 else (1, 0):
                    seen[side].append(pintle_steps(binary, folder, name, args.batch, args) if side == 0 else torch_steps(net, x, y, args))
            (a, spread_a), (b, spread_b) = (median_spread(s) for s in seen)
            print(f"{name:18}{a:10.1f}{b:12.1f}{a / b:7.2f}{f'{spread_a:.2f} / {spread_b:.2f}':>14}", flush=True)


if __name__ == "__main__":
    main()
