#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cache_test.py PINTLE SIDECAR MODEL: the folder of downloaded models, used by several processes at once, as pods on a shared volume do."""
import os
import pathlib
import sys
import tempfile
import threading
import time

from server_test import DIGEST, MODEL, ROWS, Files, assert_equal, body_of, file_server, main, published, sidecar, wait

OTHER = MODEL.read_bytes() + b"\x12\x01x"  # the same with a producer's name


class TwoFiles(Files):
    """/m.onnx has an ETag that clients may ask by; /n.onnx is another model."""

    def do_GET(self):
        if self.headers.get("If-None-Match") == '"v1"' and self.path == "/m.onnx":
            Files.requests.append((self.path, "unchanged"))
            self.send_response(304)
            self.end_headers()
        elif self.path == "/n.onnx":
            Files.requests.append((self.path, None))
            self.send_response(200)
            self.send_header("Content-Length", str(len(OTHER)))
            self.end_headers()
            self.wfile.write(OTHER)
        else:
            super().do_GET()


def start_files():
    server, url = file_server()
    server.RequestHandlerClass = TwoFiles
    return server, url


def half_there(directory):
    def there():
        return any(p.stat().st_size > 0 for p in pathlib.Path(directory, "cache").glob("*.part"))
    wait(there)


def logged(server, text):
    wait(lambda: text in "".join(server.lines()))


def case_two_processes_download_once():
    server, url = start_files()
    Files.release = threading.Event()
    with tempfile.TemporaryDirectory() as d, sidecar(d, {"uri": url}) as first:
        half_there(d)
        with sidecar(d, {"uri": url}) as second:
            logged(second, "another process downloads the model")
            second.listening()
            wait(lambda: second.metric('pintle_model_download_bytes{model="digits",version="1"}') > 0)  # it says how far the other is
            Files.release.set()
            for s in (first, second):
                s.ready()
                assert_equal(s.infer(body_of(ROWS[:1]))[0], 200)
            assert_equal(Files.requests, [("/m.onnx", None)])
            with sidecar(d, {"uri": url}) as third:  # later: is it still the same?
                third.ready()
                assert_equal(third.infer(body_of(ROWS[:1]))[0], 200)
            assert_equal(Files.requests, [("/m.onnx", None), ("/m.onnx", "unchanged")])
        assert_equal(published(d), ["sha256-" + DIGEST[7:]])
        assert_equal(list(pathlib.Path(d, "cache").glob("*.part")), [])
    server.shutdown()


def case_a_killed_holder_does_not_block():
    for digest in ({"digest": DIGEST}, {}):
        server, url = start_files()
        Files.release = threading.Event()
        with tempfile.TemporaryDirectory() as d, sidecar(d, {"uri": url, **digest}) as first:
            half_there(d)
            with sidecar(d, {"uri": url, **digest}) as second:
                logged(second, "another process downloads the model")
                first.process.kill()
                begin = time.monotonic()
                wait(lambda: len(Files.requests) == 2)
                assert time.monotonic() - begin < 5, "it waited for the dead"
                assert bool(Files.requests[1][1]) == bool(digest), "only with a digest the rest is enough"
                Files.release.set()
                second.ready()
                assert_equal(second.infer(body_of(ROWS[:1]))[0], 200)
            assert_equal(published(d), ["sha256-" + DIGEST[7:]])
        server.shutdown()


def case_waiting_ends():
    server, url = start_files()
    Files.release = threading.Event()
    with tempfile.TemporaryDirectory() as d, sidecar(d, {"uri": url}):
        half_there(d)
        with sidecar(d, {"uri": url}, cache={"waitMs": 300}) as second:
            logged(second, "another process has been downloading it for more than 300 ms (cache.waitMs)")
        Files.release.set()
    server.shutdown()


def case_unused_models_go():
    server, url = start_files()
    other = url.replace("/m.", "/n.")
    size = MODEL.stat().st_size
    limit = {"cache": {"maxBytes": size * 3 // 2}}
    with tempfile.TemporaryDirectory() as d:
        with sidecar(d, {"uri": url, "digest": DIGEST}, **limit) as first:
            first.ready()
            with sidecar(d, {"uri": other}, **limit) as second:
                logged(second, f"models in use have {size}, the cache takes {size * 3 // 2} (cache.maxBytes)")
            assert_equal(published(d), ["sha256-" + DIGEST[7:]])
            assert_equal(first.infer(body_of(ROWS[:1]))[0], 200)
        with sidecar(d, {"uri": other}, **limit) as second:  # nobody uses the first one any more
            second.ready()
            assert len(published(d)) == 1 and published(d) != ["sha256-" + DIGEST[7:]], published(d)
        with sidecar(d, {"uri": url}, cache={"maxBytes": size - 1}) as third:
            logged(third, f"the model has {size} bytes, the cache takes {size - 1} (cache.maxBytes)")
    server.shutdown()


def case_the_one_used_longest_ago_goes_first():
    server, url = start_files()
    size = MODEL.stat().st_size
    with tempfile.TemporaryDirectory() as d:
        cache = pathlib.Path(d) / "cache"
        cache.mkdir()
        for i, age in enumerate((100, 300, 200)):
            (cache / f"sha256-{i:064x}").write_bytes(b"x" * size)
            os.utime(cache / f"sha256-{i:064x}", (time.time() - age,) * 2)
        (cache / "unrelated").write_bytes(b"x" * size)
        with sidecar(d, {"uri": url}, cache={"maxBytes": 2 * size + 10}) as s:
            s.ready()
            assert_equal(sorted(published(d)), sorted([f"sha256-{0:064x}", "sha256-" + DIGEST[7:]]))
            assert (cache / "unrelated").exists()
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main(globals()))
