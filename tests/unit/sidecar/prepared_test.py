#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prepared_test.py PINTLE SIDECAR MODEL: weights made ready are kept for the next start, of servers of both kinds and of `pintle pack`; whatever is wrong
with the file or its place, answers are the same."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from server_test import MODEL, PINTLE, ROWS, Server, assert_equal, body_of, main, sidecar, wait

BODY = body_of(ROWS[:3])
ANSWERS = []  # the first one


def serve(directory, *more, model=MODEL):
    return Server([PINTLE, "serve", model, "--port", 0, "--metrics-port", 0, "--name", "digits", *more], {"XDG_CACHE_HOME": directory})


def check(server):
    status, body, _ = server.infer(BODY)
    assert_equal(status, 200)
    ANSWERS[:] = ANSWERS or [body]
    assert_equal(body, ANSWERS[0])


def run(*argv):
    done = subprocess.run(list(map(str, argv)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stderr.strip()


def logged(server, text):
    wait(lambda: text in "".join(server.lines()))


def files(directory, cache="pintle"):
    return sorted(pathlib.Path(directory, cache, "prepared").glob("*"))


def one_file(directory, **more):
    wait(lambda: [p.suffix for p in files(directory, **more)] == [".weights"])
    return files(directory, **more)[0]


def start_and_check(directory, text=None, **more):
    with serve(directory, **more) as s:
        check(s.ready())
        if text:
            logged(s, text)
        s.end()
        return "".join(s.lines())


def case_second_start():
    with tempfile.TemporaryDirectory() as d:
        start_and_check(d, "prepared weights kept")
        before = one_file(d).stat()
        for folder in (False, True):  # a folder's file is the same one, although it is copied
            path = pathlib.Path(d) / "models/digits/1/model.onnx"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.exists() or path.symlink_to(MODEL)
            log = start_and_check(d, model=pathlib.Path(d) / "models" if folder else MODEL)
            assert "prepared weights" not in log, log
        after = one_file(d).stat()
        assert_equal((before.st_ino, before.st_size), (after.st_ino, after.st_size))
        assert after.st_mtime > before.st_mtime  # it was used


def case_pod():
    with tempfile.TemporaryDirectory() as d:
        for kept in (True, False):
            with sidecar(d, {}) as s:
                check(s.ready())
                if kept:
                    logged(s, "prepared weights kept")
                s.end()
                assert_equal("prepared weights" in "".join(s.lines()), kept)
        one_file(d, cache="cache")


def case_pack():
    with tempfile.TemporaryDirectory() as d:
        done = subprocess.run([PINTLE, "pack", MODEL], env={**os.environ, "XDG_CACHE_HOME": d}, stdout=subprocess.PIPE, text=True, timeout=60)
        assert_equal(done.returncode, 0)
        assert str(one_file(d)) in done.stdout, done.stdout
        log = start_and_check(d)
        assert "prepared weights" not in log, log
        assert_equal(run(PINTLE, "pack"), (64, "error: which model? (see `pintle pack --help`)"))
        assert_equal(run(PINTLE, "pack", f"{d}/none.onnx"), (66, f"error: open {d}/none.onnx: No such file or directory"))
        pathlib.Path(d, "file").write_text("")
        status, error = run(PINTLE, "pack", MODEL, "--cache", f"{d}/file/x")
        assert status not in (0, 64) and "is not a directory" in error, (status, error)


def case_damaged_or_anothers():
    with tempfile.TemporaryDirectory() as d:
        start_and_check(d, "prepared weights kept")
        path = one_file(d)
        whole = path.read_bytes()
        middle = len(whole) // 2 - 3000
        for bad in (b"", whole[:100], whole[:-1], whole[:20] + b"x" + whole[21:], whole[:5000] + bytes(64) + whole[5064:], whole[:middle] + b"\xff" * 3000 + whole[middle + 3000:]):
            path.write_bytes(bad)
            start_and_check(d, "prepared weights kept")
            assert one_file(d).read_bytes()[:5] == whole[:5]
        other = pathlib.Path(d) / "other.onnx"  # the same bytes in another file
        shutil.copy(MODEL, other)
        start_and_check(d, "prepared weights kept", model=other)
        assert_equal(len(files(d)), 2)


def case_no_place():
    with tempfile.TemporaryDirectory() as d:
        pathlib.Path(d, "file").write_text("")
        log = start_and_check(d + "/file", "prepared weights not kept")
        assert "Not a directory" in log, log
    with tempfile.TemporaryDirectory() as d:
        with serve(d, "--prepared-bytes", 1000) as s:
            check(s.ready())
            logged(s, "the cache takes 1000 (cache.preparedBytes)")
        assert_equal(files(d), [])
        with serve(d, "--prepared-bytes", 0) as s:
            check(s.ready())
            time.sleep(0.2)
            s.end()
            assert "prepared" not in "".join(s.lines())
        assert_equal(files(d), [])
    if pathlib.Path("/dev/shm").is_dir():
        with tempfile.TemporaryDirectory(dir="/dev/shm") as d:
            assert "(tmpfs)" in start_and_check(d, "prepared weights not kept")
            assert_equal(files(d), [])


def case_room():
    with tempfile.TemporaryDirectory() as d:
        start_and_check(d, "prepared weights kept")
        size = one_file(d).stat().st_size
        old = one_file(d)
        old.rename(old.with_name("0" * 40 + ".weights"))
        for name in ("1" * 40 + ".weights.abcdef", "unrelated"):  # what a killed process left behind; not ours
            pathlib.Path(old.parent, name).write_bytes(bytes(size))
        os.utime(old.with_name("0" * 40 + ".weights"), (time.time() - 100,) * 2)
        with serve(d, "--prepared-bytes", size * 2) as s:
            check(s.ready())
            logged(s, "prepared weights kept")
        assert_equal([p.name for p in files(d)], sorted([old.name, "1" * 40 + ".weights.abcdef", "unrelated"]))


def case_idle():
    def pss(server):
        rollup = pathlib.Path(f"/proc/{server.process.pid}/smaps").read_text()
        mapped, inside = 0, False
        for line in rollup.splitlines():
            if "-" in line.split(" ")[0]:
                inside = line.endswith(".weights")
            elif inside and line.startswith("Rss:"):
                mapped += int(line.split()[1])
        return mapped
    with tempfile.TemporaryDirectory() as d:
        with serve(d, "--idle-ms", 100) as s:
            check(s.ready())
            logged(s, "prepared weights kept")
            for _ in range(3):
                wait(lambda: pss(s) == 0)
                check(s)
                assert pss(s) > 0


if __name__ == "__main__":
    sys.exit(main(globals()))
