# The wrappers of functions, coroutine functions and generator functions. Part of native.pyx.

import functools
import inspect
import types

cdef extern from "Python.h":
    ctypedef PyObject* (*vectorcallfunc)(PyObject*, PyObject**, size_t, PyObject*)
    PyObject* PyObject_Vectorcall(PyObject*, PyObject**, size_t, PyObject*)
    Py_ssize_t PyVectorcall_NARGS(size_t)
    object PyVectorcall_Call(object, tuple, dict)
    PyObject* PyObject_CallObject(PyObject*, PyObject*)
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(PyObject*, PyObject*, PyObject**)
    void PyErr_WriteUnraisable(object)
    int CO_ITERABLE_COROUTINE

cdef extern from "native.h":
    PyObject* monkit_take_error()
    void monkit_raise(PyObject*)
    PyObject* monkit_tell(PySendResult, PyObject*, PyObject*, bint)
    void monkit_make_vectorcall(PyTypeObject*, Py_ssize_t)
    ctypedef PySendResult (*monkit_sender)(PyObject*, PyObject*, PyObject**)
    ctypedef PyObject* (*monkit_next)(PyObject*)
    ctypedef PyObject* (*monkit_method)(PyObject*, PyObject*)
    void monkit_make_awaitable(PyTypeObject*)
    int monkit_make_steps(PyTypeObject*, monkit_sender, monkit_next, monkit_method, monkit_method, monkit_method) except -1


# A monitored function; where Python code looks, it passes for the function that it calls. (A docstring would be in the
# way of that of the function.) What a function keeps outside of its ``__dict__`` is kept outside here too: decorators
# copy that into what they make, which must not look like a function then.
@cython.final
cdef class Monitored:
    cdef vectorcallfunc _vectorcall
    cdef FuncCore _func
    cdef object _call
    cdef object _record
    cdef object _shape  # code and the like are those of the call if it is a function, else of one of its kind
    cdef object _name
    cdef object _qualname
    cdef object _doc
    cdef object _module
    cdef object _annotations
    cdef dict __dict__
    cdef object __weakref__

    def __init__(self, FuncCore func, call, record, shape):
        self._func = func
        self._call = call
        self._record = record
        self._shape = call if isinstance(call, types.FunctionType) else shape
        self._name = self._qualname = shape.__name__
        functools.update_wrapper(self, call)

    @property
    def __class__(self):
        return types.FunctionType

    @property
    def __code__(self):
        return self._shape.__code__

    @__code__.setter
    def __code__(self, code):
        self._call.__code__ = code
        if self._vectorcall == <vectorcallfunc>call_generator and code.co_flags & CO_ITERABLE_COROUTINE:
            self._vectorcall = <vectorcallfunc>call_iterable_coroutine  # by `types.coroutine`

    @property
    def __defaults__(self):
        return self._shape.__defaults__

    @__defaults__.setter
    def __defaults__(self, defaults):
        self._call.__defaults__ = defaults

    @property
    def __kwdefaults__(self):
        return self._shape.__kwdefaults__

    @__kwdefaults__.setter
    def __kwdefaults__(self, defaults):
        self._call.__kwdefaults__ = defaults

    @property
    def __globals__(self):
        return self._shape.__globals__

    @property
    def __builtins__(self):
        return self._shape.__builtins__

    @property
    def __closure__(self):
        return self._shape.__closure__

    @property
    def __name__(self):
        return self._name

    @__name__.setter
    def __name__(self, name):
        self._name = expected("__name__", name, str, "string")

    @property
    def __qualname__(self):
        return self._qualname

    @__qualname__.setter
    def __qualname__(self, name):
        self._qualname = expected("__qualname__", name, str, "string")

    @property
    def __doc__(self):
        return self._doc

    @__doc__.setter
    def __doc__(self, text):
        self._doc = text

    @property
    def __module__(self):
        return self._module

    @__module__.setter
    def __module__(self, name):
        self._module = name

    @property
    def __annotations__(self):
        if self._annotations is None:
            self._annotations = {}
        return self._annotations

    @__annotations__.setter
    def __annotations__(self, annotations):
        self._annotations = expected("__annotations__", annotations, dict, "dict")

    def __call__(self, *args, **kwargs):
        return PyVectorcall_Call(self, args, kwargs)

    def __get__(self, owner, kind):
        return self if owner is None else types.MethodType(self, owner)

    def __reduce__(self):
        return self._qualname

    def __repr__(self):
        return f"<monitored {self._call!r}>"


