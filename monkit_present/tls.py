"""TLS: the context that a port is served with."""

from __future__ import annotations

import os
import ssl

__all__ = ["CertificateFiles", "server_context"]

CertificateFiles = tuple[str | os.PathLike[str], str | os.PathLike[str]]
"""The file of a certificate (with its chain) and that of its key."""


def server_context(files: CertificateFiles) -> ssl.SSLContext:
    """A context of TLS 1.2 or later that speaks HTTP/1.1.

    Raises:
        OSError: a file cannot be read, is none of its sort, or its key has a pass phrase.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    certificate, key = files
    # The program is not to be asked for a pass phrase on its terminal.
    context.load_cert_chain(certificate, key, password=lambda: "")
    return context
