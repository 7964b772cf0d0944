"""I/O threads: connections on loops of their own, the application on another.

An I/O thread owns its connections with all that belongs to them: parsing, TLS, deadlines,
static files, refusals. Only an exchange that the application has to answer is handed over.
It then has two halves: the connection's own stream, with a *relay* that speaks for the
application, and a second stream on the application's loop whose *carrier* is remote. Both
are the ordinary classes, so that neither connections nor adapters know of it. What one half
tells the other goes through a `Channel`, which wakes the other loop once for as much as has
gathered.

| module | holds |
|---|---|
| `carrier`, `relay` | the two halves of an HTTP exchange |
| `websocket` | the two halves of a WebSocket |
| `application` | the application's loop as the I/O threads see it |
| `permits` | what their connections share: permits and bounds |
| `acceptor` | one loop that accepts for all |
| `threads`, `io_server`, `server` | threads, the server on each, and the one around them |
"""
