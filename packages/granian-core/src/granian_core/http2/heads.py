"""Field blocks to request heads, for the fast engine; a head that comes again is known.

Clients repeat themselves. As long as the decoder's table stays as it is, the same bytes decode
to the same fields, and those have the same verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from granian_core.http2.contract import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ConnectionFault
from granian_core.http2.fields import MAX_COOKIE_CRUMBS, Request, read_request
from granian_core.http2.hpack import Decoder, FieldSectionBombError, HPACKError, NeverIndexed

if TYPE_CHECKING:
    from granian_core.settings import HTTP2Settings
    from granian_core.stream import Fields

MAX_HEADS: Final = 16
"""Judged request heads of one connection that are remembered."""
MAX_HEAD_SIZE: Final = 512
"""Bytes of the largest field block among them."""


class HeadReader:
    """The receiving side of field compression, and what it has read.

    Args:
        settings: For limits that are answered with 431.
        list_limit: Bytes of a field section, as RFC 9113 6.5.2 counts them, that are decoded.
        extended_connect: As for `read_request`.
    """

    __slots__ = ("_decoder", "_extended_connect", "_generation", "_heads", "_limit", "_settings")

    def __init__(self, settings: HTTP2Settings, list_limit: int, extended_connect: bool) -> None:
        self._settings = settings
        self._extended_connect = extended_connect
        self._limit = settings.max_fields + MAX_COOKIE_CRUMBS + 8
        self._decoder = Decoder(
            max_list_bytes=list_limit, max_fields=self._limit, max_cookies=self._limit
        )
        # By field block, for one generation of the decoder's table.
        self._heads: dict[bytes, tuple[Request, Fields]] = {}
        self._generation = 0

    def known(self, block: bytes) -> Request | None:
        """Return the head of a request without content, if it was read before."""
        if self._generation != self._decoder.generation:
            return None
        known = self._heads.get(block)
        if known is None:
            return None
        # Whoever got it before keeps the list of headers that it was given.
        request, headers = known
        request.headers = headers.copy()
        return request

    def decode(self, block: bytes) -> Fields:
        """Decode a block. Every one has to be: the compression state needs it.

        Raises:
            ConnectionFault: It is invalid, or too large.
        """
        try:
            fields = self._decoder.decode(block)
        except FieldSectionBombError:
            fields = None
        except HPACKError as exc:
            raise ConnectionFault(COMPRESSION_ERROR, str(exc)) from exc
        if fields is None or len(fields) > self._limit:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "field section too large")
        return fields

    def judge(self, block: bytes, fields: Fields, ended: bool) -> Request:
        """Judge a decoded head, and remember it for when the same bytes come again.

        Not one with a never-indexed field, which asks to be kept nowhere.

        Raises:
            StreamFault: It is malformed.
        """
        request = read_request(fields, ended, self._settings, self._extended_connect)
        heads = self._heads
        generation = self._decoder.generation
        if self._generation != generation or len(heads) >= MAX_HEADS:
            heads.clear()
            self._generation = generation
        if (
            ended
            and len(block) <= MAX_HEAD_SIZE
            and not request.status
            and NeverIndexed not in map(type, fields)
        ):
            heads[block] = (request, request.headers.copy())
        return request
