/*
 * Uses a mount, and measures what that takes.
 *
 *     fuse_client DIRECTORY PID CLIENTS OPERATIONS MEBIBYTES
 *
 * It prints a line for each workload: the name, the nanoseconds of an operation, and
 * the nanoseconds of CPU time that the server, process PID, took for it. Each of
 * CLIENTS processes has a directory of its own, and all begin together.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)
#define BLOCK 4096
/* Files of a directory that is listed, and how often it is. */
#define FILES 1000
#define LISTINGS 4
/* Names and attributes are kept for 1 s. */
#define EXPIRED_US 1100000

static int operations, mebibytes;
/* The other processes wait for the end of this pipe. */
static int start[2];
static char *memory;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int must(const char *what, int rc)
{
	if (rc < 0)
		fail(what);
	return rc;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* The CPU time of all threads of a process. */
static uint64_t cpu_time(int pid)
{
	char path[300];
	uint64_t sum = 0;
	struct dirent *task;
	DIR *tasks;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		fail(path);
	while ((task = readdir(tasks))) {
		unsigned long long ns = 0;
		FILE *file;
		if (task->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid,
			 task->d_name);
		file = fopen(path, "r");
		if (!file)
			continue; /* The thread has ended. */
		if (fscanf(file, "%llu", &ns) == 1)
			sum += ns;
		fclose(file);
	}
	closedir(tasks);
	return sum;
}

static char *numbered(int i)
{
	static char name[24];
	snprintf(name, sizeof(name), "f%04d", i);
	return name;
}

/* ---- Workloads: each returns its operations ------------------------------ */

static int statfs_loop(void)
{
	struct statfs room;
	for (int i = 0; i < operations; i++)
		must("statfs", statfs(".", &room));
	return operations;
}

static int create(void)
{
	for (int i = 0; i < operations; i++)
		close(must("open", open(numbered(i), O_CREAT | O_EXCL | O_WRONLY,
					0644)));
	return operations;
}

static int stat_loop(void)
{
	struct stat it;
	for (int i = 0; i < operations; i++)
		must("stat", stat(numbered(i), &it));
	return operations;
}

static int unlink_loop(void)
{
	for (int i = 0; i < operations; i++)
		must("unlink", unlink(numbered(i)));
	return operations;
}

static int write_large(void)
{
	int fd = must("open", open("large", O_CREAT | O_TRUNC | O_WRONLY, 0644));
	for (int i = 0; i < mebibytes; i++)
		if (write(fd, memory, MIB) != MIB)
			fail("write");
	close(fd);
	return mebibytes;
}

static int read_large(void)
{
	int fd = must("open", open("large", O_RDONLY));
	for (int i = 0; i < mebibytes; i++)
		if (read(fd, memory, MIB) != MIB)
			fail("read");
	close(fd);
	return mebibytes;
}

static int read_direct(void)
{
	int fd = must("open", open("large", O_RDONLY | O_DIRECT));
	int blocks = mebibytes * (MIB / BLOCK);
	for (int i = 0; i < operations; i++)
		if (pread(fd, memory, BLOCK,
			  (off_t)(i * 7919u % blocks) * BLOCK) != BLOCK)
			fail("pread");
	close(fd);
	return operations;
}

/* As `ls -l` does. */
static int list(void)
{
	int count = 0;
	for (int i = 0; i < LISTINGS; i++) {
		DIR *directory = opendir("list");
		struct dirent *entry;
		if (!directory)
			fail("opendir");
		while ((entry = readdir(directory))) {
			struct stat it;
			must("lstat", fstatat(dirfd(directory), entry->d_name,
					      &it, AT_SYMLINK_NOFOLLOW));
			count++;
		}
		closedir(directory);
	}
	return count;
}

static const struct workload {
	const char *name;
	int (*run)(void);
	/* What the kernel keeps has to be over. */
	int expired;
} workloads[] = {
	{ "statfs", statfs_loop, 0 }, { "create", create, 0 },
	{ "stat", stat_loop, 1 },     { "unlink", unlink_loop, 0 },
	{ "write", write_large, 0 },  { "read", read_large, 0 },
	{ "direct", read_direct, 0 }, { "list", list, 1 },
};

/* Makes what the workloads expect in the directory of a client. */
static void prepare(int client)
{
	char name[24];
	snprintf(name, sizeof(name), "client%d", client);
	if (mkdir(name, 0755) < 0 && errno != EEXIST)
		fail("mkdir");
	must("chdir", chdir(name));
	if (mkdir("list", 0755) == 0) {
		must("chdir", chdir("list"));
		for (int i = 0; i < FILES; i++)
			close(must("open", open(numbered(i), O_CREAT | O_WRONLY,
						0644)));
		must("chdir", chdir(".."));
	}
	must("chdir", chdir(".."));
}

/* Runs a workload in a process, which begins when the pipe ends. */
static pid_t begin(const struct workload *workload, int client, int result)
{
	char name[24], byte;
	int count;
	pid_t pid = must("fork", fork());
	if (pid > 0)
		return pid;
	snprintf(name, sizeof(name), "client%d", client);
	must("chdir", chdir(name));
	/* Touched here, so that no fault of a page is measured. */
	memory = aligned_alloc(BLOCK, MIB);
	memset(memory, 'x', MIB);
	close(start[1]);
	must("write", write(result, "r", 1));
	if (read(start[0], &byte, 1) != 0)
		fail("read");
	count = workload->run();
	must("write", write(result, &count, sizeof(count)));
	_exit(0);
}

int main(int argc, char **argv)
{
	int clients;
	int server;

	if (argc != 6) {
		fprintf(stderr, "usage: %s DIRECTORY PID CLIENTS OPERATIONS "
			"MEBIBYTES\n", argv[0]);
		return 2;
	}
	must(argv[1], chdir(argv[1]));
	server = atoi(argv[2]);
	clients = atoi(argv[3]);
	operations = atoi(argv[4]);
	mebibytes = atoi(argv[5]);
	for (int i = 0; i < clients; i++)
		prepare(i);
	for (size_t w = 0; w < sizeof(workloads) / sizeof(*workloads); w++) {
		int total = 0, result[2];
		uint64_t began, cpu;
		char byte;
		must("pipe", pipe(start));
		must("pipe", pipe(result));
		for (int i = 0; i < clients; i++)
			begin(&workloads[w], i, result[1]);
		for (int i = 0; i < clients; i++)
			if (read(result[0], &byte, 1) != 1)
				fail("read");
		/* What the last workload left to be done is done meanwhile. */
		usleep(workloads[w].expired ? EXPIRED_US : 50000);
		cpu = cpu_time(server);
		began = now();
		close(start[0]);
		close(start[1]);
		for (int i = 0; i < clients; i++) {
			int count;
			if (read(result[0], &count, sizeof(count)) !=
			    sizeof(count))
				fail("read");
			total += count;
		}
		began = now() - began;
		cpu = cpu_time(server) - cpu;
		for (int i = 0; i < clients; i++) {
			int status;
			must("wait", wait(&status));
			if (status != 0)
				return 1;
		}
		close(result[0]);
		close(result[1]);
		printf("%s %llu %llu\n", workloads[w].name,
		       (unsigned long long)(began / total),
		       (unsigned long long)(cpu / total));
	}
	return 0;
}
