/*
 * stack.c - starts tests/stack, and makes sure that it ends.
 *
 *   main ----fork----> supervisor (own session, deaf to signals)
 *     |                    |
 *     +--- pipe ---------> read() ... end of file: every holder of the other end is gone
 *     +--fork--> test --exec--> worker (pipe closed on exec, dies with the test: PR_SET_PDEATHSIG)
 *
 * The supervisor blocks in read() until main and its tests have closed the pipe, by ending in
 * whatever way, and then runs "tests/stack stop --rm". So neither a failed assertion nor a kill -9
 * leaves servers behind.
 */
#include "stack.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct stack stack;

static int lifeline = -1;
static int supervisor = -1;

static void die(const char *what)
{
	fprintf(stderr, "system tests: %s: %s\n", what, strerror(errno));
	exit(70);
}

/* --- processes --- */

int spawn(const char *const *argv, const char *const *env, const char *output)
{
	int parent = getpid();
	int pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	for (; env && *env; env++) {
		char *copy = strdup(*env), *value = strchr(copy, '=');
		*value = '\0';
		setenv(copy, value + 1, 1);
	}
	int in = open("/dev/null", O_RDONLY), out = -1;
	if (output && (out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0644)) >= 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
	}
	dup2(in, STDIN_FILENO);
	closefrom(STDERR_FILENO + 1);
	execv(argv[0], (char *const *)(uintptr_t)argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int wait_exit(int pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- ports and HTTP --- */

static struct sockaddr_in loopback(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

unsigned free_port(void)
{
	static unsigned seed;
	if (seed == 0)
		seed = (unsigned)getpid() * 2654435761u;
	for (;;) {
		unsigned port = 15000 + (unsigned)rand_r(&seed) % 17000;
		struct sockaddr_in address = loopback(port);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool ok = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
		close(fd);
		if (ok)
			return port;
	}
}

static bool http_send(int fd, const char *path, const char *body)
{
	struct buf request = {0};
	buf_printf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n",
		   body ? "POST" : "GET", path);
	if (body)
		buf_printf(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			   strlen(body));
	buf_puts(&request, "\r\n");
	buf_puts(&request, body ? body : "");
	bool ok = send(fd, request.data, request.len, MSG_NOSIGNAL) == (ssize_t)request.len;
	buf_free(&request);
	return ok;
}

/* The body of an answer without chunks (neither of our servers sends any). */
static unsigned http_parse(struct buf *answer, struct buf *out)
{
	unsigned status = 0;
	const char *text = buf_cstr(answer);
	const char *body = strstr(text, "\r\n\r\n");
	if (sscanf(text, "HTTP/1.%*d %u", &status) != 1 || !body)
		return 0;
	body += 4;
	if (out)
		buf_put(out, body, answer->len - (size_t)(body - text));
	return status;
}

unsigned http(unsigned port, const char *path, const char *body, struct buf *out)
{
	struct sockaddr_in address = loopback(port);
	struct timeval patience = {.tv_sec = 5};
	struct buf answer = {0};
	unsigned status = 0;
	char chunk[16384];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    http_send(fd, path, body)) {
		ssize_t n;
		while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
			buf_put(&answer, chunk, (size_t)n);
		status = n == 0 ? http_parse(&answer, out) : 0;
	}
	close(fd);
	buf_free(&answer);
	return status;
}

/* --- the stack --- */

static void supervise(int fd)
{
	char byte;
	setsid();
	for (int signal_number = 1; signal_number < 32; signal_number++)
		signal(signal_number, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	while (read(fd, &byte, 1) != 0) {
		if (errno != EINTR)
			break;
	}
	execl("tests/stack", "tests/stack", "stop", stack.dir, "--rm", (char *)NULL);
	_exit(127);
}

static void start_supervisor(void)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		die("pipe");
	supervisor = fork();
	if (supervisor < 0)
		die("fork");
	if (supervisor == 0) {
		close(ends[1]);
		supervise(ends[0]);
	}
	close(ends[0]);
	lifeline = ends[1];
}

static void read_env(FILE *in)
{
	const struct {
		const char *key;
		unsigned *port;
	} ports[] = {
		{"PGPORT", &stack.pg_port},
		{"STANDBY_PORT", &stack.standby_port},
		{"REGISTRY_PORT", &stack.registry_port},
		{"PROXIED_PORT", &stack.proxied_port},
		{"PROXY_PORT", &stack.proxy_port},
		{"SCRAM_PORT", &stack.scram_port},
		{"MTLS_PORT", &stack.mtls_port},
		{"EXPIRED_PORT", &stack.expired_port},
	};
	char line[256];
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		const char *value = strchr(line, '=') ? strchr(line, '=') + 1 : "";
		if (strncmp(line, "BOOTSTRAP=", 10) == 0)
			snprintf(stack.bootstrap, sizeof(stack.bootstrap), "%.60s", value);
		for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
			size_t n = strlen(ports[i].key);
			if (strncmp(line, ports[i].key, n) == 0 && line[n] == '=')
				*ports[i].port = (unsigned)strtoul(value, NULL, 10);
		}
	}
}

/* First line that a command prints. */
static void ask(const char *command, char *out, size_t size)
{
	FILE *in = popen(command, "r"); /* fixed text of ours */
	if (!in || !fgets(out, (int)size, in) || pclose(in) != 0)
		die(command);
	out[strcspn(out, "\n")] = '\0';
}

static void find_program(void)
{
	const char *named = getenv("TEST_PROGRAM");
	ssize_t n = readlink("/proc/self/exe", stack.folder, sizeof(stack.folder) - 1);
	if (n < 0)
		die("/proc/self/exe");
	stack.folder[n] = '\0';
	*strrchr(stack.folder, '/') = '\0';
	if (named)
		snprintf(stack.program, sizeof(stack.program), "%s", named);
	else
		snprintf(stack.program, sizeof(stack.program), "%s/memingest", stack.folder);
}

void stack_up(bool new_librdkafka, bool tls)
{
	char command[256];
	if (access("tests/stack", X_OK) != 0)
		die("run this from the project's root: tests/stack");
	find_program();
	snprintf(stack.dir, sizeof(stack.dir), "%s", "/tmp/memingest-XXXXXX");
	if (!mkdtemp(stack.dir))
		die("mkdtemp");
	chmod(stack.dir, 0711);
	start_supervisor();
	if (new_librdkafka)
		ask("tests/fetch librdkafka", stack.librdkafka, sizeof(stack.librdkafka));
	const char *const start[] = {"tests/stack", "start", stack.dir, NULL};
	const char *const env[] = {tls ? "STACK_TLS=on" : NULL, NULL};
	if (wait_exit(spawn(start, env, NULL)) != 0) {
		fprintf(stderr, "system tests: the stack did not start\n");
		exit(70);
	}
	snprintf(command, sizeof(command), "tests/stack env %s", stack.dir);
	FILE *in = popen(command, "r");
	if (!in)
		die(command);
	read_env(in);
	pclose(in);
}

void stack_down(void)
{
	close(lifeline);
	wait_exit(supervisor);
}

void stack_do(const char *verb, const char *action, const char *option)
{
	const char *const argv[] = {"tests/stack", verb, action, stack.dir, option, NULL};
	int status = wait_exit(spawn(argv, NULL, NULL));
	ck_assert_msg(status == 0, "tests/stack %s %s ended with %d", verb, action, status);
}
