"""Show a registry over HTTP, on a side port of the program.

```python
import monkit_present

monkit_present.serve(port=9000)
```
"""

try:
    from monkit_present.app import app
    from monkit_present.server import Server, serve
    from monkit_present.tokens import new_token
except ModuleNotFoundError as problem:
    if problem.name is None or problem.name.partition(".")[0] not in {
        "starlette",
        "uvicorn",
        "h11",
        "orjson",
        "graphviz",
    }:
        raise
    raise ModuleNotFoundError(
        f"monkit_present needs {problem.name}; install it with: pip install 'monkit-py[present]'", name=problem.name
    ) from None

__all__ = ["Server", "app", "new_token", "serve"]
