/*
 * The baseline of ./fuse: a filesystem in memory on libfuse 3, by its low-level
 * interface, in one thread.
 *
 *     fuse_server DIRECTORY
 *
 * It has what bench/fuse/filesystems.ts has: names and attributes are kept for 1 s,
 * writes are up to 1 MiB, a close sends no FLUSH, and there are extended attributes,
 * of which no file has any. It serves until it is killed.
 */

#define FUSE_USE_VERSION 312
#define _GNU_SOURCE
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TTL 1.0
#define MAX_WRITE (1 << 20)
#define BUCKETS (1 << 16)

/* A file. Its address is its number. It has one name at most. */
struct file {
	struct stat stat;
	char *data;
	size_t room;
	uint64_t lookups;
	char *name;
	struct file *parent;
	/* In the bucket of its name, and in its directory, oldest first. */
	struct file *bucket_next;
	struct file *next, *previous;
	struct file *first, *last;
};

/* The files in a directory when it was opened. */
struct listing {
	size_t count;
	struct file *files[];
};

static struct file root;
static struct file *buckets[BUCKETS];

static struct file *file_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &root : (struct file *)(uintptr_t)ino;
}

static struct file **bucket_of(struct file *parent, const char *name)
{
	uint64_t hash = (uintptr_t)parent * 0x9e3779b97f4a7c15ull;
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ull;
	return &buckets[(hash >> 32) % BUCKETS];
}

static struct file *find(struct file *parent, const char *name)
{
	struct file *it = *bucket_of(parent, name);
	while (it && (it->parent != parent || strcmp(it->name, name)))
		it = it->bucket_next;
	return it;
}

static void changed(struct file *file)
{
	clock_gettime(CLOCK_REALTIME, &file->stat.st_mtim);
	file->stat.st_ctim = file->stat.st_mtim;
}

static struct file *make(fuse_req_t req, fuse_ino_t parent_ino,
			 const char *name, mode_t mode)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct file *parent = file_of(parent_ino);
	struct file *file = calloc(1, sizeof(*file));
	struct file **bucket = bucket_of(parent, name);

	file->stat.st_ino = (uintptr_t)file;
	file->stat.st_mode = mode;
	file->stat.st_nlink = S_ISDIR(mode) ? 2 : 1;
	file->stat.st_uid = ctx->uid;
	file->stat.st_gid = ctx->gid;
	file->stat.st_blksize = 4096;
	changed(file);
	file->stat.st_atim = file->stat.st_mtim;
	file->name = strdup(name);
	file->parent = parent;
	file->bucket_next = *bucket;
	*bucket = file;
	file->previous = parent->last;
	if (parent->last)
		parent->last->next = file;
	else
		parent->first = file;
	parent->last = file;
	changed(parent);
	return file;
}

static void entry_of(struct file *file, struct fuse_entry_param *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->ino = (uintptr_t)file;
	entry->attr = file->stat;
	entry->attr.st_blocks = (file->stat.st_size + 511) / 512;
	entry->attr_timeout = entry->entry_timeout = TTL;
	file->lookups++;
}

static void do_forget(fuse_ino_t ino, uint64_t lookups)
{
	struct file *file = file_of(ino);
	if (file == &root || (file->lookups -= lookups) > 0 || file->name)
		return;
	free(file->data);
	free(file);
}

static void reply_attr(fuse_req_t req, struct file *file)
{
	struct stat stat = file->stat;
	stat.st_blocks = (stat.st_size + 511) / 512;
	fuse_reply_attr(req, &stat, TTL);
}

static int resize(struct file *file, size_t size)
{
	if (size > file->room) {
		size_t room = size > 2 * file->room ? size : 2 * file->room;
		char *data = realloc(file->data, room);
		if (!data)
			return ENOSPC;
		memset(data + file->room, 0, room - file->room);
		file->data = data;
		file->room = room;
	}
	if (size < (size_t)file->stat.st_size)
		memset(file->data + size, 0, file->stat.st_size - size);
	file->stat.st_size = size;
	return 0;
}

/* ---- Operations ---------------------------------------------------------- */

static void init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	conn->max_write = MAX_WRITE;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;
	struct file *file = find(file_of(parent), name);
	if (!file) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry_of(file, &entry);
	fuse_reply_entry(req, &entry);
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	do_forget(ino, lookups);
	fuse_reply_none(req);
}

static void forget_multi(fuse_req_t req, size_t count,
			 struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		do_forget(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	reply_attr(req, file_of(ino));
}

static void setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int what,
		    struct fuse_file_info *fi)
{
	struct file *file = file_of(ino);
	(void)fi;
	if (what & FUSE_SET_ATTR_SIZE) {
		int error = resize(file, to->st_size);
		if (error) {
			fuse_reply_err(req, error);
			return;
		}
		changed(file);
	}
	if (what & FUSE_SET_ATTR_MODE)
		file->stat.st_mode =
			(file->stat.st_mode & S_IFMT) | (to->st_mode & 07777);
	if (what & FUSE_SET_ATTR_UID)
		file->stat.st_uid = to->st_uid;
	if (what & FUSE_SET_ATTR_GID)
		file->stat.st_gid = to->st_gid;
	if (what & FUSE_SET_ATTR_MTIME)
		file->stat.st_mtim = to->st_mtim;
	if (what & FUSE_SET_ATTR_ATIME)
		file->stat.st_atim = to->st_atim;
	clock_gettime(CLOCK_REALTIME, &file->stat.st_ctim);
	reply_attr(req, file);
}

