/*
 * exposed.c - would anybody on the way be able to read along, or to pass for the server?
 *
 *   to this machine        fine: loopback and Unix sockets are not watched by others
 *   TLS, server verified   fine: certificate and host name
 *   anything else          exposed: "check" warns, and with security.require_tls it is a mistake
 *
 * Brokers are judged by bootstrap.servers: those that they name in turn are spoken to in the same
 * way, so a plain protocol to a broker of this machine is taken for what it says. PostgreSQL's
 * answer is in io/pg_dsn.c, as only libpq knows what a DSN means in the end.
 *
 * Pure functions of the config; nothing is looked up, so a name that leads to this machine by the
 * resolver alone counts as another.
 */
#include "core/exposed.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ANYBODY "anybody on the way could read it, or pass for the server"

bool exposed_is_here(const char *host)
{
	static const char *const names[] = {"localhost", "::1", "0:0:0:0:0:0:0:1"};
	unsigned parts[4];
	int end = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(host, names[i]) == 0)
			return true;
	/* "127.evil.example" is a name */
	return sscanf(host, "%3u.%3u.%3u.%3u%n", &parts[0], &parts[1], &parts[2], &parts[3],
		      &end) == 4 &&
	       host[end] == '\0' && parts[0] == 127;
}

/* "user:password@host:port/path" or "[::1]:port" -> the host alone. */
static void host_of(const char *from, size_t len, char *host, size_t size)
{
	const char *at = memrchr(from, '@', len);
	if (at) {
		len -= (size_t)(at + 1 - from);
		from = at + 1;
	}
	const char *close = *from == '[' ? memchr(from, ']', len) : NULL;
	if (close) {
		from++;
		len = (size_t)(close - from);
	} else {
		const char *colon = memchr(from, ':', len);
		len = colon ? (size_t)(colon - from) : len;
	}
	snprintf(host, size, "%.*s", (int)len, from);
}

/* The last one counts, as for librdkafka. NULL: nobody set it. */
static const char *kafka_value(const struct config *c, const char *key)
{
	const char *value = NULL;
	for (size_t i = 0; i < c->nkafka; i++)
		if (strcmp(c->kafka[i].key, key) == 0)
			value = c->kafka[i].value;
	return value;
}

static bool is_plain(const char *protocol, size_t len)
{
	static const char *const plain[] = {"plaintext", "sasl_plaintext"};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (strlen(plain[i]) == len && strncasecmp(protocol, plain[i], len) == 0)
			return true;
	return false;
}

/*
 * The first broker that is another machine, only those with "plaintext://" in front if only_plain:
 * librdkafka takes a protocol there. False: there is none.
 */
static bool other_broker(const char *servers, bool only_plain, char *host, size_t size)
{
	for (const char *s = servers; s && *s; s += strspn(s, ", ")) {
		size_t len = strcspn(s, ",");
		const char *scheme = memmem(s, len, "://", 3), *from = scheme ? scheme + 3 : s;
		bool plain = scheme && is_plain(s, (size_t)(scheme - s));
		host_of(from, len - (size_t)(from - s), host, size);
		if ((plain || !only_plain) && !exposed_is_here(host))
			return true;
		s += len;
	}
	return false;
}

/* librdkafka's own words for a switch that is off. */
static bool is_off(const char *value)
{
	static const char *const words[] = {"false", "f", "0", "no"};
	for (size_t i = 0; value && i < ARRAY_LEN(words); i++)
		if (strcasecmp(value, words[i]) == 0)
			return true;
	return false;
}

bool exposed_kafka(const struct config *c, struct buf *why)
{
	char host[256];
	const char *servers = kafka_value(c, "bootstrap.servers"),
		   *protocol = kafka_value(c, "security.protocol"),
		   *names = kafka_value(c, "ssl.endpoint.identification.algorithm");
	protocol = protocol ? protocol : "plaintext";
	bool plain = is_plain(protocol, strlen(protocol));
	if (!other_broker(servers, false, host, sizeof(host)))
		return false;
	if (plain || other_broker(servers, true, host, sizeof(host)))
		buf_printf(why,
			   "kafka.security.protocol: is plaintext, and broker %s is another "
			   "machine: " ANYBODY "; set security.protocol = ssl or sasl_ssl, and "
			   "ssl.ca.location",
			   host);
	else if (is_off(kafka_value(c, "enable.ssl.certificate.verification")))
		buf_printf(why,
			   "kafka.enable.ssl.certificate.verification: is off, and broker %s is "
			   "another machine: " ANYBODY "; take it out, and set ssl.ca.location",
			   host);
	else if (names && strcasecmp(names, "none") == 0)
		buf_printf(why,
			   "kafka.ssl.endpoint.identification.algorithm: is none, and broker %s is "
			   "another machine: who has any certificate of that authority could pass "
			   "for it; take it out",
			   host);
	else
		return false;
	return true;
}

/* True, with the host: not https, and another machine. */
static bool is_exposed_url(const char *url, char *host, size_t size)
{
	const char *scheme = strstr(url, "://"), *from = scheme ? scheme + 3 : url;
	host_of(from, strcspn(from, "/?#"), host, size);
	return strncasecmp(url, "https://", 8) != 0 && !exposed_is_here(host);
}

bool exposed_embed(const struct config *c, struct buf *why)
{
	char host[256];
	for (size_t i = 0; i < c->nembeds; i++) {
		if (!is_exposed_url(c->embeds[i].url, host, sizeof(host)))
			continue;
		buf_printf(why,
			   "embed.%s.url: is http, and %s is another machine: " ANYBODY
			   "; write https://, and set ca if its authority is not the system's",
			   c->embeds[i].name, host);
		return true;
	}
	return false;
}

bool exposed_registry(const struct config *c, struct buf *why)
{
	for (size_t i = 0; i < c->nregistry_urls; i++) {
		char host[256];
		if (!is_exposed_url(c->registry_urls[i], host, sizeof(host)))
			continue;
		buf_printf(why,
			   "registry.url: is http, and %s is another machine: " ANYBODY
			   "; write https://, and set registry.ca if its authority is not the "
			   "system's",
			   host);
		return true;
	}
	return false;
}

bool exposed_listens(const char *listen)
{
	char host[256];
	const char *colon = strrchr(listen, ':');
	host_of(listen, *listen == '[' || !colon ? strlen(listen) : (size_t)(colon - listen), host,
		sizeof(host));
	return !exposed_is_here(host);
}

bool exposed_gateway(const struct config *c, struct buf *why)
{
	if (!exposed_listens(c->gateway_listen) || c->gateway_certificate_file)
		return false;
	buf_printf(why,
		   "gateway.listen: %s is heard by other machines, without TLS: " ANYBODY
		   "; set gateway.certificate_file and gateway.key_file, or listen on 127.0.0.1 "
		   "behind a proxy that speaks TLS",
		   c->gateway_listen);
	return true;
}
