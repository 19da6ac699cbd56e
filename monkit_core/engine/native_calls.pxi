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

cdef extern from "native.h":
    PyObject* monkit_take_error()
    void monkit_raise(PyObject*)
    PyObject* monkit_tell(PySendResult, PyObject*, PyObject*, bint)
    void monkit_make_vectorcall(PyTypeObject*, Py_ssize_t)
    ctypedef PySendResult (*monkit_sender)(PyObject*, PyObject*, PyObject**)
    ctypedef PyObject* (*monkit_next)(PyObject*)
    ctypedef PyObject* (*monkit_method)(PyObject*, PyObject*)
    int monkit_make_steps(PyTypeObject*, monkit_sender, monkit_next, monkit_method, monkit_method, monkit_method) except -1


@cython.final
cdef class Monitored:
    """A monitored function; where Python code looks, it passes for the function that it calls."""

    cdef vectorcallfunc _vectorcall
    cdef FuncCore _func
    cdef object _call
    cdef object _record
    cdef dict __dict__
    cdef object __weakref__

    def __init__(self, FuncCore func, call, record, shape):
        self._func = func
        self._call = call
        self._record = record
        # Code and the like are those of the call if it is a function, else of one of its kind.
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__globals__", "__closure__"):
            setattr(self, name, getattr(call if isinstance(call, types.FunctionType) else shape, name))
        self.__annotations__ = {}
        self.__name__ = self.__qualname__ = shape.__name__
        functools.update_wrapper(self, call)

    @property
    def __class__(self):
        return types.FunctionType

    def __call__(self, *args, **kwargs):
        return PyVectorcall_Call(self, args, kwargs)

    def __get__(self, owner, kind):
        return self if owner is None else types.MethodType(self, owner)

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return f"<monitored {self._call!r}>"


cdef tuple recorded(Monitored self, PyObject** args, size_t nargsf, PyObject* kwnames):
    """The texts of the arguments that the span keeps."""
    cdef Py_ssize_t amount = PyVectorcall_NARGS(nargsf)
    cdef Py_ssize_t index
    if self._record is None:
        return NOTHING
    positional = tuple([<object>args[index] for index in range(amount)])
    keywords = {}
    if kwnames != NULL:
        for index, name in enumerate(<tuple><object>kwnames):
            keywords[name] = <object>args[amount + index]
    return self._record(positional, keywords)


# An exception leaves these by way of ``return NULL``: a ``raise`` would add a line to its traceback.


cdef PyObject* call_function(PyObject* callable, PyObject** args, size_t nargsf, PyObject* kwnames) except NULL:
    cdef Monitored self = <Monitored>callable
    cdef PyObject* result
    cdef PyObject* error
    cdef Span span = begin(self._func, recorded(self, args, nargsf, kwnames), None, None)
    result = PyObject_Vectorcall(<PyObject*>self._call, args, nargsf, kwnames)
    if result != NULL:
        end(span, None)
        return result
    error = monkit_take_error()
    end(span, <object>error)
    monkit_raise(error)
    return NULL


cdef PyObject* call_coroutine(PyObject* callable, PyObject** args, size_t nargsf, PyObject* kwnames) except NULL:
    return steps_of(<Monitored>callable, MonitoredCoroutine.__new__(MonitoredCoroutine), args, nargsf, kwnames)


cdef PyObject* call_generator(PyObject* callable, PyObject** args, size_t nargsf, PyObject* kwnames) except NULL:
    return steps_of(<Monitored>callable, MonitoredGenerator.__new__(MonitoredGenerator), args, nargsf, kwnames)


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
    steps._args = recorded(self, args, nargsf, kwnames)
    Py_INCREF(steps)
    return <PyObject*>steps


cdef class Steps:
    """A call that runs in steps, in one span from the first to the last."""

    cdef object _inner
    cdef FuncCore _func
    cdef tuple _args
    cdef Span _span  # None before the first step and after the last
    cdef Span _inside  # what is current inside, between two steps
    cdef bint _swaps  # between two steps the caller's current span is current again
    cdef bint _running
    cdef bint _ended

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def __del__(self):
        if self._span is not None and not self._running:
            self.close()

    def __repr__(self):
        return f"<monitored {self._inner!r}>"


@cython.final
cdef class MonitoredCoroutine(Steps):
    """What a call of a monitored coroutine function gives."""

    @property
    def __class__(self):
        return type(self._inner)

    def __await__(self):
        if self._span is not None:
            raise RuntimeError("coroutine is being awaited already")
        return self

    def __next__(self):
        return self.send(None)  # the slot itself is filled below


@cython.final
cdef class MonitoredGenerator(Steps):
    """What a call of a monitored generator function gives."""

    def __cinit__(self):
        self._swaps = True

    @property
    def __class__(self):
        return type(self._inner)

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)


cdef struct Outcome:
    PySendResult how
    PyObject* result  # or
    PyObject* error


