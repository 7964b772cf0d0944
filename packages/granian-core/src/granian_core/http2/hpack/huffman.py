"""The Huffman code (RFC 7541 5.2 and appendix B).

The code is canonical: codes grow with their length and, within one, with the octet that
they stand for. So the lengths say everything. Decoding is an automaton over octets: a state
is an inner node of the code's tree, and its row says, for each octet, what is decoded and
which node comes next. Rows are made when an input first needs them: all 256 of them would
cost some 30 ms at import, and text needs a few dozen.
"""

from __future__ import annotations

from typing import Final

from granian_core.http2.hpack.errors import HPACKError

EOS: Final = 256
"""The symbol that must not occur; its first bits are the padding."""

# Bits of the code of each octet, and of EOS, sixteen a line.
# fmt: off
CODE_LENGTHS: Final[tuple[int, ...]] = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
)
# fmt: on

Row = list[tuple[bytes, int]]

_DEAD: Final = -1
"""Where EOS leads; no state."""


def _make_codes() -> tuple[str, ...]:
    """Return the code of each symbol, as text of bits."""
    codes = [""] * len(CODE_LENGTHS)
    code = 0
    last = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(CODE_LENGTHS)):
        code <<= length - last
        last = length
        codes[symbol] = format(code, f"0{length}b")
        code += 1
    return tuple(codes)


CODES: Final = _make_codes()


def _make_tree(codes: tuple[str, ...]) -> list[list[int]]:
    """Return the children of each inner node, the root first; ``~symbol`` is a leaf."""
    nodes: list[list[int]] = [[0, 0]]
    for symbol, code in enumerate(codes):
        node = nodes[0]
        for bit in code[:-1]:
            side = bit == "1"
            if not node[side]:
                node[side] = len(nodes)
                nodes.append([0, 0])
            node = nodes[node[side]]
        node[code[-1] == "1"] = ~symbol
    return nodes


_TREE: list[list[int]] = []
_ROWS: list[Row | None] = []
_PADDING: set[int] = set()
"""States in which an input may end: at the root, or in at most seven ones of padding."""


def _prepare() -> None:
    """Make the tree, when the first Huffman string is decoded."""
    _TREE.extend(_make_tree(CODES))
    _ROWS.extend([None] * len(_TREE))
    state = 0
    for _ in range(8):
        _PADDING.add(state)
        state = _TREE[state][1]


def _make_row(state: int) -> Row:
    """Return what each octet does in a state, and keep it."""
    outcomes: Row = [(b"", state)]
    for _ in range(8):
        outcomes = [_step(outcome, side) for outcome in outcomes for side in (0, 1)]
    _ROWS[state] = outcomes
    return outcomes


def _step(outcome: tuple[bytes, int], side: int) -> tuple[bytes, int]:
    """Return where one more bit leads."""
    output, state = outcome
    if state == _DEAD:
        return outcome
    child = _TREE[state][side]
    if child >= 0:
        return output, child
    if child == ~EOS:
        return b"", _DEAD
    return output + bytes((~child,)), 0


def decode_huffman(data: bytes) -> bytes:
    """Decode a string.

    Raises:
        HPACKError: EOS is in it, or its padding is longer than seven bits or not of ones.
    """
    if not _ROWS:
        _prepare()
    rows = _ROWS
    output: list[bytes] = []
    append = output.append
    state = 0
    for octet in data:
        row = rows[state]
        if row is None:
            row = _make_row(state)
        decoded, state = row[octet]
        append(decoded)
        if state < 0:
            raise HPACKError("EOS in a Huffman string")
    if state not in _PADDING:
        raise HPACKError("invalid padding of a Huffman string")
    return b"".join(output)


def encode_huffman(data: bytes) -> bytes:
    """Encode a string; the inverse of `decode_huffman`."""
    bits = "".join([CODES[octet] for octet in data])
    if not bits:
        return b""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
