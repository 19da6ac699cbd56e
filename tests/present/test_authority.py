"""Line 4 of the security checklist: what stands in a Host header is read whole or refused."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkit_present.authority import split_authority


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LocalHost:09", "localhost", 9),
        ("a.b-c_d", "a.b-c_d", None),
        ("[::1]:0", "::1", 0),
        ("[0:0:0:0:0:0:0:1]", "::1", None),
        ("[2001:DB8::A]", "2001:db8::a", None),
        ("1.2.3.4:65535", "1.2.3.4", 65535),
    ],
)
def test_authority_is_split(text: str, host: str, port: int | None) -> None:
    assert split_authority(text) == (host, port)


AUTHORITIES = st.text("localhst:@[]./\\%?#,; 0123456789abcdefABCDEF\t\n\0é\u2028", max_size=30) | st.text(max_size=20)


@given(AUTHORITIES)
def test_authority_is_read_whole_or_refused(text: str) -> None:
    try:
        host, port = split_authority(text)
    except ValueError:
        return
    shown = f"[{host}]" if ":" in host else host
    assert split_authority(shown if port is None else f"{shown}:{port}") == (host, port)
    assert host == host.lower()
    assert not set(host) & set("@/\\?#%,; []\t\n\0")
    if not text.startswith("["):
        assert text.lower().startswith(host)
        assert text.lower().removeprefix(host).lstrip(":0") == ("" if not port else str(port))


@given(st.ip_addresses(v=6), st.none() | st.integers(0, 65535))
def test_every_address_of_version_6_has_one_spelling(address: IPv6Address, port: int | None) -> None:
    end = "" if port is None else f":{port}"
    for spelling in (str(address), address.exploded, address.exploded.upper()):
        assert split_authority(f"[{spelling}]{end}") == (str(address), port)
