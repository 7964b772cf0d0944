"""The applications under load, one module per interface, and the bare-uvloop floor.

They use nothing but their interface, so that what is measured is the server. All answer the same
four paths: ``/`` (1 KiB), ``/10k`` (10,000 octets), ``/echo`` (the request body) and ``/stream``
(16 chunks of 1 KiB). As WebSockets, ``/echo`` sends each message back, and ``/broadcast`` sends
it to everyone.
"""
