# Figures of whole numbers that floats stand for exactly: what `figures.py` says, compiled. Part of native.pyx.

from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.math cimport isnan

cdef int64_t EXACT = 1 << 53  # up to here they do


cdef int taken(wanted, double* fractions) except -2:
    """Copy fractions; how many there are, -1 if they are too many or one is no number."""
    cdef int amount = 0
    for fraction in wanted:
        if amount == MOST_QUANTILES:
            return -1
        fractions[amount] = fraction
        if isnan(fractions[amount]):
            return -1
        amount += 1
    return amount


cdef void sort(int64_t* values, int size) noexcept:
    cdef int index, place
    cdef int64_t value
    for index in range(1, size):
        value = values[index]
        place = index
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


cdef int64_t quantile(int64_t* kept, int size, double fraction) noexcept:
    # Volatile: two roundings where a processor could do with one, since Python has two.
    cdef volatile double position, beyond
    cdef int index
    if fraction <= 0:
        return kept[0]
    if fraction >= 1:
        return kept[size - 1]
    position = fraction * (size - 1)
    index = <int>position
    beyond = (position - index) * <double>(kept[min(index + 1, size - 1)] - kept[index])
    return <int64_t>(<double>kept[index] + beyond)


cdef int64_t average(int64_t total, int64_t count) except? -1:
    if -EXACT <= total <= EXACT:
        return <int64_t>(<double>total / <double>count)
    return int(<object>total / <object>count)  # rounded once


cdef tuple as_tuple(int64_t count, int64_t* figures, int amount, double scale):
    cdef tuple made = PyTuple_New(amount + 1)
    cdef object item = count
    cdef int index
    Py_INCREF(item)
    PyTuple_SET_ITEM(made, 0, item)
    for index in range(amount):
        if scale == 0:
            item = figures[index]
        else:
            item = <double>figures[index] / scale
        Py_INCREF(item)
        PyTuple_SET_ITEM(made, index + 1, item)
    return made
