#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""security_test.py PINTLE SIDECAR MODEL: who may not is refused before its body is read, and what HTTP/1.1 servers are known to understand in two ways
is refused, so that no request hides in another."""
import hashlib
import pathlib
import socket
import sys
import tempfile
import time

from server_test import ROWS, assert_equal, body_of, main, serve, sidecar

HEAD = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: a\r\n"


def answers(port, data, seconds=5):
    """All that the server sends until it closes or is silent for half a second, to bytes sent at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        s.sendall(data)
        got = b""
        while True:
            try:
                part = s.recv(65536)
            except TimeoutError:
                return got
            if not part:
                return got
            got += part
            s.settimeout(0.5)


def statuses(got):
    return [int(part.split(b" ", 2)[0]) for part in got.split(b"HTTP/1.1 ")[1:]]


def with_token(directory):
    tokens = pathlib.Path(directory) / "tokens"
    tokens.write_text(f"sha256:{hashlib.sha256(b'secret').hexdigest()}\n")
    return {"port": 0, "metricsPort": 0, "auth": {"tokenFile": str(tokens)}}


def case_who_may_not_is_refused_before_the_body():
    good = body_of(ROWS[:1]).encode()
    with tempfile.TemporaryDirectory() as d, sidecar(d, {}, serving=with_token(d)).ready() as s:
        for more in (b"Content-Length: 60000000\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 60000000\r\nExpect: 100-continue\r\n",
                     b"Authorization: Bearer wrong\r\nContent-Length: 5\r\n", b"Authorization: Bearer wrong\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n"):
            begin = time.monotonic()
            got = answers(s.port, HEAD + more + b"\r\n")  # and not a byte of the body
            assert time.monotonic() - begin < 4, more
            assert_equal((more, statuses(got)), (more, [401]))
            assert b"WWW-Authenticate: Bearer" in got and b"Connection: close" in got, got
        # what a body holds is no request
        got = answers(s.port, HEAD + b"Content-Length: 70\r\n\r\nGET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert_equal(statuses(got), [401])
        # with a token, 100 Continue comes first
        with socket.create_connection(("127.0.0.1", s.port), timeout=5) as c:
            c.sendall(HEAD + b"Authorization: Bearer secret\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(good))
            assert_equal(c.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            c.sendall(good)
            assert c.recv(12) == b"HTTP/1.1 200"


def case_no_request_hides_in_another():
    inner = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    with serve().ready() as s:
        cases = {
            "two lengths that differ": (b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd" + inner, 400),
            "two lengths in one": (b"Content-Length: 4, 5\r\n\r\nabcd" + inner, 400),
            "length and chunks": (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner, 400),
            "chunks and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + inner, 400),
            "an unknown coding": (b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner, 501),
            "chunked and then another": (b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + inner, 400),
            "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner, 400),
            "a blank before the colon": (b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner, 400),
            "a control character": (b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + inner, 400),
            "a folded line": (b"X: a\r\n Content-Length: 4\r\n\r\n" + inner, 400),
            "a folded coding": (b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + inner, 400),
            "a bare line feed": (b"X: a\nContent-Length: 4\r\n\r\nabcd" + inner, 400),
            "a bare line feed at the end": (b"X: a\r\n\n" + inner, 400),
            "a bare carriage return": (b"X: a\rContent-Length: 4\r\n\r\nabcd" + inner, 400),
            "a NUL": (b"X: a\x00b\r\n\r\n" + inner, 400),
            "a negative length": (b"Content-Length: -1\r\n\r\n" + inner, 400),
            "a signed length": (b"Content-Length: +4\r\n\r\nabcd" + inner, 400),
            "a hexadecimal length": (b"Content-Length: 0x4\r\n\r\nabcd" + inner, 400),
            "an empty length": (b"Content-Length: \r\n\r\n" + inner, 400),
            "a length over 64 bits": (b"Content-Length: 18446744073709551620\r\n\r\nabcd" + inner, 400),
            "a chunk's size over 64 bits": (b"Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nabcd\r\n0\r\n\r\n" + inner, 400),
            "a chunk's size with a sign": (b"Transfer-Encoding: chunked\r\n\r\n+4\r\nabcd\r\n0\r\n\r\n" + inner, 400),
            "a chunk that is longer than it says": (b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n" + inner, 400),
            "a bare line feed after a chunk's size": (b"Transfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n" + inner, 400),
            "a bare line feed after a chunk": (b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\n0\r\n\r\n" + inner, 400),
            "HTTP/1.0 with chunks": (None, 400),
        }
        for name, (rest, want) in cases.items():
            head = HEAD if rest is not None else b"POST /v2/models/digits/infer HTTP/1.0\r\nHost: a\r\n"
            got = answers(s.port, head + (rest if rest is not None else b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner))
            assert_equal((name, statuses(got)), (name, [want]))
            assert b'{"error":' in got and b"Connection: close" in got, (name, got)
        for line in (b"GET /v2\tHTTP/1.1", b"GET /v2 HTTP/1.1 x", b"GET /v2 HTTP/1.10", b"GET /v2 http/1.1", b"G@T /v2 HTTP/1.1", b" GET /v2 HTTP/1.1",
                     b"GET /v2 HTTP/2.0", b"GET /a b HTTP/1.1"):
            got = answers(s.port, line + b"\r\nHost: a\r\n\r\n" + inner)
            assert len(statuses(got)) == 1 and statuses(got)[0] in (400, 505), (line, got)
        # two of them that are what they seem get two answers
        good = body_of(ROWS[:1]).encode()
        assert_equal(statuses(answers(s.port, HEAD + b"Content-Length: %d\r\n\r\n" % len(good) + good + inner)), [200, 200])
        chunked = b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n" % len(good) + good + b"\r\n0\r\nTrailer: x\r\n\r\n"
        assert_equal(statuses(answers(s.port, HEAD + chunked + inner)), [200, 200])
        assert_equal(statuses(answers(s.port, HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + inner)) in ([400], [400, 200]), True)


if __name__ == "__main__":
    sys.exit(main(globals()))
