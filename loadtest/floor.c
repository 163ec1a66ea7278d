/* The machine's floor: a server that moves the same bytes and computes nothing.
 *
 * Theory of operation
 * -------------------
 * This program accepts clients, answers their WebSocket upgrade and their hello with prepared
 * bytes, throws away the poses that they send, and at the times of a recorded trace sends each
 * client a frame of the recorded size. It computes nothing: no state, no interest, no encoding.
 * What it costs is what the kernel charges for one recv per pose and one send per frame, with
 * epoll, in one thread. That is the cost of this way to move the bytes, not the least possible
 * one: other system calls (io_uring, say) may be cheaper, and so may other times of receiving.
 *
 *   floor --trace FILE --welcome FILE --clients N --receive event|batch|tick
 *         [--batch-ms 5] [--once]
 *
 * The trace (see atrium_loadtest/trace.py) starts to play when N clients are in, and starts over
 * at its end unless --once is given. A frame is a valid binary frame that begins with the head of
 * a snapshot, so the load generator counts it as it counts Atrium's.
 *
 * --receive event   one epoll_wait for whatever is ready, at once
 * --receive batch   every --batch-ms: one epoll_wait for all that became ready meanwhile
 * --receive tick    asleep until the next tick; then all that is ready, once, and at once the
 *                   sends of the tick, as Atrium does it. While somebody is still being let in,
 *                   it receives as `event` does, or joining would take a tick per message.
 *
 * At the end it prints its counts; `ticks` and `waits` (calls of epoll_wait) are those of the
 * time in which the trace played.
 *
 * It is a measuring instrument for loopback: it trusts its clients, checks no Origin and sends a
 * constant Sec-WebSocket-Accept, which belongs to the key that the load generator always sends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 16384, EVENTS_MAX = 4096, FRAME_MAX = 65535 + 10, HEAD = 20, FD_MAX = 65536 };
enum state { UPGRADING, GREETING, ACTIVE };
enum receive { EVENT, BATCH, TICK };

struct client {
    int fd;
    enum state state;
    uint32_t size, sent; /* of the frame that the socket took only in part; 0 when there is none */
};

static struct client clients[CLIENTS_MAX];
static int client_of_fd[FD_MAX];
static int clients_count, active_count;
static uint8_t frame[FRAME_MAX + 16];
static uint8_t welcome[8192];
static size_t welcome_bytes;
static uint64_t sends, skipped, receives, waits, ticks;
static volatile sig_atomic_t stopping;

static const char UPGRADE[] =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "Sec-WebSocket-Protocol: atrium.1\r\n"
    "\r\n";

static void stop(int signal_number) { (void)signal_number; stopping = 1; }

static void fail(const char *what) { perror(what); exit(1); }

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    if (length < 0) fail(path);
    rewind(file);
    void *data = malloc((size_t)length + 1);
    if (!data || fread(data, 1, (size_t)length, file) != (size_t)length) fail(path);
    fclose(file);
    *bytes = (size_t)length;
    return data;
}

static void big_endian(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 24); at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8); at[3] = (uint8_t)value;
}

/* The sizes that a frame with the shortest length form can have are used; others are the next. */
static uint32_t possible_size(uint32_t size) {
    if (size < 2 + HEAD) return 2 + HEAD;
    if (size > 127 && size < 4 + 126) return 4 + 126;
    return size > 4 + 65535 ? 4 + 65535 : size;
}

/* Writes header and snapshot head of a frame of `size` bytes; all that follows is zeros. */
static void build(uint32_t size, uint32_t tick) {
    uint32_t header = size <= 127 ? 2 : 4, payload = size - header;
    uint8_t *p = frame + header;
    frame[0] = 0x82;
    frame[1] = header == 2 ? (uint8_t)payload : 126;
    if (header == 4) { frame[2] = (uint8_t)(payload >> 8); frame[3] = (uint8_t)payload; }
    p[0] = 0x95; p[1] = 66;
    p[2] = p[7] = p[12] = 0xCE;
    big_endian(p + 3, tick); big_endian(p + 8, tick * 50); big_endian(p + 13, 0);
    p[17] = 0xC5;
    p[18] = (uint8_t)((payload - HEAD) >> 8); p[19] = (uint8_t)(payload - HEAD);
    if (header == 2) memset(p + HEAD, 0, 2);
}

