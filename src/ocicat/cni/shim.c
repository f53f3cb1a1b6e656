/*
 * The CNI plugin: relays what the runtime says to the agent on this host, and what the agent answers back.
 *
 * It decides nothing. A process per container must be cheap, and an interpreter costs ten milliseconds before its first line:
 * this costs less than one. The dialogue is described in relay.py.
 *
 * The agent may be starting, or be restarted in the middle of a request: all commands are idempotent, so the request is sent again
 * until PATIENCE_MS have passed. Apache Mesos never repeats a DEL that failed, so giving up early would leave a container behind.
 *
 * The socket is OCICAT_SOCKET, unless a link or socket "ocicat.sock" lies beside the plugin (several agents on one file system).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef OCICAT_SOCKET
#define OCICAT_SOCKET "/run/ocicat/agent.sock"
#endif
#define PATIENCE_MS 45000
#define RETRY_MS 50
#define LIMIT (1 << 20)

extern char **environ;

static char request[LIMIT + 65536], answer[LIMIT];

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* An error in the words of the specification: code 11 is "try again later", 5 an input or output failure. */
static int fail(int code, const char *what, const char *path)
{
    printf("{\"cniVersion\":\"0.2.0\",\"code\":%d,\"msg\":\"the ocicat agent %s on %s: %s\","
           "\"details\":\"is it running? see its log; the configuration was not looked at\"}\n",
           code, what, path, strerror(errno));
    return 1;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n, size -= n;
    }
    return 0;
}

/* The CNI_* variables and standard input as one message; -1 if it is too large or unreadable. */
static ssize_t compose(void)
{
    size_t size = 0;
    for (char **entry = environ; *entry; entry++) {
        size_t length = strlen(*entry) + 1;
        if (strncmp(*entry, "CNI_", 4) != 0 || size + length > 65000)
            continue;
        memcpy(request + size, *entry, length);
        size += length;
    }
    request[size++] = '\0';
    if (size == 1)
        request[size++] = '\0'; /* no variable at all: the separator is still two NULs */
    for (ssize_t n; (n = read(0, request + size, sizeof request - size)) != 0; size += n) {
        if (n < 0 && errno != EINTR)
            return -1;
        n = n < 0 ? 0 : n;
        if (size + n >= sizeof request)
            return errno = EFBIG, -1;
    }
    return size;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* One attempt: the size of the answer, 0 when the agent went away without one, -1 on an error. */
static ssize_t converse(const char *path, size_t size, long deadline)
{
    ssize_t n, got = 0;
    int fd = connect_to(path);
    if (fd < 0)
        return -1;
    if (write_all(fd, request, size) == 0 && shutdown(fd, SHUT_WR) == 0) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        while (poll(&ready, 1, deadline > now_ms() ? deadline - now_ms() : 0) > 0 &&
               (n = read(fd, answer + got, sizeof answer - got)) > 0)
            got += n;
    }
    close(fd);
    return got;
}

int main(int argc, char **argv)
{
    const char *command = getenv("CNI_COMMAND"), *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    ssize_t size, got = 0;
    long deadline = now_ms() + PATIENCE_MS;

    if (command && strcmp(command, "VERSION") == 0)
        return puts("{\"cniVersion\":\"1.0.0\",\"supportedVersions\":"
                    "[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\"]}") < 0;
    size = slash ? snprintf(path, sizeof path, "%.*socicat.sock", (int)(slash - argv[0] + 1), argv[0]) : 0;
    if (size <= 0 || size >= (ssize_t)sizeof path || access(path, F_OK) != 0)
        snprintf(path, sizeof path, "%s", OCICAT_SOCKET);
    if ((size = compose()) < 0)
        return fail(5, "was not asked: standard input cannot be read; meant to ask", path);
    while ((got = converse(path, size, deadline)) <= 0 && now_ms() < deadline)
        usleep(RETRY_MS * 1000);
    if (got <= 0)
        return fail(11, "does not answer", path);
    if (fwrite(answer + 1, 1, got - 1, stdout) != (size_t)(got - 1) || fflush(stdout) != 0)
        return 1;
    return answer[0] != '0';
}
