# SPDX-License-Identifier: Apache-2.0
"""KServe's side of the serving bench: kserve_onnx.py FOLDER [options of kserve.model_server]. Each folder in FOLDER is a model of KServe's Python SDK
that runs its model.onnx, or gives its input back where there is none."""
import pathlib
import sys

folder = pathlib.Path(sys.argv.pop(1))

import onnxruntime as ort  # noqa: E402
from kserve import InferOutput, InferResponse, Model, ModelServer, model_server  # noqa: E402


class OnnxModel(Model):
    def __init__(self, path):
        super().__init__(path.name)
        self.path = path / "model.onnx"
        self.session = None
        self.ready = False

    def load(self):
        if self.path.exists():
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = ort.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        self.ready = True
        return True

    def predict(self, payload, headers=None, response_headers=None):
        x = payload.inputs[0].as_numpy()
        name, y = "y", x
        if self.session:
            name = payload.request_outputs[0].name if payload.request_outputs else self.session.get_outputs()[0].name
            y = self.session.run([name], {payload.inputs[0].name: x})[0]
        out = InferOutput(name, list(y.shape), "FP32")
        out.set_data_from_numpy(y, binary_data=bool(payload.use_binary_outputs))
        return InferResponse(payload.id or "", self.name, [out], use_binary_outputs=payload.use_binary_outputs, requested_outputs=payload.request_outputs)


if __name__ == "__main__":
    models = [OnnxModel(p) for p in sorted(folder.iterdir())]
    for m in models:
        m.load()
    ModelServer(http_port=int(model_server.args.http_port), grpc_port=int(model_server.args.grpc_port), enable_grpc=True,
                access_log_format=None).start(models)
