// A disk of 256 MiB in C, with liburing: KIND is null or memory. One queue of 64 tags,
// and a thread that sleeps in io_uring_enter() between requests.

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/ublk_cmd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Headers before Linux 6.4 have only the old numbers.
#ifndef UBLK_U_CMD_ADD_DEV
#define UBLK_U_CMD_ADD_DEV _IOWR('u', UBLK_CMD_ADD_DEV, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_DEV \
  _IOWR('u', UBLK_CMD_START_DEV, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_SET_PARAMS \
  _IOWR('u', UBLK_CMD_SET_PARAMS, struct ublksrv_ctrl_cmd)
#define UBLK_U_IO_FETCH_REQ _IOWR('u', UBLK_IO_FETCH_REQ, struct ublksrv_io_cmd)
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ \
  _IOWR('u', UBLK_IO_COMMIT_AND_FETCH_REQ, struct ublksrv_io_cmd)
#endif

#define DEPTH 64
#define BUFFER (512 << 10)
#define SIZE (256ull << 20)

static int null_disk;
static char *memory, *buffers;
static int control_fd, node, id;
static pthread_barrier_t fetched;

static void fail(const char *what, int errno_) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno_));
  exit(1);
}

static int control(struct io_uring *ring, unsigned op, void *addr, int len,
                   unsigned long long data) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
  struct io_uring_cqe *cqe;
  if (sqe == NULL) fail("SQE", ENOMEM);
  memset(sqe, 0, 2 * sizeof(*sqe));
  io_uring_prep_rw(IORING_OP_URING_CMD, sqe, control_fd, NULL, 0, 0);
  sqe->cmd_op = op;
  struct ublksrv_ctrl_cmd *cmd = (void *)sqe->cmd;
  cmd->dev_id = id;
  cmd->queue_id = -1;
  cmd->addr = (unsigned long)addr;
  cmd->len = len;
  cmd->data[0] = data;
  io_uring_submit_and_wait(ring, 1);
  int rc = io_uring_wait_cqe(ring, &cqe);
  if (rc < 0) return rc;
  rc = cqe->res;
  io_uring_cqe_seen(ring, cqe);
  return rc;
}

static void command(struct io_uring *ring, unsigned op, int tag, int result) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
  io_uring_prep_rw(IORING_OP_URING_CMD, sqe, node, NULL, 0, 0);
  sqe->cmd_op = op;
  sqe->user_data = tag;
  struct ublksrv_io_cmd *cmd = (void *)sqe->cmd;
  cmd->q_id = 0;
  cmd->tag = tag;
  cmd->result = result;
  cmd->addr = (unsigned long)(buffers + (size_t)tag * BUFFER);
}

static int handle(const struct ublksrv_io_desc *desc, char *buffer) {
  int op = ublksrv_get_op(desc), bytes = desc->nr_sectors << 9;
  char *at = memory + (desc->start_sector << 9);
  if (op != UBLK_IO_OP_READ && op != UBLK_IO_OP_WRITE) return -EOPNOTSUPP;
  if (null_disk) return bytes;
  if (op == UBLK_IO_OP_READ) memcpy(buffer, at, bytes);
  else memcpy(at, buffer, bytes);
  return bytes;
}

static void *serve(void *unused) {
  (void)unused;
  struct io_uring ring;
  int rc = io_uring_queue_init(DEPTH, &ring,
                               IORING_SETUP_SINGLE_ISSUER |
                                   IORING_SETUP_COOP_TASKRUN |
                                   IORING_SETUP_DEFER_TASKRUN);
  if (rc < 0) fail("io_uring", -rc);
  const struct ublksrv_io_desc *desc =
      mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_POPULATE, node, 0);
  if (desc == MAP_FAILED) fail("mmap", errno);
  for (int tag = 0; tag < DEPTH; tag++)
    command(&ring, UBLK_U_IO_FETCH_REQ, tag, 0);
  io_uring_submit(&ring);
  pthread_barrier_wait(&fetched);
  for (;;) {
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    rc = io_uring_submit_and_wait(&ring, 1);
    if (rc < 0 && rc != -EINTR) fail("wait", -rc);
    io_uring_for_each_cqe(&ring, head, cqe) {
      int tag = cqe->user_data;
      count++;
      if (cqe->res != 0) exit(0);
      int result = handle(&desc[tag], buffers + (size_t)tag * BUFFER);
      command(&ring, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result);
    }
    io_uring_cq_advance(&ring, count);
  }
}

int main(int argc, char **argv) {
  null_disk = argc > 1 && strcmp(argv[1], "null") == 0;
  memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  buffers = mmap(NULL, (size_t)DEPTH * BUFFER, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  control_fd = open("/dev/ublk-control", O_RDWR);
  if (control_fd < 0) fail("/dev/ublk-control", errno);
  struct io_uring ring;
  int rc = io_uring_queue_init(4, &ring, IORING_SETUP_SQE128);
  if (rc < 0) fail("io_uring", -rc);

  struct ublksrv_ctrl_dev_info info = {
      .dev_id = -1,
      .nr_hw_queues = 1,
      .queue_depth = DEPTH,
      .max_io_buf_bytes = BUFFER,
  };
  id = -1;
  rc = control(&ring, UBLK_U_CMD_ADD_DEV, &info, sizeof(info), 0);
  if (rc < 0) fail("ADD_DEV", -rc);
  id = info.dev_id;
  struct ublk_params params = {
      .len = sizeof(params),
      .types = UBLK_PARAM_TYPE_BASIC,
      .basic = {
          .logical_bs_shift = 12,
          .physical_bs_shift = 12,
          .io_opt_shift = 12,
          .io_min_shift = 12,
          .max_sectors = BUFFER >> 9,
          .dev_sectors = SIZE >> 9,
      },
  };
  rc = control(&ring, UBLK_U_CMD_SET_PARAMS, &params, sizeof(params), 0);
  if (rc < 0) fail("SET_PARAMS", -rc);
  char path[32];
  snprintf(path, sizeof(path), "/dev/ublkc%d", id);
  node = open(path, O_RDWR);
  if (node < 0) fail(path, errno);
  pthread_t thread;
  pthread_barrier_init(&fetched, NULL, 2);
  pthread_create(&thread, NULL, serve, NULL);
  pthread_barrier_wait(&fetched);
  rc = control(&ring, UBLK_U_CMD_START_DEV, NULL, 0, getpid());
  if (rc < 0) fail("START_DEV", -rc);
  printf("served /dev/ublkb%d\n", id);
  fflush(stdout);
  pthread_join(thread, NULL);
}
