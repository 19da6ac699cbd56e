# Values, counters and meters: what `pure.numbers` says of them, compiled. Part of native.pyx.

from monkit_core.convert import LARGEST_WHOLE, SMALLEST_WHOLE

cdef double MOST_SECONDS = 9.2e9  # just below 2**63 nanoseconds


cdef class IntValCore:
    """See `pure.numbers.IntValCore`."""

    cdef readonly object key
    cdef readonly DistributionCore distribution

    def __init__(self, key, DistributionCore distribution):
        self.key = key
        self.distribution = distribution

    def observe(self, value):
        """Take in one number. Never raises."""
        cdef int overflow = 0
        cdef long long number
        if type(value) is int:
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
            if not overflow:
                self.distribution._observe_whole(number)
                return
        self.convert(value)


cdef class FloatValCore:
    """See `pure.numbers.FloatValCore`."""

    cdef readonly object key
    cdef readonly DistributionCore distribution

    def __init__(self, key, DistributionCore distribution):
        self.key = key
        self.distribution = distribution

    def observe(self, value):
        """Take in one number. Never raises."""
        if type(value) is float and isfinite(<double>value):
            self.distribution._observe_real(<double>value)
        else:
            self.convert(value)


cdef class DurationValCore:
    """See `pure.numbers.DurationValCore`."""

    cdef readonly object key
    cdef readonly DistributionCore distribution

    def __init__(self, key, DistributionCore distribution):
        self.key = key
        self.distribution = distribution

    def observe(self, value):
        """Take in one duration: seconds as a float, or a `timedelta`. Never raises."""
        cdef double seconds
        if type(value) is float:
            seconds = <double>value
            if -MOST_SECONDS < seconds < MOST_SECONDS:
                self.distribution._observe_whole(<int64_t>rint(seconds * 1e9))  # half to even, as round() does
                return
        self.convert(value)


cdef class CounterCore:
    """See `pure.numbers.CounterCore`. Beyond 64 bits, or with a number of another kind, it counts as that does."""

    cdef int64_t _number, _highest, _lowest
    cdef bint _used
    cdef object _large  # value, highest, lowest once they no longer fit, else None

    cdef object _set(self, value):
        if type(value) is int and SMALLEST_WHOLE <= value <= LARGEST_WHOLE and self._large is None:
            self._number = value
            self._stretch()
        else:
            self._set_large(value)

    cdef inline void _stretch(self) noexcept:
        if not self._used:
            self._used = True
            self._highest = self._lowest = self._number
        elif self._number > self._highest:
            self._highest = self._number
        elif self._number < self._lowest:
            self._lowest = self._number

    cdef object _set_large(self, value):
        highest, lowest = self.highest, self.lowest
        self._large = (
            value,
            value if highest is None or value > highest else highest,
            value if lowest is None or value < lowest else lowest,
        )

    def set(self, value):
        """Make it *value*; returns what it was."""
        before = self.value
        self._set(value)
        return before

    def inc(self, amount=1):
        """Add *amount*; returns the new value."""
        cdef int overflow = 0
        cdef int64_t number
        if type(amount) is int and self._large is None:
            number = PyLong_AsLongLongAndOverflow(amount, &overflow)
            if not overflow and not (
                (number > 0 and self._number > INT64_MAX - number) or (number < 0 and self._number < INT64_MIN - number)
            ):
                self._number += number
                self._stretch()
                return self._number
        self._set(self.value + amount)
        return self.value

    def dec(self, amount=1):
        """Take *amount* away; returns the new value."""
        return self.inc(-amount)

    @property
    def value(self):
        """The number now."""
        return self._number if self._large is None else self._large[0]

    @property
    def highest(self):
        """The highest it was, ``None`` before the first use."""
        if self._large is not None:
            return self._large[1]
        return self._highest if self._used else None

    @property
    def lowest(self):
        """The lowest it was, ``None`` before the first use."""
        if self._large is not None:
            return self._large[2]
        return self._lowest if self._used else None

    def clear(self):
        """Start anew."""
        self._number = 0
        self._used = False
        self._large = None


cdef class MeterCore:
    """See `pure.numbers.MeterCore`."""

    cdef readonly object clock
    cdef public object count
    cdef public int64_t closes_ns
    cdef bint _own_clock

    def __init__(self, clock):
        self.clock = clock
        self.count = 0
        self._own_clock = clock is monotonic_ns

    def mark(self, amount=1):
        """Count *amount* now."""
        cdef int64_t now = monkit_now() if self._own_clock else self.clock()
        if now > self.closes_ns:
            self.advance(now)
        self.count = self.count + amount
