"""Integrations with other libraries, one module each.

| module | what | needs |
|---|---|---|
| ``monkit_plugins.asgi`` | server spans of an ASGI application | nothing |
| ``monkit_plugins.httpx`` | client spans of httpx | ``pip install 'monkit-py[httpx]'`` |

A module whose library is missing fails on import, with the command that
installs it. Importing this package imports none of them.
"""
