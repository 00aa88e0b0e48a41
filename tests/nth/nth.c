/*
 * nth.c - the nth call of a kind fails: a library to be loaded before libc (LD_PRELOAD).
 *
 *   NTH=malloc:17           the 17th allocation of the process returns NULL, and that one alone
 *   NTH=malloc:17+          it and all after it
 *   NTH=recv:5:ECONNRESET   the 5th recv, recvfrom or recvmsg fails with that errno
 *   NTH=read:3:short        the 3rd read has one byte at most
 *   NTH_COUNT=FILE          at the end of the process the numbers of calls stand there, a kind a
 * line
 *
 * A process that crashes says in whose code: "nth: crashed in FILE", the innermost object that is
 * neither libc nor this library.
 *
 * Kinds: malloc (calloc, realloc, posix_memalign, aligned_alloc), read (readv), write (writev),
 * recv (recvfrom, recvmsg), send (sendto, sendmsg), poll (ppoll, epoll_wait, select), connect.
 * Calls are counted over all threads, from 1; reads and writes of eventfds and the like, which fail
 * in no such way, are not. What libc does within itself (stdio's reads, say) is
 * not seen, but for its allocations.
 *
 * No allocation of its own; the environment is read at the first call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, MALLOC, READ, WRITE, RECV, SEND, POLL, CONNECT, KINDS };

static struct {
	_Atomic int state; /* 0: the environment was not read yet, 1: somebody reads it, 2: read */
	enum kind kind;
	long n;
	bool on, shorter; /* on: n and all after it */
	int error;
} plan;
static _Atomic long counts[KINDS];

static const struct {
	const char *name;
	enum kind kind;
} kinds[] = {{"malloc", MALLOC}, {"read", READ}, {"write", WRITE},    {"recv", RECV},
	     {"send", SEND},     {"poll", POLL}, {"connect", CONNECT}};

static const struct {
	const char *name;
	int error;
} errors[] = {{"EINTR", EINTR},   {"EAGAIN", EAGAIN},      {"ECONNRESET", ECONNRESET},
	      {"EIO", EIO},       {"EPIPE", EPIPE},        {"ENOMEM", ENOMEM},
	      {"ENOSPC", ENOSPC}, {"ETIMEDOUT", ETIMEDOUT}};

static void read_plan(const char *text)
{
	const char *colon = strchr(text, ':');
	char *end;
	for (size_t i = 0; colon && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == (size_t)(colon - text) &&
		    strncmp(kinds[i].name, text, (size_t)(colon - text)) == 0)
			plan.kind = kinds[i].kind;
	if (plan.kind == NONE)
		abort();
	plan.n = strtol(colon + 1, &end, 10);
	plan.on = *end == '+';
	end += plan.on;
	plan.error = plan.kind == MALLOC ? ENOMEM : EIO;
	if (*end == ':')
		plan.shorter = strcmp(end + 1, "short") == 0;
	for (size_t i = 0; *end == ':' && i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, end + 1) == 0)
			plan.error = errors[i].error;
}

/* Whether this call is the one; short: only that it is to do less. */
static bool fails(enum kind kind)
{
	int zero = 0;
	if (atomic_load(&plan.state) == 0 &&
	    atomic_compare_exchange_strong(&plan.state, &zero, 1)) {
		const char *text = getenv("NTH");
		if (text)
			read_plan(text);
		atomic_store(&plan.state, 2);
	}
	long n = atomic_fetch_add(&counts[kind], 1) + 1;
	if (atomic_load(&plan.state) != 2 || plan.kind != kind)
		return false;
	if (n != plan.n && !(plan.on && plan.n > 0 && n > plan.n))
		return false;
	if (!plan.shorter)
		errno = plan.error;
	return true;
}

/* Fails (-1), or of a short one how much it may do. */
static bool limited(enum kind kind, size_t *n)
{
	if (!fails(kind))
		return false;
	if (!plan.shorter)
		return true;
	*n = *n > 1 ? 1 : *n;
	return false;
}

