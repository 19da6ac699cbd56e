"""Propagation: the trace of a request to and from the headers that it travels with.

```python
from monkit_core.propagation import extract, inject

with extract(request.headers).receive(mon.func("http GET /users/{id}")) as span:
    headers: dict[str, str] = {}
    inject(headers)                       # the span that is current here becomes the parent over there
```

Formats: W3C Trace Context (level 1) and Baggage, and B3 in one header or in
several. What is read comes from strangers: nothing raises on it, and the cost
is linear in its length.
"""

from monkit_core.propagation.baggage import BaggageMember
from monkit_core.propagation.context import SAMPLED, TraceContext
from monkit_core.propagation.formats import DEFAULT_FORMATS, FORMATS, Format, check_formats, extract, inject

__all__ = [
    "DEFAULT_FORMATS",
    "FORMATS",
    "SAMPLED",
    "BaggageMember",
    "Format",
    "TraceContext",
    "check_formats",
    "extract",
    "inject",
]