static void drop(int i) {
    close(clients[i].fd);
    client_of_fd[clients[i].fd] = -1;
    if (clients[i].state == ACTIVE) active_count--;
    clients[i] = clients[--clients_count];
    if (i < clients_count) client_of_fd[clients[i].fd] = i;
}

/* A part that a socket did not take is sent before anything else; its bytes are built again. */
static void send_frame(struct client *client, uint32_t size, uint32_t tick) {
    int fresh = client->size == 0;
    if (fresh) { client->size = possible_size(size); client->sent = 0; }
    else skipped++;
    build(client->size, tick);
    ssize_t n = send(client->fd, frame + client->sent, client->size - client->sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) { if (fresh) { client->size = 0; skipped++; } return; }
    client->sent += (uint32_t)n;
    if (client->sent == client->size) { client->size = client->sent = 0; sends++; }
}

static void accept_all(int listener, int epoll) {
    for (;;) {
        int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        if (fd >= FD_MAX || clients_count == CLIENTS_MAX) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
        client_of_fd[fd] = clients_count;
        clients[clients_count++] = (struct client){.fd = fd, .state = UPGRADING};
    }
}

/* The upgrade and the hello are each taken to arrive in one piece: both are small. */
static void receive_one(int i) {
    static uint8_t buffer[4096];
    struct client *client = &clients[i];
    ssize_t n = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) { drop(i); return; }
    if (n < 0) return;
    receives++;
    if (client->state == ACTIVE) return;
    const void *answer = client->state == UPGRADING ? (const void *)UPGRADE : welcome;
    size_t length = client->state == UPGRADING ? sizeof UPGRADE - 1 : welcome_bytes;
    if (send(client->fd, answer, length, MSG_NOSIGNAL) != (ssize_t)length) { drop(i); return; }
    if (++client->state == ACTIVE) active_count++;
}

/* Returns how many descriptors were ready. */
static int receive_ready(int epoll, int listener, int wait_ms) {
    static struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(epoll, events, EVENTS_MAX, wait_ms);
    waits++;
    for (int k = 0; k < ready; k++) {
        int fd = events[k].data.fd;
        if (fd == listener) accept_all(listener, epoll);
        else if (client_of_fd[fd] >= 0) receive_one(client_of_fd[fd]);
    }
    return ready;
}

/* A wait that fills less than the table has told of everybody who was ready. */
static void receive_all(int epoll, int listener) {
    while (receive_ready(epoll, listener, 0) == EVENTS_MAX) {}
}

static void nap(double seconds) {
    struct timespec t = {0, (long)(seconds * 1e9)};
    if (seconds > 0) nanosleep(&t, NULL);
}

struct player {
    const uint8_t *data, *at, *end;
    double start_s;
    uint32_t tick, turn;
    int playing, once;
};

static double tick_time(const struct player *player) {
    double seconds;
    memcpy(&seconds, player->at, sizeof seconds);
    return player->start_s + seconds;
}

/* One recorded tick: the sizes go to the clients in order, starting where the last tick ended. */
static void play_tick(struct player *player) {
    uint32_t count, size;
    memcpy(&count, player->at + 8, sizeof count);
    player->tick++;
    ticks++;
    for (uint32_t k = 0; k < count && clients_count; k++) {
        struct client *client = &clients[player->turn++ % (uint32_t)clients_count];
        memcpy(&size, player->at + 12 + 4 * (size_t)k, sizeof size);
        if (client->state == ACTIVE) send_frame(client, size, player->tick);
    }
    double played_s = tick_time(player);
    player->at += 12 + 4 * (size_t)count;
    if (player->at < player->end) return;
    if (player->once) { stopping = 1; return; }
    player->at = player->data + 16;
    double first_s;
    memcpy(&first_s, player->at, sizeof first_s);
    player->start_s = played_s - first_s + 0.05;
}

/* The player never meets a tick that reaches beyond the file: this finds the end of whole ticks. */
static void load_trace(struct player *player, const char *path) {
    size_t bytes, at = 16;
    uint32_t count;
    player->data = read_file(path, &bytes);
    if (bytes < 16 || memcmp(player->data, "ATRTRACE\x01\0\0\0", 12)) {
        fprintf(stderr, "%s is not a send trace of version 1\n", path);
        exit(2);
    }
    while (at + 12 <= bytes) {
        memcpy(&count, player->data + at + 8, sizeof count);
        if (12 + 4 * (size_t)count > bytes - at) break;
        at += 12 + 4 * (size_t)count;
    }
    if (at == 16) { fprintf(stderr, "%s holds no ticks\n", path); exit(2); }
    player->at = player->data + 16;
    player->end = player->data + at;
}

