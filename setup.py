"""Builds the compiled engine, which is optional.

Where it cannot be compiled the package installs without it, and with
``MONKIT_PURE=1`` it is left out, which makes the wheel one for every machine.
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

NATIVE = Extension(
    "monkit_core.engine.native",
    ["monkit_core/engine/native.pyx"],
    depends=["monkit_core/engine/native.h", *glob("monkit_core/engine/native_*.pxi")],
    include_dirs=["monkit_core/engine"],
    extra_compile_args=[] if os.name == "nt" else ["-g0"],  # 2 MB of what nobody would look at
)


def extensions() -> list[Extension]:
    """The compiled engine, unless it is to be left out."""
    if os.environ.get("MONKIT_PURE"):
        return []
    made: list[Extension] = cythonize([NATIVE], build_dir="build/cython")
    for extension in made:
        extension.optional = True  # said here, because cythonize does not pass it on
    return made


setup(ext_modules=extensions())
