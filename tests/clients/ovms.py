# SPDX-License-Identifier: Apache-2.0
"""ovms.py: unmodified ovmsclient (OpenVINO Model Server's), over gRPC and HTTP."""
import numpy as np
import ovmsclient
from common import DIGITS, GRPC, equal, main, raises


def image(rows):
    return np.random.default_rng(rows).random((rows, 1, 8, 8), dtype=np.float32)


def clients():
    return [ovmsclient.make_grpc_client(GRPC), ovmsclient.make_grpc_client(DIGITS), ovmsclient.make_http_client(DIGITS)]


def case_status_and_metadata():
    for c in clients():
        status = c.get_model_status("digits")
        equal((status[1]["state"], status[1]["error_code"]), ("AVAILABLE", 0))
    for c in clients()[:2]:
        m = c.get_model_metadata("digits")
        equal((m["model_version"], m["inputs"]["x"]["shape"], m["inputs"]["x"]["dtype"]), (1, [-1, 1, 8, 8], "DT_FLOAT"))
        equal(sorted(m["outputs"]), ["logits", "probabilities"])
    m = clients()[2].get_model_metadata("digits")["metadata"]["signature_def"]["signature_def"]["serving_default"]  # as it came
    equal(([d["size"] for d in m["inputs"]["x"]["tensor_shape"]["dim"]], m["inputs"]["x"]["dtype"]), (["-1", "1", "8", "8"], "DT_FLOAT"))


def case_predict():
    x = image(2)
    want = None
    for c in clients():
        for version in (0, 1):
            r = c.predict({"x": x}, "digits", version)
            want = r if want is None else want
            for name in ("logits", "probabilities"):
                equal(r[name].shape, (2, 10))
                np.testing.assert_allclose(r[name], want[name], rtol=1e-6)


def case_refusals():
    for c in clients():
        raises(ovmsclient.ModelNotFoundError, "", c.predict, {"x": image(1)}, "none")
        raises(ovmsclient.ModelNotFoundError, "", c.get_model_metadata, "digits", 5)
        raises(ovmsclient.InvalidInputError, "", c.predict, {"y": image(1)}, "digits")
        raises(ovmsclient.InvalidInputError, "", c.predict, {"x": image(1).reshape(1, 64)}, "digits")


main(globals())
