/*
 * kafka_login.c - one refusal for all Kafka clients: a wrong password, a certificate that we do not
 * trust, one of ours that the broker does not.
 *
 *   verify()      a certificate's flaw, as OpenSSL tells it --+
 *   error of any client, code AUTHENTICATION or SSL ----------+--> one line: server, flaw, remedy
 *   an error as before                                        ---> nothing
 *   accepted                                                  ---> "again", once
 *
 * Consumer, lookout and reader each have a client, each client a thread for each broker, and all
 * try again by themselves, up to every ten seconds (reconnect.backoff.max.ms). One wrong password
 * would be a line for each; and librdkafka's own text advises to look at ssl.ca.location whatever
 * is wrong with a certificate, an expired one and another host's too.
 *
 * verify() changes no verdict: it hands back the one that OpenSSL had.
 *
 * State of the process, behind a mutex that nobody holds while he waits; librdkafka's threads and
 * ours call this. Texts are librdkafka's and OpenSSL's: they name servers and no secret.
 */
#include "io/kafka_login.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	bool refused;
	char server[128], error[300]; /* of the last line */
	const char *flaw, *remedy;    /* of the last certificate, or NULL */
} login;

/* --- what is wrong, and what to do --- */

#define OTHER_CA "set kafka.ssl.ca.location to the authority that has signed the broker's"

/* X509_V_ERR_* of OpenSSL, whose numbers are part of its interface. */
static const struct {
	int number;
	const char *flaw, *remedy;
} flaws[] = {
	{9, "is not valid yet", "look at the clocks"},
	{10, "has expired", "renew the broker's certificate"},
	{18, "is signed by nobody but itself", OTHER_CA},
	{19, "is signed by an authority that we do not know", OTHER_CA},
	{20, "is signed by an authority that we do not know", OTHER_CA},
	{21, "is signed by an authority that we do not know", OTHER_CA},
	{23, "was revoked", "renew the broker's certificate"},
	{62, "is that of another host name",
	 "write the broker's name in bootstrap.servers and advertised.listeners as it stands in "
	 "its certificate"},
	{64, "is that of another address",
	 "write the broker's name in bootstrap.servers and advertised.listeners as it stands in "
	 "its certificate"},
};

/* What librdkafka says of other things, by a part of it. */
static const struct {
	const char *part, *remedy;
} remedies[] = {
	{" alert ",
	 "the broker does not take our certificate: look at kafka.ssl.certificate.location"
	 " and ssl.key.location"},
	{"unexpected message", "the broker wants a certificate of ours: set "
			       "kafka.ssl.certificate.location and ssl.key.location"},
	{"wrong version number", "the port speaks no TLS: look at kafka.security.protocol and "
				 "bootstrap.servers"},
	{"mechanism", "look at kafka.sasl.mechanism, sasl.username and sasl.password"},
	{"uthentication", "look at kafka.sasl.mechanism, sasl.username and sasl.password"},
	{"", "look at the ssl and sasl settings of [kafka]"},
};

/* Kafka 4.0 refuses the nonce that older libraries send, and calls that wrong credentials. */
static bool is_old_scram(const char *text)
{
	return strstr(text, "SCRAM") && rd_kafka_version() < KAFKA_LOGIN_SCRAM_MENDED;
}

static const char *remedy_of(const char *text)
{
	size_t i = 0;
	if (is_old_scram(text))
		return "this librdkafka cannot log in by SCRAM at Kafka 4.0 and later (librdkafka "
		       "#4895): install 2.6.1 or later; at an older Kafka look at "
		       "kafka.sasl.mechanism, sasl.username and sasl.password";
	while (!strstr(text, remedies[i].part))
		i++;
	return remedies[i].remedy;
}

/* Called by OpenSSL for each certificate of a chain, also for those that are fine. */
static int verify(rd_kafka_t *rk, const char *broker, int32_t id, int *x509_error, int depth,
		  const char *cert, size_t size, char *said, size_t said_size, void *ctx)
{
	(void)rk, (void)broker, (void)id, (void)depth, (void)cert, (void)size, (void)ctx;
	if (*x509_error == 0)
		return 1;
	const char *flaw = "is not trusted", *remedy = OTHER_CA;
	for (size_t i = 0; i < ARRAY_LEN(flaws); i++) {
		if (flaws[i].number == *x509_error) {
			flaw = flaws[i].flaw;
			remedy = flaws[i].remedy;
		}
	}
	snprintf(said, said_size, "it %s", flaw);
	pthread_mutex_lock(&lock);
	login.flaw = flaw;
	login.remedy = remedy;
	pthread_mutex_unlock(&lock);
	return 0;
}

