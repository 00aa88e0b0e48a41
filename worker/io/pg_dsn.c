/*
 * pg_dsn.c - from the text of postgres.dsn to hosts and options, or to a finding that does not
 * quote it.
 *
 *   text --PQconninfoParse()--> its own options
 *   our defaults, text, password --dry run--> all options, with service file and environment
 *                                                |
 *                    host, hostaddr, port: lists --> struct pg_host ...     all others: as they are
 *
 * libpq has no call that completes a DSN and does not connect. So it is given one option that it
 * must refuse (STOP), and is asked what it had made of all others: target_session_attrs is looked
 * at when hosts, ports, passwords and modes have been. A unit test holds it to that.
 *
 * What can be read in two ways is refused before libpq reads it in the wrong one:
 *
 *   postgresql://user:S3cret/Pw@host/db    to libpq host "user", port "S3cret",
 *                                          database "Pw@host/db"
 *   postgresql://user:S3@cret@host/db      to libpq host "cret@host"
 *
 * because libpq, resolver and server quote host, port and database in what they complain about.
 * Where libpq does not take the text its complaint is not passed on but looked up: it begins with
 * fixed words, which say what kind of mistake it is.
 *
 * One arena owns what was read. Any thread; failure is an error value.
 */
#include "io/pg_dsn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "core/exposed.h"
#include "io/lookup.h"
#include "io/pg_parts.h"

#define STOP "target_session_attrs"
#define STOP_VALUE "stop here"

struct reader {
	const struct config *config;
	const char *text;
	const char *rest; /* of a URL, behind "://"; NULL: key=value pairs */
	struct err *err;
};

/* --- findings --- */

/* Says what is wrong without quoting the text, which holds a password. */
PRINTF_LIKE(3, 4)
static bool finding(const struct reader *r, const char *hint, const char *fmt, ...)
{
	char what[400];
	const char *file = r->config->pg_dsn_file;
	va_list args;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	err_set(r->err, ERR_CONFIG, "postgres.dsn%s%s%s: %s%s%s", file ? "_file (" : "",
		file ? file : "", file ? ")" : "", what, hint ? "; " : "", hint ? hint : "");
	return r->config->pg_dsn_origin ? err_wrap(r->err, "%s", r->config->pg_dsn_origin) : false;
}

/* Where the text as such is wrong, a special character in the password may be why. */
static const char *hint(const struct reader *r)
{
	if (r->rest)
		return "percent-encode special characters of user and password (@ is %40, : %3A, / "
		       "%2F, ? %3F, % %25), or put the password into a file and set "
		       "postgres.password_file";
	return "write it as postgresql://USER@HOST/DATABASE, or as key=value pairs with single "
	       "quotes around values that hold blanks (and a \\ before each ' and \\ in them), or "
	       "put the password into a file and set postgres.password_file";
}

/* Does libpq name the option, as in 'invalid sslmode value: "..."'? What it quotes does not count.
 */
