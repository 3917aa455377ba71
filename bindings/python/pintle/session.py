# SPDX-License-Identifier: Apache-2.0
"""Session: a model made ready, shaped like onnxruntime.InferenceSession."""
import ctypes
import os
import threading
import warnings

from pintle import _lib, types


class NodeArg:
    """What the model says of an input or output: name, type and shape (a number, a name or None per dimension; None: unknown rank)."""

    def __init__(self, info):
        self.name = info.name.decode()
        self.type = types.type_text(info)
        self.shape = None if info.rank < 0 else [self._dim(info, i) for i in range(info.rank)]

    @staticmethod
    def _dim(info, i):
        if info.dims[i] >= 0:
            return info.dims[i]
        return info.dim_names[i].decode() if info.dim_names[i] else None

    def __repr__(self):
        return f"NodeArg(name='{self.name}', type='{self.type}', shape={self.shape})"


class ModelMeta:
    """What the model says of itself."""

    def __init__(self, meta):
        self.producer_name = meta.producer_name.decode()
        self.producer_version = meta.producer_version.decode()
        self.domain = meta.domain.decode()
        self.graph_name = meta.graph_name.decode()
        self.description = meta.description.decode()
        self.version = meta.model_version
        self.ir_version = meta.ir_version
        self.opsets = {meta.opsets[i].domain.decode(): meta.opsets[i].version for i in range(meta.opset_count)}
        self.custom_metadata_map = {meta.metadata[i].key.decode(): meta.metadata[i].value.decode() for i in range(meta.metadata_count)}


class SessionOptions:
    """intra_op_num_threads: 0 = from the CPU limit. optimize: False runs every node by its reference operator. disable: names of rewrites to leave
    out. max_programs: compiled shapes that are kept. max_arena_bytes: memory of one run; over it is an error. profile: measure every node."""

    def __init__(self, intra_op_num_threads=0, optimize=True, disable=(), max_programs=0, max_arena_bytes=0):
        self.intra_op_num_threads = intra_op_num_threads
        self.optimize = optimize
        self.disable = disable
        self.max_programs = max_programs
        self.max_arena_bytes = max_arena_bytes

    def _struct(self):
        return _lib.SessionOptions(size=ctypes.sizeof(_lib.SessionOptions), thread_count=self.intra_op_num_threads, no_opt=not self.optimize,
                                   disable=",".join(self.disable).encode() or None, max_programs=self.max_programs, max_arena_bytes=self.max_arena_bytes)


class RunOptions:
    """deadline_ms: the run ends with an error after so long; 0 = never."""

    def __init__(self, deadline_ms=0):
        self.deadline_ms = deadline_ms


class _Lease:
    """A run in use; when nothing points into its memory any more, it can be used again."""

    def __init__(self, session):
        self.session = session
        with session._lock:
            run = session._free.pop() if session._free else None
        if run is None:
            run = ctypes.c_void_p()
            _lib.call("pt_run_create", session._handle, ctypes.byref(run))
        self.run = run

    def __del__(self):
        if getattr(self, "run", None) is not None:
            with self.session._lock:
                self.session._free.append(self.run)


class Session:
    """Session(path or bytes). Any number of threads may call run() at once."""

    def __init__(self, model, sess_options=None, providers=None, provider_options=None):
        self._handle = None
        self._lock = threading.Lock()
        self._free = []
        for p in providers or ():
            name = p[0] if isinstance(p, tuple) else p
            if name != "CPUExecutionProvider":
                warnings.warn(f"provider {name} is ignored: Pintle runs on the CPU", stacklevel=2)
        options = (sess_options or SessionOptions())._struct()
        handle = ctypes.c_void_p()
        if isinstance(model, (bytes, bytearray, memoryview)):
            self._model = ctypes.create_string_buffer(bytes(model), len(model))  # must outlive the session
            _lib.call("pt_session_open_memory", self._model, len(model), ctypes.byref(options), ctypes.byref(handle))
        else:
            _lib.call("pt_session_open", os.fsencode(model), ctypes.byref(options), ctypes.byref(handle))
        self._handle = handle
        lib = _lib.lib
        self._in = [lib.pt_session_input(handle, i).contents for i in range(lib.pt_session_input_count(handle))]
        self._out = [lib.pt_session_output(handle, i).contents for i in range(lib.pt_session_output_count(handle))]
        self._in_names = {info.name.decode(): i for i, info in enumerate(self._in)}
        self._out_names = {info.name.decode(): i for i, info in enumerate(self._out)}

    def __del__(self):
        for run in getattr(self, "_free", ()):
            _lib.lib.pt_run_destroy(run)
        if getattr(self, "_handle", None):
            _lib.lib.pt_session_close(self._handle)

    def get_inputs(self):
        return [NodeArg(i) for i in self._in]

    def get_outputs(self):
        return [NodeArg(o) for o in self._out]

    def get_modelmeta(self):
        return ModelMeta(_lib.lib.pt_session_meta(self._handle).contents)

    def get_providers(self):
        return ["CPUExecutionProvider"]

    def _indices(self, names):
        if names is None:
            return range(len(self._out))
        for n in names:
            if n not in self._out_names:
                raise ValueError(f"the model has no output '{n}'; its outputs are: {', '.join(self._out_names)}")
        return [self._out_names[n] for n in names]

    def _feed(self, run, feed):
        for name in feed:
            if name not in self._in_names:
                raise ValueError(f"the model has no input '{name}'; its inputs are: {', '.join(self._in_names)}")
        feeds = []
        for name, i in self._in_names.items():
            if name not in feed:
                raise ValueError(f"input '{name}' is missing")
            feeds.append(types.Feed(name, feed[name], self._in[i]))
            _lib.call("pt_run_set_input", run, i, ctypes.byref(feeds[-1].tensor))
        return feeds

    def run(self, output_names, input_feed, run_options=None):
        """The outputs named (None: all), in order. input_feed: name -> array, list, dict or None."""
        wanted = self._indices(output_names)
        lease = _Lease(self)
        feeds = self._feed(lease.run, input_feed)  # holds the inputs until the run is over
        options = _lib.RunOptions(size=ctypes.sizeof(_lib.RunOptions), deadline_ms=run_options.deadline_ms if run_options else 0)
        _lib.call("pt_run_execute_with", lease.run, ctypes.byref(options))
        del feeds
        return [types.to_python(_lib.lib.pt_run_output(lease.run, i).contents, lease) for i in wanted]