cdef int enter(Steps self) except -1:
    """Before a step: start the span, or make what was current inside current again."""
    if self._span is None:
        self._span = begin(self._func, self._args, None, None)
    elif self._swaps:
        set_current(self._inside)
    self._running = True
    return 0


cdef int leave(Steps self, Span caller, Outcome* outcome) except -1:
    """After a step: give the caller's current span back; end the span if that was the last step."""
    cdef Span span = self._span
    self._running = False
    if outcome.how == PYGEN_NEXT:
        if self._swaps:
            self._inside = get_current()
            set_current(caller)
        return 0
    self._ended = True
    self._span = self._inside = None
    end(span, None if outcome.error == NULL else <object>outcome.error)
    if self._swaps:
        set_current(caller)
    return 0


cdef int step(Steps self, PyObject* value, Outcome* outcome) except -1:
    """Take one step with *value*."""
    cdef Span caller = None
    cdef bint counts
    if self._running:
        raise ValueError(f"{type(self._inner).__name__} already executing")
    # What has ended, or refuses a value before its first step, says so itself.
    counts = not self._ended and (self._span is not None or value == <PyObject*>None)
    if counts:
        if self._swaps:
            caller = get_current()
        enter(self)
    outcome.result = outcome.error = NULL
    outcome.how = PyIter_Send(<PyObject*>self._inner, value, &outcome.result)
    if outcome.how == PYGEN_ERROR:
        outcome.error = monkit_take_error()
    if counts:
        leave(self, caller, outcome)
    return 0


cdef int interrupt(Steps self, PyObject* method, PyObject* arguments, PySendResult normal, Outcome* outcome) except -1:
    """Call ``throw`` or ``close``; *normal* is what it means if that returns."""
    cdef Span caller = None
    cdef bint counts = self._span is not None
    if self._running:
        raise ValueError(f"{type(self._inner).__name__} already executing")
    if counts:
        if self._swaps:
            caller = get_current()
        enter(self)
    else:
        self._ended = True
    outcome.error = NULL
    outcome.how = normal
    outcome.result = PyObject_CallObject(method, arguments)
    if outcome.result == NULL:
        outcome.how = PYGEN_ERROR
        outcome.error = monkit_take_error()
        if isinstance(<object>outcome.error, StopIteration):
            value = (<object>outcome.error).value
            Py_DECREF(<object>outcome.error)
            Py_INCREF(value)
            outcome.how, outcome.result, outcome.error = PYGEN_RETURN, <PyObject*>value, NULL
    if counts:
        leave(self, caller, outcome)
    return 0


cdef PySendResult steps_step(PyObject* this, PyObject* value, PyObject** result) except? PYGEN_ERROR:
    cdef Outcome outcome
    step(<Steps>this, value, &outcome)
    result[0] = outcome.result
    if outcome.how == PYGEN_ERROR:
        monkit_raise(outcome.error)
    return outcome.how


cdef PyObject* steps_next(PyObject* this) except? NULL:
    cdef Outcome outcome
    step(<Steps>this, <PyObject*>None, &outcome)
    return monkit_tell(outcome.how, outcome.result, outcome.error, False)


cdef PyObject* steps_send(PyObject* this, PyObject* value) except NULL:
    cdef Outcome outcome
    step(<Steps>this, value, &outcome)
    return monkit_tell(outcome.how, outcome.result, outcome.error, True)


cdef PyObject* steps_throw(PyObject* this, PyObject* arguments) except NULL:
    cdef Outcome outcome
    method = (<Steps>this)._inner.throw
    interrupt(<Steps>this, <PyObject*>method, arguments, PYGEN_NEXT, &outcome)
    return monkit_tell(outcome.how, outcome.result, outcome.error, True)


cdef PyObject* steps_close(PyObject* this, PyObject* nothing) except NULL:
    cdef Outcome outcome
    method = (<Steps>this)._inner.close
    interrupt(<Steps>this, <PyObject*>method, NULL, PYGEN_RETURN, &outcome)
    if outcome.how == PYGEN_ERROR:
        monkit_raise(outcome.error)
        return NULL
    return outcome.result


def _fill_slots():
    """Once: give the types above the slots that Cython has no words for."""
    cdef Monitored monitored = Monitored.__new__(Monitored)
    monkit_make_vectorcall(<PyTypeObject*>Monitored, <char*>&monitored._vectorcall - <char*><PyObject*>monitored)
    for kind in (MonitoredCoroutine, MonitoredGenerator):
        monkit_make_steps(
            <PyTypeObject*>kind,
            <monkit_sender>steps_step,
            <monkit_next>steps_next,
            <monkit_method>steps_send,
            <monkit_method>steps_throw,
            <monkit_method>steps_close,
        )


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
    return monitored(<vectorcallfunc>call_generator, func, call, record, _GENERATOR)
