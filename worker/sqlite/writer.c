/*
 * writer.c - one process writes a file.
 *
 *   memories.db           the database; whoever likes reads it meanwhile
 *   memories.db-writer    locked by the worker or the load that writes; says "host/pid"
 *   memories.db-embed     locked by the "embed" that is at work, beside the writer
 *
 * Two would be no danger, as the swap and the epochs fence them; they would wait for each other's
 * transactions, and each would find its partitions taken. So the second one is told, and waits.
 *
 * The lock is the kernel's, of the open file (F_OFD_SETLK): it ends with the process, however that
 * ends. What a dead holder's file says does not matter; the file stays, since removing one that
 * another process has just opened would leave two holders.
 *
 * Thread: any.
 */
#include "sqlite/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Links lead to one file, so to one lock. */
static char *lock_path(const char *path, const char *what)
{
	char *real = realpath(path, NULL);
	char *lock = xasprintf("%s-%s", real ? real : path, what);
	free(real);
	return lock;
}

void writer_name(char *name, size_t size)
{
	char host[HOST_NAME_MAX + 1] = "";
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(name, size, "%s/%ld", host, (long)getpid());
}

static void read_name(int fd, char *name, size_t size)
{
	ssize_t n = pread(fd, name, size - 1, 0);
	name[MAX(n, 0)] = '\0';
	name[strcspn(name, "\n")] = '\0';
	if (!name[0])
		snprintf(name, size, "another process");
}

/* does, more: the words before and behind the name of who holds it. */
static int lock_for(const char *path, const char *what, const char *does, const char *more,
		    struct err *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char *file = lock_path(path, what), name[160];
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		err_set(err, ERR_CONFIG, "%s: %s", file, strerror(errno));
	} else if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
		read_name(fd, name, sizeof(name));
		err_set(err, ERR_RETRY, "%s %s %s%s", path, does, name, more);
		close(fd);
		fd = -1;
	}
	free(file);
	if (fd < 0)
		return -1;
	writer_name(name, sizeof(name));
	if (ftruncate(fd, 0) != 0 || dprintf(fd, "%s\n", name) < 0)
		name[0] = '\0'; /* on a full disk it has no name; the lock holds */
	return fd;
}

int writer_lock(const char *path, struct err *err)
{
	return lock_for(path, "writer", "is written by",
			", and one process at a time may: stop that one, or give this one a file "
			"of its own",
			err);
}

int writer_turn(const char *path, const char *what, struct err *err)
{
	return lock_for(path, what, "is in the hands of", "", err);
}

void writer_unlock(int fd)
{
	if (fd >= 0)
		close(fd);
}

bool writer_holds(int fd, const char *path)
{
	struct stat held, now;
	char *file = lock_path(path, "writer");
	bool holds = fd >= 0 && fstat(fd, &held) == 0 && stat(file, &now) == 0 &&
		     held.st_dev == now.st_dev && held.st_ino == now.st_ino;
	free(file);
	return holds;
}

bool writer_holder(const char *path, char *name, size_t size)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char *file = lock_path(path, "writer");
	int fd = open(file, O_RDWR | O_CLOEXEC);
	bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	if (held)
		read_name(fd, name, size);
	if (fd >= 0)
		close(fd);
	free(file);
	return held;
}