__attribute__((destructor)) static void say_count(void)
{
	const char *path = getenv("NTH_COUNT");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
	for (size_t i = 0; fd >= 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		dprintf(fd, "%s %ld\n", kinds[i].name, atomic_load(&counts[kinds[i].kind]));
	if (fd >= 0)
		close(fd);
}

/* --- crashes --- */

static void say_crash(int signo)
{
	void *frames[64];
	Dl_info info, own;
	int n = backtrace(frames, 64);
	dladdr((void *)say_crash, &own);
	for (int i = 0; i < n; i++)
		if (dladdr(frames[i], &info) && info.dli_fbase != own.dli_fbase &&
		    !strstr(info.dli_fname, "/libc.so.")) {
			dprintf(STDERR_FILENO, "nth: crashed in %s\n", info.dli_fname);
			break;
		}
	raise(signo);
}

/* backtrace() loads a library at its first call, so that comes before any trouble. */
__attribute__((constructor)) static void watch_crashes(void)
{
	void *frame;
	struct sigaction action = {.sa_handler = say_crash, .sa_flags = (int)SA_RESETHAND};
	backtrace(&frame, 1);
	sigaction(SIGSEGV, &action, NULL);
}

/* --- memory --- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	return fails(MALLOC) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails(MALLOC) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails(MALLOC) ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return fails(MALLOC) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
	*out = fails(MALLOC) ? NULL : __libc_memalign(alignment, size);
	return *out ? 0 : ENOMEM;
}

/* --- input and output --- */

/* Descriptors without a type of file: eventfd, timerfd, epoll. */
static bool anonymous(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

#define NEXT(name)                                                                                 \
	static __typeof__(name) *next;                                                             \
	if (!next)                                                                                 \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

ssize_t read(int fd, void *p, size_t n)
{
	NEXT(read);
	return !anonymous(fd) && limited(READ, &n) ? -1 : next(fd, p, n);
}

ssize_t readv(int fd, const struct iovec *v, int n)
{
	NEXT(readv);
	return fails(READ) && !plan.shorter ? -1 : next(fd, v, n);
}

ssize_t write(int fd, const void *p, size_t n)
{
	NEXT(write);
	return !anonymous(fd) && limited(WRITE, &n) ? -1 : next(fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	NEXT(writev);
	return fails(WRITE) && !plan.shorter ? -1 : next(fd, v, n);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	NEXT(recv);
	return limited(RECV, &n) ? -1 : next(fd, p, n, flags);
}

ssize_t recvfrom(int fd, void *p, size_t n, int flags, struct sockaddr *from, socklen_t *len)
{
	NEXT(recvfrom);
	return limited(RECV, &n) ? -1 : next(fd, p, n, flags, from, len);
}

/* A short one has the first byte of the first part. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	NEXT(recvmsg);
	size_t n = m->msg_iovlen ? m->msg_iov[0].iov_len : 0;
	struct iovec first = m->msg_iovlen ? m->msg_iov[0] : (struct iovec){0};
	struct msghdr less = *m;
	bool fail = limited(RECV, &n);
	if (fail || n == first.iov_len)
		return fail ? -1 : next(fd, m, flags);
	first.iov_len = n;
	less.msg_iov = &first;
	less.msg_iovlen = 1;
	return next(fd, &less, flags);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	NEXT(send);
	return limited(SEND, &n) ? -1 : next(fd, p, n, flags);
}

ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t len)
{
	NEXT(sendto);
	return limited(SEND, &n) ? -1 : next(fd, p, n, flags, to, len);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	NEXT(sendmsg);
	size_t n = m->msg_iovlen ? m->msg_iov[0].iov_len : 0;
	struct iovec first = m->msg_iovlen ? m->msg_iov[0] : (struct iovec){0};
	struct msghdr less = *m;
	bool fail = limited(SEND, &n);
	if (fail || n == first.iov_len)
		return fail ? -1 : next(fd, m, flags);
	first.iov_len = n;
	less.msg_iov = &first;
	less.msg_iovlen = 1;
	return next(fd, &less, flags);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	NEXT(poll);
	return fails(POLL) ? -1 : next(fds, n, timeout);
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	NEXT(ppoll);
	return fails(POLL) ? -1 : next(fds, n, timeout, mask);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	NEXT(epoll_wait);
	return fails(POLL) ? -1 : next(fd, events, n, timeout);
}

int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	NEXT(select);
	return fails(POLL) ? -1 : next(n, r, w, e, timeout);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	NEXT(connect);
	return fails(CONNECT) ? -1 : next(fd, to, len);
}

/* What a fortified build calls. */
ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room);

ssize_t __read_chk(int fd, void *p, size_t n, size_t room)
{
	return n > room ? (abort(), -1) : read(fd, p, n);
}

ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags)
{
	return n > room ? (abort(), -1) : recv(fd, p, n, flags);
}

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room)
{
	return n * sizeof(*fds) > room ? (abort(), -1) : poll(fds, n, timeout);
}