static bool complains_of(const char *said, const char *keyword)
{
	static const char word[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
	size_t len = strlen(keyword);
	for (const char *s = said; *s && *s != '"';) {
		size_t n = strspn(s, word);
		if (n == len && memcmp(s, keyword, len) == 0)
			return true;
		s += n ? n : 1;
	}
	return false;
}

/* What stands in quotes is not shown, only what is near to it: a keyword of libpq's. */
static bool unknown_option(const struct reader *r, const char *said)
{
	char name[64] = "";
	const char *from = strchr(said, '"'), *to = strrchr(said, '"');
	if (from && to > from)
		snprintf(name, sizeof(name), "%.*s", (int)(to - from - 1), from + 1);
	struct suggest s = suggest_for(name);
	PQconninfoOption *known = PQconninfoParse("", NULL);
	for (const PQconninfoOption *o = known; o && o->keyword; o++)
		suggest_offer(&s, o->keyword);
	bool no = finding(r, hint(r), "it has an option that libpq %s does not know%s%s%s",
			  pg_library_version(), s.best ? " (did you mean " : "",
			  s.best ? s.best : "", s.best ? "?)" : "");
	PQconninfoFree(known);
	return no;
}

/* The option of which libpq says that its value is wrong: its name stands before the quotes. */
static bool wrong_value(const struct reader *r, const char *said)
{
	const char *name = NULL;
	PQconninfoOption *known = PQconninfoParse("", NULL);
	for (const PQconninfoOption *o = known; o && o->keyword && !name; o++)
		if (complains_of(said, o->keyword))
			name = o->keyword;
	bool no = name ? finding(r, NULL, "libpq %s does not take the value of %s",
				 pg_library_version(), name)
		       : finding(r, NULL, "libpq %s does not take it", pg_library_version());
	PQconninfoFree(known);
	return no;
}

/* How libpq's complaints about a text begin, and what they mean. */
static const struct {
	const char *begins, *means;
	bool password; /* a character of the password may be why */
} complaints[] = {
	{"invalid percent-encoded token", "a % in it is not followed by two hex digits", true},
	{"forbidden value %00", "it has a %00", true},
	{"end of string reached when looking for matching",
	 "an IPv6 address begins with [ and does not end with ]", true},
	{"IPv6 host address may not be empty", "there is nothing between [ and ]", true},
	{"unexpected character", "behind the ] of an IPv6 address stands no : or /", true},
	{"unterminated quoted string", "a single quote is not closed", true},
	{"missing \"=\" after",
	 "it does not begin with postgresql://, and a word of it has no =", true},
	{"missing key/value separator", "a parameter behind the ? has no =", true},
	{"extra key/value separator", "a parameter behind the ? has two =", true},
	{"could not match", "hosts, their addresses and their ports are not equally many", false},
	{"could not look up local", "it names no user, and the system does not know who we are",
	 false},
	{"local user with ID", "it names no user, and the system does not know who we are", false},
	{"definition of service", "its service is not in the service file", false},
	{"service file", "it has a service, and there is no service file", false},
	{"syntax error in service file", "the service file has a syntax error", false},
	{"nested service", "the service file names another service", false},
};

static bool begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/*
 * By the beginning of libpq's complaint; what follows may quote. Without words, or with these, it
 * had no memory: then the DSN may well be right.
 */
static bool explain(const struct reader *r, const char *said)
{
	if (!said || begins_with(said, "out of memory"))
		mem_exhausted();
	for (size_t i = 0; i < ARRAY_LEN(complaints); i++)
		if (begins_with(said, complaints[i].begins))
			return finding(r, complaints[i].password ? hint(r) : NULL, "%s",
				       complaints[i].means);
	if (begins_with(said, "invalid connection option") ||
	    begins_with(said, "invalid URI query parameter"))
		return unknown_option(r, said);
	return wrong_value(r, said);
}

/* --- what libpq would misread --- */

/* NULL: it is no URL but key=value. */
static const char *behind_scheme(const char *text)
{
	static const char *const schemes[] = {"postgresql://", "postgres://"};
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (begins_with(text, schemes[i]))
			return text + strlen(schemes[i]);
	return NULL;
}

/*
 * libpq (conninfo_uri_parse_options in fe-connect.c) takes what stands before the first @ for user
 * and password, unless a / comes before it. A second @ before the parameters, or one behind a /,
 * says that this @ or that / belonged to the password; so does what looks like parameters before
 * the @.
 */
static bool check_url(const struct reader *r)
{
	size_t user = strcspn(r->rest, "@/");
	bool has_user = r->rest[user] == '@';
	const char *hosts = has_user ? r->rest + user + 1 : r->rest;
	if (memchr(hosts, '@', strcspn(hosts, "?")))
		return finding(r, hint(r),
			       "it can be read in two ways: an @ stands where none belongs");
	const char *query = has_user ? memchr(r->rest, '?', user) : NULL;
	if (query && memchr(query, '=', (size_t)(r->rest + user - query)))
		return finding(r, hint(r),
			       "it can be read in two ways: a ? stands in front of an @");
	return true;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val ? options->val : "";
	return "";
}

/* A whole number, as libpq reads it once it connects. */
static bool is_number(const char *text, long min, long max)
{
	char *end;
	long n = strtol(text, &end, 10);
	return end != text && end[strspn(end, " \t\n")] == '\0' && n >= min && n <= max;
}

/* An empty value is none. */
static bool check_choice(const struct reader *r, const char *keyword, const char *value,
			 const char *const *words)
{
	for (; *words; words++)
		if (strcmp(value, *words) == 0)
			return true;
	return *value == '\0' || wrong_value(r, keyword);
}

/*
 * What libpq looks at only after STOP, or while it connects: it would quote the value in its
 * complaint. own: what the DSN itself says.
 */
static bool check_values(const struct reader *r, const PQconninfoOption *options,
			 const PQconninfoOption *own)
{
	static const char *const numbers[] = {"connect_timeout",  "keepalives",
					      "keepalives_idle",  "keepalives_interval",
					      "keepalives_count", "tcp_user_timeout"};
	static const char *const balance[] = {"disable", "random", NULL};
	static const char *const attrs[] = {"any",     "read-write",     "read-only", "primary",
					    "standby", "prefer-standby", NULL};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const char *text = value_of(options, numbers[i]);
		if (*text && !is_number(text, -INT32_MAX, INT32_MAX))
			return wrong_value(r, numbers[i]);
	}
	if (strstr(value_of(options, "dbname"), "://"))
		return finding(r, hint(r), "its dbname is a URL");
	return check_choice(r, STOP, value_of(own, STOP), attrs) &&
	       check_choice(r, "load_balance_hosts", value_of(options, "load_balance_hosts"),
			    balance);
}

