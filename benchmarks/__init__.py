"""What monitoring costs, measured beside what others cost.

``python -m benchmarks`` measures every engine there is, prints tables and
rewrites ``results.json``, the tables of ``docs/explanation/overhead.md`` and its
plot. ``python -m benchmarks --check`` holds the bars.

Each group of figures is taken in a process of its own (`benchmarks.worker`).
Only the public interface of the packages is measured.
"""
