/*
 * listen.c - a TCP socket that listens, by a setting "HOST:PORT".
 *
 * Only getaddrinfo(3) knows what "localhost" is. Of several addresses of a name IPv4 goes first:
 * that is what people type.
 *
 * Thread: any, at start. Failure: class CONFIG, naming the setting.
 */
#include "io/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* "127.0.0.1:9464", "localhost:9464", "[::1]:9464"; ":9464" and "*:9464" are every address. */
bool listen_split(const char *setting, const char *listen, struct listen_address *a,
		  struct err *err)
{
	const char *colon = strrchr(listen, ':');
	const char *host = listen, *host_end = colon;
	if (colon != NULL && host_end > host && host[0] == '[' && host_end[-1] == ']') {
		host++;
		host_end--;
	} else if (colon != NULL && memchr(host, ':', (size_t)(host_end - host)) != NULL) {
		return err_set(err, ERR_CONFIG,
			       "%s \"%s\": write an IPv6 address in brackets, as in [::1]:9464",
			       setting, listen);
	}
	char *end = NULL;
	unsigned long port = colon != NULL && colon[1] >= '0' && colon[1] <= '9'
				     ? strtoul(colon + 1, &end, 10)
				     : 0;
	if (end == NULL || *end != '\0' || port > 65535 ||
	    (size_t)(host_end - host) >= sizeof(a->host))
		return err_set(err, ERR_CONFIG,
			       "%s \"%s\": write HOST:PORT, as in 127.0.0.1:9464, or off", setting,
			       listen);
	snprintf(a->host, sizeof(a->host), "%.*s", (int)(host_end - host), host);
	snprintf(a->port, sizeof(a->port), "%lu", port);
	return true;
}

/* Returns a listening socket, or -1 with errno. */
static int open_one(const struct addrinfo *info)
{
	int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			info->ai_protocol);
	if (fd < 0)
		return -1;
	int on = 1;
	/*
	 * A restart must not wait for the connections of its predecessor; two listeners are refused
	 * all the same.
	 */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/*
 * The first address of the list that this host has. One that is taken ends the search: the next
 * would surprise people.
 */
static int open_any(const struct addrinfo *list)
{
	static const int families[] = {AF_INET, AF_INET6};
	errno = EADDRNOTAVAIL;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (const struct addrinfo *i = list; i != NULL; i = i->ai_next) {
			if (i->ai_family != families[f])
				continue;
			int fd = open_one(i);
			if (fd >= 0 || errno == EADDRINUSE || errno == EACCES)
				return fd;
		}
	}
	return -1;
}

/* -1 with the error filled. A name may have several addresses. */
int listen_open(const char *setting, const char *listen, struct err *err)
{
	struct listen_address a = {0};
	if (!listen_split(setting, listen, &a, err))
		return -1;
	bool any = a.host[0] == '\0' || strcmp(a.host, "*") == 0;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
			*list = NULL;
	int rc = getaddrinfo(any ? NULL : a.host, a.port, &hints, &list);
	if (rc != 0) {
		err_set(err, ERR_CONFIG, "%s \"%s\": no such host: %s", setting, listen,
			gai_strerror(rc));
		return -1;
	}
	int fd = open_any(list);
	if (fd < 0 && errno == EADDRINUSE)
		err_set(err, ERR_CONFIG,
			"%s \"%s\": the address is in use by another process; take "
			"another port, or 0",
			setting, listen);
	else if (fd < 0)
		err_set(err, ERR_CONFIG, "%s \"%s\": cannot listen there: %s", setting, listen,
			strerror(errno));
	freeaddrinfo(list);
	return fd;
}

/* What the kernel chose for port 0. */
unsigned listen_port(int fd)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);
	char port[8] = "0";
	if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0)
		getnameinfo((struct sockaddr *)&addr, len, NULL, 0, port, sizeof(port),
			    NI_NUMERICSERV);
	return (unsigned)strtoul(port, NULL, 10);
}
