"""Field blocks to request heads, for the fast engine; a head that comes again is known.

Clients repeat themselves. As long as the decoder's table stays as it is, the same bytes decode
to the same fields, and those have the same verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from granian_core.http2.contract import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ConnectionFault
from granian_core.http2.fields import MAX_COOKIE_CRUMBS, Request, read_request
from granian_core.http2.hpack import Decoder, FieldSectionBombError, HPACKError, NeverIndexed

if TYPE_CHECKING:
    from granian_core.settings import HTTP2Settings
    from granian_core.stream import Fields

    Remembered: TypeAlias = dict[bytes, tuple[Request, Fields]]

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

    __slots__ = (
        "_decoder",
        "_extended_connect",
        "_generation",
        "_heads",
        "_limit",
        "_repeatable",
        "_settings",
    )

    def __init__(self, settings: HTTP2Settings, list_limit: int, extended_connect: bool) -> None:
        self._settings = settings
        self._extended_connect = extended_connect
        self._limit = settings.max_fields + MAX_COOKIE_CRUMBS + 8
        self._decoder = Decoder(
            max_list_bytes=list_limit, max_fields=self._limit, max_cookies=self._limit
        )
        # By field block, without and with END_STREAM, for one generation of the table.
        self._heads: tuple[Remembered, Remembered] = ({}, {})
        self._generation = 0
        # Whether the block decoded last left the table as it was.
        self._repeatable = False

    def known(self, block: bytes, ended: int) -> Request | None:
        """Return a head if it was read before.

        Args:
            block: Its field block.
            ended: 1 if the request ends with it, else 0.
        """
        if self._generation != self._decoder.generation:
            return None
        known = self._heads[ended].get(block)
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
        decoder = self._decoder
        generation = decoder.generation
        try:
            fields = decoder.decode(block)
        except FieldSectionBombError:
            fields = None
        except HPACKError as exc:
            raise ConnectionFault(COMPRESSION_ERROR, str(exc)) from exc
        if fields is None or len(fields) > self._limit:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "field section too large")
        self._repeatable = generation == decoder.generation
        return fields

    def judge(self, block: bytes, fields: Fields, ended: int) -> Request:
        """Judge the head decoded last, and remember it for when the same bytes come again.

        Not one that changes the table, which it has to do each time; nor one with a
        never-indexed field, which asks to be kept nowhere.

        Raises:
            StreamFault: It is malformed.
        """
        request = read_request(fields, bool(ended), self._settings, self._extended_connect)
        if not self._repeatable:
            return request
        heads = self._heads[ended]
        generation = self._decoder.generation
        if self._generation != generation or len(heads) >= MAX_HEADS:
            for remembered in self._heads:
                remembered.clear()
            self._generation = generation
        if (
            len(block) <= MAX_HEAD_SIZE
            and not request.status
            and request.protocol is None
            and NeverIndexed not in map(type, fields)
        ):
            heads[block] = (request, request.headers.copy())
        return request