/* --- hosts --- */

bool pg_dsn_is_socket(const char *host)
{
	return host[0] == '/' || host[0] == '@';
}

/* Where libpq goes when no host is named, which is set when it is built. */
static const char *default_host(struct arena *arena)
{
	static const char *const keywords[] = {"host", "hostaddr", STOP, NULL};
	/* Two empty places each, because an empty value would count as none. */
	static const char *const values[] = {",", ",", STOP_VALUE, NULL};
	PGconn *conn = PQconnectStartParams(keywords, values, 0);
	if (!conn)
		mem_exhausted();
	const char *host = PQhost(conn);
	host = arena_strdup(arena, host && *host ? host : "localhost");
	PQfinish(conn);
	return host;
}

/* The next of a list with commas between; the last one again and again. NULL when it is empty. */
static const char *next_of(struct arena *arena, const char **list)
{
	size_t len = strcspn(*list, ",");
	char *item = arena_memdup(arena, *list, len + 1);
	item[len] = '\0';
	if ((*list)[len] == ',')
		*list += len + 1;
	return len ? item : NULL;
}

/* What a host can not have in it is likely a piece of a password. */
static bool check_host(const struct reader *r, const struct pg_host *h)
{
	if (h->addr && !lookup_is_address(h->addr))
		return wrong_value(r, "hostaddr");
	if (!is_number(h->port, 1, 65535))
		return finding(r, hint(r), "a port of it is not a number between 1 and 65535");
	if (!pg_dsn_is_socket(h->host) && h->host[strcspn(h->host, "@/?#=&'\"\\ \t")] != '\0')
		return finding(r, hint(r), "a host of it has a character that no name has");
	return true;
}

/*
 * libpq counts the addresses if there are any, else the hosts; it has refused lists of different
 * lengths, but for one port, which goes for all.
 */
