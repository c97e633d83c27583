"""How a WebDAV server is told who asks."""

from __future__ import annotations

import pytest

from backupd.destination.webdav.login import Login


class TestLogin:
    """RFC 7616's own example, and what servers offer."""

    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
    def test_a_digest_is_preferred_and_has_no_password_in_it(self, algorithm: str) -> None:
        login = Login("Mufasa", "Circle of Life")
        said = f'Digest realm="a \\"b\\"", qop="auth, auth-int", algorithm={algorithm}, nonce="7yp", opaque="FQh"'
        assert login.header("GET", "/") is None
        assert login.challenged(['Basic realm="x"', said])
        header = login.header("GET", "/dir/index.html") or ""
        assert header.startswith('Digest username="Mufasa", realm="a \\"b\\"", nonce="7yp", uri="/dir/index.html"')
        assert "nc=00000001" in header
        assert "nc=00000002" in (login.header("GET", "/") or "")
        assert "Circle" not in header

    def test_a_refused_basic_login_is_not_said_again(self) -> None:
        login = Login("u", "p")
        assert login.challenged(['Basic realm="x"'])
        assert login.header("GET", "/") == "Basic dTpw"
        assert not login.challenged(['Basic realm="x"'])

    @pytest.mark.parametrize(
        "said", ["", "Negotiate", "Bearer x", "Digest realm=x", 'Digest nonce="n", algorithm=MAGIC']
    )
    def test_what_nobody_here_speaks(self, said: str) -> None:
        assert not Login("u", "p").challenged([said])

    def test_several_in_one_header(self) -> None:
        login = Login("u", "p")
        assert login.challenged(['Negotiate, Basic realm="x, Digest y", charset="UTF-8"'])
        assert (login.header("GET", "/") or "").startswith("Basic ")
