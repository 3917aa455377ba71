# SPDX-License-Identifier: Apache-2.0
"""The peer's side of the serving bench: an ONNX model behind MLServer, as its documentation has one write a custom runtime."""
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feeds = {i.name: NumpyCodec.decode_input(i) for i in payload.inputs}
        names = [o.name for o in self.session.get_outputs()]
        outputs = [NumpyCodec.encode_output(n, v) for n, v in zip(names, self.session.run(names, feeds))]
        return InferenceResponse(model_name=self.name, outputs=outputs)
