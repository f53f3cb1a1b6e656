"""Flow logs: who began to talk to whom, and which rules of policy decided it, summed up and written to a file of the host.

    kernel ──NFLOG──> reader (a thread) ──> flows (sums, per interval) ──> file (JSON lines)
                        ^ names: parties (who has which address), deciders (which rule has which prefix)

A connection is seen when policy is asked about it, which is its first packet. What it carries later, and when it ends, is not
followed: that would cost an event of the kernel's for each connection that ends, and accounting for each of its packets.
"""
