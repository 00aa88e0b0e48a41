/*
 * worker.c - workers as child processes: started, watched, signalled, asked over HTTP and by their
 * log.
 *
 *   started --> in bed->workers --(signal, wait, stop, kill)--> reaped, pidfd -1
 *
 * A worker in bed->workers is expected to live: bed_tick() fails the test when its pidfd turns
 * readable. worker_wait() and worker_kill() take it off the list first. A worker dies with the test
 * (PR_SET_PDEATHSIG), so nothing is left behind by a test that fails. The struct lives until the
 * process of the test ends.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bed.h"

#define TICK_MS 20

/* What makes and drops tables and functions, and what reads or deletes dead letters. */
static bool is_owners(const char *command, const char *const *args)
{
	const char *action = args && args[0] ? args[0] : "";
	return strcmp(command, "migrate") == 0 || strcmp(command, "dlq") == 0 ||
	       strcmp(command, "verify") == 0 ||
	       (strcmp(command, "index") == 0 && strcmp(action, "drop") == 0) ||
	       (strcmp(command, "offsets") == 0 && strcmp(action, "rewind") == 0);
}

/* NULL-terminated: program, command, -c, config, then the others. Returns new. */
static const char **command_line(struct bed *bed, const char *command, const char *const *args,
				 const char *const *more)
{
	size_t n = 0;
	const char **argv = xcalloc(64, sizeof(*argv));
	argv[n++] = stack.program;
	argv[n++] = command;
	argv[n++] = "-c";
	argv[n++] = is_owners(command, args) ? bed->owner_config : bed->config;
	for (; more && *more && n < 62; more++)
		argv[n++] = *more;
	for (; args && *args && n < 62; args++)
		argv[n++] = *args;
	return argv;
}

/* clock: of the bed, or "". */
static int launch(const char *const *argv, const char *clock, const char *output)
{
	char path[4200], preload[4200], file[200];
	const char *env[4] = {NULL};
	size_t n = 0;
	snprintf(path, sizeof(path), "LD_LIBRARY_PATH=%s", stack.librdkafka);
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/clock.so", stack.folder);
	snprintf(file, sizeof(file), "MEMINGEST_TEST_CLOCK=%s", clock);
	if (stack.librdkafka[0])
		env[n++] = path;
	if (clock[0]) {
		env[n++] = preload;
		env[n++] = file;
	}
	int pid = spawn(argv, env, output);
	ck_assert_msg(pid > 0, "fork: %s", strerror(errno));
	return pid;
}

static void read_file(const char *path, struct buf *out)
{
	char chunk[16384];
	size_t n;
	FILE *in = fopen(path, "r");
	if (!in)
		return;
	while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0)
		buf_put(out, chunk, n);
	fclose(in);
}

/* Its output goes into the file, alone. */
static int run_command(struct bed *bed, const char *command, const char *const *args,
		       const char *const *more, const char *path)
{
	bed_write_config(bed);
	if (unlink(path) != 0)
		ck_assert_int_eq(errno, ENOENT);
	const char **argv = command_line(bed, command, args, more);
	int status = wait_exit(launch(argv, "", path));
	free(argv);
	return status;
}

/* What a migration with these arguments has made; nothing if it only printed. */
static void grant(struct bed *bed, const char *const *args)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/grant.log", bed->dir);
	const char *const more[] = {"--grant-to", "memingest", NULL};
	int status = run_command(bed, "migrate", args, more, path);
	ck_assert_msg(status == 0, "migrate --grant-to memingest: %d: see %s", status, path);
}

void bed_grant(struct bed *bed)
{
	grant(bed, NULL);
}

int bed_command(struct bed *bed, const char *command, const char *const *args, struct buf *out)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/command.log", bed->dir);
	int status = run_command(bed, command, args, NULL, path);
	if (out)
		read_file(path, out);
	if (status == 0 && strcmp(command, "migrate") == 0 && !bed->sqlite[0])
		grant(bed, args);
	return status;
}

