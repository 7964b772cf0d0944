"""TLS: what an operator configures, and the layer between a socket and a connection.

``hello`` and ``x509`` read bytes and know nothing else; ``contexts`` turns files into
`ssl.SSLContext` objects; ``transport`` runs one session over one socket.
"""

from __future__ import annotations

from granian_core.tls.contexts import TLSContexts, check_files
from granian_core.tls.info import TLSInfo
from granian_core.tls.transport import TLSEndpoint, TLSTransport

__all__ = ["TLSContexts", "TLSEndpoint", "TLSInfo", "TLSTransport", "check_files"]
