/*
 * pg_connect.c - from the DSN to a session: host after host, address after address, each within
 * connect_timeout.
 *
 *   pg_dsn_read()          hosts in order (any order with load_balance_hosts=random)
 *     for each host
 *       lookup_host()      its addresses; not for a socket or where the DSN gives one
 *         for each address
 *           libpq          one host, one address: connect, TLS, login, target_session_attrs
 *           SET ...        the session's settings
 *
 * libpq would go through hosts and addresses itself, but its connect_timeout counts in its blocking
 * calls alone, and it resolves names in the middle of its non-blocking ones. So it is handed one
 * address at a time; the name goes with it, for TLS (verify-full), .pgpass and Kerberos. What it
 * checks per attempt (target_session_attrs) it checks as before: a server that is read-only fails
 * the attempt and the next host is asked. prefer-standby is "any", as there is one host to prefer.
 *
 * A host whose server answered and said no (a wrong password, no such database) is not asked again
 * by its other addresses; the next host is, as an old primary may know less than the new one. When
 * nobody lets us in, the error names each attempt and its reason, and its class (and SQLSTATE) is
 * the worst of them: CONFIG when one of the servers said that somebody has to act, else RETRY.
 *
 * Thread: the one that will own the session. An abort ends it at any point.
 */
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/lookup.h"
#include "io/pg_dsn.h"
#include "io/pg_parts.h"
#include "io/wait.h"

/* One pg_connect() under way. */
struct search {
	const struct config *config;
	struct pg_dsn dsn;
	int abort_fd;
	int64_t deadline_us;  /* of the attempt at hand */
	enum err_class class; /* the worst so far */
	char code[8];         /* its SQLSTATE, or empty */
	struct buf why;       /* an entry for each attempt that failed */
};

/* Only warnings: notices say that something is there already. */
static void notice(void *ctx, const PGresult *res)
{
	(void)ctx;
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	if (severity && strcmp(severity, "WARNING") == 0)
		log_warn("warning from PostgreSQL", F_STR("sqlstate", state),
			 F_STR("text", message));
}

/* --- why an attempt failed --- */

/*
 * Whom it concerns that we are not let in. The server says it by its SQLSTATE: the login (a
 * password, a role, a database, pg_hba.conf), the right to connect, a database that takes no
 * connections, a setting that it does not know; anything else passes. What libpq itself does not
 * like has none; these are its fixed phrases.
 */
static enum err_class login_class(const char *state, const char *text)
{
	static const char *const ours[] = {"no password supplied",
					   "certificate",
					   "does not match host name",
					   "private key file",
					   "was required",
					   "channel binding",
					   "authentication method requirement"};
	static const char *const states[] = {"22", "42", "55000"};
	for (size_t i = 0; !state[0] && i < ARRAY_LEN(ours); i++)
		if (strstr(text, ours[i]))
			return ERR_CONFIG;
	for (size_t i = 0; state[0] && i < ARRAY_LEN(states); i++)
		if (strncmp(state, states[i], strlen(states[i])) == 0)
			return ERR_CONFIG;
	return state[0] && pg_verdict(state) == PG_ACCESS ? ERR_CONFIG : ERR_RETRY;
}

/*
 * The SQLSTATE in "FATAL:  28P01: password ..." (the only place where libpq tells it of a login),
 * taken out of the line; *rest is what stands behind it. Empty: there is none.
 */
static void take_state(const char *line, char state[8], size_t *head, const char **rest)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *colon = strchr(line, ':'),
		   *at = colon ? colon + 1 + strspn(colon + 1, " ") : "";
	*head = strlen(line);
	*rest = "";
	if (strspn(at, digits) != 5 || strncmp(at + 5, ": ", 2) != 0)
		return;
	snprintf(state, 8, "%.5s", at);
	*head = (size_t)(at - line);
	*rest = at + 7;
}

/*
 * libpq's text without what the caller says anyhow (the server's address) and without its advice,
 * which begins with a tab, and where in the server's source it was. One line per try: it may have
 * tried with TLS and without. A complaint of its own about an option would quote it, so it ends
 * there. state: of the last line that has one.
 */
static void libpq_reason(const char *said, char state[8], struct buf *out)
{
	static const char where[] = "connection to server ",
			  why[] = " failed: ", invalid[] = "invalid ", source[] = "LOCATION: ";
	char *text = xstrdup(said), *rest;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *at =
			strncmp(line, where, strlen(where)) == 0 ? strstr(line, why) : NULL;
		const char *reason = at ? at + strlen(why) : line;
		size_t len = strncmp(reason, invalid, strlen(invalid)) == 0 ? strcspn(reason, "\"")
									    : strlen(reason);
		if (line[0] == '\t' || strncmp(line, source, strlen(source)) == 0)
			continue;
		char found[8] = "";
		size_t head;
		const char *tail;
		take_state(reason, found, &head, &tail);
		buf_printf(out, "%s%.*s%s", out->len ? ", " : "", (int)MIN(len, head), reason,
			   tail);
		if (!found[0])
			continue;
		memcpy(state, found, sizeof(found));
		buf_printf(out, " (SQLSTATE %s)", found);
	}
	free(text);
}