char *bed_says(struct bed *bed, int status, const char *line)
{
	char words[256], *rest = NULL;
	const char *argv[9] = {NULL};
	size_t n = 0;
	struct buf out = {0};
	snprintf(words, sizeof(words), "%s", line);
	for (char *word = strtok_r(words, " ", &rest); word && n < 8;
	     word = strtok_r(NULL, " ", &rest))
		argv[n++] = word;
	int found = bed_command(bed, argv[0], argv + 1, &out);
	ck_assert_msg(found == status, "%s: exit %d, expected %d: %.4000s", line, found, status,
		      buf_cstr(&out)); /* Check takes no more than 8 KiB */
	return buf_take_text(&out);
}

void bed_expect(struct bed *bed, int status, const char *line, const char *part)
{
	char *text = bed_says(bed, status, line);
	ck_assert_msg(strstr(text, part) != NULL, "%s: expected \"%s\" in: %.4000s", line, part,
		      text);
	free(text);
}

static struct worker *start(struct bed *bed, const char *command, const char *const *args,
			    const char *output)
{
	char listen[64];
	bool gateway = strcmp(command, "gateway") == 0;
	struct worker *w = xcalloc(1, sizeof(*w));
	ck_assert_uint_lt(bed->nworkers, BED_WORKERS);
	bed_write_config(bed);
	w->bed = bed;
	w->http_port = free_port();
	snprintf(w->log, sizeof(w->log), "%s", output);
	snprintf(listen, sizeof(listen), "%shttp%clisten=127.0.0.1:%u", gateway ? "gateway." : "",
		 gateway ? '_' : '.', w->http_port);
	const char *const more[] = {"--set", listen, NULL};
	const char **argv = command_line(bed, command, args, more);
	w->pid = launch(argv, bed->clock, w->log);
	free(argv);
	w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
	ck_assert_msg(w->pidfd >= 0, "pidfd_open: %s", strerror(errno));
	bed->workers[bed->nworkers++] = w;
	return w;
}

struct worker *worker_start_to(struct bed *bed, const char *const *args, const char *output)
{
	return start(bed, "run", args, output);
}

struct worker *worker_start(struct bed *bed, const char *const *args)
{
	char log[160];
	snprintf(log, sizeof(log), "%s/worker-%zu.log", bed->dir, ++bed->started);
	return start(bed, "run", args, log);
}

struct worker *gateway_start(struct bed *bed, const char *const *args)
{
	char log[160];
	snprintf(log, sizeof(log), "%s/gateway-%zu.log", bed->dir, ++bed->started);
	return start(bed, "gateway", args, log);
}

/* --- ending --- */

static void expect_end(struct worker *w)
{
	struct bed *bed = w->bed;
	for (size_t i = 0; i < bed->nworkers; i++) {
		if (bed->workers[i] == w) {
			bed->workers[i] = bed->workers[--bed->nworkers];
			return;
		}
	}
}

static int reap(struct worker *w)
{
	int status = wait_exit(w->pid);
	close(w->pidfd);
	w->pidfd = w->pid = -1;
	return status;
}

void worker_signal(struct worker *w, int signal_number)
{
	ck_assert_msg(kill(w->pid, signal_number) == 0, "kill: %s", strerror(errno));
}

void worker_leaves(struct worker *w)
{
	expect_end(w);
}

bool worker_ended(struct worker *w, int *status)
{
	struct pollfd pfd = {.fd = w->pidfd, .events = POLLIN};
	if (poll(&pfd, 1, 0) != 1)
		return false;
	*status = reap(w);
	return true;
}

int worker_wait(struct worker *w, int seconds)
{
	struct pollfd pfd = {.fd = w->pidfd, .events = POLLIN};
	expect_end(w);
	ck_assert_msg(poll(&pfd, 1, seconds * 1000) == 1, "the worker did not end within %d s: %s",
		      seconds, w->log);
	return reap(w);
}

void worker_stop(struct worker *w)
{
	worker_signal(w, SIGTERM);
	int status = worker_wait(w, 30);
	ck_assert_msg(status == 0, "after SIGTERM the worker ended with %d: %s", status, w->log);
}

void worker_kill(struct worker *w)
{
	expect_end(w);
	worker_signal(w, SIGKILL);
	reap(w);
}

/* --- waiting --- */

