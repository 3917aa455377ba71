# SPDX-License-Identifier: Apache-2.0
"""kserve_client.py: KServe's SDK clients, InferenceRESTClient (v1 and v2) and InferenceGRPCClient."""
import asyncio

import numpy as np
from common import DIGITS, GRPC, equal, main
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

URL = f"http://{DIGITS}"


def image(rows):
    return np.random.default_rng(rows).random((rows, 1, 8, 8), dtype=np.float32)


def request(x, binary, **more):
    t = InferInput("x", list(x.shape), "FP32")
    t.set_data_from_numpy(x, binary_data=binary)
    return InferRequest(model_name="digits", request_id="k1", infer_inputs=[t], **more)


def outputs(response):
    return {o.name: np.array(o.as_numpy()).reshape(o.shape) for o in response.outputs}


async def rest():
    c = InferenceRESTClient(RESTConfig(protocol="v2"))
    x = image(2)
    assert await c.is_server_ready(URL) and await c.is_server_live(URL) and await c.is_model_ready(URL, "digits")
    want = None
    for binary in (False, True):
        r = await c.infer(URL, request(x, binary), model_name="digits", timeout=20)
        equal(r.id, "k1")
        got = outputs(r)
        want = want or got
        for n in ("logits", "probabilities"):
            np.testing.assert_allclose(got[n], want[n], rtol=1e-6)
    r = await c.infer(URL, request(x, True, parameters={"binary_data_output": True}), model_name="digits", timeout=20)
    np.testing.assert_allclose(outputs(r)["logits"], want["logits"], rtol=1e-6)
    old = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await old.is_model_ready(URL, "digits")
    r = await old.infer(URL, {"instances": x.tolist()}, model_name="digits", timeout=20)
    np.testing.assert_allclose([p["logits"] for p in r["predictions"]], want["logits"], rtol=1e-5)


def case_rest():
    asyncio.run(rest())


async def grpc():
    x = image(2)
    for address in (GRPC, DIGITS):
        c = InferenceGRPCClient(address)
        assert await c.is_server_live() and await c.is_server_ready() and await c.is_model_ready("digits")
        for binary in (False, True):
            r = await c.infer(request(x, binary))
            equal((r.model_name, r.id, sorted(outputs(r))), ("digits", "k1", ["logits", "probabilities"]))


def case_grpc():
    asyncio.run(grpc())


main(globals())
