# SPDX-License-Identifier: Apache-2.0
"""The binding against NumPy, on models made here. Runs with plain unittest: python3 -m unittest discover -s bindings/python/tests"""
import gc
import pathlib
import sys
import threading
import unittest
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import pintle  # noqa: E402
import pintle.backend  # noqa: E402

DIGITS = ROOT.parents[1] / "examples" / "digits" / "digits.onnx"


def model(nodes, inputs, outputs, opset=21, **kwargs):
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **kwargs)


def one_node(op, ins, out_type=TensorProto.FLOAT, **attrs):
    """A session of one node; ins: element type and shape of each input."""
    names = [f"x{i}" for i in range(len(ins))]
    values = [helper.make_tensor_value_info(n, t, s) for n, (t, s) in zip(names, ins)]
    return pintle.Session(model([helper.make_node(op, names, ["y"], **attrs)], values,
                                [helper.make_tensor_value_info("y", out_type, None)]).SerializeToString())


class Sessions(unittest.TestCase):
    def test_digits(self):
        s = pintle.Session(DIGITS)
        [x] = s.get_inputs()
        self.assertEqual((x.name, x.type, x.shape), ("x", "tensor(float)", ["N", 1, 8, 8]))
        self.assertEqual([o.name for o in s.get_outputs()], ["logits", "probabilities"])
        p, = s.run(["probabilities"], {"x": np.ones((3, 1, 8, 8), np.float32)})
        self.assertEqual(p.shape, (3, 10))
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        both = s.run(None, {"x": np.ones((3, 1, 8, 8), np.float32)})
        np.testing.assert_array_equal(both[1], p)

    def test_errors_name_things(self):
        s = pintle.Session(DIGITS)
        x = np.zeros((1, 1, 8, 8), np.float32)
        with self.assertRaisesRegex(ValueError, "no output 'foo'; its outputs are: logits, probabilities"):
            s.run(["foo"], {"x": x})
        with self.assertRaisesRegex(ValueError, "no input 'z'; its inputs are: x"):
            s.run(None, {"x": x, "z": x})
        with self.assertRaisesRegex(ValueError, "input 'x' is missing"):
            s.run(None, {})
        with self.assertRaisesRegex(TypeError, "input 'x' has type float64, the model takes float32"):
            s.run(None, {"x": x.astype(np.float64)})
        with self.assertRaisesRegex(pintle.Error, "input 'x' is float32"):
            s.run(None, {"x": x[0]})
        with self.assertRaisesRegex(pintle.Error, "no/such.onnx"):
            pintle.Session("/no/such.onnx")
        with self.assertRaisesRegex(pintle.Error, "graph"):
            pintle.Session(b"")
        with self.assertRaisesRegex(pintle.Error, "there is no rewrite 'foo'"):
            pintle.Session(DIGITS, pintle.SessionOptions(disable=["foo"]))

    def test_deadline(self):
        s = pintle.Session(DIGITS)
        x = np.zeros((20000, 1, 8, 8), np.float32)
        with self.assertRaisesRegex(pintle.Error, "deadline of 1 ms"):
            s.run(None, {"x": x}, pintle.RunOptions(deadline_ms=1))

    def test_providers_are_ignored_aloud(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            s = pintle.Session(DIGITS, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
        self.assertEqual(["provider CUDAExecutionProvider is ignored: Pintle runs on the CPU"], [str(w.message) for w in caught])
        self.assertEqual(s.get_providers(), ["CPUExecutionProvider"])

    def test_meta(self):
        m = model([helper.make_node("Neg", ["x"], ["y"])], [helper.make_tensor_value_info("x", 1, [2])], [helper.make_tensor_value_info("y", 1, [2])],
                  producer_name="maker", producer_version="2", domain="org.example", model_version=7, doc_string="text")
        helper.set_model_props(m, {"labels": "a,b"})
        meta = pintle.Session(m.SerializeToString()).get_modelmeta()
        self.assertEqual((meta.producer_name, meta.producer_version, meta.domain, meta.graph_name, meta.description, meta.version),
                         ("maker", "2", "org.example", "g", "text", 7))
        self.assertEqual(meta.custom_metadata_map, {"labels": "a,b"})
        self.assertEqual(meta.opsets[""], 21)

    def test_outputs_outlive_runs(self):
        s = one_node("Neg", [(1, ["n"])])
        big = np.arange(100000, dtype=np.float32)
        first, = s.run(None, {"x0": big})
        second, = s.run(None, {"x0": big + 1})
        np.testing.assert_array_equal(first, -big)
        np.testing.assert_array_equal(second, -big - 1)
        del s
        gc.collect()
        np.testing.assert_array_equal(first, -big)

    def test_runs_are_used_again(self):
        s = one_node("Neg", [(1, ["n"])])
        big = np.arange(100000, dtype=np.float32)
        y, = s.run(None, {"x0": big})
        at = y.ctypes.data
        del y
        gc.collect()
        y, = s.run(None, {"x0": big})
        self.assertEqual(y.ctypes.data, at)

    def test_not_contiguous_and_empty(self):
        s = one_node("Neg", [(1, [None, None])])
        x = np.arange(12, dtype=np.float32).reshape(3, 4)
        np.testing.assert_array_equal(s.run(None, {"x0": x.T})[0], -x.T)
        np.testing.assert_array_equal(s.run(None, {"x0": x[::2, ::-1]})[0], -x[::2, ::-1])
        self.assertEqual(s.run(None, {"x0": np.zeros((0, 4), np.float32)})[0].shape, (0, 4))

    def test_threads(self):
        s = pintle.Session(DIGITS, pintle.SessionOptions(intra_op_num_threads=1))
        x = np.random.default_rng(0).random((4, 1, 8, 8), np.float32)
        want, wrong = s.run(None, {"x": x})[1].copy(), []

        def work():
            for _ in range(50):
                if not np.array_equal(s.run(None, {"x": x})[1], want):
                    wrong.append(1)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_unoptimised(self):
        x = {"x": np.random.default_rng(1).random((2, 1, 8, 8), np.float32)}
        a = pintle.Session(DIGITS).run(None, x)[0]
        b = pintle.Session(DIGITS, pintle.SessionOptions(optimize=False)).run(None, x)[0]
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


class Types(unittest.TestCase):
    def test_every_number(self):
        for t in ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"):
            dtype = np.dtype(t)
            kind = helper.np_dtype_to_tensor_dtype(dtype)
            x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
            y, = one_node("Transpose", [(kind, [2, 3])], kind).run(None, {"x0": x})
            self.assertEqual(y.dtype, dtype)
            np.testing.assert_array_equal(y, x.T)

    def test_types_of_ml_dtypes(self):
        import ml_dtypes
        for t in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"):
            dtype = np.dtype(getattr(ml_dtypes, t))
            kind = helper.np_dtype_to_tensor_dtype(dtype)
            x = np.array([1, 2, 3, 4, 5]).astype(dtype)
            y, = one_node("Identity", [(kind, [5])], kind).run(None, {"x0": x})
            self.assertEqual(y.dtype, dtype)
            np.testing.assert_array_equal(y.astype(np.float32), [1, 2, 3, 4, 5])
        y, = one_node("Cast", [(1, [3])], TensorProto.INT4, to=TensorProto.INT4).run(None, {"x0": np.array([-3, 7, -8], np.float32)})
        np.testing.assert_array_equal(y.astype(np.int8), [-3, 7, -8])

    def test_strings(self):
        s = one_node("StringConcat", [(8, [2]), (8, [2])], TensorProto.STRING)
        y, = s.run(None, {"x0": np.array(["a", "gr\u00fc\u00df"]), "x1": np.array(["", "\u4e16"], object)})
        self.assertEqual(y.tolist(), ["a", "gr\u00fc\u00df\u4e16"])

    def test_sequences(self):
        seq = helper.make_tensor_sequence_value_info("s", 1, None)
        out = helper.make_tensor_sequence_value_info("y", 1, None)
        m = model([helper.make_node("SequenceInsert", ["s", "x"], ["y"])], [seq, helper.make_tensor_value_info("x", 1, [2])], [out])
        s = pintle.Session(m.SerializeToString())
        self.assertEqual(s.get_inputs()[0].type, "seq(tensor(float))")
        given = [np.zeros(3, np.float32), np.ones((2, 2), np.float32)]
        y, = s.run(None, {"s": given, "x": np.array([5, 6], np.float32)})
        self.assertEqual(len(y), 3)
        for got, want in zip(y, given + [np.array([5, 6], np.float32)]):
            np.testing.assert_array_equal(got, want)
        with self.assertRaisesRegex(TypeError, "input 's' is a sequence: it needs a list, not ndarray"):
            s.run(None, {"s": given[0], "x": given[0]})

    def test_maps(self):
        node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog"])
        graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, [2, 2])], [onnx.ValueInfoProto(name="y")])
        m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=9)
        y, = pintle.Session(m.SerializeToString()).run(None, {"x": np.array([[1, 2], [3, 4]], np.float32)})
        self.assertEqual(y, [{"cat": 1.0, "dog": 2.0}, {"cat": 3.0, "dog": 4.0}])


class Backend(unittest.TestCase):
    def test_model_and_node(self):
        x = np.array([1, -2], np.float32)
        m = model([helper.make_node("Abs", ["x"], ["y"])], [helper.make_tensor_value_info("x", 1, [2])], [helper.make_tensor_value_info("y", 1, [2])])
        np.testing.assert_array_equal(pintle.backend.run_model(m, [x])[0], [1, 2])
        np.testing.assert_array_equal(pintle.backend.run_node(helper.make_node("Neg", ["x"], ["y"]), [x])[0], [-1, 2])
        self.assertTrue(pintle.backend.supports_device("CPU"))
        self.assertFalse(pintle.backend.supports_device("CUDA"))


if __name__ == "__main__":
    unittest.main()
