/*
 * test_kafka_login.c - what is made of librdkafka's words about logins and TLS. The texts are those
 * of 2.0.2 and 2.16.0, as a real broker brought them about (tests/system/test_secure.c).
 */
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "io/kafka_login.h"
#include "unit.h"

/* Server, error without what varies, and a remedy that fits; other errors are none of this. */
START_TEST(understood)
{
	static const struct {
		int code;
		const char *text, *begins, *remedy; /* NULL: not about the login */
	} cases[] = {
		{RD_KAFKA_RESP_ERR__AUTHENTICATION,
		 "sasl_ssl://k:9093/bootstrap: SASL authentication error: Authentication failed "
		 "during authentication due to invalid credentials with SASL mechanism "
		 "SCRAM-SHA-512 (after 312ms in state AUTH_REQ, 4 identical error(s) suppressed)",
		 "k:9093: SASL authentication error: Authentication failed during authentication "
		 "due to invalid credentials with SASL mechanism SCRAM-SHA-512; ",
		 "sasl.username"},
		{RD_KAFKA_RESP_ERR__SSL,
		 "ssl://k:1/1: SSL handshake failed: error:0A000126:SSL routines::unexpected eof "
		 "while reading (after 1ms in state SSL_HANDSHAKE)",
		 "k:1: it hangs up within the TLS handshake; ", "kafka.security.protocol"},
		{RD_KAFKA_RESP_ERR__SSL,
		 "ssl://k:1/1: SSL handshake failed: error:0A00010B:SSL routines::wrong version "
		 "number: connecting to a PLAINTEXT broker listener? (after 1ms in state "
		 "SSL_HANDSHAKE)",
		 "k:1: SSL handshake failed: ", "kafka.security.protocol"},
		{RD_KAFKA_RESP_ERR__TRANSPORT,
		 "ssl://localhost:9/bootstrap: Receive failed: error:0A00045C:SSL "
		 "routines::tlsv13 alert certificate required: SSL alert number 116 (after 0ms in "
		 "state APIVERSION_QUERY)",
		 "localhost:9: Receive failed: ", "ssl.certificate.location"},
		{RD_KAFKA_RESP_ERR__SSL, "something else", ": something else; ", "ssl and sasl"},
		{RD_KAFKA_RESP_ERR__TRANSPORT,
		 "ssl://k:1/bootstrap: Disconnected: SSL connection closed by peer (after 1ms in "
		 "state SSL_HANDSHAKE)",
		 "k:1: it hangs up within the TLS handshake; ", "kafka.security.protocol"},
		{RD_KAFKA_RESP_ERR__TRANSPORT,
		 "ssl://k:1/1: Disconnected: SSL connection closed by peer (after 9ms in state UP)",
		 NULL, NULL},
		{RD_KAFKA_RESP_ERR__TRANSPORT,
		 "k:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms "
		 "in "
		 "state CONNECT)",
		 NULL, NULL},
		{RD_KAFKA_RESP_ERR__TRANSPORT,
		 "ssl://k:1/1: Receive failed: error:0A000126:SSL routines::unexpected eof while "
		 "reading (after 9ms in state UP)",
		 NULL, NULL},
		{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "1/1 brokers are down", NULL, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf why = {0};
		bool is = kafka_login_describe(cases[i].code, cases[i].text, &why);
		ck_assert_msg(is == (cases[i].begins != NULL), "%s", cases[i].text);
		if (is) {
			const char *text = buf_cstr(&why);
			ck_assert_msg(strncmp(text, cases[i].begins, strlen(cases[i].begins)) == 0,
				      "%s", text);
			ck_assert_msg(strstr(text, cases[i].remedy) != NULL, "%s", text);
			ck_assert_msg(strstr(text, " (after ") == NULL, "%s", text);
		}
		buf_free(&why);
	}
}
END_TEST

/* Lines of librdkafka's log that would say it again, and those that say something else. */
START_TEST(said_once)
{
	ck_assert(kafka_login_tells("SSLCERTVRFY", "Certificate verification callback failed"));
	ck_assert(kafka_login_tells("FAIL", "SSL handshake failed: x"));
	ck_assert(kafka_login_tells("FAIL", "error:0A000086:SSL routines::certificate verify "
					    "failed"));
	ck_assert(kafka_login_tells("FAIL", "Receive failed: SSL routines::tlsv13 alert x"));
	ck_assert(!kafka_login_tells("FAIL", "Connect to ipv4#127.0.0.1:1 failed"));
	ck_assert(!kafka_login_tells("FAIL", "Receive failed: SSL routines::unexpected eof"));
	ck_assert(!kafka_login_tells("MAXPOLL", "an alert that is none"));
}
END_TEST

static Suite *kafka_login_suite(void)
{
	Suite *s = suite_create("kafka_login");
	TCase *t = tcase_create("kafka_login");
	tcase_add_test(t, understood);
	tcase_add_test(t, said_once);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(kafka_login_suite)
