"""HTTP/2 (RFC 9113): the engine contract, the reference engine, and the connection."""