cdef object expected(name, value, kind, called):
    """*value*, if a function takes it as its attribute *name*."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be set to a {called} object")
    return value


cdef tuple recorded(object record, PyObject** args, size_t nargsf, PyObject* kwnames):
    """The texts of the arguments that the span keeps."""
    cdef Py_ssize_t amount = PyVectorcall_NARGS(nargsf)
    cdef Py_ssize_t index
    positional = tuple([<object>args[index] for index in range(amount)])
    keywords = {}
    if kwnames != NULL:
        for index, name in enumerate(<tuple><object>kwnames):
            keywords[name] = <object>args[amount + index]
    return record(positional, keywords)


# An exception leaves these by way of ``return NULL``: a ``raise`` would add a line to its traceback.


cdef PyObject* call_function(PyObject* callable, PyObject** args, size_t nargsf, PyObject* kwnames) except NULL:
    cdef Monitored self = <Monitored>callable
    cdef PyObject* result
    cdef PyObject* error
    cdef tuple texts = NOTHING
    if self._record is not None:
        texts = recorded(self._record, args, nargsf, kwnames)
    cdef Span span = begin(self._func, texts, None, None)
    result = PyObject_Vectorcall(<PyObject*>self._call, args, nargsf, kwnames)
    if result != NULL:
        if ended(span, None) < 0:  # by a signal handler that raises
            Py_DECREF(<object>result)
            return NULL
        return result
    error = monkit_take_error()
    if ended(span, <object>error) < 0:
        Py_DECREF(<object>error)
        return NULL
    monkit_raise(error)
    return NULL


cdef int ended(Span span, object error) noexcept:
    """`end`, whose caller looks itself whether that raised."""
    return (<int (*)(Span, object) noexcept>end)(span, error)


cdef PyObject* call_coroutine(PyObject* callable, PyObject** args, size_t nargsf, PyObject* kwnames) except NULL:
    return steps_of(<Monitored>callable, MonitoredCoroutine.__new__(MonitoredCoroutine), args, nargsf, kwnames)


cdef PyObject* call_generator(PyObject* callable, PyObject** args, size_t nargsf, PyObject* kwnames) except NULL:
    return steps_of(<Monitored>callable, MonitoredGenerator.__new__(MonitoredGenerator), args, nargsf, kwnames)


cdef PyObject* call_iterable_coroutine(
    PyObject* callable, PyObject** args, size_t nargsf, PyObject* kwnames
) except NULL:
    cdef Steps steps = MonitoredIterableCoroutine.__new__(MonitoredIterableCoroutine)
    return steps_of(<Monitored>callable, steps, args, nargsf, kwnames)


cdef PyObject* steps_of(
    Monitored self, Steps steps, PyObject** args, size_t nargsf, PyObject* kwnames
) except NULL:
    """What a call gives that runs in steps. Nothing of it has run yet, but its arguments fit."""
    cdef PyObject* inner = PyObject_Vectorcall(<PyObject*>self._call, args, nargsf, kwnames)
    if inner == NULL:
        return NULL
    steps._inner = <object>inner
    Py_DECREF(steps._inner)
    steps._func = self._func
    steps._args = NOTHING if self._record is None else recorded(self._record, args, nargsf, kwnames)
    Py_INCREF(steps)
    return <PyObject*>steps


include "native_steps.pxi"


def _fill_slots():
    """Once: give the types above the slots that Cython has no words for."""
    cdef Monitored monitored = Monitored.__new__(Monitored)
    monkit_make_vectorcall(<PyTypeObject*>Monitored, <char*>&monitored._vectorcall - <char*><PyObject*>monitored)
    for kind in (MonitoredCoroutine, MonitoredGenerator, MonitoredIterableCoroutine):
        monkit_make_steps(
            <PyTypeObject*>kind,
            <monkit_sender>steps_step,
            <monkit_next>steps_next,
            <monkit_method>steps_send,
            <monkit_method>steps_throw,
            <monkit_method>steps_close,
        )
    monkit_make_awaitable(<PyTypeObject*>MonitoredIterableCoroutine)


_fill_slots()


_SHAPES = """
def monitored(*args, **kwargs): ...
shapes.append(monitored)
async def monitored(*args, **kwargs): ...
shapes.append(monitored)
def monitored(*args, **kwargs): yield
shapes.append(monitored)
"""
cdef list _shapes = []
exec(compile(_SHAPES, "<monitored>", "exec"), {"shapes": _shapes})
_FUNCTION, _COROUTINE, _GENERATOR = _shapes


cdef Monitored monitored(vectorcallfunc enter, FuncCore func, call, record, shape):
    cdef Monitored made = Monitored(func, call, record, shape)
    made._vectorcall = enter
    return made


def monitor_function(FuncCore func, call, record):
    """A function that calls *call* in a span of *func*."""
    return monitored(<vectorcallfunc>call_function, func, call, record, _FUNCTION)


def monitor_coroutine(FuncCore func, call, record):
    """A coroutine function that awaits *call* in a span of *func*."""
    return monitored(<vectorcallfunc>call_coroutine, func, call, record, _COROUTINE)


def monitor_generator(FuncCore func, call, record):
    """A generator function that runs *call* in one span of *func*, from the first step to the end.

    Between two steps the caller's current span is current, inside a step the
    generator's, whatever it left there.
    """
    cdef Monitored made = monitored(<vectorcallfunc>call_generator, func, call, record, _GENERATOR)
    if made._shape.__code__.co_flags & CO_ITERABLE_COROUTINE:
        made._vectorcall = <vectorcallfunc>call_iterable_coroutine
    return made