/* The attempt failed; counted as a lost connection, for there was no answer with a SQLSTATE. */
static bool failed(struct err *err, enum err_class class, const char *why)
{
	stats_add(METRIC_POSTGRES_ERRORS, stats_sqlclass("08"), 0, 1);
	return err_set(err, class, "%s", why);
}

/* By what the server, or libpq, says. */
static bool libpq_failed(const struct pg *pg, struct err *err)
{
	static const char unverified[] = "certificate verify failed"; /* OpenSSL's words, alone */
	struct buf reason = {0};
	char state[8] = "";
	libpq_reason(PQerrorMessage(pg->conn), state, &reason);
	if (strstr(buf_cstr(&reason), unverified))
		buf_puts(&reason, " (look at sslrootcert, and at the dates and the issuer of the "
				  "server's certificate)");
	const char *text = reason.len ? buf_cstr(&reason) : "connection lost";
	failed(err, login_class(state, text), text);
	memcpy(err->code, state, sizeof(state));
	buf_free(&reason);
	return false;
}

/* --- one attempt --- */

/* libpq is given one host and one address, so it looks up nothing. */
static struct pg *start(const struct search *s, const struct pg_host *host, const char *addr,
			struct err *err)
{
	const struct pg_dsn *dsn = &s->dsn;
	const char **keywords = xcalloc(dsn->noptions + 4, sizeof(*keywords));
	const char **values = xcalloc(dsn->noptions + 4, sizeof(*values));
	size_t n = dsn->noptions;
	memcpy(keywords, dsn->keywords, n * sizeof(*keywords));
	memcpy(values, dsn->values, n * sizeof(*values));
	keywords[n] = "host";
	values[n++] = host->host;
	keywords[n] = "port";
	values[n++] = host->port;
	keywords[n] = addr ? "hostaddr" : NULL;
	values[n] = addr;
	struct pg *pg = xcalloc(1, sizeof(*pg));
	pg->conn = PQconnectStartParams(keywords, values, 0);
	pg->abort_fd = s->abort_fd;
	pg->deadline_us = s->deadline_us;
	free(keywords);
	free(values);
	if (!pg->conn) {
		free(pg);
		err_set(err, ERR_FATAL, "out of memory");
		return NULL;
	}
	PQsetErrorVerbosity(pg->conn, PQERRORS_VERBOSE); /* with the SQLSTATE of a refusal */
	PQsetNoticeReceiver(pg->conn, notice, NULL);
	return pg;
}

/* PQconnectPoll() may be called when the socket is ready for what it last asked for, no sooner. */
static bool wait_connected(struct pg *pg, struct err *err)
{
	PostgresPollingStatusType next =
		PQstatus(pg->conn) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
	for (;; next = PQconnectPoll(pg->conn)) {
		if (next == PGRES_POLLING_OK)
			return true;
		if (next == PGRES_POLLING_FAILED)
			return libpq_failed(pg, err);
		switch (wait_fd(PQsocket(pg->conn),
				next == PGRES_POLLING_READING ? POLLIN : POLLOUT, pg->abort_fd,
				pg->deadline_us)) {
		case WAIT_READY:
			break;
		case WAIT_ABORTED:
			return err_set(err, ERR_RETRY, "given up on request");
		case WAIT_LATE:
			return failed(err, ERR_RETRY, "no answer within connect_timeout");
		}
	}
}

/*
 * Bounds for a session that may lose its client at any moment: without them a dead worker's backend
 * would keep the offsets row locked against its successor. temp_buffers: a full batch in its
 * staging table should not be written to disk. search_path: a role named memingest would find the
 * bookkeeping schema by the default's "$user" and put its tables there, so the default is narrowed
 * to public; a path that somebody set is kept.
 */