static bool split_hosts(const struct reader *r, const PQconninfoOption *options, struct pg_dsn *dsn)
{
	const char *hosts = value_of(options, "host"), *addrs = value_of(options, "hostaddr"),
		   *ports = value_of(options, "port"), *default_port = "5432";
	for (const PQconninfoOption *o = options; o->keyword; o++)
		if (strcmp(o->keyword, "port") == 0 && o->compiled)
			default_port = o->compiled;
	dsn->nhosts = 1;
	for (const char *s = *addrs ? addrs : hosts; *s; s++)
		dsn->nhosts += *s == ',';
	dsn->hosts = arena_calloc(dsn->arena, dsn->nhosts, sizeof(*dsn->hosts));
	for (size_t i = 0; i < dsn->nhosts; i++) {
		struct pg_host *h = &dsn->hosts[i];
		h->host = next_of(dsn->arena, &hosts);
		h->addr = next_of(dsn->arena, &addrs);
		h->port = next_of(dsn->arena, &ports);
		if (!h->host)
			h->host = h->addr ? h->addr : default_host(dsn->arena);
		if (!h->port)
			h->port = arena_strdup(dsn->arena, default_port);
		if (!check_host(r, h))
			return false;
	}
	dsn->shuffled = strcmp(value_of(options, "load_balance_hosts"), "random") == 0;
	return true;
}

/* --- options --- */

/*
 * What PQconninfo() has no memory for it leaves out without a word (libpq 15 to 17, fe-connect.c),
 * be it the host or sslmode. So it is asked twice: what one answer lacks, the other has.
 */
static PQconninfoOption *options_of(PGconn *conn)
{
	PQconninfoOption *options = PQconninfo(conn), *again = PQconninfo(conn);
	bool whole = options && again;
	for (size_t i = 0; whole && options[i].keyword; i++)
		whole = !options[i].val == !again[i].val;
	PQconninfoFree(again);
	if (!whole)
		mem_exhausted();
	return options;
}

/*
 * All options as libpq has them in the end, but for STOP. What comes later wins: the user's DSN
 * over our defaults, the password file over the DSN. NULL after a finding.
 */
static PQconninfoOption *complete(const struct reader *r, const char *application,
				  const char *password)
{
	const char *const keywords[] = {"fallback_application_name",
					"keepalives_idle",
					"keepalives_interval",
					"keepalives_count",
					"tcp_user_timeout",
					"client_encoding",
					"dbname",
					STOP,
					password ? "password" : NULL,
					NULL};
	const char *const values[] = {application, "10",    "5",        "3",      "20000",
				      "UTF8",      r->text, STOP_VALUE, password, NULL};
	PGconn *conn = PQconnectStartParams(keywords, values, 1);
	PQconninfoOption *options = NULL;
	if (!conn)
		mem_exhausted();
	if (PQstatus(conn) != CONNECTION_BAD)
		err_set(r->err, ERR_FATAL, "PostgreSQL: libpq %s did not stop at an option",
			pg_library_version());
	else if (!complains_of(PQerrorMessage(conn), STOP))
		explain(r, PQerrorMessage(conn));
	else
		options = options_of(conn);
	PQfinish(conn);
	return options;
}

static void keep(struct pg_dsn *dsn, const char *keyword, const char *value)
{
	dsn->keywords[dsn->noptions] = keyword;
	dsn->values[dsn->noptions++] = arena_strdup(dsn->arena, value);
}

/* own: what the DSN itself says. An empty option is one that is not set. */
static void keep_options(struct pg_dsn *dsn, const PQconninfoOption *options,
			 const PQconninfoOption *own)
{
	static const char *const elsewhere[] = {"host", "hostaddr", "port", STOP};
	const char *attrs = value_of(own, STOP);
	size_t n = 1;
	for (const PQconninfoOption *o = options; o->keyword; o++)
		n++;
	dsn->keywords = arena_calloc(dsn->arena, n, sizeof(*dsn->keywords));
	dsn->values = arena_calloc(dsn->arena, n, sizeof(*dsn->values));
	for (const PQconninfoOption *o = options; o->keyword; o++) {
		bool left_out = !o->val || *o->val == '\0';
		for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
			left_out = left_out || strcmp(o->keyword, elsewhere[i]) == 0;
		if (!left_out)
			keep(dsn, o->keyword, o->val);
	}
	keep(dsn, STOP, *attrs ? attrs : "read-write");
}

