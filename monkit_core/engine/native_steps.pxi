# Calls that run in steps: coroutines and generators. Part of native.pyx.


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
    cdef object __weakref__

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def __setattr__(self, name, value):
        setattr(self._inner, name, value)

    def __del__(self):
        cdef Outcome outcome
        if self._span is None or self._running:
            return
        close = self._inner.close
        interrupt(self, <PyObject*>close, NULL, PYGEN_RETURN, &outcome)
        if outcome.how == PYGEN_ERROR:
            monkit_raise(outcome.error)
            PyErr_WriteUnraisable(self._inner)  # as the interpreter would have said it
        else:
            Py_DECREF(<object>outcome.result)

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


@cython.final
cdef class MonitoredIterableCoroutine(Steps):
    """The same of a generator function that `types.coroutine` made a coroutine function too."""

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
    self._running = True
    try:
        if self._span is None:
            self._span = begin(self._func, self._args, None, None)
        elif self._swaps:
            set_current(self._inside)
    except:
        self._running = False
        raise
    return 0


cdef int leave(Steps self, Span caller, bint over, PyObject* error) noexcept:
    """After a step: give the caller's current span back; end the span if that was the last step, is it *over*.

    Negative if something was raised.
    """
    cdef Span span = self._span
    cdef int outcome = 0
    if over:
        self._ended = True
        self._span = self._inside = None
        outcome = ended(span, None if error == NULL else <object>error)
    elif self._swaps:
        self._inside = get_current()
    self._running = False
    if self._swaps:
        if outcome < 0:
            error = monkit_take_error()
            set_current(caller)
            monkit_raise(error)
        else:
            set_current(caller)
    return outcome


cdef int refuse(Steps self, Outcome* outcome) except -1:
    """What runs already cannot be stepped. (Asked for it itself, an interpreter of 3.11 may crash.)"""
    problem = ValueError(f"{type(self._inner).__name__} already executing")
    Py_INCREF(problem)
    outcome.how, outcome.error = PYGEN_ERROR, <PyObject*>problem
    return 0


cdef int settle(Outcome* outcome) noexcept:
    """What was raised meanwhile, by a signal handler, takes the place of the outcome."""
    Py_XDECREF(outcome.result)
    Py_XDECREF(outcome.error)
    outcome.how, outcome.result, outcome.error = PYGEN_ERROR, NULL, monkit_take_error()
    return 0


cdef int step(Steps self, PyObject* value, Outcome* outcome) except -1:
    """Take one step with *value*."""
    cdef Span caller = None
    cdef bint counts
    outcome.result = outcome.error = NULL
    if self._running:
        return refuse(self, outcome)
    # What has ended, or refuses a value before its first step, says so itself.
    counts = not self._ended and (self._span is not None or value == <PyObject*>None)
    if counts:
        if self._swaps:
            caller = get_current()
        enter(self)
    outcome.how = PyIter_Send(<PyObject*>self._inner, value, &outcome.result)
    if outcome.how == PYGEN_ERROR:
        outcome.error = monkit_take_error()
    if counts and leave(self, caller, outcome.how != PYGEN_NEXT, outcome.error) < 0:
        settle(outcome)
    return 0


cdef int interrupt(Steps self, PyObject* method, PyObject* arguments, PySendResult normal, Outcome* outcome) except -1:
    """Call ``throw`` or ``close``; *normal* is what it means if that returns."""
    cdef Span caller = None
    cdef bint counts = self._span is not None
    cdef bint over
    outcome.result = outcome.error = NULL
    if self._running:
        return refuse(self, outcome)
    if counts:
        if self._swaps:
            caller = get_current()
        enter(self)
    outcome.how = normal
    outcome.result = PyObject_CallObject(method, arguments)
    if outcome.result == NULL:
        outcome.how = PYGEN_ERROR
        outcome.error = monkit_take_error()
        if counts and isinstance(<object>outcome.error, StopIteration):
            value = (<object>outcome.error).value
            Py_DECREF(<object>outcome.error)
            Py_INCREF(value)
            outcome.how, outcome.result, outcome.error = PYGEN_RETURN, <PyObject*>value, NULL
    over = outcome.how == PYGEN_RETURN
    if outcome.how == PYGEN_ERROR:  # also if it goes on: it was no exception, or was asked to close and did not
        over = (self._inner.gi_frame if self._swaps else self._inner.cr_frame) is None
    if not counts:
        self._ended = self._ended or over
    elif leave(self, caller, over, outcome.error) < 0:
        settle(outcome)
    return 0


cdef PySendResult steps_step(PyObject* this, PyObject* value, PyObject** result) except? PYGEN_ERROR:
    cdef Outcome outcome
    result[0] = NULL  # which callers look at also if this fails
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
