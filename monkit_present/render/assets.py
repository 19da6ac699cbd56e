"""Assets: the constant texts that pages carry inside, and how a policy allows them."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

__all__ = ["source_hash", "static_text"]


def static_text(name: str) -> str:
    """A file of ``static/``."""
    return (files("monkit_present") / "static" / name).read_text("utf-8")


def source_hash(text: str) -> str:
    """The source expression by which a content security policy allows an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
