"""rtnetlink and nfnetlink, bytes and sockets; nothing here knows what a container is."""
