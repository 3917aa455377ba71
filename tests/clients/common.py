# SPDX-License-Identifier: Apache-2.0
"""What the client tests share: the ports of the servers under test, checks, and running every case_* of a script.

The servers: `digits` (the example's model), `types` (each type's input given back as its output), and a repository with digits in versions 1 and 2, which
is loaded, and `other` and `both`, which are not; a second one like it (`reload`, in the folder PINTLE_RELOAD_PATH) for lists of models; on one port each
for every protocol."""
import os
import sys
import time
import traceback

DIGITS, TYPES, REPOSITORY, RELOAD = (f"127.0.0.1:{os.environ[k]}" for k in ("PINTLE_DIGITS", "PINTLE_TYPES", "PINTLE_REPOSITORY", "PINTLE_RELOAD"))
SECURE, CA = f"127.0.0.1:{os.environ['PINTLE_SECURE']}", os.environ["PINTLE_CA"]  # digits with TLS, for bearers of the token "secret"
GRPC = f"127.0.0.1:{os.environ['PINTLE_GRPC']}"  # of digits, its second port


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def raises(kind, text, call, *args, **kwargs):
    """The call fails with this kind of error, whose words have the text."""
    try:
        got = call(*args, **kwargs)
    except kind as e:
        assert text in str(e), f"the error is {e!s}, want {text!r} in it"
        return e
    raise AssertionError(f"no error but {got!r}, want {text!r}")


def main(cases):
    failed = 0
    chosen = {n[5:]: f for n, f in cases.items() if n.startswith("case_")}
    for name, case in chosen.items():
        start = time.monotonic()
        try:
            case()
            print(f"ok      {name} ({time.monotonic() - start:.2f} s)")
        except Exception:
            failed += 1
            print(f"FAILED  {name}")
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # clients leave threads behind that do not end
