"""HTTP/1.1: two engines behind one contract, and the connection that drives them."""
