"""Field compression for HTTP/2 (RFC 7541), written for the server's side.

`Decoder` and `Encoder` keep one direction's dynamic table of one connection. Blocks have to
be decoded, and encoded ones sent, in order and without a gap: the tables of both ends stay
alike only so. Nothing here does I/O or knows frames.
"""

from granian_core.http2.hpack.decoder import Decoder
from granian_core.http2.hpack.encoder import Encoder
from granian_core.http2.hpack.errors import FieldSectionBombError, HPACKError
from granian_core.http2.hpack.tables import NeverIndexed

__all__ = ["Decoder", "Encoder", "FieldSectionBombError", "HPACKError", "NeverIndexed"]