static void load_welcome(const char *path) {
    size_t bytes, header;
    uint8_t *data = read_file(path, &bytes);
    if (bytes > sizeof welcome - 4) { fprintf(stderr, "%s is too large\n", path); exit(2); }
    welcome[0] = 0x82;
    header = bytes < 126 ? 2 : 4;
    welcome[1] = header == 2 ? (uint8_t)bytes : 126;
    if (header == 4) { welcome[2] = (uint8_t)(bytes >> 8); welcome[3] = (uint8_t)bytes; }
    memcpy(welcome + header, data, bytes);
    welcome_bytes = header + bytes;
    free(data);
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length)) fail("bind");
    if (listen(listener, 4096)) fail("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &length)) fail("getsockname");
    printf("ready http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

/* Starts the trace when everybody is in. */
static void start(struct player *player) {
    double first_s;
    memcpy(&first_s, player->at, sizeof first_s);
    player->playing = 1;
    player->start_s = now_s() - first_s;
    waits = 0;
}

static void run(struct player *player, int listener, int clients_wanted, enum receive how,
                double batch_s) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) fail("epoll");
    double batch_due_s = now_s();
    while (!stopping) {
        double wait_s = 0.05;
        if (!player->playing && active_count >= clients_wanted) start(player);
        int by_tick = how == TICK && player->playing && active_count == clients_count;
        if (player->playing && now_s() >= tick_time(player)) {
            if (by_tick) receive_all(epoll, listener);
            play_tick(player);
        }
        if (stopping) break;
        if (player->playing && tick_time(player) - now_s() < wait_s)
            wait_s = tick_time(player) - now_s();
        if (by_tick) {
            nap(wait_s);
        } else if (how == BATCH) {
            if (batch_due_s - now_s() < wait_s) wait_s = batch_due_s - now_s();
            nap(wait_s);
            if (now_s() >= batch_due_s) {
                receive_ready(epoll, listener, 0);
                batch_due_s = now_s() + batch_s;
            }
        } else {
            receive_ready(epoll, listener, wait_s > 0 ? (int)(wait_s * 1e3) + 1 : 0);
        }
    }
}

static int receive_of(const char *name) {
    static const char *const NAMES[] = {"event", "batch", "tick"};
    for (int how = EVENT; how <= TICK; how++)
        if (!strcmp(name, NAMES[how])) return how;
    return -1;
}

int main(int argc, char **argv) {
    prctl(PR_SET_PDEATHSIG, SIGTERM); // a bench that is killed leaves nothing running
    struct player player = {0};
    const char *trace = NULL, *welcome_path = NULL;
    int clients_wanted = 0, how = EVENT;
    double batch_ms = 5;
    for (int k = 1; k < argc; k++) {
        const char *value = k + 1 < argc ? argv[k + 1] : "";
        if (!strcmp(argv[k], "--once")) { player.once = 1; continue; }
        else if (!strcmp(argv[k], "--trace")) trace = value;
        else if (!strcmp(argv[k], "--welcome")) welcome_path = value;
        else if (!strcmp(argv[k], "--clients")) clients_wanted = atoi(value);
        else if (!strcmp(argv[k], "--receive")) how = receive_of(value);
        else if (!strcmp(argv[k], "--batch-ms")) batch_ms = atof(value);
        else { fprintf(stderr, "unknown argument %s\n", argv[k]); return 2; }
        k++;
    }
    if (!trace || !welcome_path || clients_wanted < 1 || batch_ms <= 0 || how < 0) {
        fprintf(stderr, "usage: floor --trace FILE --welcome FILE --clients N "
                        "--receive event|batch|tick [--batch-ms MS] [--once]\n");
        return 2;
    }
    memset(client_of_fd, -1, sizeof client_of_fd);
    load_trace(&player, trace);
    load_welcome(welcome_path);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGPIPE, SIG_IGN);
    run(&player, listen_on_loopback(), clients_wanted, (enum receive)how,
        batch_ms * 1e-3);
    printf("{\"sends\": %llu, \"skipped\": %llu, \"receives\": %llu, \"ticks\": %llu, "
           "\"waits\": %llu}\n",
           (unsigned long long)sends, (unsigned long long)skipped, (unsigned long long)receives,
           (unsigned long long)ticks, (unsigned long long)waits);
    return 0;
}
