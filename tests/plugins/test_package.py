"""The package of plug-ins: what is missing is named, what is not asked for is not imported."""

from __future__ import annotations

from tests.helpers import run_python


def test_package_and_the_plug_ins_without_a_library_import_no_library() -> None:
    program = (
        "import sys\n"
        "import monkit_plugins.asgi\n"
        "print(sorted({'httpx', 'starlette', 'uvicorn', 'anyio'} & sys.modules.keys()))\n"
    )
    assert run_python("-c", program) == "[]"


def test_missing_library_is_named_with_the_command_that_installs_it() -> None:
    program = (
        "import sys\n"
        "sys.modules['httpx'] = None\n"
        "import monkit_plugins, monkit_plugins.asgi\n"
        "try:\n"
        "    import monkit_plugins.httpx\n"
        "except ModuleNotFoundError as problem:\n"
        "    print(problem.name, problem, sep=': ')\n"
    )
    assert run_python("-c", program) == (
        "httpx: monkit_plugins.httpx needs httpx; install it with: pip install 'monkit-py[httpx]'"
    )


def test_fault_inside_the_library_is_not_taken_for_its_absence() -> None:
    program = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'httpx':\n"
        "            raise ModuleNotFoundError('No module named anyio', name='anyio')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "try:\n"
        "    import monkit_plugins.httpx\n"
        "except ModuleNotFoundError as problem:\n"
        "    print(problem.name)\n"
    )
    assert run_python("-c", program) == "anyio"
