# SPDX-License-Identifier: Apache-2.0
"""What the bench scripts share. They print figures, side by side with a peer where there is one, and judge nothing."""
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "models"
os.environ.setdefault("PINTLE_CACHE", str(pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "pintle"))


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} CPUs"
    return f"unknown CPU, {os.cpu_count()} CPUs"


def helper(script, *arguments):
    """The last line of a script of tests/models; where it cannot do its work, its reason and exit 77."""
    done = subprocess.run([MODELS / script, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip().splitlines()[-1]


def program(folder, name):
    path = pathlib.Path(folder) / name
    if not path.exists():
        sys.exit(f"no {path}; build the release preset first, or name another folder with --bin")
    return path


def median_spread(values):
    """Median, and how far apart the middle half is (1.0: not at all). Figures above 1.3 say more of the machine than of the program."""
    values = sorted(values)
    middle = values[len(values) // 4 : len(values) - len(values) // 4]
    return statistics.median(values), middle[-1] / middle[0] if middle[0] else float("inf")
