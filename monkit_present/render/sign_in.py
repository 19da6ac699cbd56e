"""The page where a browser exchanges a one-time code for a session."""

from __future__ import annotations

from monkit_present.render.assets import source_hash, static_text

__all__ = ["CONTENT_SECURITY_POLICY", "render"]

_STYLE = static_text("index.css")
_SCRIPT = static_text("sign_in.js")

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {source_hash(_STYLE)}; script-src {source_hash(_SCRIPT)}; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""The policy to serve it with."""

_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign in: monkit</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<h1>Sign in</h1>
<p id="said" role="status">Signing in…</p>
<noscript><p>This page needs scripts. Without them, send the token in an Authorization header.</p></noscript>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def render() -> str:
    """The page, the same for everybody."""
    return _PAGE
