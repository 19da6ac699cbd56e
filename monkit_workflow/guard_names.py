"""The names that workflow code may not call, who may all the same, and what to use instead.

Data only: `monkit_workflow.guard` puts wrappers in their place,
`monkit_workflow.inspection` looks for them in code.

Not in the table, on purpose: ``print``, which a replay may repeat without harm
and people debug with; ``os.environ`` and ``os.getenv``, which too many
libraries read at any moment, and which hold configuration that is the same for
every replay on a worker; ``random.Random(seed)``, which is as deterministic as
its seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DATETIME_METHODS", "DATETIME_RULE", "NAMES", "Name", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Why a group of names is refused.

    ``spares`` says whose calls go through: ``libraries`` are the standard
    library, installed packages and monkit itself (logging reads clocks);
    ``readers`` are the same, as long as a file is only read (tracebacks,
    imports, time zones); ``nobody`` is nobody.
    """

    spares: Literal["libraries", "readers", "nobody"]
    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class Name:
    """One patched name.

    ``path`` is what follows the module, with a class before its method;
    ``shown`` is how users know it. A call that gives the positional argument
    number ``harmless``, counted with ``self``, depends on nothing else and is
    let through. ``bare`` functions take no argument at all, which makes their
    wrappers cheaper.
    """

    module: str
    path: str
    rule: Rule
    shown: str
    harmless: int | None = None
    bare: bool = False

    @property
    def is_method(self) -> bool:
        """Whether a class holds it: the class itself is never replaced, so that it stays what it is for everybody."""
        return "." in self.path


_ACTIVITY = "or move the call into an activity"
_CLOCK = Rule("libraries", "a replay would get another value", f"use workflow.now(), {_ACTIVITY}")
_CHANCE = Rule("libraries", "a replay would get another value", f"use workflow.random(), {_ACTIVITY}")
_IDENTIFIER = Rule("libraries", "a replay would get another value", f"use workflow.uuid4(), {_ACTIVITY}")
_SLEEP = Rule("nobody", "it would hold up the worker, and again in every replay", "use `await workflow.sleep(...)`")
_INPUT = Rule("libraries", "a replay would ask again", f"wait for a signal, {_ACTIVITY}")
_FILE = Rule(
    "readers",
    "a replay would find other contents or write again",
    "move the call into an activity, or use workflow.side_effect(...)",
)
_NETWORK = Rule("nobody", "a replay would connect again", "move the call into an activity")
_THREAD = Rule(
    "nobody",
    "what it does is outside the order that a replay follows",
    "use tasks of asyncio, or move the call into an activity",
)
_ORDER = Rule(
    "nobody", "it begins coroutines in an order that differs from replay to replay", "use workflow.as_completed(...)"
)
_PROCESS = Rule("nobody", "a replay would start it again", "move the call into an activity")

DATETIME_RULE = _CLOCK
"""The rule for what `DATETIME_METHODS` lists."""

DATETIME_METHODS = {"datetime": ("now", "utcnow", "today"), "date": ("today",)}
"""Methods of classes of `datetime` that read the clock: written in C, so they can be found in code but not patched."""


def _names(module: str, rule: Rule, paths: str, *, harmless: int | None = None, bare: bool = False) -> tuple[Name, ...]:
    return tuple(Name(module, path, rule, f"{module}.{path}", harmless, bare) for path in paths.split())


def _method(module: str, path: str, rule: Rule, shown: str, harmless: int | None = None) -> tuple[Name, ...]:
    return (Name(module, path, rule, shown, harmless),)


NAMES: tuple[Name, ...] = (
    *_names(
        "time",
        _CLOCK,
        "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns"
        " process_time process_time_ns thread_time thread_time_ns",
        bare=True,
    ),
    *_names("time", _CLOCK, "clock_gettime clock_gettime_ns"),
    *_names("time", _CLOCK, "localtime gmtime ctime asctime", harmless=0),
    *_names("time", _CLOCK, "strftime", harmless=1),
    *_names("time", _SLEEP, "sleep"),
    *_names(
        "random",
        _CHANCE,
        "random uniform randint choice choices randrange sample shuffle getrandbits randbytes seed triangular gauss"
        " normalvariate lognormvariate expovariate vonmisesvariate gammavariate betavariate paretovariate"
        " weibullvariate binomialvariate",
    ),
    *_method("random", "Random.__init__", _CHANCE, "random.Random", harmless=1),
    *_names("os", _CHANCE, "urandom getrandom"),
    # What SystemRandom and `secrets` draw from, under the name by which `random` imported it.
    Name("random", "_urandom", _CHANCE, "os.urandom"),
    *_names("uuid", _IDENTIFIER, "uuid1 uuid4"),
    Name("builtins", "open", _FILE, "open"),
    Name("io", "open", _FILE, "open"),
    *_names("os", _FILE, "open"),
    Name("builtins", "input", _INPUT, "input"),
    *_method("socket", "socket.__init__", _NETWORK, "socket.socket"),
    *_method("socket", "socket.connect", _NETWORK, "socket.socket.connect"),
    *_method("socket", "socket.connect_ex", _NETWORK, "socket.socket.connect_ex"),
    *_names("socket", _NETWORK, "getaddrinfo gethostbyname"),
    *_method("threading", "Thread.start", _THREAD, "threading.Thread.start"),
    *_names("_thread", _THREAD, "start_new_thread"),
    *_method("concurrent.futures.thread", "ThreadPoolExecutor.submit", _THREAD, "ThreadPoolExecutor.submit"),
    *_method("concurrent.futures.process", "ProcessPoolExecutor.submit", _PROCESS, "ProcessPoolExecutor.submit"),
    *_method("multiprocessing.process", "BaseProcess.start", _PROCESS, "multiprocessing.Process.start"),
    *_method("subprocess", "Popen.__init__", _PROCESS, "subprocess.Popen"),
    *_names("asyncio", _ORDER, "as_completed"),
    *_names("os", _PROCESS, "system fork forkpty posix_spawn posix_spawnp execv execve"),
)
"""Every patched name. One that this Python or system lacks is passed over."""
