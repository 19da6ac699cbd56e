"""See inside a live Python process: metrics, monitored calls, spans.

```python
import monkit_core as monkit

mon = monkit.package()

@mon.task
def work(): ...
```

The package has no dependencies, opens nothing and starts no thread.
``monkit_present`` shows what it knows over HTTP.
"""

from monkit_core import context, environment
from monkit_core.block import Block
from monkit_core.collect import (
    Capture,
    FinishedSpan,
    SpanCollector,
    SpanWaiter,
    collect_spans,
    find_span,
    watch_for_spans,
)
from monkit_core.distribution import Distribution, Summary
from monkit_core.func import Func
from monkit_core.meters import Counter, DiffMeter, Gauge, Meter, RunningTimer, Timer
from monkit_core.registry import Registry, default_registry, package, scope
from monkit_core.scope import Scope
from monkit_core.series import SeriesKey, Stat, StatSource
from monkit_core.span import Span, SpanObserver, Trace, current_span, without_span
from monkit_core.task import Task
from monkit_core.values import BoolVal, DurationVal, FloatVal, IntVal

__all__ = [
    "Block",
    "BoolVal",
    "Capture",
    "Counter",
    "DiffMeter",
    "Distribution",
    "DurationVal",
    "FinishedSpan",
    "FloatVal",
    "Func",
    "Gauge",
    "IntVal",
    "Meter",
    "Registry",
    "RunningTimer",
    "Scope",
    "SeriesKey",
    "Span",
    "SpanCollector",
    "SpanObserver",
    "SpanWaiter",
    "Stat",
    "StatSource",
    "Summary",
    "Task",
    "Timer",
    "Trace",
    "collect_spans",
    "context",
    "current_span",
    "default_registry",
    "environment",
    "find_span",
    "package",
    "scope",
    "watch_for_spans",
    "without_span",
]

__version__ = "0.1.0"
