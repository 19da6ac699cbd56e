# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The engine compiled: what `monkit_core.engine.pure` says, at a fraction of its cost.

Only one thread at a time runs here, and it is not interrupted between two
steps that call no Python code: neither by another thread nor by a signal
handler. Making an object may run the collector, and letting go of one may run
a finaliser, which may come back here; so a span is made before, and references
are dropped after, everything else is consistent.
"""

import os

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_DECREF, Py_XDECREF, Py_XINCREF
from libc.math cimport isfinite, ldexp, rint
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from contextvars import ContextVar

from monkit_core import notes
from monkit_core.clock import NS_PER_S, monotonic_ns
from monkit_core.errors import MOST_ERROR_NAMES, OTHER_ERRORS, error_name, is_panic, is_success
from monkit_core.locks import LOCK
from monkit_core.recent import LATENCY_CLASSES as _LATENCY_CLASSES
from monkit_core.recent import LEAST_RECORDS as _LEAST_RECORDS
from monkit_core.recent import MOST_BUFFERED as _MOST_BUFFERED
from monkit_core.recent import MOST_RECORDS as _MOST_RECORDS

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    unsigned long PyThread_get_thread_ident()
    int PyContextVar_Get(PyObject* variable, PyObject* default, PyObject** value) except -1

cdef extern from "native.h":
    int64_t monkit_now() nogil
    uint64_t monkit_mix(uint64_t* state) nogil
    uint64_t monkit_bits(double value) nogil
    object monkit_set(PyObject* variable, PyObject* value)
    bint monkit_undo(PyObject* variable, PyObject* token)

__all__ = [
    "CURRENT", "CounterCore", "DistributionCore", "DurationValCore", "FloatValCore", "FuncCore", "IntValCore", "LiveCore",
    "MUTED", "MeterCore", "Span", "Trace", "finish", "monitor_coroutine", "monitor_function", "monitor_generator", "start",
]

cdef enum:
    LATENCY_CLASSES = 8

assert LATENCY_CLASSES == _LATENCY_CLASSES
cdef int LEAST_RECORDS = _LEAST_RECORDS
cdef int MOST_RECORDS = _MOST_RECORDS
cdef int64_t MOST_BUFFERED = _MOST_BUFFERED

cdef uint64_t _mixer


def _seed():
    global _mixer
    _mixer = int.from_bytes(os.urandom(8), "little")


_seed()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_seed)

CURRENT = ContextVar("monkit_span", default=None)
cdef PyObject* _current = <PyObject*>CURRENT
cdef tuple NOTHING = ()

include "native_numbers.pxi"
include "native_values.pxi"


cdef struct Record:
    PyObject* func
    PyObject* remote_parent  # NULL if the parent is in this process, or there is none
    PyObject* error_name  # these three may be NULL
    PyObject* args
    PyObject* annotations
    uint64_t id
    uint64_t parent_id
    int64_t start_ns
    int64_t finish_ns
    bint has_parent
    bint panicked
    bint orphaned


cdef struct SpanList:
    PyObject* first
    PyObject* last


cdef class LiveCore:
    """See `pure.spans.LiveCore`."""

    cdef SpanList _roots
    cdef SpanList _orphans
    cdef public tuple trace_callbacks
    cdef public object recent
    cdef public int64_t buffered

    def __cinit__(self, *args, **kwargs):
        self.trace_callbacks = NOTHING

    @property
    def roots(self):
        """Running spans without a parent in this process, in the order they started."""
        return listed(&self._roots)

    @property
    def orphans(self):
        """Running spans whose parent has ended."""
        return listed(&self._orphans)

    def forget(self, Span span):
        """Take *span*, which nobody is left to finish, off the live list and out of the counts."""
        if not span.finish_ns:
            span.finish_ns = monkit_now()
            span.func.current -= 1
            span.trace.span_count -= 1
            if span.trace.span_count == 0:
                span.trace._drop_records()
        unlink(span)


cdef class Edge:
    """How many calls of a function came from one other."""

    cdef object caller
    cdef int64_t count


cdef class FuncCore:
    """See `pure.spans.FuncCore`."""

    cdef readonly object live
    cdef readonly DistributionCore success_times
    cdef readonly DistributionCore failure_times
    cdef public int64_t current
    cdef public int64_t highwater
    cdef public int64_t panics
    cdef public tuple observers
    cdef dict _callers
    cdef Edge _latest  # the edge that was used last
    cdef int64_t[LATENCY_CLASSES] _due_ns
    cdef dict _errors
    cdef dict _error_due_ns

    def __init__(self, LiveCore live, DistributionCore success_times, DistributionCore failure_times):
        self.live = live
        self.success_times = success_times
        self.failure_times = failure_times
        self.observers = NOTHING
        self._callers = {}
        self._errors = {}
        self._error_due_ns = {}

    @property
    def callers(self):
        """How many calls came from which function; ``None`` stands for outside."""
        return {caller: (<Edge>edge).count for caller, edge in self._callers.copy().items()}

    @property
    def errors(self):
        """How many errors of each name, in the order of the names; the 65th and later names count as ``other``."""
        return dict(sorted(self._errors.copy().items()))

    cpdef failed(self, name, int64_t duration_ns):
        """Count a failure: an error called *name*, or a panic if that is ``None``."""
        if name is None:
            self.panics += 1
        else:
            if name not in self._errors and len(self._errors) >= MOST_ERROR_NAMES:
                name = OTHER_ERRORS
            self._errors[name] = self._errors.get(name, 0) + 1
        self.failure_times._observe_whole(duration_ns)

    def postpone(self, kind, int64_t due_ns):
        """Let the next tree of a latency class, or of an error, be kept at *due_ns* (monotonic) or later."""
        if isinstance(kind, int):
            self._due_ns[<int>kind] = due_ns
            return
        if kind not in self._error_due_ns and len(self._error_due_ns) >= MOST_ERROR_NAMES:
            del self._error_due_ns[next(iter(self._error_due_ns))]
        self._error_due_ns[kind] = due_ns

    def reset_counts(self):
        """Forget callers, errors, panics and the highwater mark; calls that run now stay counted as running."""
        self.highwater = self.current
        self.panics = 0
        self._errors = {}
        self._callers = {}
        self._latest = None

    cdef inline Edge _edge(self, object caller):
        cdef Edge edge = self._latest
        if edge is not None and edge.caller is caller:
            return edge
        edge = self._callers.get(caller)
        if edge is None:
            edge = Edge.__new__(Edge)
            edge.caller = caller
            edge = self._callers.setdefault(caller, edge)
        self._latest = edge
        return edge


@cython.final
@cython.freelist(64)
cdef class Trace:
    """See `pure.spans.Trace`."""

    cdef readonly LiveCore live
    cdef object _id  # as it was given, or None until it is asked for
    cdef uint64_t _high, _low
    cdef public int64_t span_count
    cdef public bint announced
    cdef public tuple observers
    cdef readonly int64_t records_dropped
    cdef object _values
    cdef Record* _records  # a ring
    cdef int _room, _first, _size

    def __cinit__(self, LiveCore live, trace_id=None):
        self.live = live
        self._id = trace_id
        self.observers = NOTHING

    def __dealloc__(self):
        self._drop_records()

    cdef void _drop_records(self) noexcept:
        cdef Record* records = self._records
        cdef int index, size = self._size, first = self._first, room = self._room
        self._records = NULL
        self._room = self._first = self._size = 0
        if records != NULL:
            if self.live is not None:
                self.live.buffered -= size
            for index in range(size):
                drop(&records[(first + index) % room])
            free(records)

    @property
    def id(self):
        """128 bits."""
        if self._id is None:
            if not self._high and not self._low:
                self._high, self._low = monkit_mix(&_mixer), monkit_mix(&_mixer)
            self._id = (<object>self._high << 64) | self._low
        return self._id

    @property
    def records(self):
        """Of its finished spans, as long as it runs: the latest 1,000 at the most, in the order of their ends."""
        return tuple(reversed(self._newest_first(INT64_MIN)))

    cdef list _newest_first(self, int64_t since_ns):
        """Records as Python objects, until one that ended before *since_ns*."""
        # Copies first: making Python objects may run finalisers that add records.
        cdef int index, size = self._size
        cdef Record* copies = <Record*>malloc(max(size, 1) * sizeof(Record))
        cdef Record* record
        cdef list found = []
        if copies == NULL:
            raise MemoryError
        for index in range(size):
            record = &self._records[(self._first + self._size - 1 - index) % self._room]
            if record.finish_ns < since_ns:
                size = index
                break
            copies[index] = record[0]
            keep(record)
        try:
            for index in range(size):
                found.append(raw(&copies[index]))
        finally:
            for index in range(size):
                drop(&copies[index])
            free(copies)
        return found

    def get(self, key):
        """A value of the trace, such as ``sampled``; ``None`` if it was never set."""
        return self._values.get(key) if self._values else None

    def set(self, key, value):
        """Keep *value* with the trace, for every span of it to see."""
        with LOCK:
            if self._values is None:
                self._values = {}
            self._values[key] = value

    def observe_spans(self, observer):
        """Tell *observer* of spans of this trace from now on; returns what ends that.

        It may see a finish whose start it did not see.
        """
        with LOCK:
            self.observers = (observer, *self.observers)
        return lambda: self.forget(observer)

    def forget(self, observer):
        """No longer tell *observer* of spans."""
        with LOCK:
            self.observers = tuple([item for item in self.observers if item is not observer])

    def __repr__(self):
        return f"<Trace {self.id:032x}, {self.span_count} running>"


cdef inline void keep(Record* record) noexcept:
    Py_INCREF(<object>record.func)
    Py_XINCREF(record.remote_parent)
    Py_XINCREF(record.error_name)
    Py_XINCREF(record.args)
    Py_XINCREF(record.annotations)


cdef inline void drop(Record* record) noexcept:
    Py_DECREF(<object>record.func)
    Py_XDECREF(record.remote_parent)
    Py_XDECREF(record.error_name)
    Py_XDECREF(record.args)
    Py_XDECREF(record.annotations)


cdef tuple raw(Record* record):
    """A record as `recent.RawRecord`."""
    parent = None
    if record.has_parent:
        parent = record.parent_id
    elif record.remote_parent != NULL:
        parent = <object>record.remote_parent
    return (
        <object>record.func,
        record.id,
        parent,
        record.start_ns,
        record.finish_ns,
        None if record.error_name == NULL else <object>record.error_name,
        record.panicked != 0,
        record.orphaned != 0,
        NOTHING if record.args == NULL else <object>record.args,
        NOTHING if record.annotations == NULL else tuple(<object>record.annotations),
    )


@cython.final
@cython.freelist(256)
@cython.trashcan(True)
cdef class Span:
    """See `pure.spans.Span`."""

    cdef readonly FuncCore func
    cdef readonly Trace trace
    cdef readonly Span parent
    cdef public Span outer
    cdef readonly tuple args
    cdef public object error_name
    cdef public object progressed
    cdef public list _annotations
    cdef public int annotations_dropped
    cdef object _remote_parent
    cdef object _token  # of the change that made it current
    cdef uint64_t _id, _parent_id
    cdef bint _has_parent
    cdef readonly unsigned long thread_id
    cdef public int64_t start_ns
    cdef public int64_t finish_ns
    cdef readonly bint orphaned
    cdef readonly bint panicked
    cdef SpanList _children
    cdef SpanList* _home  # the list it stands in, which holds a reference to it
    cdef PyObject* _before
    cdef PyObject* _behind

    def __init__(self):
        raise TypeError("spans are started by monitored calls and blocks")

    @property
    def id(self):
        """63 bits."""
        return self._id

    @property
    def parent_id(self):
        """64 bits, ``None`` at the root of a trace; kept when the parent has ended."""
        return self._parent_id if self._has_parent else self._remote_parent

    @property
    def children(self):
        """Its spans that run now, in the order they started."""
        return listed(&self._children)

    @property
    def annotations(self):
        """Pairs of key and value in the order they were made."""
        return tuple(self._annotations or ())

    @property
    def duration_ns(self):
        """Nanoseconds it took, or has run so far."""
        return (self.finish_ns or monkit_now()) - self.start_ns

    @property
    def duration(self):
        """Seconds it took, or has run so far."""
        return self.duration_ns / NS_PER_S

    @property
    def finished(self):
        """Whether it has ended."""
        return self.finish_ns != 0

    def annotate(self, str key, value):
        """Append a note; also after the end. Values become text of at most 1,000 characters, secrets masked.

        A span keeps 256 notes and counts the rest.
        """
        notes.annotate(self, key, value)

    def progress(self, done, total=None):
        """Say how far long work has come: *done* of *total*, in any unit. ``/ps`` shows rate and remaining time.

        Never raises; what is no number, or not finite, is left out and reported once.
        """
        notes.progress(self, done, total)

    def __repr__(self):
        state = "finished" if self.finish_ns else "running"
        return f"<Span {self._id:016x} of {self.func.full_name}, {state}>"


# Lists of running spans.


cdef tuple listed(SpanList* spans):
    """The spans of a list. Counted first, because making room may run finalisers that change the list."""
    cdef int64_t amount = 0
    cdef PyObject* span
    cdef list found
    while True:
        span = spans.first
        amount = 0
        while span != NULL:
            amount += 1
            span = (<Span>span)._behind
        found = [None] * amount
        span = spans.first
        for index in range(amount):
            if span == NULL:
                break
            found[index] = <Span>span
            span = (<Span>span)._behind
        else:
            if span == NULL:
                return tuple(found)


cdef inline void link(SpanList* spans, Span span) noexcept:
    Py_INCREF(span)
    span._home = spans
    span._before = spans.last
    span._behind = NULL
    if spans.last == NULL:
        spans.first = <PyObject*>span
    else:
        (<Span>spans.last)._behind = <PyObject*>span
    spans.last = <PyObject*>span


cdef inline void unlink(Span span) noexcept:
    """Take *span*, which the caller holds, out of the list it stands in, if any."""
    cdef SpanList* spans = span._home
    if spans == NULL:
        return
    span._home = NULL
    if span._before == NULL:
        spans.first = span._behind
    else:
        (<Span>span._before)._behind = span._behind
    if span._behind == NULL:
        spans.last = span._before
    else:
        (<Span>span._behind)._before = span._before
    span._before = span._behind = NULL
    Py_DECREF(span)


# The course of a call.


cdef Span _muted = Span.__new__(Span)  # see `pure.spans.MUTED`
_muted.finish_ns = 1
MUTED = _muted


cdef inline Span get_current():
    cdef PyObject* found
    PyContextVar_Get(_current, <PyObject*>None, &found)
    span = <object>found
    Py_DECREF(span)  # the variable's reference was new, and so is ours
    return <Span>span if span is not None else None


cdef inline object set_current(Span span):
    """Make *span* current; returns the token of the change."""
    return monkit_set(_current, <PyObject*>span)


cdef Span begin(FuncCore func, tuple args, Trace trace, object remote_parent):
    """Start a span of *func* and make it current; of *trace*, if one is given, as its root."""
    cdef Span outer = get_current()
    cdef Span parent = None
    cdef LiveCore live
    cdef Edge edge
    cdef Span span = Span.__new__(Span)
    if outer is _muted:
        return unseen(span, func, args, trace)
    if trace is None and outer is not None:
        parent = outer
        trace = outer.trace
        edge = func._edge(outer.func)
    else:
        if trace is None:
            trace = Trace.__new__(Trace, <LiveCore>func.live)
        edge = func._edge(None)
    span.func = func
    span.trace = trace
    span.parent = parent
    span.outer = outer
    span.args = args
    span._id = (monkit_mix(&_mixer) >> 1) or 1
    if parent is not None:
        span._has_parent = True
        span._parent_id = parent._id
    else:
        span._remote_parent = remote_parent
    span._token = set_current(span)
    span.thread_id = PyThread_get_thread_ident()
    live = trace.live
    span.start_ns = monkit_now()
    # Neither Python code nor another thread runs up to the next comment.
    func.current += 1
    if func.current > func.highwater:
        func.highwater = func.current
    edge.count += 1
    trace.span_count += 1
    if parent is None:
        link(&live._roots, span)
    elif parent.finish_ns:
        span.orphaned = True
        link(&live._orphans, span)
    else:
        link(&parent._children, span)
    # Registered.
    if parent is None and live.trace_callbacks and not trace.announced:
        trace.announced = True
        try:
            live.trace_started(trace)
        except RecursionError:
            pass  # hardly any stack is left for it, which is the program's doing: it misses this one; so below
    if trace.observers or func.observers:
        try:
            live.span_started(span)
        except RecursionError:
            pass
    return span


cdef Span unseen(Span span, FuncCore func, tuple args, Trace trace):
    """What a call gets where nothing is counted: a span of its own that has ended already and is current nowhere."""
    span.func = func
    span.trace = Trace.__new__(Trace, <LiveCore>func.live) if trace is None else trace
    span.args = args
    span._id = (monkit_mix(&_mixer) >> 1) or 1
    span.thread_id = PyThread_get_thread_ident()
    span.start_ns = span.finish_ns = monkit_now()
    return span


cdef int end(Span span, object error) except -1:
    """End *span*, which raised *error* or returned; a second time does nothing."""
    cdef int64_t now
    cdef FuncCore func = span.func
    cdef Trace trace = span.trace
    cdef LiveCore live = trace.live
    cdef Span child
    if span.finish_ns:
        return 0
    now = monkit_now()
    span.finish_ns = now
    func.current -= 1
    trace.span_count -= 1
    if error is None or not failed(span, error, now):
        error = None
        func.success_times._observe_whole(now - span.start_ns)
    while span._children.first != NULL:
        child = <Span>span._children.first
        unlink(child)
        child.orphaned = True
        link(&live._orphans, child)
    unlink(span)
    restore(span)
    span.parent = None
    if live.recent is not None:
        leave_record(span, live)
    if trace.observers or func.observers:
        try:
            live.span_finished(span, error)
        except RecursionError:
            pass
    return 0


cdef bint failed(Span span, object error, int64_t now) except -1:
    """Count how *span* failed; false if ending by *error* is a success."""
    try:
        if is_success(error):
            return False
        name = error_name(error)
        panicked = is_panic(error)
    except RecursionError:  # hardly any stack is left, most likely the error is just that
        name = type(error).__name__
        panicked = False
    span.error_name = name
    span.panicked = panicked
    span.func.failed(None if panicked else name, now - span.start_ns)
    return True


cdef int restore(Span span) except -1:
    """Make current again what was so before *span*, if *span* is current here."""
    cdef Span current = get_current()
    while current is not None and current is not span and current.finish_ns:
        current = current.outer  # it ended in another context, where nobody could put this one right
    token, span._token = span._token, None
    if current is span:
        if token is None or not monkit_undo(_current, <PyObject*>token):
            set_current(span.outer)
    else:
        # Blocks ended in another order than they began: let what stands inside restore past this one.
        while current is not None and current.outer is not span:
            current = current.outer
        if current is not None:
            current.outer = span.outer
            current._token = None  # which would bring *span* back
    if span.outer is not None and span.outer.finish_ns:
        span.outer = None  # otherwise a chain of tasks that each start the next would keep every span alive
    return 0


cdef inline int latency_class(int64_t duration_ns) noexcept:
    cdef int64_t bound = 10_000
    cdef int index = 0
    while duration_ns >= bound and index < LATENCY_CLASSES - 1:
        bound *= 10
        index += 1
    return index


cdef int leave_record(Span span, LiveCore live) except -1:
    """Leave a record in the trace; bring the tree below *span* to the store if it is time for one."""
    cdef FuncCore func = span.func
    cdef Trace trace = span.trace
    cdef Record* record
    cdef int latency = 0
    cdef bint is_due
    cdef bint is_last = trace.span_count == 0
    if span.error_name is None:
        latency = latency_class(span.finish_ns - span.start_ns)
        is_due = span.finish_ns >= func._due_ns[latency]
    else:
        is_due = span.finish_ns >= <int64_t>func._error_due_ns.get(span.error_name, 0)
    if is_last and not is_due and trace._records == NULL:
        return 0  # nobody would ever see it
    if trace._size == trace._room and trace._room < MOST_RECORDS:
        if trace._room < LEAST_RECORDS or live.buffered < MOST_BUFFERED:
            make_room(trace)
    if trace._size == MOST_RECORDS or (trace._size >= LEAST_RECORDS and live.buffered >= MOST_BUFFERED):
        oldest = trace._records[trace._first]
        trace._first = (trace._first + 1) % trace._room
        trace._size -= 1
        trace.records_dropped += 1
        drop(&oldest)
    else:
        live.buffered += 1
    record = &trace._records[(trace._first + trace._size) % trace._room]
    record.func = <PyObject*>func
    record.remote_parent = <PyObject*>span._remote_parent if span._remote_parent is not None else NULL
    record.error_name = <PyObject*>span.error_name if span.error_name is not None else NULL
    record.args = <PyObject*>span.args if span.args else NULL
    record.annotations = <PyObject*>span._annotations if span._annotations else NULL
    record.id = span._id
    record.parent_id = span._parent_id
    record.has_parent = span._has_parent
    record.start_ns = span.start_ns
    record.finish_ns = span.finish_ns
    record.panicked = span.panicked
    record.orphaned = span.orphaned
    keep(record)
    trace._size += 1
    if is_due:
        kind = latency if span.error_name is None else span.error_name
        try:
            live.recent.bring(kind, trace, trace._newest_first(span.start_ns))
        except RecursionError:
            pass
    if is_last:
        trace._drop_records()
    return 0


cdef int make_room(Trace trace) except -1:
    """Let the ring of *trace* hold twice as many records."""
    cdef int room = min(max(trace._room * 2, LEAST_RECORDS), MOST_RECORDS)
    cdef Record* wider = <Record*>malloc(room * sizeof(Record))
    cdef int index
    if wider == NULL:
        raise MemoryError
    for index in range(trace._size):
        wider[index] = trace._records[(trace._first + index) % trace._room]
    free(trace._records)
    trace._records = wider
    trace._room = room
    trace._first = 0
    return 0


def start(FuncCore func, tuple args=(), *, Trace trace=None, parent_id=None):
    """Start a span of *func* and make it current.

    Args:
        func: the function that is called.
        args: recorded arguments.
        trace: makes the span a root of this trace, whatever is current.
        parent_id: of its remote parent, with *trace*.
    """
    return begin(func, args, trace, parent_id if trace is not None else None)


def finish(Span span, error=None):
    """End *span*, which raised *error* or returned; a second time does nothing."""
    end(span, error)


include "native_calls.pxi"
