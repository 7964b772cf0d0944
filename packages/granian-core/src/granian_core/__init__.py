"""The transport core of the Granian application server for Python.

Everything an interface adapter, or a framework that embeds the server, needs is in
``__all__``; names that are not are private and may change at any time.
"""

from __future__ import annotations

from granian_core.awaitables import COMPLETED, Settled, completed
from granian_core.blocking import BlockingStream, run_blocking
from granian_core.errors import (
    AppLoadError,
    BindError,
    BodyTooLarge,
    ClientDisconnected,
    ConfigurationError,
    FatalError,
    GranianError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    StartupError,
    WebSocketClosed,
)
from granian_core.files import send_file, send_open_file
from granian_core.interface import (
    INTERFACE_API,
    BaseInterface,
    Interface,
    InterfaceFactory,
    InterfaceOptions,
    interface_names,
    load_interface,
)
from granian_core.loops import loops
from granian_core.pool import BlockingPool
from granian_core.proxies import Family, Forwarded, ProxyHeaders, TrustedHosts
from granian_core.server import Server, ServerState
from granian_core.settings import (
    HTTP1Settings,
    HTTP2Settings,
    Limits,
    ServerConfig,
    TLSSettings,
    WebSocketSettings,
)
from granian_core.stream import Address, Data, Fields, Headers, HTTPStream
from granian_core.tls import TLSInfo
from granian_core.websocket import WebSocketStream

__version__ = "0.1.0"

__all__ = [
    "COMPLETED",
    "INTERFACE_API",
    "Address",
    "AppLoadError",
    "BaseInterface",
    "BindError",
    "BlockingPool",
    "BlockingStream",
    "BodyTooLarge",
    "ClientDisconnected",
    "ConfigurationError",
    "Data",
    "Family",
    "FatalError",
    "Fields",
    "Forwarded",
    "GranianError",
    "HTTP1Settings",
    "HTTP2Settings",
    "HTTPStream",
    "Headers",
    "Interface",
    "InterfaceFactory",
    "InterfaceOptions",
    "Limits",
    "LocalProtocolError",
    "ProtocolError",
    "ProxyHeaders",
    "RemoteProtocolError",
    "Server",
    "ServerConfig",
    "ServerState",
    "Settled",
    "StartupError",
    "TLSInfo",
    "TLSSettings",
    "TrustedHosts",
    "WebSocketClosed",
    "WebSocketSettings",
    "WebSocketStream",
    "completed",
    "interface_names",
    "load_interface",
    "loops",
    "run_blocking",
    "send_file",
    "send_open_file",
]
