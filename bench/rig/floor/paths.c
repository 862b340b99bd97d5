/*
 * paths: what one delivery costs by each way into the kernel.
 *
 *   gcc -O2 -o /tmp/paths bench/rig/floor/paths.c && /tmp/paths 16384
 *
 * One thread sends the same bytes to 500 connections over loopback, again and
 * again; a child process reads them. Printed is the CPU of the sending process
 * for each delivery, the ways taking turns: write(2), sendfile(2) from a memfd,
 * and io_uring in batches of 64, copying and zero-copy. On loopback zero-copy
 * copies after all, and sendfile hands over pages: other networks differ.
 *
 * Arguments: bytes of a message (16384), messages each turn (60), turns (5).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STREAMS = 500, BATCH = 64 };
enum way { WRITE, SENDFILE, RING, RING_ZC, WAYS };

static const char *names[WAYS] = {"write", "sendfile", "io_uring", "io_uring zc"};
static int fds[STREAMS];

static void die(const char *what) {
	perror(what);
	exit(1);
}

static double cpu(void) {
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static struct {
	int fd;
	unsigned *sq_tail, *sq_mask, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *done;
} ring;

static void ring_open(void) {
	struct io_uring_params p = {0};
	if ((ring.fd = syscall(__NR_io_uring_setup, 2 * BATCH, &p)) < 0) die("io_uring_setup");
	size_t sq = p.sq_off.array + p.sq_entries * 4, cq = p.cq_off.cqes + p.cq_entries * sizeof *ring.done;
	char *m = mmap(0, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	ring.entries = mmap(0, p.sq_entries * sizeof *ring.entries, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		ring.fd, IORING_OFF_SQES);
	if (m == MAP_FAILED || ring.entries == MAP_FAILED) die("mmap io_uring");
	ring.sq_tail = (void *)(m + p.sq_off.tail), ring.sq_mask = (void *)(m + p.sq_off.ring_mask);
	ring.cq_head = (void *)(m + p.cq_off.head), ring.cq_tail = (void *)(m + p.cq_off.tail);
	ring.cq_mask = (void *)(m + p.cq_off.ring_mask), ring.done = (void *)(m + p.cq_off.cqes);
	unsigned *array = (void *)(m + p.sq_off.array);
	for (unsigned i = 0; i < p.sq_entries; i++) array[i] = i;
}

/* ring_send sends to n connections from the first on and waits for all of them,
 * with zero-copy also for the kernel's word that the bytes are free again. */
static long ring_send(int first, int n, int opcode, const char *text, int size) {
	for (int i = 0; i < n; i++) {
		struct io_uring_sqe *e = &ring.entries[(*ring.sq_tail + i) & *ring.sq_mask];
		memset(e, 0, sizeof *e);
		e->opcode = opcode, e->fd = fds[first + i], e->addr = (unsigned long)text, e->len = size;
		e->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	}
	__atomic_store_n(ring.sq_tail, *ring.sq_tail + n, __ATOMIC_RELEASE);
	long cut = 0;
	for (int left = n, taken = 0; left > 0;) {
		int got = syscall(__NR_io_uring_enter, ring.fd, n - taken, 1, IORING_ENTER_GETEVENTS, 0, 0);
		if (got < 0 && errno != EINTR) die("io_uring_enter");
		if (got > 0) taken += got;
		unsigned head = *ring.cq_head, tail = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE);
		for (; head != tail; head++) {
			struct io_uring_cqe *c = &ring.done[head & *ring.cq_mask];
			if (!(c->flags & IORING_CQE_F_NOTIF) && c->res != size) cut++;
			if (!(c->flags & IORING_CQE_F_MORE)) left--; /* nothing more of this one follows */
		}
		__atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
	}
	return cut;
}

/* deliver sends one message to everybody and returns how many sends took less. */
static long deliver(enum way way, const char *text, int size, int file) {
	long cut = 0;
	switch (way) {
	case WRITE:
		for (int i = 0; i < STREAMS; i++) cut += write(fds[i], text, size) != size;
		break;
	case SENDFILE:
		for (int i = 0; i < STREAMS; i++) {
			off_t at = 0;
			cut += sendfile(fds[i], file, &at, size) != size;
		}
		break;
	default:
		for (int i = 0; i < STREAMS; i += BATCH)
			cut += ring_send(i, STREAMS - i < BATCH ? STREAMS - i : BATCH, way == RING ? IORING_OP_SEND : IORING_OP_SEND_ZC, text, size);
	}
	return cut;
}

/* reader is the child: it reads everything and says so for each message. */
static void reader(const struct sockaddr_in *to, long message, int tell) {
	static char sink[1 << 20];
	int ep = epoll_create1(0);
	for (int i = 0; i < STREAMS; i++) {
		int s = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(s, (const void *)to, sizeof *to) < 0) die("connect");
		fcntl(s, F_SETFL, O_NONBLOCK);
		struct epoll_event e = {EPOLLIN, {.fd = s}};
		epoll_ctl(ep, EPOLL_CTL_ADD, s, &e);
	}
	struct epoll_event ready[256];
	for (long got = 0;;) {
		int n = epoll_wait(ep, ready, 256, -1);
		for (int i = 0; i < n; i++) {
			ssize_t r = read(ready[i].data.fd, sink, sizeof sink);
			if (r == 0) _exit(0);
			if (r > 0) got += r;
		}
		for (; got >= message * STREAMS; got -= message * STREAMS)
			if (write(tell, "x", 1) != 1) _exit(0);
	}
}

int main(int argc, char **argv) {
	int size = argc > 1 ? atoi(argv[1]) : 16384, messages = argc > 2 ? atoi(argv[2]) : 60, turns = argc > 3 ? atoi(argv[3]) : 5;
	int lines[2], listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	if (size < 1 || messages < 1 || turns < 1) return fputs("paths: every argument is a number above 0\n", stderr), 2;
	if (bind(listener, (void *)&at, sizeof at) < 0 || listen(listener, 1024) < 0) die("listen");
	getsockname(listener, (void *)&at, &len);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, lines) < 0) die("socketpair");
	pid_t child = fork();
	if (child == 0) reader(&at, size, lines[1]);
	for (int i = 0; i < STREAMS; i++) {
		if ((fds[i] = accept4(listener, 0, 0, SOCK_NONBLOCK)) < 0) die("accept4");
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	}
	char *text = malloc(size), said;
	memset(text, 'x', size);
	int file = memfd_create("frame", 0);
	if (write(file, text, size) != size) die("write memfd");
	ring_open();
	for (int turn = 0; turn < turns; turn++)
		for (enum way way = WRITE; way < WAYS; way++) {
			double began = cpu();
			long cut = 0;
			for (int i = 0; i < messages; i++) {
				cut += deliver(way, text, size, file);
				if (cut > 0) return fprintf(stderr, "paths: %s: a socket was full; send less\n", names[way]), 1;
				if (read(lines[0], &said, 1) != 1) die("read");
			}
			printf("%-12s %6d bytes  %5.2f us CPU for each delivery\n", names[way], size, (cpu() - began) * 1e6 / messages / STREAMS);
		}
	kill(child, SIGKILL);
	return 0;
}
