/* What the compiled engine needs of C: a clock, a mixer for ids, and slots that Cython has no words for. */

#ifndef MONKIT_NATIVE_H
#define MONKIT_NATIVE_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if PY_VERSION_HEX >= 0x030D0000

static inline int64_t monkit_now(void) {
    PyTime_t now;
    (void)PyTime_PerfCounterRaw(&now);
    return now;
}

#elif defined(_WIN32)

#include <windows.h>

static inline int64_t monkit_now(void) {
    static int64_t frequency;
    LARGE_INTEGER ticks;
    if (!frequency) {
        QueryPerformanceFrequency(&ticks);
        frequency = ticks.QuadPart;
    }
    QueryPerformanceCounter(&ticks);
    return ticks.QuadPart / frequency * 1000000000 + ticks.QuadPart % frequency * 1000000000 / frequency;
}

#else

#include <time.h>

static inline int64_t monkit_now(void) { /* the clock of time.perf_counter_ns */
    struct timespec now;
#ifdef __APPLE__
    clock_gettime(CLOCK_UPTIME_RAW, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif

/* SplitMix64: every state gives another number. */
static inline uint64_t monkit_mix(uint64_t *state) {
    uint64_t mixed = (*state += UINT64_C(0x9E3779B97F4A7C15));
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

static inline uint64_t monkit_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Up to 3.11 the collector may run inside of PyContextVar_Set. If a finaliser then sets a variable, the table that
   the outer call still reads is freed. So the collector waits until the variable is set. */
#if PY_VERSION_HEX < 0x030C0000
#define MONKIT_UNCOLLECTED(statement) \
    do { \
        int collecting = PyGC_Disable(); \
        statement; \
        if (collecting) { \
            PyGC_Enable(); \
        } \
    } while (0)
#else
#define MONKIT_UNCOLLECTED(statement) statement
#endif

static inline PyObject *monkit_set(PyObject *variable, PyObject *value) {
    PyObject *token;
    MONKIT_UNCOLLECTED(token = PyContextVar_Set(variable, value));
    return token;
}

/* Undo a set, which costs less than another set; false if that cannot be, because the context is another one. */
static inline int monkit_undo(PyObject *variable, PyObject *token) {
    int outcome;
    MONKIT_UNCOLLECTED(outcome = PyContextVar_Reset(variable, token));
    if (outcome < 0) {
        PyErr_Clear();
    }
    return outcome == 0;
}

/* The exception that is set, normalised, with its traceback; it is no longer set then. */
static inline PyObject *monkit_take_error(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_XDECREF(type);
    return value;
#endif
}

/* Set it again; steals the reference. */
static inline void monkit_raise(PyObject *error) {
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    PyObject *type = (PyObject *)Py_TYPE(error);
    Py_INCREF(type);
    PyErr_Restore(type, error, PyException_GetTraceback(error));
#endif
}

/* The outcome of a step as a call of an iterator tells it: a value, or an exception. Steals both references.
   The end without a value needs no exception where the interpreter asks for the next value (not *strict*). */
static inline PyObject *monkit_tell(PySendResult how, PyObject *result, PyObject *error, int strict) {
    if (how == PYGEN_ERROR) {
        monkit_raise(error);
        return NULL;
    }
    if (how == PYGEN_RETURN) {
        if (result != Py_None) {
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
            if (stop != NULL) {
                PyErr_SetObject(PyExc_StopIteration, stop);
                Py_DECREF(stop);
            }
        } else if (strict) {
            PyErr_SetNone(PyExc_StopIteration);
        }
        Py_DECREF(result);
        return NULL;
    }
    return result;
}

/* Calls of objects of *type* go to the function pointer at *offset* of each. */
static inline void monkit_make_vectorcall(PyTypeObject *type, Py_ssize_t offset) {
    type->tp_vectorcall_offset = offset;
    type->tp_call = PyVectorcall_Call;
    type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
    PyType_Modified(type);
}

typedef PySendResult (*monkit_sender)(PyObject *, PyObject *, PyObject **);
typedef PyObject *(*monkit_next)(PyObject *);
typedef PyObject *(*monkit_method)(PyObject *, PyObject *);

/* Let objects of *type* be driven as generators and coroutines are, by the interpreter and by hand. */
static int monkit_make_steps(PyTypeObject *type, monkit_sender step, monkit_next next, monkit_method send,
                             monkit_method throw_, monkit_method close) {
    static PyMethodDef methods[3] = {
        {"send", NULL, METH_O, "send(value) -> take a step with a value."},
        {"throw", NULL, METH_VARARGS, "throw(exception) -> raise an exception where it waits."},
        {"close", NULL, METH_NOARGS, "close() -> end it where it waits."},
    };
    static PyAsyncMethods async_methods[3];
    static int types = 0;
    PyAsyncMethods *own = &async_methods[types++];
    methods[0].ml_meth = send;
    methods[1].ml_meth = throw_;
    methods[2].ml_meth = close;
    if (type->tp_as_async != NULL) {
        *own = *type->tp_as_async;
    }
    own->am_send = step;
    type->tp_as_async = own;
    type->tp_iternext = next;
    for (int index = 0; index < 3; index++) {
        PyObject *method = PyDescr_NewMethod(type, &methods[index]);
        if (method == NULL || PyDict_SetItemString(type->tp_dict, methods[index].ml_name, method) < 0) {
            return -1;
        }
        Py_DECREF(method);
    }
    PyType_Modified(type);
    return 0;
}

/* Let such objects be awaited too, without an attribute that would make coroutines of them, which they are not. */
static void monkit_make_awaitable(PyTypeObject *type) {
    type->tp_as_async->am_await = PyObject_SelfIter;
    PyType_Modified(type);
}

#endif
