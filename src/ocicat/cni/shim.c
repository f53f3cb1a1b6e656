/*
 * The CNI plugin: relays what the runtime says to the agent on this host, and what the agent answers back.
 *
 * It decides nothing. A process per container must be cheap, and an interpreter costs ten milliseconds before its first line:
 * this costs less than one. The dialogue is described in relay.py; fallback.py does the same where there was no compiler.
 *
 * The agent may be starting, or be restarted in the middle of a request: all commands are idempotent, so the request is sent again
 * until PATIENCE_MS have passed (for a STATUS, which asks how it is now, PATIENCE_OF_STATUS_MS: more than the agent has with its
 * datastore before it says that this hangs). Then an ADD fails, and a DEL succeeds: Apache Mesos never repeats a DEL that failed,
 * and would keep the container's namespace and in it the interface; without them the next agent sees that the container is gone,
 * and tidies up.
 *
 * The socket is SOCKET, unless a link "ocicat.sock" lies beside the plugin (several agents on one file system). The link counts
 * also while it leads nowhere: asking another host's agent is worse than asking none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef PATIENCE_MS
#define PATIENCE_MS 45000
#endif
#define PATIENCE_OF_STATUS_MS 5000
#define SOCKET "/run/ocicat/agent.sock"
#define RETRY_MS 50
#define LIMIT (1 << 20)

extern char **environ;

static struct sockaddr_un agent = {.sun_family = AF_UNIX, .sun_path = SOCKET};
static char request[LIMIT + 1], answer[LIMIT];

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* An error result in the words of the specification: code 5 is an input or output failure, 6 a decoding one, 11 "try again later",
   50 "not available". */
static int fail(int code, const char *what, const char *path, const char *why, const char *hint)
{
    printf("{\"cniVersion\":\"0.2.0\",\"code\":%d,\"msg\":\"%s", code, what);
    for (; *path; path++)
        putchar(*path < ' ' || *path > '~' || *path == '"' || *path == '\\' ? '?' : *path);
    printf(": %s\",\"details\":\"%s\"}\n", why, hint);
    return 1;
}

/* Where the agent listens; -1 if the link cannot be read. */
static int find_agent(void)
{
    const char *self = (const char *)getauxval(AT_EXECFN), *slash = strrchr(self, '/');
    char link[4096], target[sizeof agent.sun_path];
    ssize_t size;

    if (snprintf(link, sizeof link, "%.*socicat.sock", slash ? (int)(slash - self + 1) : 0, self) >= (int)sizeof link)
        return errno = ENAMETOOLONG, -1;
    size = readlink(link, target, sizeof target);
    if (size < 0)
        return errno == ENOENT ? 0 : -1;
    if (size == sizeof target)
        return errno = ENAMETOOLONG, -1;
    memset(agent.sun_path, 0, sizeof agent.sun_path);
    memcpy(agent.sun_path, target, size);
    return 0;
}

/* The CNI_* variables and standard input as one message: its size, LIMIT + 1 if it is larger than LIMIT, -1 if unreadable. */
static ssize_t compose(void)
{
    size_t size = 0;
    for (char **entry = environ; *entry; entry++) {
        size_t length = strlen(*entry) + 1;
        if (strncmp(*entry, "CNI_", 4) != 0)
            continue;
        if (size + length + 2 > LIMIT)
            return LIMIT + 1;
        memcpy(request + size, *entry, length);
        size += length;
    }
    if (size == 0)
        request[size++] = '\0'; /* no variable at all: the separator is still two NULs */
    request[size++] = '\0';
    while (size < sizeof request) {
        ssize_t n = read(0, request + size, sizeof request - size);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        size += n;
    }
    return size;
}

/* No call on the connection takes longer than is left. */
static int connect_within(long left_ms)
{
    struct timeval left = {left_ms / 1000, left_ms % 1000 * 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left);
    if (connect(fd, (struct sockaddr *)&agent, sizeof agent) == 0)
        return fd;
    close(fd);
    return -1;
}

/* One attempt: the size of the answer; else -1 with errno, which is 0 when the agent went away without an answer. */
static ssize_t converse(size_t size, long left_ms)
{
    ssize_t n = 0, got = 0, sent = 0;
    int fd = connect_within(left_ms > 1 ? left_ms : 1);

    if (fd < 0)
        return -1;
    while (sent < (ssize_t)size && (n = send(fd, request + sent, size - sent, MSG_NOSIGNAL)) > 0)
        sent += n;
    shutdown(fd, SHUT_WR);
    errno = 0; /* the agent may have refused the request before it had read all of it: there is an answer then */
    while ((n = read(fd, answer + got, sizeof answer - got)) > 0)
        got += n;
    close(fd);
    return got > 0 ? got : -1;
}

int main(void)
{
    const char *command = getenv("CNI_COMMAND");
    int is_status = command && strcmp(command, "STATUS") == 0;
    long deadline = now_ms() + (is_status && PATIENCE_OF_STATUS_MS < PATIENCE_MS ? PATIENCE_OF_STATUS_MS : PATIENCE_MS);
    ssize_t size, got;

    if (command && strcmp(command, "VERSION") == 0)
        return puts("{\"cniVersion\":\"1.1.0\",\"supportedVersions\":"
                    "[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}") < 0;
    if (find_agent() < 0)
        return fail(5, "the link ocicat.sock beside the plugin", "", strerror(errno), "install it again");
    if ((size = compose()) < 0)
        return fail(5, "the plugin's standard input", "", strerror(errno), "");
    if (size > LIMIT)
        return fail(6, "the plugin's input", "", "it is larger than 1 MiB", "");
    while ((got = converse(size, deadline - now_ms())) < 0 && now_ms() < deadline)
        usleep(RETRY_MS * 1000);
    if (got < 0 && command && strcmp(command, "DEL") == 0)
        return fprintf(stderr, "the ocicat agent at %s does not answer: it will tidy up when it is back\n", agent.sun_path) < 0;
    if (got < 0)
        return fail(is_status ? 50 : 11, "the ocicat agent at ", agent.sun_path,
                    errno == EAGAIN ? "no answer in time" : errno ? strerror(errno) : "it closed the connection",
                    "is it running? its log says more");
    if (fwrite(answer + 1, 1, got - 1, stdout) != (size_t)(got - 1) || fflush(stdout) != 0)
        return 1;
    return answer[0] != '0';
}
