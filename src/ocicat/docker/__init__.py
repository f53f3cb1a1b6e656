"""Docker's side: the words of libnetwork's remote drivers, the socket they are spoken on, and what the engine is asked."""