bool bed_tick(struct bed *bed, int64_t deadline_us)
{
	struct pollfd pfds[BED_WORKERS];
	int wait_ms = MIN(TICK_MS, clock_poll_ms(deadline_us));
	if (clock_mono_us() >= deadline_us)
		return false;
	for (size_t i = 0; i < bed->nworkers; i++)
		pfds[i] = (struct pollfd){.fd = bed->workers[i]->pidfd, .events = POLLIN};
	if (poll(pfds, bed->nworkers, wait_ms) <= 0)
		return true;
	for (size_t i = 0; i < bed->nworkers; i++) {
		if (pfds[i].revents) {
			struct worker *w = bed->workers[i];
			expect_end(w);
			ck_abort_msg("a worker ended by itself with %d: %s", reap(w), w->log);
		}
	}
	return true;
}

/* --- asking --- */

unsigned worker_http(struct worker *w, const char *path, struct buf *out)
{
	return http(w->http_port, path, NULL, out);
}

void worker_ready(struct worker *w)
{
	BED_WAIT(w->bed, 30, worker_http(w, "/readyz", NULL) == 200);
}

/* "name{labels} value" or "name value". */
static double line_value(const char *line, size_t len, const char *metric, const char *label)
{
	size_t name = strlen(metric);
	if (len <= name || strncmp(line, metric, name) != 0 ||
	    (line[name] != '{' && line[name] != ' '))
		return 0;
	if (label && !memmem(line, len, label, strlen(label)))
		return 0;
	const char *value = line + len;
	while (value > line && value[-1] != ' ')
		value--;
	return strtod(value, NULL);
}

double worker_metric(struct worker *w, const char *metric, const char *label)
{
	struct buf body = {0};
	double sum = 0;
	ck_assert_uint_eq(worker_http(w, "/metrics", &body), 200);
	for (const char *line = buf_cstr(&body); *line;) {
		size_t len = strcspn(line, "\n");
		sum += line_value(line, len, metric, label);
		line += len + (line[len] == '\n');
	}
	buf_free(&body);
	return sum;
}

json_t *worker_status(struct worker *w)
{
	struct buf body = {0};
	json_error_t error;
	ck_assert_uint_eq(worker_http(w, "/status", &body), 200);
	json_t *status = json_loadb((const char *)body.data, body.len, 0, &error);
	ck_assert_msg(status != NULL, "/status: %s", error.text);
	buf_free(&body);
	return status;
}

/* Where the text ends in the part of the log that was not looked at yet; 0: it is not there. */
static size_t find_in_log(struct worker *w, const char *text)
{
	struct buf log = {0};
	size_t end = 0;
	read_file(w->log, &log);
	if (log.len > w->log_seen) {
		const char *from = (const char *)log.data + w->log_seen;
		const char *at = memmem(from, log.len - w->log_seen, text, strlen(text));
		end = at ? (size_t)(at - (const char *)log.data) + strlen(text) : 0;
	}
	buf_free(&log);
	return end;
}

bool worker_logged(struct worker *w, const char *text)
{
	return find_in_log(w, text) > 0;
}

void worker_read_log(struct worker *w, struct buf *out)
{
	read_file(w->log, out);
}

int worker_log_count(struct worker *w, const char *text)
{
	struct buf log = {0};
	int n = 0;
	worker_read_log(w, &log);
	for (const char *at = buf_cstr(&log); (at = strstr(at, text)); at++)
		n++;
	buf_free(&log);
	return n;
}

void worker_wait_log(struct worker *w, const char *text, int seconds)
{
	int64_t deadline = clock_mono_us() + seconds * US_PER_S;
	size_t end;
	while ((end = find_in_log(w, text)) == 0)
		ck_assert_msg(bed_tick(w->bed, deadline), "not within %d s in %s: %s", seconds,
			      w->log, text);
	w->log_seen = end;
}

long worker_rss_kib(struct worker *w)
{
	char path[64], line[256];
	long kib = -1;
	snprintf(path, sizeof(path), "/proc/%d/status", w->pid);
	FILE *in = fopen(path, "r");
	ck_assert_msg(in != NULL, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), in)) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	}
	fclose(in);
	return kib;
}
