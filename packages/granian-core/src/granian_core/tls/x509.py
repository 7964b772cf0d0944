"""The few facts about a certificate that `ssl` does not tell: whose it is.

Reads DER (X.690) as far as RFC 5280 needs it here. Nothing is verified: what comes in is
our own file, or a certificate that OpenSSL has accepted.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

SEQUENCE = 0x30
_CONTEXT_2 = 0x82  # [2] IMPLICIT IA5String: dNSName
_EXTENSIONS = 0xA3
_VERSION = 0xA0
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17
_COMMON_NAME = bytes.fromhex("550403")  # 2.5.4.3

_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18

_TEXT_CODECS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""String types of a name, by tag."""

_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}
"""RFC 4514 section 3: the attribute types with a short name."""


class DERError(ValueError):
    """The bytes are not what a certificate consists of."""


def host_names(certificate: bytes) -> list[str]:
    """Return the DNS names that a certificate is for, in lower case; wildcards as they are.

    The common name counts only where there is no subjectAltName (RFC 6125 section 6.4.4).

    Args:
        certificate: DER.

    Raises:
        DERError: This is no certificate.
    """
    fields = _fields(certificate)
    for tag, content in fields:
        if tag == _EXTENSIONS:
            value = _extension(content, _SUBJECT_ALT_NAME)
            if value is not None:
                names = _only(value)
                found = [text for kind, text in _items(names) if kind == _CONTEXT_2]
                return [name.decode("latin-1").lower() for name in found]
    common = [value for oid, _, value in _attributes(_subject(fields)) if oid == _COMMON_NAME]
    return [value.decode("utf-8", "replace").lower() for value in common[-1:]]


def subject_name(certificate: bytes) -> str:
    """Return the subject of a certificate as RFC 4514 writes it.

    Args:
        certificate: DER.

    Raises:
        DERError: This is no certificate.
    """
    names = [
        "+".join(_attribute_text(*attribute) for attribute in _attributes_of_set(content))
        for _, content in _items(_subject(_fields(certificate)))
    ]
    return ",".join(reversed(names))


def last_moment(certificate: bytes) -> datetime.datetime:
    """Return when a certificate ends (RFC 5280 section 4.1.2.5), in UTC.

    Args:
        certificate: DER.

    Raises:
        DERError: This is no certificate.
    """
    validity = list(_items(_fields(certificate)[3][1]))
    if len(validity) != 2 or validity[1][0] not in (_UTC_TIME, _GENERALIZED_TIME):
        raise DERError("no validity")
    tag, value = validity[1]
    text = value.decode("ascii", "replace")
    try:
        # UTCTime: 50 to 99 is the last century (strptime has another border, 69).
        century = ("19" if text[:2] >= "50" else "20") if tag == _UTC_TIME else ""
        moment = datetime.datetime.strptime(century + text, "%Y%m%d%H%M%SZ")
    except ValueError as exc:
        raise DERError(f"not a time: {text!r}") from exc
    return moment.replace(tzinfo=datetime.timezone.utc)


def _fields(certificate: bytes) -> list[tuple[int, bytes]]:
    """Return the fields of tbsCertificate, without its version."""
    fields = list(_items(_only(_only(certificate))))
    if fields and fields[0][0] == _VERSION:
        del fields[0]
    if len(fields) < 6:
        raise DERError("too few fields")
    return fields


def _subject(fields: list[tuple[int, bytes]]) -> bytes:
    return fields[4][1]  # serialNumber, signature, issuer, validity, subject


def _extension(content: bytes, wanted: bytes) -> bytes | None:
    for _, extension in _items(_only(content)):
        parts = list(_items(extension))
        if parts and parts[0][1] == wanted:
            return parts[-1][1]
    return None


def _attributes(name: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    for _, content in _items(name):
        yield from _attributes_of_set(content)


def _attributes_of_set(content: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Iterate over (object identifier, tag of the value, value)."""
    for _, pair in _items(content):
        parts = list(_items(pair))
        if len(parts) != 2:
            raise DERError("an attribute is a pair")
        yield parts[0][1], parts[1][0], parts[1][1]


def _attribute_text(oid: bytes, tag: int, value: bytes) -> str:
    dotted = _dotted(oid)
    short, codec = _SHORT_NAMES.get(dotted), _TEXT_CODECS.get(tag)
    if short is None or codec is None:
        # RFC 4514 section 2.4: the encoding itself, where there is no agreed text form.
        return f"{short or dotted}=#{_encode(tag, value).hex()}"
    return f"{short}={_escape(value.decode(codec, 'replace'))}"


def _escape(text: str) -> str:
    """Escape what has a meaning within a name (RFC 4514 section 2.4)."""
    result = ""
    for position, char in enumerate(text):
        edge = position in (0, len(text) - 1)
        if char in '"+,;<>\\' or (char == " " and edge) or (char == "#" and position == 0):
            result += f"\\{char}"
        elif char < " " or char == "\x7f":
            result += f"\\{ord(char):02X}"
        else:
            result += char
    return result


def _dotted(oid: bytes) -> str:
    numbers, number = [], 0
    for byte in oid:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        raise DERError("an empty object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


def _encode(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + value


def _only(data: bytes) -> bytes:
    """Return the content of the one sequence that *data* begins with."""
    for tag, content in _items(data):
        if tag == SEQUENCE:
            return content
        break
    raise DERError("not a sequence")


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over (tag, content) of the values that stand one after another."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise DERError("cut short")
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise DERError("cut short")
        yield tag, data[at : at + size]
        at += size