static bool session_settings(struct pg *pg, const struct config *config, struct err *err)
{
	struct buf sql = {0};
	buf_printf(&sql,
		   "SET statement_timeout = %lld; SET lock_timeout = %lld;"
		   "SET idle_in_transaction_session_timeout = '10s'; SET "
		   "client_connection_check_interval = '1s';"
		   "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET "
		   "tcp_keepalives_count = 3;"
		   "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; "
		   "SET extra_float_digits = 1;"
		   "SET jit = off;"
		   "SET temp_buffers = '32MB';"
		   "SELECT set_config('search_path', 'public', false)"
		   " WHERE current_setting('search_path') = '\"$user\", public'",
		   (long long)(config->pg_statement_timeout_us / US_PER_MS),
		   (long long)(config->pg_lock_timeout_us / US_PER_MS));
	bool ok = pg_exec(pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	return ok;
}

/* The settings are part of the attempt: they have what is left of its time. */
static bool open_session(struct pg *pg, const struct config *config, struct err *err)
{
	if (!wait_connected(pg, err))
		return false;
	PQsetErrorVerbosity(pg->conn, PQERRORS_DEFAULT);
	PQsetnonblocking(pg->conn, 1);
	pg_set_timeout(pg, pg->deadline_us - clock_mono_us());
	if (!session_settings(pg, config, err))
		return false;
	pg_set_timeout(pg, config->pg_statement_timeout_us + 10 * US_PER_S);
	return true;
}

/* --- one host after another --- */

static void start_clock(struct search *s)
{
	s->deadline_us = clock_mono_us() + s->config->pg_connect_timeout_us;
}

/* Not another host after an abort. */
static bool given_up(const struct search *s)
{
	struct pollfd fd = {.fd = s->abort_fd, .events = POLLIN};
	return poll(&fd, 1, 0) > 0;
}

/* Each attempt and its reason, the worst class of them. */
static void note_failure(struct search *s, const struct pg_host *host, const char *addr,
			 const struct err *err)
{
	static const char ours[] = "PostgreSQL: "; /* stands in front of all of it already */
	size_t skip = strncmp(err->text, ours, strlen(ours)) == 0 ? strlen(ours) : 0;
	bool named = addr && strcmp(addr, host->host) != 0;
	buf_printf(&s->why, "%s%s port %s%s%s%s: %.240s", s->why.len ? "; " : "", host->host,
		   host->port, named ? " (" : "", named ? addr : "", named ? ")" : "",
		   err->text + skip);
	if (err->class > s->class || !s->code[0])
		memcpy(s->code, err->code, sizeof(s->code));
	s->class = MAX(s->class, err->class);
}

/* addr: NULL for a socket. *refused: the server has answered, and somebody has to act. */
static struct pg *try_address(struct search *s, const struct pg_host *host, const char *addr,
			      bool *refused)
{
	struct err err = {0};
	struct pg *pg = start(s, host, addr, &err);
	if (pg && open_session(pg, s->config, &err))
		return pg;
	pg_free(pg);
	note_failure(s, host, addr, &err);
	*refused = err.class == ERR_CONFIG;
	return NULL;
}

/* Any order, each as likely as another (Fisher and Yates). */
static void shuffle(void *items, size_t n, size_t size)
{
	char *base = items, kept[LOOKUP_ADDRESS_SIZE];
	assert(size <= sizeof(kept));
	for (size_t i = n; i > 1; i--) {
		char *a = base + (i - 1) * size, *b = base + arc4random_uniform((uint32_t)i) * size;
		memcpy(kept, a, size);
		memmove(a, b, size);
		memcpy(b, kept, size);
	}
}

/* Its addresses in turn, until one has said no. */
static struct pg *try_name(struct search *s, const struct pg_host *host)
{
	struct lookup_answer found;
	struct err err = {0};
	struct pg *pg = NULL;
	bool refused = false;
	if (!lookup_host(host->host, s->abort_fd, s->deadline_us, &found, &err)) {
		note_failure(s, host, NULL, &err);
		return NULL;
	}
	if (s->dsn.shuffled)
		shuffle(found.addresses, found.n, sizeof(found.addresses[0]));
	for (size_t i = 0; i < found.n && !pg && !refused && !given_up(s); i++) {
		if (i > 0)
			start_clock(s); /* the first has what the look-up has left */
		pg = try_address(s, host, found.addresses[i], &refused);
	}
	free(found.addresses);
	return pg;
}

/* Each host has connect_timeout anew. */
static struct pg *try_host(struct search *s, const struct pg_host *host)
{
	bool refused;
	start_clock(s);
	if (host->addr || pg_dsn_is_socket(host->host))
		return try_address(s, host, host->addr, &refused);
	return try_name(s, host);
}

/* The error names all attempts. */
struct pg *pg_connect(const struct config *config, const char *role, int abort_fd, struct err *err)
{
	char application[64];
	struct search s = {.config = config, .abort_fd = abort_fd};
	struct pg *pg = NULL;
	snprintf(application, sizeof(application), "memingest/%s", role);
	if (!pg_dsn_read(config, application, &s.dsn, err))
		return NULL;
	if (s.dsn.shuffled)
		shuffle(s.dsn.hosts, s.dsn.nhosts, sizeof(s.dsn.hosts[0]));
	for (size_t i = 0; i < s.dsn.nhosts && !pg && !given_up(&s); i++)
		pg = try_host(&s, &s.dsn.hosts[i]);
	if (!pg && given_up(&s))
		err_set(err, ERR_RETRY, "PostgreSQL: given up on request");
	else if (!pg)
		err_set(err, s.class, "PostgreSQL: cannot connect: %s", buf_cstr(&s.why));
	if (!pg)
		memcpy(err->code, s.code, sizeof(s.code));
	buf_free(&s.why);
	pg_dsn_free(&s.dsn);
	return pg;
}