static void make_directory(fuse_req_t req, fuse_ino_t parent, const char *name,
			   mode_t mode)
{
	struct fuse_entry_param entry;
	entry_of(make(req, parent, name, S_IFDIR | mode), &entry);
	fuse_reply_entry(req, &entry);
}

static void create(fuse_req_t req, fuse_ino_t parent, const char *name,
		   mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;
	entry_of(make(req, parent, name, S_IFREG | mode), &entry);
	fi->noflush = 1;
	fuse_reply_create(req, &entry, fi);
}

static void unlink_file(fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
	struct file *parent = file_of(parent_ino);
	struct file *file = find(parent, name), **at;
	if (!file) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	at = bucket_of(parent, name);
	while (*at != file)
		at = &(*at)->bucket_next;
	*at = file->bucket_next;
	*(file->previous ? &file->previous->next : &parent->first) = file->next;
	*(file->next ? &file->next->previous : &parent->last) = file->previous;
	free(file->name);
	file->name = NULL;
	file->stat.st_nlink--;
	clock_gettime(CLOCK_REALTIME, &file->stat.st_ctim);
	changed(parent);
	fuse_reply_err(req, 0);
}

static void open_file(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *file = file_of(ino);
	if (fi->flags & O_TRUNC) {
		resize(file, 0);
		changed(file);
	}
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void read_file(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		      struct fuse_file_info *fi)
{
	struct file *file = file_of(ino);
	off_t left = file->stat.st_size - offset;
	(void)fi;
	if (left < 0)
		left = 0;
	fuse_reply_buf(req, file->data + offset,
		       (size_t)left < size ? (size_t)left : size);
}

static void write_file(fuse_req_t req, fuse_ino_t ino, const char *data,
		       size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct file *file = file_of(ino);
	(void)fi;
	if (offset + (off_t)size > file->stat.st_size) {
		int error = resize(file, offset + size);
		if (error) {
			fuse_reply_err(req, error);
			return;
		}
	}
	memcpy(file->data + offset, data, size);
	changed(file);
	fuse_reply_write(req, size);
}

static void release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void open_directory(fuse_req_t req, fuse_ino_t ino,
			   struct fuse_file_info *fi)
{
	struct file *directory = file_of(ino);
	struct listing *listing;
	size_t count = 0;
	for (struct file *it = directory->first; it; it = it->next)
		count++;
	listing = malloc(sizeof(*listing) + count * sizeof(struct file *));
	listing->count = 0;
	for (struct file *it = directory->first; it; it = it->next)
		listing->files[listing->count++] = it;
	fi->fh = (uintptr_t)listing;
	fuse_reply_open(req, fi);
}

static void list(fuse_req_t req, size_t size, off_t offset,
		 struct fuse_file_info *fi, int plus)
{
	struct listing *listing = (struct listing *)(uintptr_t)fi->fh;
	char *buffer = malloc(size);
	size_t at = 0;
	for (size_t i = offset; i < listing->count + 2; i++) {
		struct fuse_entry_param entry = { .attr.st_mode = S_IFDIR };
		struct file *file = i < 2 ? NULL : listing->files[i - 2];
		const char *name = i == 0 ? "." : i == 1 ? ".." : file->name;
		size_t length;
		if (!name)
			continue; /* It was unlinked meanwhile. */
		if (file)
			entry_of(file, &entry);
		length = plus ? fuse_add_direntry_plus(req, buffer + at,
						       size - at, name, &entry,
						       i + 1)
			      : fuse_add_direntry(req, buffer + at, size - at,
						  name, &entry.attr, i + 1);
		if (file && (!plus || length > size - at))
			file->lookups--;
		if (length > size - at)
			break;
		at += length;
	}
	fuse_reply_buf(req, buffer, at);
	free(buffer);
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, offset, fi, 0);
}

static void read_directory_plus(fuse_req_t req, fuse_ino_t ino, size_t size,
				off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, offset, fi, 1);
}

static void release_directory(fuse_req_t req, fuse_ino_t ino,
			      struct fuse_file_info *fi)
{
	(void)ino;
	free((void *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static void statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs room = {
		.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255,
		.f_blocks = 1 << 18, .f_bfree = 1 << 17, .f_bavail = 1 << 17,
		.f_files = 1 << 20, .f_ffree = 1 << 20,
	};
	(void)ino;
	fuse_reply_statfs(req, &room);
}

static void getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		     size_t size)
{
	(void)ino;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

static const struct fuse_lowlevel_ops operations = {
	.init = init,
	.lookup = lookup,
	.forget = forget,
	.forget_multi = forget_multi,
	.getattr = getattr,
	.setattr = setattr,
	.mkdir = make_directory,
	.create = create,
	.unlink = unlink_file,
	.open = open_file,
	.read = read_file,
	.write = write_file,
	.release = release,
	.opendir = open_directory,
	.readdir = read_directory,
	.readdirplus = read_directory_plus,
	.releasedir = release_directory,
	.statfs = statfs,
	.getxattr = getxattr,
};

int main(int argc, char **argv)
{
	char *words[] = { argv[0], "-o", "default_permissions,allow_other" };
	struct fuse_args args = FUSE_ARGS_INIT(3, words);
	struct fuse_session *session;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	root.stat.st_ino = FUSE_ROOT_ID;
	root.stat.st_mode = S_IFDIR | 0755;
	root.stat.st_nlink = 2;
	changed(&root);
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session || fuse_session_mount(session, argv[1]) != 0)
		return 1;
	printf("mounted: libfuse %s\n", fuse_pkgversion());
	fflush(stdout);
	return fuse_session_loop(session) < 0;
}
