# SPDX-License-Identifier: Apache-2.0
"""The C library: where it is, its structures and functions, as pintle/runtime.h declares them."""
import ctypes
import ctypes.util
import os
import pathlib
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p

MAX_RANK = 16


class Error(RuntimeError):
    """What the runtime says: a message of one line, and its code."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class Err(Structure):
    _fields_ = [("code", c_int), ("msg", c_char * 504)]


class Tensor(Structure):
    _fields_ = [("dtype", c_int), ("rank", c_int), ("dims", c_int64 * MAX_RANK), ("data", c_void_p), ("size_bytes", c_size_t)]


class String(Structure):
    _fields_ = [("p", c_void_p), ("len", c_size_t)]


class Sequence(Structure):
    _fields_ = [("count", c_size_t), ("items", POINTER(Tensor)), ("elem", c_int), ("store", c_void_p)]


class Optional(Structure):
    _fields_ = [("value", POINTER(Tensor))]


class Map(Structure):
    _fields_ = [("keys", Tensor), ("values", Tensor)]


class ValueInfo(Structure):
    pass


ValueInfo._fields_ = [("name", c_char_p), ("dtype", c_int), ("rank", c_int), ("dims", c_int64 * MAX_RANK), ("dim_names", c_char_p * MAX_RANK),
                      ("elem", POINTER(ValueInfo)), ("key_dtype", c_int)]


class SessionOptions(Structure):
    _fields_ = [("size", c_size_t), ("threads", c_void_p), ("thread_count", c_int), ("max_programs", c_int), ("max_arena_bytes", c_uint64), ("no_opt", c_bool),
                ("folder", c_char_p), ("overridable", POINTER(c_char_p)), ("disable", c_char_p)]


class RunOptions(Structure):
    _fields_ = [("size", c_size_t), ("deadline_ms", c_uint64), ("profile", c_void_p), ("profile_arg", c_void_p)]


class Opset(Structure):
    _fields_ = [("domain", c_char_p), ("version", c_int64)]


class Metadata(Structure):
    _fields_ = [("key", c_char_p), ("value", c_char_p)]


class ModelMeta(Structure):
    _fields_ = [("producer_name", c_char_p), ("producer_version", c_char_p), ("domain", c_char_p), ("graph_name", c_char_p), ("description", c_char_p),
                ("model_version", c_int64), ("ir_version", c_int64), ("opsets", POINTER(Opset)), ("opset_count", c_size_t), ("metadata", POINTER(Metadata)),
                ("metadata_count", c_size_t)]


def _find():
    """The library's path, and where it was looked for."""
    given = os.environ.get("PINTLE_LIBRARY")
    if given:
        return given
    beside = pathlib.Path(__file__).with_name("libpintle.so")
    if beside.exists():
        return str(beside)
    return ctypes.util.find_library("pintle") or "libpintle.so.0"


def _load():
    path = _find()
    try:
        return ctypes.CDLL(path)
    except OSError as e:
        raise ImportError(f"cannot load the Pintle library {path}: {e}; set PINTLE_LIBRARY to the path of libpintle.so") from None


lib = _load()


def _declare(name, result, *args):
    try:
        f = getattr(lib, name)
    except AttributeError:
        raise ImportError(f"the Pintle library has no {name}: it is older than this package") from None
    f.restype = result
    f.argtypes = args


_declare("pt_dtype_bits", ctypes.c_uint, c_int)
_declare("pt_dtype_name", c_char_p, c_int)
_declare("pt_session_open", c_int, c_char_p, c_void_p, POINTER(c_void_p), POINTER(Err))
_declare("pt_session_open_memory", c_int, c_void_p, c_size_t, c_void_p, POINTER(c_void_p), POINTER(Err))
_declare("pt_session_close", None, c_void_p)
_declare("pt_session_input_count", c_size_t, c_void_p)
_declare("pt_session_output_count", c_size_t, c_void_p)
_declare("pt_session_input", POINTER(ValueInfo), c_void_p, c_size_t)
_declare("pt_session_output", POINTER(ValueInfo), c_void_p, c_size_t)
_declare("pt_run_create", c_int, c_void_p, POINTER(c_void_p), POINTER(Err))
_declare("pt_run_destroy", None, c_void_p)
_declare("pt_run_set_input", c_int, c_void_p, c_size_t, POINTER(Tensor), POINTER(Err))
_declare("pt_session_meta", POINTER(ModelMeta), c_void_p)
_declare("pt_run_execute_with", c_int, c_void_p, c_void_p, POINTER(Err))
_declare("pt_run_output", POINTER(Tensor), c_void_p, c_size_t)
_declare("pt_run_cancel", None, c_void_p)
_declare("pt_runtime_version", c_char_p)
_declare("pt_runtime_isa", c_char_p)


def call(name, *args):
    """The function, with an error structure added; raises Error."""
    err = Err()
    if getattr(lib, name)(*args, byref(err)) < 0:
        raise Error(err.msg.decode("utf-8", "replace"), err.code)


def version():
    return lib.pt_runtime_version().decode()


def isa():
    """The instruction set in use: "ref", "avx2" or "avx512"."""
    return lib.pt_runtime_isa().decode()
