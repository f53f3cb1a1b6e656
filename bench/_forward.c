/* Flows that are established, each between two containers, in slots of a few milliseconds, in an order of its own in every round:
 * the sender of bench/forward.py.
 *
 *     forward KIND SLOT_MS ROUNDS  CLIENT SERVER ADDRESS PORT  ...
 *
 * KIND: `bulk` is TCP in segments as large as the kernel makes them, `segments` is TCP in packets of the MTU (the client's interface
 * does not segment), `datagrams` is UDP of 16 bytes. CLIENT and SERVER are paths of network namespaces.
 *
 * One thread is both ends of all flows, on one processor, so the processor's time that it counts is all the work there is for these
 * packets and no other: sending, forwarding (which the kernel does on the processor that sent), receiving, acknowledging. What runs
 * beside it on a shared machine takes its time, but is not counted.
 *
 * Prints a line for each flow: packets there and back in a piece of work, then nanoseconds for a piece, round by round.
 */

#include "_traffic.h"
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

enum { MOST = 64, BUFFER = 1 << 20, PIECE = 2 * 65160, BURST = 32, WARM = 4 };

typedef struct {
    const char *client_path;
    int client, server;
    double packets;
    double *ns;
} Flow;

static Flow flows[MOST];
static char data[PIECE];
static int datagrams, offloaded;

static void segment(int on) {
    struct ethtool_value value = {.cmd = ETHTOOL_STSO, .data = on};
    struct ifreq request = {.ifr_name = "eth0", .ifr_data = (void *)&value};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0, "eth0: segmentation offload");
    close(fd);
}

static int opened(void) {
    int one = 1, size = BUFFER, fd = socket(AF_INET, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    check(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    be_patient(fd);
    return fd;
}

static void pass(int from, int to, size_t size) {
    check(send(from, data, size, MSG_NOSIGNAL) == (ssize_t)size, "send");
    check(recv(to, data, size, MSG_WAITALL) == (ssize_t)size, "recv");
}

/* UDP is established when each side has heard the other. */
static void connect_ends(Flow *flow, struct sockaddr_in target) {
    enter(flow->client_path);
    if (!datagrams)
        segment(offloaded);
    flow->client = opened();
    check(connect(flow->client, (struct sockaddr *)&target, sizeof target) == 0, "connect");
    if (!datagrams) {
        int listener = flow->server;
        flow->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        check(flow->server >= 0, "accept");
        be_patient(flow->server);
        close(listener);
        return;
    }
    struct sockaddr_in source;
    socklen_t size = sizeof source;
    check(send(flow->client, data, 1, 0) == 1, "send");
    check(recvfrom(flow->server, data, 1, 0, (struct sockaddr *)&source, &size) == 1, "recvfrom");
    check(connect(flow->server, (struct sockaddr *)&source, size) == 0, "connect back");
    pass(flow->server, flow->client, 1);
}

static void establish(Flow *flow, char **given) {
    struct sockaddr_in target = parsed(given[2], given[3]);
    flow->client_path = given[0];
    enter(given[1]);
    flow->server = opened();
    check(bind(flow->server, (struct sockaddr *)&target, sizeof target) == 0, "bind");
    check(datagrams || listen(flow->server, 1) == 0, "listen");
    connect_ends(flow, target);
}

static void piece(Flow *flow) {
    if (!datagrams) {
        pass(flow->client, flow->server, PIECE);
        return;
    }
    for (int i = 0; i < BURST; i++)
        check(send(flow->client, data, 16, 0) == 16, "send");
    for (int i = 0; i < BURST; i++)
        check(recv(flow->server, data, sizeof data, 0) == 16, "recv");
}

static int slot(Flow *flow, double seconds, double *used) {
    double until = now(CLOCK_MONOTONIC) + seconds, begin = now(CLOCK_THREAD_CPUTIME_ID);
    int pieces = 0;
    for (; !pieces || now(CLOCK_MONOTONIC) < until; pieces++)
        piece(flow);
    *used = now(CLOCK_THREAD_CPUTIME_ID) - begin;
    return pieces;
}

static double passed(const Flow *flow) {
    char line[512];
    unsigned long long received, sent;
    double found = -1;
    enter(flow->client_path);
    FILE *file = fopen("/proc/thread-self/net/dev", "r");
    check(file != NULL, "/proc/thread-self/net/dev");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, " eth0: %*u %llu %*u %*u %*u %*u %*u %*u %*u %llu", &received, &sent) == 2)
            found = received + sent;
    fclose(file);
    errno = ENODEV;
    check(found >= 0, "eth0");
    return found;
}

static void warm(Flow *flow, double seconds) {
    double used, before;
    slot(flow, seconds, &used);
    before = passed(flow);
    int pieces = slot(flow, seconds, &used);
    flow->packets = (passed(flow) - before) / pieces;
}

static void shuffle(int *order, int count) {
    for (int i = count - 1; i > 0; i--) {
        int other = rand() % (i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

int main(int argc, char **argv) {
    program = "forward";
    int count = (argc - 4) / 4, rounds = argc > 3 ? atoi(argv[3]) : 0, order[MOST];
    if (argc < 8 || argc % 4 || count > MOST || rounds < 1) {
        fprintf(stderr, "forward: how to call it stands at the top of its source\n");
        return 2;
    }
    datagrams = strcmp(argv[1], "datagrams") == 0;
    offloaded = strcmp(argv[1], "bulk") == 0;
    stay_on(1);
    for (int i = 0; i < count; i++) {
        order[i] = i;
        establish(&flows[i], argv + 4 + 4 * i);
        flows[i].ns = calloc(rounds, sizeof(double));
        warm(&flows[i], WARM * atoi(argv[2]) / 1e3);
    }
    for (int round = 0; round < rounds; round++) {
        shuffle(order, count);
        for (int i = 0; i < count; i++) {
            double used;
            int pieces = slot(&flows[order[i]], atoi(argv[2]) / 1e3, &used);
            flows[order[i]].ns[round] = used / pieces * 1e9;
        }
    }
    for (int i = 0; i < count; i++) {
        printf("%.3f", flows[i].packets);
        for (int round = 0; round < rounds; round++)
            printf(" %.0f", flows[i].ns[round]);
        printf("\n");
    }
    return 0;
}
