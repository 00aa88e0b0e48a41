/*
 * test_notify.c - what a service manager hears, with a real socket in its place.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/notify.h"
#include "unit.h"

static int manager = -1;
static char path[64];

/* A manager's socket by this name ("@": in the abstract namespace), told to the worker. */
static void listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(name);
	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static const char *heard(void)
{
	static char text[512];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);
	text[MAX(n, 0)] = '\0';
	return text;
}

static void begin(void)
{
	snprintf(path, sizeof(path), "/tmp/memingest-notify.%ld", (long)getpid());
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void end(void)
{
	if (manager >= 0)
		close(manager);
	unlink(path);
}

/* One datagram per message, byte by byte, to both kinds of names. */
START_TEST(messages)
{
	char abstract[64];
	snprintf(abstract, sizeof(abstract), "@memingest-notify.%ld", (long)getpid());
	const char *const names[] = {path, abstract};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		listen_at(names[i]);
		struct notify *n = notify_open();
		ck_assert_ptr_nonnull(n);
		notify_send(n, "READY=1");
		notify_send(n, "STATUS=a\nWATCHDOG=1");
		ck_assert_str_eq(heard(), "READY=1");
		ck_assert_str_eq(heard(), "STATUS=a\nWATCHDOG=1");
		ck_assert_str_eq(heard(), "");
		notify_close(n);
		close(manager);
	}
}
END_TEST

/*
 * Without a manager, or with one that has gone or does not read, nothing happens and nothing waits.
 */
START_TEST(nobody_listens)
{
	ck_assert_ptr_null(notify_open());
	notify_send(NULL, "READY=1");
	ck_assert(!notify_watchdog(NULL));
	notify_close(NULL);
	setenv("NOTIFY_SOCKET", "", 1);
	ck_assert_ptr_null(notify_open());
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	ck_assert_ptr_null(notify_open());
	listen_at(path);
	struct notify *n = notify_open();
	for (int i = 0; i < 5000; i++) /* more than any queue of datagrams holds */
		notify_send(n, "STATUS=x");
	close(manager);
	manager = -1;
	notify_send(n, "STATUS=y");
	notify_close(n);
}
END_TEST

/* The watchdog is ours if it has a time, and names us or nobody. */
START_TEST(watchdog)
{
	static const struct {
		const char *usec, *pid;
		bool wanted;
	} cases[] = {{NULL, NULL, false},       {"0", NULL, false},
		     {"120000000", NULL, true}, {"120000000", "self", true},
		     {"120000000", "1", false}, {"x", NULL, false},
		     {"1000000", NULL, true}};
	char self[16];
	snprintf(self, sizeof(self), "%ld", (long)getpid());
	listen_at(path);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (cases[i].usec)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID",
			       strcmp(cases[i].pid, "self") == 0 ? self : cases[i].pid, 1);
		struct notify *n = notify_open();
		ck_assert_msg(notify_watchdog(n) == cases[i].wanted, "case %zu", i);
		notify_close(n);
	}
}
END_TEST

static Suite *notify_suite(void)
{
	Suite *s = suite_create("notify");
	TCase *t = tcase_create("notify");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, messages);
	tcase_add_test(t, nobody_listens);
	tcase_add_test(t, watchdog);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(notify_suite)
