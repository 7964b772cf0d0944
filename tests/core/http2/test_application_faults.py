"""What applications do wrong, and what threads may do: the tests of HTTP/1.1, over HTTP/2.

The same functions, but those that look at what only HTTP/1.1 has: its status line, its
chunks, and a connection that ends with a response.
"""

from __future__ import annotations

import pytest

from granian_core import RemoteProtocolError
from granian_core.testing import MemoryClient, MemoryServer
from tests.core.http1 import test_application_faults
from tests.core.http1.test_application_faults import (  # noqa: F401 - collected here again
    read,
    test_application_that_exits_gives_a_500,
    test_application_that_raises_gives_a_500,
    test_application_that_returns_without_a_response_gives_a_500,
    test_bad_informational_status_gives_a_500,
    test_bad_reason_gives_a_500,
    test_bad_response_fields_raise_in_the_application_and_give_a_500,
    test_bad_status_gives_a_500,
    test_bad_trailers_raise_in_the_application_and_cut_the_response,
    test_body_of_a_wrong_type_gives_a_500,
    test_content_where_none_may_stand_is_not_sent,
    test_framing_fields_in_trailers_are_refused,
    test_head_response_keeps_the_length_that_get_would_have,
    test_misuse_after_a_whole_response_raises_and_harms_nobody,
    test_misuse_before_a_response_raises_and_gives_a_500,
    test_piece_of_a_wrong_type_cuts_the_response,
    test_response_that_is_not_finished_is_cut,
)
from tests.core.test_blocking import (  # noqa: F401 - collected here again
    test_application_without_a_response_is_a_500_and_one_line,
    test_file_is_sent_from_its_position,
    test_misuse_raises_in_the_thread,
    test_operations_leave_in_their_order_with_trailers,
    test_read_returns_at_least_a_byte_and_at_most_what_was_asked_for,
    test_waiting_writer_hears_that_the_client_left,
)


def is_500_and_the_next_is_answered(client: MemoryClient) -> None:
    first = read(client)
    assert first.status == 500
    assert first.body == b"Internal server error"
    assert first.header(b"content-type") == b"text/plain; charset=utf-8"
    assert first.header(b"content-length") == b"21"
    assert read(client).body == b"next"


def is_cut(client: MemoryClient) -> None:
    """The first response is incomplete, which its stream alone suffers for."""
    with pytest.raises(RemoteProtocolError, match="stream reset"):
        read(client)
    assert read(client).body == b"next"


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak HTTP/2; what is looked at lies above the engines, so one of them is enough."""
    monkeypatch.setattr(MemoryServer, "http_version", "2")
    for check in (is_500_and_the_next_is_answered, is_cut):
        monkeypatch.setattr(test_application_faults, check.__name__, check)
