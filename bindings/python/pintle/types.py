# SPDX-License-Identifier: Apache-2.0
"""Between NumPy and the runtime's values: tensors, strings, sequences, optionals and maps."""
import ctypes

import numpy

from pintle import _lib

STRING, SEQUENCE, OPTIONAL, MAP = 8, 28, 29, 30
PACKED = {21: (4, "uint4"), 22: (4, "int4"), 23: (4, "float4_e2m1fn"), 25: (2, "uint2"), 26: (2, "int2")}
_NUMPY = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 12: "uint32",
          13: "uint64", 14: "complex64", 15: "complex128"}
_ML = {16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 24: "float8_e8m0fnu"}
_ML.update({k: name for k, (_, name) in PACKED.items()})
_ORT = {1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16", 11: "double", 12: "uint32",
        13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz",
        21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0", 25: "uint2", 26: "int2"}
LEASE_BYTES = 65536  # smaller outputs are copied: a view would hold the whole run's memory


def numpy_type(dtype):
    """The NumPy type of an element type."""
    if dtype in _NUMPY:
        return numpy.dtype(_NUMPY[dtype])
    if dtype not in _ML:
        raise TypeError(f"element type {dtype} has no NumPy type")
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError(f"type {_ML[dtype]} needs the Python package ml_dtypes") from None
    if not hasattr(ml_dtypes, _ML[dtype]):
        raise TypeError(f"this version of ml_dtypes has no {_ML[dtype]}")
    return numpy.dtype(getattr(ml_dtypes, _ML[dtype]))


def type_text(info):
    """As onnxruntime writes it: "tensor(float)", "seq(tensor(int64))", "map(int64,tensor(float))"."""
    if info.dtype in (SEQUENCE, OPTIONAL, MAP):
        inside = type_text(info.elem.contents) if info.elem else "?"
        if info.dtype == MAP:
            return f"map({_ORT.get(info.key_dtype, '?')},{inside})"
        return f"{'seq' if info.dtype == SEQUENCE else 'optional'}({inside})"
    return f"tensor({_ORT.get(info.dtype, '?')})"


def _pack(array, bits):
    flat = array.reshape(-1).view(numpy.uint8) & ((1 << bits) - 1)
    per = 8 // bits
    flat = numpy.concatenate([flat, numpy.zeros(-len(flat) % per, numpy.uint8)]).reshape(-1, per)
    return numpy.bitwise_or.reduce(flat << (numpy.arange(per, dtype=numpy.uint8) * bits), axis=1).astype(numpy.uint8)


def _unpack(raw, count, bits, dtype):
    per = 8 // bits
    flat = (raw[:, None] >> (numpy.arange(per, dtype=numpy.uint8) * bits) & ((1 << bits) - 1)).reshape(-1)[:count].astype(numpy.uint8)
    if dtype in (22, 26):  # signed: the top bit counts negatively
        top = 1 << (bits - 1)
        flat = ((flat ^ top).astype(numpy.int16) - top).astype(numpy.int8).view(numpy.uint8)
    return flat.view(numpy_type(dtype))


class Feed:
    """A value for the runtime; keeps alive what the structure points to."""

    def __init__(self, name, value, info):
        self.keep = []
        self.name = name
        self.tensor = self._value(value, info)

    def _value(self, value, info):
        if info.dtype == SEQUENCE:
            return self._sequence(value, info.elem.contents if info.elem else None)
        if info.dtype == OPTIONAL:
            return self._optional(value, info.elem.contents)
        if info.dtype == MAP:
            return self._map(value, info)
        return self._tensor(value, info.dtype)

    def _box(self, dtype, struct):
        self.keep.append(struct)
        return _lib.Tensor(dtype=dtype, rank=0, data=ctypes.addressof(struct), size_bytes=ctypes.sizeof(struct))

    def _sequence(self, value, elem):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"input '{self.name}' is a sequence: it needs a list, not {type(value).__name__}")
        items = (_lib.Tensor * max(len(value), 1))(*[self._value(v, elem) for v in value])
        self.keep.append(items)
        return self._box(SEQUENCE, _lib.Sequence(count=len(value), items=items, elem=elem.dtype))

    def _optional(self, value, elem):
        if value is None:
            return self._box(OPTIONAL, _lib.Optional(None))
        inner = self._value(value, elem)
        self.keep.append(inner)
        return self._box(OPTIONAL, _lib.Optional(ctypes.pointer(inner)))

    def _map(self, value, info):
        if not isinstance(value, dict):
            raise TypeError(f"input '{self.name}' is a map: it needs a dict, not {type(value).__name__}")
        keys = self._tensor(numpy.array(list(value.keys()), dtype=object if info.key_dtype == STRING else numpy_type(info.key_dtype)), info.key_dtype)
        elem = info.elem.contents.dtype
        values = self._tensor(numpy.array(list(value.values()), dtype=object if elem == STRING else numpy_type(elem)), elem)
        return self._box(MAP, _lib.Map(keys, values))

    def _strings(self, array):
        texts = [v if isinstance(v, bytes) else str(v).encode() for v in array.reshape(-1)]
        buffers = [ctypes.create_string_buffer(t, len(t)) if t else None for t in texts]
        strings = (_lib.String * max(len(texts), 1))(*[_lib.String(ctypes.addressof(b) if b else None, len(t)) for b, t in zip(buffers, texts)])
        self.keep += [buffers, strings]
        return ctypes.addressof(strings), len(texts) * ctypes.sizeof(_lib.String)

    def _tensor(self, value, dtype):
        array = numpy.asarray(value, dtype=None if dtype != STRING else object)
        if array.ndim > _lib.MAX_RANK:
            raise ValueError(f"input '{self.name}' has {array.ndim} dimensions, at most {_lib.MAX_RANK} are possible")
        t = _lib.Tensor(dtype=dtype, rank=array.ndim)
        t.dims[:array.ndim] = array.shape
        if dtype == STRING:
            t.data, t.size_bytes = self._strings(array)
            return t
        want = numpy_type(dtype)
        if array.dtype != want:
            raise TypeError(f"input '{self.name}' has type {array.dtype}, the model takes {want}")
        array = numpy.require(array, requirements=["C", "A"]) if array.dtype.isnative else numpy.ascontiguousarray(array, want)
        if dtype in PACKED:
            array = _pack(numpy.ascontiguousarray(array), PACKED[dtype][0])
        self.keep.append(array)
        t.data, t.size_bytes = array.ctypes.data, array.nbytes
        return t


