/* What the senders of the benchmarks share. `program` names the sender in what it says when something fails. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *program;

static void check(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
        exit(1);
    }
}

static double now(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void stay_on(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

static void enter(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && setns(fd, CLONE_NEWNET) == 0, path);
    close(fd);
}

static void be_patient(int fd) {
    struct timeval patience = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static struct sockaddr_in parsed(const char *address, const char *port) {
    struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    errno = EINVAL;
    check(inet_pton(AF_INET, address, &found.sin_addr) == 1, address);
    return found;
}
