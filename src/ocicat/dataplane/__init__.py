"""What calc wants, in the kernel of this host: nftables, routes, interfaces. One thread owns all of it."""
