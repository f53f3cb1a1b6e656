"""Which address goes to whom: block arithmetic (pure) and the allocator that commits it."""
