# SPDX-License-Identifier: Apache-2.0
"""MLServer's side of the serving bench: an ONNX model as its documentation has one write a custom runtime; without a file, a model that gives its
input back."""
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self.session = None
        if self.settings.parameters.uri.endswith(".onnx"):
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = ort.InferenceSession(self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        if not self.session:
            i = payload.inputs[0]
            return InferenceResponse(model_name=self.name, outputs=[ResponseOutput(name="y", shape=i.shape, datatype=i.datatype, data=i.data)])
        feeds = {i.name: NumpyCodec.decode_input(i) for i in payload.inputs}
        names = [o.name for o in payload.outputs or self.session.get_outputs()]
        outputs = [NumpyCodec.encode_output(n, v) for n, v in zip(names, self.session.run(names, feeds))]
        return InferenceResponse(model_name=self.name, outputs=outputs)