/* own: what the DSN says itself; all: with environment, service file and defaults. */
static bool take_apart(const struct reader *r, const char *application, const char *password,
		       struct pg_dsn *dsn)
{
	char *said = NULL;
	if (r->rest && !check_url(r))
		return false;
	PQconninfoOption *own = PQconninfoParse(r->text, &said), *all = NULL;
	if (!own)
		explain(r, said);
	bool ok = own && (all = complete(r, application, password)) != NULL &&
		  check_values(r, all, own) && split_hosts(r, all, dsn);
	if (ok)
		keep_options(dsn, all, own);
	PQfreemem(said);
	PQconninfoFree(own);
	PQconninfoFree(all);
	return ok;
}

static const char *option(const struct pg_dsn *dsn, const char *keyword)
{
	for (size_t i = 0; i < dsn->noptions; i++)
		if (strcmp(dsn->keywords[i], keyword) == 0)
			return dsn->values[i];
	return "";
}

/* An address counts before the name beside it. GSS encryption knows both sides, too. */
static bool is_exposed(const struct pg_dsn *dsn, struct buf *why)
{
	const char *mode = option(dsn, "sslmode");
	if (strcmp(mode, "verify-full") == 0 || strcmp(option(dsn, "gssencmode"), "require") == 0)
		return false;
	for (size_t i = 0; i < dsn->nhosts; i++) {
		const struct pg_host *h = &dsn->hosts[i];
		if (pg_dsn_is_socket(h->host) || exposed_is_here(h->addr ? h->addr : h->host))
			continue;
		buf_printf(why,
			   "sslmode is %s, and %s is another machine: anybody on the way could %s; "
			   "set sslmode=verify-full, and sslrootcert=FILE to the authority's "
			   "certificate",
			   *mode ? mode : "not set", h->host,
			   strcmp(mode, "require") == 0 || strcmp(mode, "verify-ca") == 0
				   ? "pass for the server"
				   : "read it, or pass for the server");
		return true;
	}
	return false;
}

/* exposed NULL: nobody asks. */
static bool look_exposed(const struct reader *r, const struct pg_dsn *dsn, struct buf *exposed)
{
	struct buf why = {0};
	bool is = is_exposed(dsn, &why), refused = is && r->config->require_tls;
	if (refused)
		finding(r, "security.require_tls is on", "%s", buf_cstr(&why));
	else if (exposed)
		buf_put(exposed, why.data, why.len);
	buf_free(&why);
	return !refused;
}

/* password NULL: none goes beside the text. */
static bool read_dsn(const struct config *config, const char *application, const char *password,
		     struct pg_dsn *dsn, struct buf *exposed, struct err *err)
{
	char *text = config_secret(config->pg_dsn, config->pg_dsn_file, err);
	if (!text)
		return false;
	struct reader r = {config, text, behind_scheme(text), err};
	*dsn = (struct pg_dsn){.arena = arena_new()};
	bool ok = take_apart(&r, application, password, dsn) && look_exposed(&r, dsn, exposed);
	if (!ok)
		pg_dsn_free(dsn);
	free(text);
	return ok;
}

/* The password of a file goes beside the text, never into it. */
bool pg_dsn_read(const struct config *config, const char *application, struct pg_dsn *dsn,
		 struct err *err)
{
	char *password = NULL;
	if (config->pg_password_file &&
	    !(password = config_secret(NULL, config->pg_password_file, err)))
		return false;
	bool ok = read_dsn(config, application, password, dsn, NULL, err);
	if (password)
		explicit_bzero(password, strlen(password));
	free(password);
	return ok;
}

/* The text alone: a password of its own file may be mounted later. */
bool pg_dsn_check(const struct config *config, struct buf *exposed, struct err *err)
{
	struct pg_dsn dsn;
	bool ok = read_dsn(config, "memingest", NULL, &dsn, exposed, err);
	if (ok)
		pg_dsn_free(&dsn);
	return ok;
}

void pg_dsn_free(struct pg_dsn *dsn)
{
	arena_free(dsn->arena);
	*dsn = (struct pg_dsn){0};
}
