/* Two containers talk to each other over TCP, in short slots: the sender of bench/policy.py.
 *
 *     traffic connect  CLIENT SERVER ADDRESS PORT MS   connect, one byte there, one byte back, close
 *     traffic request  CLIENT SERVER ADDRESS PORT MS   one byte there and back on one connection
 *
 * CLIENT and SERVER are paths of network namespaces. `connect` is one thread that plays both ends: no other process has to be woken, so
 * what it counts is the work for a connection, all of it on one processor (the kernel forwards a packet between veths on the
 * processor that sent it). `request` is two threads, each on its own processor: there the waking up is part of what an application
 * waits for. Prints: how often, seconds, seconds of the processor (of the client's thread), p50 and p99 in microseconds.
 */

#include "_traffic.h"
#include <pthread.h>

enum { MOST = 1 << 20 };

static struct sockaddr_in target;
static int listener;
static float taken[MOST]; /* microseconds */

static int tcp_socket(void) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0, "socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    be_patient(fd);
    return fd;
}

static int connected(void) {
    int fd = tcp_socket();
    check(connect(fd, (struct sockaddr *)&target, sizeof target) == 0, "connect");
    return fd;
}

static void pass_a_byte(int from, int to) {
    char byte = 'x';
    check(send(from, &byte, 1, MSG_NOSIGNAL) == 1, "send");
    check(recv(to, &byte, 1, 0) == 1, "recv");
}

/* The server closes first: it is its side that waits for late packets, and the client's port is free at once. */
static void one_connection(void) {
    char byte;
    int client = connected(), server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    check(server >= 0, "accept");
    pass_a_byte(client, server);
    pass_a_byte(server, client);
    close(server);
    check(recv(client, &byte, 1, 0) == 0, "end of the connection");
    close(client);
}

static int client_end;

static void one_request(void) {
    pass_a_byte(client_end, client_end);
}

static void *answer(void *unused) {
    char byte;
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    check(fd >= 0, "accept");
    stay_on(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (recv(fd, &byte, 1, 0) == 1)
        check(send(fd, &byte, 1, MSG_NOSIGNAL) == 1, "send back");
    return unused;
}

static int by_size(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static void measure(void (*once)(void), double seconds) {
    double begin = now(CLOCK_MONOTONIC), used = now(CLOCK_THREAD_CPUTIME_ID), last = begin;
    size_t count = 0;
    while (last - begin < seconds && count < MOST) {
        once();
        double at = now(CLOCK_MONOTONIC);
        taken[count++] = (at - last) * 1e6;
        last = at;
    }
    used = now(CLOCK_THREAD_CPUTIME_ID) - used;
    qsort(taken, count, sizeof *taken, by_size);
    printf("%zu %f %f %f %f\n", count, last - begin, used, taken[count / 2], taken[count * 99 / 100]);
}

int main(int argc, char **argv) {
    program = "traffic";
    if (argc != 7) {
        fprintf(stderr, "traffic: how to call it stands at the top of its source\n");
        return 2;
    }
    target = parsed(argv[4], argv[5]);
    stay_on(0);
    enter(argv[3]);
    listener = tcp_socket();
    check(bind(listener, (struct sockaddr *)&target, sizeof target) == 0 && listen(listener, 128) == 0, "listen");
    enter(argv[2]);
    if (strcmp(argv[1], "connect") == 0) {
        measure(one_connection, atoi(argv[6]) / 1e3);
        return 0;
    }
    pthread_t server;
    check(pthread_create(&server, NULL, answer, NULL) == 0, "pthread_create");
    client_end = connected();
    measure(one_request, atoi(argv[6]) / 1e3);
    close(client_end);
    pthread_join(server, NULL);
    return 0;
}