def _bytes_at(address, count, lease):
    """Bytes of the runtime as a NumPy array, a view that holds the lease or a copy."""
    if count == 0:
        return numpy.empty(0, numpy.uint8)
    raw = (ctypes.c_uint8 * count).from_address(address)
    raw.lease = lease
    view = numpy.frombuffer(raw, numpy.uint8)
    return view if lease and count >= LEASE_BYTES else view.copy()


def to_python(t, lease=None):
    """A value of the runtime as NumPy or Python has it. lease: what keeps its memory, for views."""
    if t.dtype == SEQUENCE:
        s = ctypes.cast(t.data, ctypes.POINTER(_lib.Sequence)).contents
        return [to_python(s.items[i]) for i in range(s.count)]
    if t.dtype == OPTIONAL:
        o = ctypes.cast(t.data, ctypes.POINTER(_lib.Optional)).contents
        return to_python(o.value.contents) if o.value else None
    if t.dtype == MAP:
        m = ctypes.cast(t.data, ctypes.POINTER(_lib.Map)).contents
        return dict(zip(to_python(m.keys).tolist(), to_python(m.values).tolist()))
    shape = tuple(t.dims[:t.rank])
    count = int(numpy.prod(shape, dtype=numpy.int64))
    if t.dtype == STRING:
        strings = ctypes.cast(t.data, ctypes.POINTER(_lib.String)) if count else []
        out = numpy.empty(count, object)
        for i in range(count):
            out[i] = ctypes.string_at(strings[i].p, strings[i].len).decode("utf-8", "surrogateescape") if strings[i].len else ""
        return out.reshape(shape)
    raw = _bytes_at(t.data, t.size_bytes, lease)
    if t.dtype in PACKED:
        return _unpack(raw, count, PACKED[t.dtype][0], t.dtype).reshape(shape)
    return raw.view(numpy_type(t.dtype)).reshape(shape)
