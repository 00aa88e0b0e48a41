/*
 * kafka_login.h - brokers that do not let us in, or that we do not trust: one line for all clients
 * of the process.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

struct rd_kafka_conf_s;

/* librdkafka 2.6.1: below it SCRAM sends its nonce twice, which Kafka 4.0 refuses (#4895). */
#define KAFKA_LOGIN_SCRAM_MENDED 0x02060100

/* Has the configuration's client say why it does not trust a certificate. */
void kafka_login_watch(struct rd_kafka_conf_s *conf);

/*
 * An error of librdkafka's: true if it is about the login or TLS. Logged if it is another one than
 * before, with what to do.
 */
bool kafka_login_refused(int code, const char *text);

/* The same for a command that reports: appends "server: error; remedy", and logs nothing. */
bool kafka_login_describe(int code, const char *text, struct buf *why);

/* Whether a line of librdkafka's log says what kafka_login_refused() says once for all clients. */
bool kafka_login_tells(const char *facility, const char *text);

/* A client has a connection: the next refusal is news. */
void kafka_login_accepted(void);
