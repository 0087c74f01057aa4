/*
 * The baseline: measures what a command costs a C program on liburing.
 *
 *     liburing WORKLOAD DEPTH MILLISECONDS FLAGS FILE
 *
 * WORKLOAD is nop, cmd (a uring command on /dev/null), siocinq (on a TCP
 * socket) or read (4 KiB of a file in the page cache, each command at a place and
 * into memory of its own). One system call submits DEPTH commands and waits for them. FLAGS are
 * the IORING_SETUP_ bits. FILE is `fd`, or `fixed` for a registered file. The
 * program registers the ring's descriptor, as the library does, and prints the
 * nanoseconds of one command. `liburing version` prints liburing's version.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* SOCKET_URING_OP_SIOCINQ, which headers before Linux 6.6 do not have. */
#define OP_SIOCINQ 0
#define BLOCK 4096

static void fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(error));
	exit(1);
}

static int must(const char *what, int rc)
{
	if (rc < 0)
		fail(what, rc == -1 ? errno : -rc);
	return rc;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A TCP socket with five bytes to read. */
static int tcp_socket(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t length = sizeof(at);
	int listener = must("socket", socket(AF_INET, SOCK_STREAM, 0));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must("bind", bind(listener, (struct sockaddr *)&at, sizeof(at)));
	must("listen", listen(listener, 1));
	must("getsockname",
	     getsockname(listener, (struct sockaddr *)&at, &length));
	int client = must("socket", socket(AF_INET, SOCK_STREAM, 0));
	must("connect", connect(client, (struct sockaddr *)&at, sizeof(at)));
	int server = must("accept", accept(listener, NULL, NULL));
	must("write", write(client, "hello", 5));
	return server;
}

/* A file that is no longer in its directory, with a block for each command. */
static int cached_file(unsigned depth)
{
	char name[] = "/tmp/uring-bench-XXXXXX", block[BLOCK] = { 1 };
	int fd = must("mkstemp", mkstemp(name));
	must("unlink", unlink(name));
	for (unsigned i = 0; i < depth; i++)
		must("write", write(fd, block, BLOCK));
	return fd;
}

static void batch(struct io_uring *ring, unsigned depth, int opcode, int fd,
		  unsigned sqe_flags, int expected, char *memory)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;

	for (unsigned i = 0; i < depth; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
		if (memory)
			io_uring_prep_read(sqe, fd, memory + i * BLOCK, BLOCK,
					   (uint64_t)i * BLOCK);
		else
			io_uring_prep_rw(opcode, sqe, fd, NULL, 0, OP_SIOCINQ);
		sqe->flags = sqe_flags;
		io_uring_sqe_set_data64(sqe, i);
	}
	must("io_uring_submit_and_wait", io_uring_submit_and_wait(ring, depth));
	io_uring_for_each_cqe(ring, head, cqe) {
		if (cqe->res != expected)
			fail("command", -cqe->res);
		seen++;
	}
	io_uring_cq_advance(ring, seen);
	if (seen != depth)
		fail("batch", EIO);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "version") == 0) {
#ifdef IO_URING_VERSION_MAJOR
		printf("%d.%d\n", IO_URING_VERSION_MAJOR, IO_URING_VERSION_MINOR);
#else
		printf("2.3 or older\n");
#endif
		return 0;
	}
	if (argc != 6) {
		fputs("usage: liburing WORKLOAD DEPTH MILLISECONDS FLAGS FILE\n",
		      stderr);
		return 2;
	}
	const char *workload = argv[1];
	unsigned depth = atoi(argv[2]);
	uint64_t budget = atoi(argv[3]) * 1000000ull;
	struct io_uring_params params = { .flags = strtoul(argv[4], NULL, 0) };
	int fixed = strcmp(argv[5], "fixed") == 0;
	int opcode = IORING_OP_URING_CMD, fd = -1, expected = 0;
	struct io_uring ring;
	char *memory = NULL;

	must("io_uring_queue_init_params",
	     io_uring_queue_init_params(depth, &ring, &params));
	must("io_uring_register_ring_fd", io_uring_register_ring_fd(&ring));
	if (strcmp(workload, "nop") == 0) {
		opcode = IORING_OP_NOP;
	} else if (strcmp(workload, "cmd") == 0) {
		fd = must("/dev/null", open("/dev/null", O_RDWR));
	} else if (strcmp(workload, "read") == 0) {
		fd = cached_file(depth);
		memory = aligned_alloc(BLOCK, (size_t)depth * BLOCK);
		if (!memory)
			fail("aligned_alloc", ENOMEM);
		expected = BLOCK;
	} else {
		fd = tcp_socket();
		expected = 5;
	}
	if (fixed) {
		must("io_uring_register_files",
		     io_uring_register_files(&ring, &fd, 1));
		fd = 0;
	}

	unsigned sqe_flags = fixed ? IOSQE_FIXED_FILE : 0;
	/* Batches between two readings of the clock: some 1000 commands. */
	unsigned batches = depth < 1000 ? 1000 / depth : 1;
	uint64_t commands = 0, start = 0, end = now();
	for (int warm = 0; warm < 2; warm++) {
		uint64_t limit = warm ? budget : budget / 10;
		commands = 0;
		start = end;
		do {
			for (unsigned i = 0; i < batches; i++)
				batch(&ring, depth, opcode, fd, sqe_flags,
				      expected, memory);
			commands += (uint64_t)batches * depth;
			end = now();
		} while (end - start < limit);
	}
	printf("%.3f\n", (double)(end - start) / commands);
	return 0;
}