void kafka_login_watch(struct rd_kafka_conf_s *conf)
{
	/* A library without TLS refuses this, and every setting of TLS as well. */
	rd_kafka_conf_set_ssl_cert_verify_cb(conf, verify);
}

/* --- the line --- */

/*
 * "sasl_ssl://k:9093/bootstrap: Authentication failed (after 5ms in state X)" -> server "k:9093"
 * and the error without what varies from one try to the next.
 */
static void take_apart(const char *text, char *server, size_t server_size, char *error, size_t size)
{
	const char *scheme = strstr(text, "://"), *end = strstr(text, ": "), *from = text;
	server[0] = '\0';
	if (scheme && end && scheme < end) {
		from = scheme + 3;
		snprintf(server, server_size, "%.*s", (int)strcspn(from, "/ "), from);
		server[MIN((size_t)(end - from), server_size - 1)] = '\0';
		from = end + 2;
	}
	const char *after = strstr(from, " (after ");
	snprintf(error, size, "%.*s", (int)(after ? after - from : (ptrdiff_t)strlen(from)), from);
}

struct refusal {
	char server[128], error[300];
	const char *remedy;
};

/* Of one cause the libraries have several texts, by turns. */
static bool hangs_up(const char *error)
{
	return strstr(error, "closed by peer") || strstr(error, "unexpected eof") ||
	       strstr(error, "connecting to a PLAINTEXT");
}

/* Under the lock. */
static struct refusal understand(const char *text)
{
	struct refusal r;
	take_apart(text, r.server, sizeof(r.server), r.error, sizeof(r.error));
	r.remedy = remedy_of(r.error);
	if (hangs_up(r.error) && !strstr(r.error, "wrong version")) {
		snprintf(r.error, sizeof(r.error), "it hangs up within the TLS handshake");
		r.remedy = "the port speaks no TLS, or the broker has just ended: look at "
			   "kafka.security.protocol and bootstrap.servers if it stays so";
	}
	if (login.flaw && strstr(r.error, "verify failed")) {
		snprintf(r.error, sizeof(r.error), "its certificate %s", login.flaw);
		r.remedy = login.remedy;
	}
	return r;
}

/* Several brokers may refuse us for one reason: that is one line as well. */
static void tell(const char *text)
{
	struct refusal r = understand(text);
	if (login.refused && strcmp(login.error, r.error) == 0)
		return;
	memcpy(login.server, r.server, sizeof(r.server));
	memcpy(login.error, r.error, sizeof(r.error));
	login.refused = true;
	log_error("Kafka refuses the login or is not trusted, all clients try again by themselves",
		  F_STR("server", r.server), F_STR("error", r.error), F_STR("remedy", r.remedy));
}

/*
 * From TLS 1.3 on a server that does not take our certificate says so when the handshake is over
 * for us: to librdkafka that is a failure to receive.
 */
static bool is_alert(const char *text)
{
	return strstr(text, "SSL routines") && strstr(text, " alert ");
}

/* The same failure as "SSL handshake failed: unexpected eof", in the words of newer libraries. */
static bool is_hung_up(const char *text)
{
	return strstr(text, "SSL connection closed by peer") && strstr(text, "SSL_HANDSHAKE");
}

static bool is_refusal(int code, const char *text)
{
	return is_hung_up(text) || code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
	       code == RD_KAFKA_RESP_ERR__SSL ||
	       code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED || is_alert(text);
}

bool kafka_login_refused(int code, const char *text)
{
	if (!is_refusal(code, text))
		return false;
	pthread_mutex_lock(&lock);
	tell(text);
	pthread_mutex_unlock(&lock);
	return true;
}

bool kafka_login_describe(int code, const char *text, struct buf *why)
{
	if (!is_refusal(code, text))
		return false;
	pthread_mutex_lock(&lock);
	struct refusal r = understand(text);
	pthread_mutex_unlock(&lock);
	buf_printf(why, "%s: %s; %s", r.server, r.error, r.remedy);
	return true;
}

bool kafka_login_tells(const char *facility, const char *text)
{
	static const char *const parts[] = {"SSL handshake failed", "certificate verify failed",
					    "SASL authentication error", "SASL handshake failed",
					    "mechanism handshake failed"};
	if (strcmp(facility, "SSLCERTVRFY") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strstr(text, parts[i]))
			return true;
	return is_alert(text) || is_hung_up(text);
}

void kafka_login_accepted(void)
{
	pthread_mutex_lock(&lock);
	if (login.refused)
		log_info("Kafka accepts the login again", F_STR("server", login.server));
	login.refused = false;
	login.flaw = login.remedy = NULL;
	pthread_mutex_unlock(&lock);
}
