/* SPDX-License-Identifier: Apache-2.0
 *
 * evaluate.c: sends held-out digits to a server of the Open Inference Protocol and prints accuracy and latency. Nothing but sockets: it also
 * shows what a client needs.
 *
 *     evaluate HOST:PORT MODEL HELDOUT.csv [SECONDS]      once over the file, or over and over for SECONDS
 *
 * Exit code 1 if a request failed. A request fails when it gets no answer with status 200; it is never repeated.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIXELS = 64, CLASSES = 10, MAX_IMAGES = 10000, MAX_SAMPLES = 10000000 };

static char images[MAX_IMAGES][PIXELS * 3 + 1];
static int labels[MAX_IMAGES];

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int read_images(const char *path)
{
    char line[512];
    int n = 0;
    FILE *f = fopen(path, "r");
    while (f && n < MAX_IMAGES && fgets(line, sizeof line, f)) {
        char *comma = strchr(line, ',');
        line[strcspn(line, "\r\n")] = 0;
        if (!comma || strlen(comma + 1) >= sizeof images[n])
            continue;
        labels[n] = atoi(line);
        memcpy(images[n], comma + 1, strlen(comma + 1) + 1);
        n++;
    }
    if (f)
        fclose(f);
    return n;
}

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1, one = 1;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    struct timeval limit = {.tv_sec = 30};
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    return fd;
}

/* Reads one answer; the status, or -1 when the connection broke. The body is terminated. */
static int read_answer(int fd, char *buf, size_t size, char **body)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, buf + n, size - 1 - n, 0);
        if (got <= 0)
            return -1;
        n += (size_t)got;
        buf[n] = 0;
        char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "\r\ncontent-length:");
        if (!end || !length)
            continue;
        *body = end + 4;
        if (n >= (size_t)(*body - buf) + strtoul(length + 17, NULL, 10))
            return atoi(buf + 9);
    }
}

/* The index of the largest of the ten numbers of the output `name`, or -1. */
static int best_class(const char *body, const char *name)
{
    char member[64];
    snprintf(member, sizeof member, "\"name\":\"%s\"", name);
    const char *p = strstr(body, member);
    p = p ? strstr(p, "\"data\":[") : NULL;
    int best = -1;
    double best_value = 0;
    for (int i = 0; p && i < CLASSES; i++) {
        char *end;
        double v = strtod(p += i ? 1 : 8, &end);
        if (end == p)
            return -1;
        if (best < 0 || v > best_value) {
            best = i;
            best_value = v;
        }
        p = end;
    }
    return best;
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static int ask(int fd, const char *model, const char *pixels)
{
    char request[2048], content[1024], answer[16384], *body;
    int length = snprintf(content, sizeof content, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,1,8,8],\"data\":[%s]}]}", pixels);
    int n = snprintf(request, sizeof request, "POST /v2/models/%s/infer HTTP/1.1\r\nHost: digits\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", model,
                     length, content);
    if (!send_all(fd, request, (size_t)n) || read_answer(fd, answer, sizeof answer, &body) != 200)
        return -1;
    return best_class(body, "probabilities");
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    char host[256], *port;
    if (argc < 4 || snprintf(host, sizeof host, "%s", argv[1]) >= (int)sizeof host || !(port = strrchr(host, ':'))) {
        fprintf(stderr, "usage: evaluate HOST:PORT MODEL HELDOUT.csv [SECONDS]\n");
        return 64;
    }
    *port++ = 0;
    int count = read_images(argv[3]);
    double *latency = malloc(MAX_SAMPLES * sizeof *latency), until = now_ms() + (argc > 4 ? atof(argv[4]) * 1e3 : 0);
    if (count == 0 || !latency) {
        fprintf(stderr, "error: no images in %s\n", argv[3]);
        return 66;
    }
    long total = 0, right = 0, failed = 0;
    int fd = -1;
    for (int i = 0; i < count || (now_ms() < until && total < MAX_SAMPLES); i++, total++) {
        double start = now_ms();
        if (fd < 0)
            fd = connect_to(host, port);
        int class = fd < 0 ? -1 : ask(fd, argv[2], images[i % count]);
        latency[total] = now_ms() - start;
        right += class == labels[i % count];
        if (class < 0) {
            failed++;
            if (fd >= 0)
                close(fd);
            fd = -1;
            usleep(10000);
        }
    }
    qsort(latency, (size_t)total, sizeof *latency, compare);
    printf("requests         %ld\nfailed requests  %ld\naccuracy         %.1f %%\nlatency p50      %.3f ms\nlatency p99      %.3f ms\n", total, failed,
           100.0 * (double)right / (double)total, latency[total / 2], latency[total * 99 / 100]);
    free(latency);
    if (fd >= 0)
        close(fd);
    return failed ? 1 : 0;
}
