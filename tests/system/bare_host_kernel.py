"""What a bare host's kernel holds of its network, as text that can be compared: rules, links, routes, addresses, settings."""

import difflib

# Without counters and times: what nobody has changed is the same text. What the kernel lists in an order of its own is sorted.
_SAVED = r"2>/dev/null | grep -v '^#' | sed 's/ \[[0-9:]*\]$//'"
COMMANDS = (
    "nft -s list ruleset",
    f"iptables-legacy-save {_SAVED}",
    f"ip6tables-legacy-save {_SAVED}",
    "ipset list -terse 2>/dev/null; ipset save 2>/dev/null | sort",
    "ip -4 rule",
    "ip -6 rule",
    "ip route show table all | sort",
    "ip -6 route show table all | sort",
    "ip -o link",
    "ip -o -br address",
    "ip neigh show nud permanent | sort",
    "ip -6 neigh show nud permanent | sort",
    "ip -o neigh show proxy | sort",
    "tc qdisc show; tc filter show dev eth0; tc filter show dev eth0 ingress",
    "ip xfrm policy",
    "ip xfrm state",
    "ls -A /run/netns 2>/dev/null",
)
# Kept by the kernel itself, from one moment to the next.
_MOVING = "ipv6/.*/stable_secret\\|tcp_fastopen_key\\|nf_conntrack_count"


def rules(host):
    """Everything that decides on this host about packets, command by command."""
    # An IPv6 address gets its route when its neighbours have not answered for a second.
    quiet = 'for try in $(seq 3000); do [ -n "$(ip -6 address show tentative -dadfailed)" ] || break; read -rt 0.01 <> <(:); done'
    told = "".join(f"\necho {_quoted('## ' + command)}; {command}" for command in COMMANDS)
    return host.run(f"{quiet}{told}\ntrue").out


def sysctls(host):
    """{name: value} of its network's settings."""
    found = host.run(f"cd /proc/sys/net && grep -rs '' . | grep -v '{_MOVING}'", check=False).out
    return dict(line[2:].split(":", 1) for line in found.splitlines() if line.startswith("./"))


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


class Before:
    """Hosts as they are now: `differing` says what is not so any more. Files below `ignore` do not count; the rest of them is
    compared with `Host.mark`, which this calls."""

    def __init__(self, hosts, ignore):
        self._hosts, self._ignore = list(hosts), ignore
        for host in self._hosts:
            host.mark()
        self._kernels = {host.name: _kernel(host) for host in self._hosts}

    def differing(self):
        """{host: what is not so any more}: files as `Host.changed` has them; lines of the rules, in their order, and settings."""
        found = {}
        for host in self._hosts:
            lines = [f"{path} {how}" for path, how in host.changed(self._ignore).items()]
            before, now = self._kernels[host.name], _kernel(host)
            told = difflib.unified_diff(before, now, n=0, lineterm="")
            lines += [f"{line[0]} {line[1:]}" for line in list(told)[2:] if line[0] in "-+"]
            if lines:
                found[host.name] = lines
        return found


def _kernel(host):
    """Each line with the command that printed it, in order."""
    lines, command = [], ""
    for line in host.rules().splitlines():
        command = line if line.startswith("## ") else command
        lines.append(f"{command}: {line}")
    return lines + [f"{name} = {value}" for name, value in sorted(host.sysctls().items())]
