# SPDX-License-Identifier: Apache-2.0
"""prune.py [--bin DIR] [--rounds N]: ResNet-18 with half of its channels: how long the removal takes, and multiply-accumulates, file and latency of what is
left beside the whole. Latency: Pintle on one thread, the best run of all rounds, which alternate."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from common import ROOT, cpu_model, program


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default=str(ROOT / "build" / "release" / "bin"))
    parser.add_argument("--rounds", type=int, default=5)
    o = parser.parse_args()
    pintle = program(o.bin, "pintle")
    model = pathlib.Path(os.environ["PINTLE_CACHE"]) / "models" / "resnet18" / "model.onnx"
    if not model.exists():
        print(f"no {model}; tests/models/make fetches it")
        return 77
    print(cpu_model())
    with tempfile.TemporaryDirectory() as made:
        small = pathlib.Path(made) / "small.onnx"
        before = os.times()
        done = subprocess.run([pintle, "prune", model, "-o", small, "--kind", "channels", "--amount", "0.5", "--json", "--progress", "none"],
                              stdout=subprocess.PIPE, text=True, check=True)
        after = os.times()
        total = json.loads(done.stdout)["stages"][0]["details"]["pruned"]["total"]
        cpu = after.children_user - before.children_user + after.children_system - before.children_system
        print(f"removal, with reading, judging by shape, and writing: {after.elapsed - before.elapsed:.2f} s, of CPU {cpu:.2f} s   (wanted: below 2 s)")
        print(f"multiply-accumulates {total['macs'][0]} -> {total['macs'][1]}: {total['macs'][1] / total['macs'][0]:.3f}x   (wanted: 0.30x)")
        sizes = model.stat().st_size, small.stat().st_size
        print(f"file {sizes[0]} -> {sizes[1]} bytes: {sizes[1] / sizes[0]:.3f}x   (wanted: 0.30x)")
        best = {}
        for _ in range(o.rounds):
            for path in model, small:
                out = subprocess.run([pintle, "bench", path, "--threads", "1", "--seconds", "1", "--json"], stdout=subprocess.PIPE, text=True, check=True).stdout
                best[path] = min(best.get(path, 1e9), json.loads(out)["min_ms"])
        print(f"latency, 1 thread: {best[model]:.2f} -> {best[small]:.2f} ms: {best[small] / best[model]:.3f}x   (wanted: 0.45x)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
