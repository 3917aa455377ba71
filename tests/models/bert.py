# SPDX-License-Identifier: Apache-2.0
"""MiniLM-L6 (the sentence encoder all-MiniLM-L6-v2, a BERT of 6 layers and width 384) from its published weights, as an ONNX graph
in the words of an exporter: shapes computed by Shape, Gather and Concat, LayerNorm and GELU in pieces, the mask through Where."""
import numpy as np
from onnx import TensorProto

from graph import Graph

HEADS, WIDTH, LAYERS, EPSILON = 12, 384, 6, 1e-12


class Encoder(Graph):
    def __init__(self, weights):
        super().__init__("minilm", opset=14)
        self.w = weights

    def linear(self, x, name):
        product = self.add("MatMul", [x, self.weight(name + ".weight^T", self.w[name + ".weight"].T)])
        return self.add("Add", [self.weight(name + ".bias", self.w[name + ".bias"]), product])

    def number(self, value):
        return self.constant(value, np.float32)

    def layer_norm(self, x, name):
        centred = self.add("Sub", [x, self.add("ReduceMean", [x], axes=[-1])])
        variance = self.add("ReduceMean", [self.add("Pow", [centred, self.number(2)])], axes=[-1])
        y = self.add("Div", [centred, self.add("Sqrt", [self.add("Add", [variance, self.number(EPSILON)])])])
        y = self.add("Mul", [y, self.weight(name + ".weight", self.w[name + ".weight"])])
        return self.add("Add", [y, self.weight(name + ".bias", self.w[name + ".bias"])])

    def gelu(self, x):
        erf = self.add("Erf", [self.add("Div", [x, self.number(np.sqrt(2))])])
        return self.add("Mul", [self.add("Mul", [x, self.add("Add", [erf, self.number(1)])]), self.number(0.5)])

    def dim(self, x, axis):
        """[1]: one dimension of x, as a tensor."""
        size = self.add("Gather", [self.add("Shape", [x]), self.constant(axis)], axis=0)
        return self.add("Unsqueeze", [size, self.constant([0])])

    def shape_of(self, x, *rest):
        return self.add("Concat", [self.dim(x, 0), self.dim(x, 1), *(self.constant([r]) for r in rest)], axis=0)

    def heads(self, x, perm):
        return self.add("Transpose", [self.add("Reshape", [x, self.shape_of(x, HEADS, WIDTH // HEADS)])], perm=perm)

    def attention(self, x, mask, name):
        q = self.heads(self.linear(x, name + ".self.query"), [0, 2, 1, 3])
        k = self.heads(self.linear(x, name + ".self.key"), [0, 2, 3, 1])
        v = self.heads(self.linear(x, name + ".self.value"), [0, 2, 1, 3])
        scores = self.add("Div", [self.add("MatMul", [q, k]), self.number(np.sqrt(WIDTH / HEADS))])
        weights = self.add("Softmax", [self.add("Add", [scores, mask])], axis=-1)
        y = self.add("Transpose", [self.add("MatMul", [weights, v])], perm=[0, 2, 1, 3])
        y = self.linear(self.add("Reshape", [y, self.shape_of(y, WIDTH)]), name + ".output.dense")
        return self.layer_norm(self.add("Add", [y, x]), name + ".output.LayerNorm")

    def mask(self, attention_mask):
        """[N,1,1,S]: 0 where a token may be seen, the lowest float where not."""
        rows = self.add("Unsqueeze", [self.add("Unsqueeze", [attention_mask, self.constant([1])]), self.constant([2])])
        hidden = self.add("Sub", [self.number(1), self.add("Cast", [rows], to=TensorProto.FLOAT)])
        return self.add("Where", [self.add("Cast", [hidden], to=TensorProto.BOOL), self.number(np.finfo(np.float32).min), hidden])

    def embeddings(self, ids, types):
        def table(name):
            name = f"embeddings.{name}_embeddings.weight"
            return self.weight(name, self.w[name])

        positions = self.weight("embeddings.position_ids", np.arange(512, dtype=np.int64)[None])
        positions = self.add("Slice", [positions, self.constant([0]), self.dim(ids, 1), self.constant([1]), self.constant([1])])
        x = self.add("Add", [self.add("Gather", [table("word"), ids]), self.add("Gather", [table("token_type"), types])])
        return self.layer_norm(self.add("Add", [x, self.add("Gather", [table("position"), positions])]), "embeddings.LayerNorm")


def minilm(weights):
    g = Encoder(weights)
    ids, mask, types = (g.input(n, ["batch", "sequence"], TensorProto.INT64) for n in ("input_ids", "attention_mask", "token_type_ids"))
    seen = g.mask(mask)
    x = g.embeddings(ids, types)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        x = g.attention(x, seen, name + ".attention")
        y = g.linear(g.gelu(g.linear(x, name + ".intermediate.dense")), name + ".output.dense")
        x = g.layer_norm(g.add("Add", [y, x]), name + ".output.LayerNorm")
    g.output(x, ["batch", "sequence", WIDTH], rename="last_hidden_state")
    return g
