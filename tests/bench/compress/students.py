# SPDX-License-Identifier: Apache-2.0
"""students [--bin DIR] [--data mnist|digits] [--seeds N] [--epochs A,B,C] [--amount X] [--hold PERCENT]: from digits to a small model, by Pintle and by the same
recipe in PyTorch (recipe.py): a teacher; a smaller student that learns from labels and teacher; 80 % of its weights pruned along a polynomial while it goes on learning so;
8-bit integers, ranges from the samples that it learned from. First both train on 202 digits for two epochs each, and the weights that come out are compared
one by one: there rounding has not grown yet, so they show whether the recipe is the same. Then at length. Same initial weights, same order of samples; each has the teacher that it trained itself.
Printed are accuracies on held-out images, their means over seeds, and how far the two are apart, with standard errors, from the differences seed by
seed; then how far the small model is below its teacher."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
from common import ROOT, cpu_model, helper, program

import numpy as np
import torch
import accuracy
import models
import recipe
import samples

RATE, TEMPERATURE, HARDNESS, WARMUP = 0.03, 2, 0.7, 30
STAGES = ["teacher", "student", "pruned", "int8"]


READ = """import sys, numpy, onnx
theirs = numpy.load(sys.argv[2])
for tensor in onnx.load(sys.argv[1]).graph.initializer:
    ours = onnx.numpy_helper.to_array(tensor)
    if tensor.name in theirs.files and not tensor.name.endswith("running_var"):
        print(abs(ours - theirs[tensor.name]).max() / abs(ours).max(), int(((ours == 0) != (theirs[tensor.name] == 0)).sum()))"""


def in_pintle(pintle, folder, seed, epochs, amount, quantise=True):
    """Accuracies behind each stage."""
    common = {"learningRate": RATE, "teacher": str(folder / "teacher.onnx"), "temperature": TEMPERATURE, "hardness": HARDNESS}
    stages = [{"distill": {"epochs": epochs[1], **common}},
              {"prune": {"amount": amount, "sparsitySchedule": "polynomial", "sparsityFrequency": 10, "train": {"epochs": epochs[2], **common}}},
              *([{"quantize": {"method": "minmax"}}] if quantise else [])]
    text = {"model": str(folder / "student-new.onnx"), "output": str(folder / "student.onnx"), "seed": seed, "threads": 1, "latencySeconds": 0,
            "data": {"train": str(folder / "train.npz"), "heldOut": str(folder / "held.npz")}, "stages": stages,
            "report": {"json": str(folder / "report.json")}}
    (folder / "recipe.yaml").write_text(json.dumps(text))
    teacher = {"warmup-steps": WARMUP, "weight-decay": accuracy.RECIPE["decay"], "learning-rate": accuracy.RECIPE["rate"]}
    subprocess.run([pintle, "train", folder / "teacher-new.onnx", "-o", folder / "teacher.onnx", "--data", folder / "train.npz", "--held-out",
                    folder / "held.npz", "--epochs", str(epochs[0]), "--seed", str(seed), "--threads", "1", "--latency-seconds", "0", "--progress", "none",
                    "--report", folder / "teacher.json", *(word for name, value in teacher.items() for word in (f"--{name}", str(value)))],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([pintle, "compress", folder / "recipe.yaml", "--progress", "none"], check=True, stdout=subprocess.DEVNULL)
    return [stage["quality"]["accuracy"] for file in ("teacher", "report") for stage in json.loads((folder / f"{file}.json").read_text())["stages"]]


def in_torch(teacher, student, data, held, seed, epochs, amount):
    common = {"rate": RATE, "teacher": teacher, "temperature": TEMPERATURE, "hardness": HARDNESS}
    recipe.learn(teacher, data, seed, epochs[0], warmup=WARMUP, decay=accuracy.RECIPE["decay"], rate=accuracy.RECIPE["rate"])
    seen = [recipe.accuracy(teacher, *held)]
    seen.append(recipe.accuracy(recipe.learn(student, data, seed, epochs[1], **common), *held))
    seen.append(recipe.accuracy(recipe.learn(student, data, seed, epochs[2], prune=amount, **common), *held))
    return [*seen, recipe.accuracy(recipe.Quantised(student, data[0]), *held)]


def made(size, sample, folder, seed):
    """Teacher and student with new weights, also as files."""
    torch.manual_seed(seed)
    nets = models.teacher(size), models.student(size)
    for which, net in zip(("teacher", "student"), nets):
        models.export(net, sample, folder / f"{which}-new.onnx")
    return nets


def save(folder, arrays):
    np.savez(folder / "train.npz", x=arrays[0], y=arrays[1])
    np.savez(folder / "held.npz", x=arrays[2], y=arrays[3])


def compare_weights(pintle, folder, amount):
    x, y, held_x, held_y = samples.digits()
    some = np.random.default_rng(0).permutation(len(y))[:202]
    save(folder, (x[some], y[some], held_x, held_y))
    teacher, student = made(8, torch.from_numpy(x[:2]), folder, 1)
    in_pintle(pintle, folder, 3, (2, 2, 2), amount, quantise=False)
    in_torch(teacher, student, (torch.from_numpy(x[some]), torch.from_numpy(y[some])), (torch.from_numpy(held_x), torch.from_numpy(held_y)), 3, (2, 2, 2), amount)
    np.savez(folder / "theirs.npz", **{name: value.numpy() for name, value in student.state_dict().items()})
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}  # not those that PyTorch was found by
    read = subprocess.run([helper("venv", "learn"), "-c", READ, folder / "student.onnx", folder / "theirs.npz"], env=own, stdout=subprocess.PIPE, text=True, check=True)
    rows = [line.split() for line in read.stdout.splitlines()]
    print(f"the pruned student's {len(rows)} arrays behind 16 steps: largest difference beside the largest of an array {max(float(r[0]) for r in rows):.1e}, "
          f"{sum(int(r[1]) for r in rows)} zeros in other places")


def line(name, shares):
    return f"{name:16}" + "".join(f"{100 * share:9.2f}%" for share in shares)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--data", choices=["mnist", "digits"], default="mnist")
    parser.add_argument("--hold", type=int, default=80, help="percent of the images that are held out: what is learned from costs time, what is held out precision")
    parser.add_argument("--epochs", default="6,8,8", help="of the teacher, of the student, while it is pruned")
    parser.add_argument("--amount", type=float, default=0.8)
    args = parser.parse_args()
    epochs = [int(n) for n in args.epochs.split(",")]
    torch.set_num_threads(1)
    arrays = getattr(samples, args.data)(args.hold)
    x, y, held_x, held_y = (torch.from_numpy(a) for a in arrays)
    print(f"{cpu_model()}; PyTorch {torch.__version__}; 1 thread; {len(y)} images, {len(held_y)} held out; epochs {args.epochs}, {100 * args.amount:g} % pruned")
    seen = [[], []]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        compare_weights(program(args.bin, "pintle"), folder, args.amount)
        save(folder, arrays)
        print(" " * 16 + "".join(f"{stage:>10}" for stage in STAGES))
        for seed in range(args.first, args.first + args.seeds):
            nets = made(x.shape[-1], x[:2], folder, seed)
            start = time.perf_counter()
            seen[0].append(in_pintle(program(args.bin, "pintle"), folder, seed, epochs, args.amount))
            middle = time.perf_counter()
            seen[1].append(in_torch(*nets, (x, y), (held_x, held_y), seed, epochs, args.amount))
            print(f"{line(f'seed {seed}: pintle', seen[0][-1])}{middle - start:9.0f} s", f"{line('      PyTorch', seen[1][-1])}{time.perf_counter() - middle:9.0f} s",
                  sep="\n", flush=True)
    ours, theirs = (list(zip(*side)) for side in seen)
    print(line("mean: pintle", map(statistics.mean, ours)), line("      PyTorch", map(statistics.mean, theirs)), sep="\n")
    for stage, a, b in zip(STAGES, ours, theirs):
        print(f"{stage}: pintle - PyTorch {accuracy.difference(a, b)} points (wanted: within 0.1); deviation of a run {accuracy.spread(a):.2f}, {accuracy.spread(b):.2f}")
    for who, side in ("pintle", ours), ("PyTorch", theirs):
        print(f"{who}: int8 - teacher {accuracy.difference(side[3], side[0])} points (wanted: at most 0.3 below)")


if __name__ == "__main__":
    main()
