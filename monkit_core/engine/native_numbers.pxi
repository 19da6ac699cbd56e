# Distributions: what `pure.numbers` says, compiled. Part of native.pyx.

from libc.math cimport fmax, fmin

from monkit_core.engine.figures import work_out

cdef enum:
    RESERVOIR_SIZE = 64
    WINDOW = 1024
    BINS = 32
    AVERAGES = 6  # figures before the quantiles: sum, low, high, recent, two averages
    MOST_QUANTILES = 16  # of each kind, beyond which they are worked out in Python

include "native_figures.pxi"


cdef struct Octave:
    uint16_t[BINS] bins
    uint64_t* carried  # how often each bin ran over, NULL as long as none did: most functions need no more than the bins


cdef double middle_of(int octave, int position) noexcept:
    """The middle of a bin."""
    cdef double middle = ldexp((position + BINS + 0.5) / (2 * BINS), (octave if octave > 0 else -octave) - 64)
    return middle if octave > 0 else -middle


cdef class DistributionCore:
    """See `pure.numbers.DistributionCore`; every value is worked in at once.

    The histogram has a page of 32 bins for each octave that was hit: 1 to 128
    are positive ones, -1 to -128 negative ones, in `_octaves` from `_first` on.
    """

    cdef bint _integral
    cdef int64_t _count
    cdef int64_t _whole_sum  # of an integral one, beside what no longer fitted, which is in _more
    cdef object _more
    cdef double _sum
    cdef int64_t* _wholes  # the reservoir, of an integral one
    cdef double* _reals
    cdef int64_t _low, _high, _recent
    cdef double _real_low, _real_high, _real_recent
    cdef Octave** _octaves
    cdef int _first, _size
    cdef uint64_t _zeros

    def __cinit__(self, bint integral, *args, **kwargs):
        self._integral = integral
        self._more = 0

    def __init__(self, bint integral):
        pass

    def __dealloc__(self):
        self._free()

    cdef void _free(self) noexcept:
        cdef int index
        free(self._wholes)
        free(self._reals)
        self._wholes = NULL
        self._reals = NULL
        for index in range(self._size):
            if self._octaves[index] != NULL:
                free(self._octaves[index].carried)
                free(self._octaves[index])
        free(self._octaves)
        self._octaves = NULL
        self._size = 0

    cpdef observe(self, value):
        """Take in one number, finite and of up to 64 bits if it is whole. Never raises and never waits."""
        if self._integral:
            self._observe_whole(value if type(value) is int else int(value))
        else:
            self._observe_real(value)

    cdef int _observe_whole(self, int64_t value) except -1:
        cdef int place
        if self._wholes == NULL:
            self._wholes = <int64_t*>malloc(RESERVOIR_SIZE * sizeof(int64_t))
            if self._wholes == NULL:
                raise MemoryError
        if self._hit(<double>value) < 0:
            raise MemoryError
        if (value >= 0 and self._whole_sum > INT64_MAX - value) or (value < 0 and self._whole_sum < INT64_MIN - value):
            self._more = self._more + self._whole_sum
            self._whole_sum = 0
        self._whole_sum += value
        if self._count == 0 or value < self._low:
            self._low = value
        if self._count == 0 or value > self._high:
            self._high = value
        self._recent = value
        place = self._place()
        if place >= 0:
            self._wholes[place] = value
        self._count += 1
        return 0

    cdef int _observe_real(self, double value) except -1:
        cdef int place
        if self._reals == NULL:
            self._reals = <double*>malloc(RESERVOIR_SIZE * sizeof(double))
            if self._reals == NULL:
                raise MemoryError
        if self._hit(value) < 0:
            raise MemoryError
        self._sum += value
        if self._count == 0 or value < self._real_low:
            self._real_low = value
        if self._count == 0 or value > self._real_high:
            self._real_high = value
        self._real_recent = value
        place = self._place()
        if place >= 0:
            self._reals[place] = value
        self._count += 1
        return 0

    cdef int _place(self) noexcept:
        """Where the next value goes in the reservoir: the first 64 in turn, later ones by lot; -1 is nowhere."""
        cdef uint64_t range_
        cdef uint32_t lot
        if self._count < RESERVOIR_SIZE:
            return <int>self._count
        range_ = <uint64_t>self._count if self._count < WINDOW else WINDOW
        lot = <uint32_t>(((monkit_mix(&_mixer) >> 32) * range_) >> 32)
        return <int>lot if lot < RESERVOIR_SIZE else -1

    cdef int _hit(self, double value) noexcept:
        """Count *value* in its bin; -1 if there is no memory for a page."""
        cdef uint64_t bits = monkit_bits(value)
        cdef int exponent = <int>((bits >> 52) & 0x7FF) - 1022  # the value is a fraction of at least 1/2, times 2**it
        cdef int position = <int>((bits >> 47) & 0x1F)
        cdef int octave
        cdef Octave* page
        if exponent <= -64:
            self._zeros += 1
            return 0
        if exponent > 64:
            exponent, position = 64, BINS - 1
        octave = exponent + 64
        if bits >> 63:
            octave = -octave
        if octave < self._first or octave >= self._first + self._size:
            if self._widen(octave) < 0:
                return -1
        if self._octaves[octave - self._first] == NULL:
            self._octaves[octave - self._first] = <Octave*>calloc(1, sizeof(Octave))
            if self._octaves[octave - self._first] == NULL:
                return -1
        page = self._octaves[octave - self._first]
        page.bins[position] += 1
        if page.bins[position] == 0:
            return self._carry(page, position)
        return 0

    cdef int _carry(self, Octave* page, int position) noexcept:
        """Remember that a bin ran over; -1 if there is no memory for that."""
        if page.carried == NULL:
            page.carried = <uint64_t*>calloc(BINS, sizeof(uint64_t))
            if page.carried == NULL:
                page.bins[position] -= 1
                return -1
        page.carried[position] += 1
        return 0

    cdef int _widen(self, int octave) noexcept:
        """Let the table of pages reach to *octave*."""
        cdef int first = octave if self._size == 0 or octave < self._first else self._first
        cdef int last = octave if self._size == 0 or octave >= self._first + self._size else self._first + self._size - 1
        cdef Octave** wider = <Octave**>calloc(last - first + 1, sizeof(Octave*))
        if wider == NULL:
            return -1
        if self._size:
            memcpy(wider + (self._first - first), self._octaves, self._size * sizeof(Octave*))
        free(self._octaves)
        self._octaves = wider
        self._first = first
        self._size = last - first + 1
        return 0

    def look(self, lifetime=()):
        """Everything at one moment: count, sum, low, high, recent, the sorted reservoir, *lifetime* quantiles."""
        cdef int size = <int>min(self._count, RESERVOIR_SIZE)
        cdef int index
        # Nothing below this copy is read again from self: building the answer may run finalisers that observe.
        cdef int64_t[RESERVOIR_SIZE] wholes
        cdef double[RESERVOIR_SIZE] reals
        cdef int64_t count = self._count, whole_sum = self._whole_sum
        cdef int64_t low = self._low, high = self._high, recent = self._recent
        cdef double real_sum = self._sum
        cdef double real_low = self._real_low, real_high = self._real_high, real_recent = self._real_recent
        more = self._more
        if size and self._integral:
            memcpy(wholes, self._wholes, size * sizeof(int64_t))
        elif size:
            memcpy(reals, self._reals, size * sizeof(double))
        quantiles = self._lifetime(lifetime) if lifetime else ()
        if self._integral:
            kept = [wholes[index] for index in range(size)]
            kept.sort()
            return count, more + whole_sum, low, high, recent, kept, quantiles
        kept = [reals[index] for index in range(size)]
        kept.sort()
        if count == 0:
            return 0, 0, 0, 0, 0, kept, quantiles
        return count, real_sum, real_low, real_high, real_recent, kept, quantiles

    def bins(self):
        """Count, sum and low at one moment, and the bins of the histogram; see `pure.numbers.DistributionCore.bins`."""
        cdef int hit = 0, octave, position, step, size = 0
        cdef uint64_t here
        cdef double edge
        cdef double* edges = NULL
        cdef uint64_t* counts = NULL
        cdef int64_t count = self._count, whole_sum = self._whole_sum, low = self._low
        cdef double real_sum = self._sum, real_low = self._real_low
        cdef bint counted_zeros = False
        more = self._more
        size = (self._size + 1) * BINS + 1
        edges = <double*>malloc(size * sizeof(double))
        counts = <uint64_t*>malloc(size * sizeof(uint64_t))
        if edges == NULL or counts == NULL:
            free(edges)
            free(counts)
            raise MemoryError
        # Nothing is read from self once objects are made: building the answer may run finalisers that observe.
        for octave in range(self._first, self._first + self._size + 1):
            if not counted_zeros and (octave > 0 or octave == self._first + self._size):
                counted_zeros = True
                if self._zeros:
                    edges[hit], counts[hit] = 0.0, self._zeros
                    hit += 1
            for step in range(BINS):
                position = step if octave > 0 else BINS - 1 - step
                here = self._bin(octave, position)
                if here:
                    edge = ldexp((position + BINS) / <double>(2 * BINS), (octave if octave > 0 else -octave) - 64)
                    edges[hit], counts[hit] = edge if octave > 0 else -edge, here
                    hit += 1
        try:
            found = [(edges[step], counts[step]) for step in range(hit)]
        finally:
            free(edges)
            free(counts)
        if self._integral:
            return count, more + whole_sum, low, found
        return count, real_sum if count else 0, real_low if count else 0, found

    cdef list _lifetime(self, wanted):
        """The values that the fractions *wanted* (rising) stay below, by the middles of bins."""
        cdef list found = []
        cdef double fraction, middle
        for fraction in wanted:
            self._walk(&fraction, &middle, 1)
            found.append(middle)
        return found

    def figures(self, fractions=(), lifetime=(), scale=None):
        """See `pure.numbers.DistributionCore.figures`."""
        cdef double[MOST_QUANTILES] wanted
        cdef double[MOST_QUANTILES] wanted_of_all
        cdef int amount = taken(fractions, wanted), amount_of_all = taken(lifetime, wanted_of_all)
        cdef double divisor = 0.0 if scale is None else scale
        # What is whole and fits a float is worked out here, which most figures are: durations, sizes.
        if (
            self._integral and self._count and self._more == 0 and amount >= 0 and amount_of_all >= 0
            and self._low >= -EXACT and self._high <= EXACT
        ):
            return self._whole_figures(wanted, amount, wanted_of_all, amount_of_all, divisor)
        return work_out(self.look(lifetime), self._integral, fractions, scale)

    cdef tuple _whole_figures(
        self, double* fractions, int amount, double* lifetime, int amount_of_all, double scale
    ):
        """Count and figures, divided by *scale* unless that is 0."""
        cdef int64_t[AVERAGES + 2 * MOST_QUANTILES] found
        cdef int64_t[RESERVOIR_SIZE] kept
        cdef double[MOST_QUANTILES] middles
        cdef int64_t count = self._count, kept_sum = 0
        cdef int size = <int>min(count, RESERVOIR_SIZE), total = AVERAGES + amount + amount_of_all, index
        memcpy(kept, self._wholes, size * sizeof(int64_t))
        sort(kept, size)
        for index in range(size):
            kept_sum += kept[index]
        found[0], found[1], found[2], found[3] = self._whole_sum, self._low, self._high, self._recent
        for index in range(amount):
            found[AVERAGES + index] = quantile(kept, size, fractions[index])
        self._walk(lifetime, middles, amount_of_all)
        for index in range(amount_of_all):
            found[AVERAGES + amount + index] = <int64_t>fmin(fmax(middles[index], <double>found[1]), <double>found[2])
        # From here on objects are made, and nothing is read from self.
        found[4], found[5] = average(found[0], count), average(kept_sum, size)
        return as_tuple(count, found, total, scale)

    cdef uint64_t _bin(self, int octave, int position) noexcept:
        """How many values a bin has."""
        cdef Octave* page
        if octave < self._first or octave >= self._first + self._size:
            return 0
        page = self._octaves[octave - self._first]
        if page == NULL:
            return 0
        return page.bins[position] + (page.carried[position] << 16 if page.carried != NULL else 0)

    cdef void _walk(self, double* fractions, double* found, int amount) noexcept:
        cdef int64_t passed = 0
        cdef int done = 0
        cdef int octave, position, step
        cdef uint64_t here
        cdef bint counted_zeros = self._zeros == 0
        for octave in range(self._first, self._first + self._size + 1):
            if not counted_zeros and (octave > 0 or octave == self._first + self._size):
                counted_zeros = True
                passed += self._zeros
                while done < amount and fractions[done] * (self._count - 1) < passed:
                    found[done] = 0.0
                    done += 1
            for step in range(BINS):
                position = step if octave > 0 else BINS - 1 - step
                here = self._bin(octave, position)
                if here:
                    passed += here
                    while done < amount and fractions[done] * (self._count - 1) < passed:
                        found[done] = middle_of(octave, position)
                        done += 1
        while done < amount:
            found[done] = 0.0
            done += 1

    def reset(self):
        """Forget all observations."""
        self._free()
        self._count = self._whole_sum = self._low = self._high = self._recent = 0
        self._zeros = 0
        self._sum = self._real_low = self._real_high = self._real_recent = 0
        self._more = 0
