"""An HTTP CONNECT or SOCKS 5 proxy: `python proxy_runner.py http|socks5 PORT`, its login in PROXY_LOGIN.

It alone knows the host store.test, which is this machine; forbidden.test it lets nobody to. What it is asked for stands
on its standard output.
"""

from __future__ import annotations

import asyncio
import os
import sys
from base64 import b64encode
from contextlib import suppress

_KNOWN = {"store.test": "127.0.0.1", "127.0.0.1": "127.0.0.1"}
_LOGIN = os.environ.get("PROXY_LOGIN", "")


class _RefusedError(Exception):
    """By rule."""


async def _reach(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sys.stdout.write(f"asked for {host}:{port}\n")
    sys.stdout.flush()
    if host == "forbidden.test":
        raise _RefusedError
    if host not in _KNOWN:
        raise OSError(f"{host} is not known")
    return await asyncio.open_connection(_KNOWN[host], port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()


async def _join(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter], far: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    await asyncio.gather(_pump(near[0], far[1]), _pump(far[0], near[1]))
    far[1].close()


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    words = head.split(b"\r\n")[0].decode().split()
    expected = "Basic " + b64encode(_LOGIN.encode()).decode()
    if _LOGIN and f"Proxy-Authorization: {expected}\r\n".encode() not in head:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")
        return
    if words[0] != "CONNECT":
        writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
        return
    host, _, port = words[1].rpartition(":")
    try:
        far = await _reach(host, int(port))
    except _RefusedError:
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    except OSError:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    else:
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        await _join((reader, writer), far)


async def _socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    count = (await reader.readexactly(2))[1]
    methods = await reader.readexactly(count)
    wanted = 2 if _LOGIN else 0
    if wanted not in methods:
        writer.write(b"\x05\xff")
        return
    writer.write(bytes([5, wanted]))
    if _LOGIN:
        user = await reader.readexactly((await reader.readexactly(2))[1])
        password = await reader.readexactly((await reader.readexactly(1))[0])
        if f"{user.decode()}:{password.decode()}" != _LOGIN:
            writer.write(b"\x01\x01")
            return
        writer.write(b"\x01\x00")
    kind = (await reader.readexactly(4))[3]
    if kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = ".".join(map(str, await reader.readexactly(4)))
    port = int.from_bytes(await reader.readexactly(2), "big")
    try:
        far = await _reach(host, port)
    except _RefusedError:
        writer.write(b"\x05\x02\x00\x01" + bytes(6))
    except OSError:
        writer.write(b"\x05\x04\x00\x01" + bytes(6))
    else:
        writer.write(b"\x05\x00\x00\x03\x04name\x00\x00")
        await _join((reader, writer), far)


async def _main() -> None:
    talk = _http if sys.argv[1] == "http" else _socks

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, ValueError):
            await talk(reader, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[2]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
