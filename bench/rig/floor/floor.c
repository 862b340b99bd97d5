/*
 * floor: the least work a server can do for a fan-out, as a yardstick.
 *
 * One thread, one write(2) per message and socket, the same bytes that the
 * measured server sends. Build: gcc -O2 -Wall -o floor floor.c
 * Use:   floor HELLO FRAME STAMP SEQ
 *
 * HELLO is a file with what every stream gets first (response head and connect
 * push), FRAME one with the bytes of a message as they go over the wire, chunk
 * framing included. STAMP and SEQ are offsets in FRAME of 19 digits that
 * become the wall clock in ns just before a message's first write, and of 10
 * digits that count up by one per message; -1 leaves the bytes alone.
 *
 * It listens on a free loopback port, says "port N", and then obeys lines:
 *
 *   accept N   take N connections, read and drop their requests, answer HELLO
 *              -> "accepted N"
 *   go N       send N messages to every stream, one after the other
 *              -> "done N writes W again A short S us U"
 *   close      close every stream -> "closed N"
 *   cpu        -> "cpu NS": CPU time of this process so far, user and system
 *
 * until the input ends. "writes" counts calls, "again" those of them that
 * found the socket full (then it polls), "short" those that took a part. In
 * full sockets' absence writes = messages x streams, and strace -c shows the
 * same number, because everything else is sent by other calls.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { STAMP_DIGITS = 19, SEQ_DIGITS = 10, PATIENCE_MS = 10000 };

struct bytes {
	char *data;
	size_t len;
};

static struct bytes hello, frame;
static long stamp_at, seq_at;
static unsigned long long seq;
static int listener;
static int *sockets;
static size_t streams;
static unsigned long long writes, again, shorts;

/* Answers go out by writev, so that write(2) stays the count of deliveries. */
static void say(const char *format, ...)
{
	char line[256];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	struct iovec v = {line, (size_t)n};
	if (writev(STDOUT_FILENO, &v, 1) != n)
		exit(1);
}

static void die(const char *what)
{
	say("error %s: %s\n", what, strerror(errno));
	exit(1);
}

static void refuse(const char *what)
{
	say("error %s\n", what);
	exit(2);
}

static long long now_ns(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) != 0)
		die("clock_gettime");
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct bytes load(const char *path)
{
	struct bytes b = {NULL, 0};
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		die(path);
	for (size_t room = 0;;) {
		if (b.len == room) {
			room = room * 2 + 4096;
			b.data = realloc(b.data, room);
			if (b.data == NULL)
				die("realloc");
		}
		size_t n = fread(b.data + b.len, 1, room - b.len, f);
		if (n == 0)
			break;
		b.len += n;
	}
	if (ferror(f))
		die(path);
	fclose(f);
	return b;
}

static void put_digits(long at, int digits, unsigned long long v)
{
	if (at < 0)
		return;
	for (int i = digits - 1; i >= 0; i--, v /= 10)
		frame.data[at + i] = (char)('0' + v % 10);
}

static long offset(const char *arg, int digits)
{
	long at = strtol(arg, NULL, 10);
	if (at >= 0 && (size_t)at + (size_t)digits > frame.len)
		refuse("an offset lies behind the frame");
	return at;
}

static void wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = {fd, events, 0};
	int n = poll(&p, 1, timeout_ms);
	if (n == 0)
		refuse("a client sent no request");
	if (n < 0 && errno != EINTR)
		die("poll");
}

/* Reads up to the blank line that ends a request without a body. */
static void drop_request(int fd)
{
	char buf[4096];
	static const char end[] = "\r\n\r\n";
	int matched = 0;
	while (matched < 4) {
		ssize_t n = read(fd, buf, sizeof buf);
		if (n == 0)
			refuse("a client left before its request was whole");
		if (n < 0 && errno == EAGAIN)
			wait_for(fd, POLLIN, PATIENCE_MS);
		else if (n < 0 && errno != EINTR)
			die("read");
		for (ssize_t i = 0; i < n && matched < 4; i++)
			matched = buf[i] == end[matched] ? matched + 1 : buf[i] == '\r';
	}
}

static void accept_streams(size_t n)
{
	sockets = realloc(sockets, (streams + n) * sizeof *sockets);
	if (sockets == NULL)
		die("realloc");
	for (size_t i = 0; i < n; i++) {
		int one = 1;
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			die("accept4");
		if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
			die("TCP_NODELAY");
		drop_request(fd);
		if (send(fd, hello.data, hello.len, MSG_NOSIGNAL) != (ssize_t)hello.len)
			die("send");
		sockets[streams++] = fd;
	}
	say("accepted %zu\n", n);
}

static void close_streams(void)
{
	size_t n = streams;
	while (streams > 0)
		if (close(sockets[--streams]) != 0)
			die("close");
	say("closed %zu\n", n);
}

static void deliver(int fd)
{
	for (size_t off = 0; off < frame.len;) {
		ssize_t n = write(fd, frame.data + off, frame.len - off);
		writes++;
		if (n >= 0) {
			off += (size_t)n;
			shorts += off < frame.len;
		} else if (errno == EAGAIN) {
			again++;
			wait_for(fd, POLLOUT, -1);
		} else if (errno != EINTR) {
			die("write");
		}
	}
}

static void go(size_t messages)
{
	long long begin = now_ns(CLOCK_MONOTONIC);
	writes = again = shorts = 0;
	for (size_t m = 0; m < messages; m++) {
		put_digits(stamp_at, STAMP_DIGITS, (unsigned long long)now_ns(CLOCK_REALTIME));
		put_digits(seq_at, SEQ_DIGITS, seq++);
		for (size_t i = 0; i < streams; i++)
			deliver(sockets[i]);
	}
	say("done %zu writes %llu again %llu short %llu us %lld\n", messages, writes, again, shorts,
	    (now_ns(CLOCK_MONOTONIC) - begin) / 1000);
}

static void say_cpu(void)
{
	struct rusage u;
	if (getrusage(RUSAGE_SELF, &u) != 0)
		die("getrusage");
	say("cpu %lld\n", (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000LL +
				  (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000LL);
}

static void open_listener(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof addr;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, len) != 0 || listen(listener, 4096) != 0 ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) != 0)
		die("listen");
	say("port %d\n", ntohs(addr.sin_port));
}

int main(int argc, char **argv)
{
	char line[128];
	size_t n;

	signal(SIGPIPE, SIG_IGN);
	if (argc != 5)
		refuse("use: floor HELLO FRAME STAMP SEQ");
	hello = load(argv[1]);
	frame = load(argv[2]);
	stamp_at = offset(argv[3], STAMP_DIGITS);
	seq_at = offset(argv[4], SEQ_DIGITS);
	if (seq_at >= 0)
		seq = strtoull(strndup(frame.data + seq_at, SEQ_DIGITS), NULL, 10);

	open_listener();
	while (fgets(line, sizeof line, stdin) != NULL) {
		if (sscanf(line, "accept %zu", &n) == 1)
			accept_streams(n);
		else if (sscanf(line, "go %zu", &n) == 1)
			go(n);
		else if (strcmp(line, "close\n") == 0)
			close_streams();
		else if (strcmp(line, "cpu\n") == 0)
			say_cpu();
		else
			refuse("expected accept N, go N, close or cpu");
	}
	return 0;
}
