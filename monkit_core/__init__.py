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

from monkit_core import context, environment, masking
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
from monkit_core.dump import dump, dump_on_exit
from monkit_core.errors import add_error_name_handler
from monkit_core.func import Func
from monkit_core.meters import Counter, DiffMeter, Gauge, Meter, RunningTimer, Timer
from monkit_core.raw import Aggregation, Count, RawVal, Sum
from monkit_core.registry import Registry, default_registry, package, scope
from monkit_core.scope import Scope
from monkit_core.series import SeriesKey, Stat, StatSource
from monkit_core.span import Span, SpanObserver, Trace, current_span, unmonitored, without_span
from monkit_core.structs import IGNORED, StructVal
from monkit_core.task import Task
from monkit_core.transform import DeltaTransformer, Transformer
from monkit_core.values import BoolVal, DurationVal, FloatVal, IntVal

__all__ = [
    "IGNORED",
    "Aggregation",
    "Block",
    "BoolVal",
    "Capture",
    "Count",
    "Counter",
    "DeltaTransformer",
    "DiffMeter",
    "Distribution",
    "DurationVal",
    "FinishedSpan",
    "FloatVal",
    "Func",
    "Gauge",
    "IntVal",
    "Meter",
    "RawVal",
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
    "StructVal",
    "Sum",
    "Summary",
    "Task",
    "Timer",
    "Trace",
    "Transformer",
    "add_error_name_handler",
    "collect_spans",
    "context",
    "current_span",
    "default_registry",
    "dump",
    "dump_on_exit",
    "environment",
    "find_span",
    "masking",
    "package",
    "scope",
    "unmonitored",
    "watch_for_spans",
    "without_span",
]

__version__ = "0.1.0"
