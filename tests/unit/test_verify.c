/*
 * test_verify.c - the parts of "verify" and "why" that ask no server: which offsets are left out,
 * which keys are in a sample, how a row is named.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "cli/why.h"
#include "codec/table.h"
#include "unit.h"

static void expect_digest(const char *text, size_t times, const char *hex)
{
	struct buf b = {0};
	uint8_t digest[SHA256_BYTES];
	char found[2 * SHA256_BYTES + 1];
	for (size_t i = 0; i < times; i++)
		buf_puts(&b, text);
	sha256((struct slice){b.data, b.len}, digest);
	for (size_t i = 0; i < SHA256_BYTES; i++)
		snprintf(found + 2 * i, 3, "%02x", digest[i]);
	ck_assert_str_eq(found, hex);
	buf_free(&b);
}

/* Proves: the digests that FIPS 180-4's examples have, and those around the end of a block. */
START_TEST(digests)
{
	expect_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect_digest("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	expect_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	expect_digest("a", 1000000,
		      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	expect_digest("a", 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	expect_digest("a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}
END_TEST

/* Proves: ranges that touch or overlap are one, and each offset is told in or out, at every edge.
 */
START_TEST(left_out)
{
	static const struct replay_range ranges[] = {{3, 4}, {4, 5}, {10, 20}, {12, 13}, {30, 31}};
	struct replay r = {0};
	replay_add(&r, "t", 0, 0, 100);
	replay_add(&r, "t", 1, 5, 6);
	struct replay_part *part = replay_find(&r, "t", 0);
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		replay_leave_out(part, ranges[i].from, ranges[i].to);
	ck_assert_uint_eq(part->nleft_out, 3);
	for (int64_t offset = 0; offset < 100; offset++) {
		bool out =
			offset == 3 || offset == 4 || (offset >= 10 && offset < 20) || offset == 30;
		ck_assert_msg(replay_leaves_out(part, offset) == out, "offset %d", (int)offset);
	}
	ck_assert(!replay_leaves_out(replay_find(&r, "t", 1), 5));
	ck_assert_ptr_null(replay_find(&r, "t", 2));
	ck_assert_ptr_null(replay_find(&r, "u", 0));
	replay_free(&r);
}
END_TEST

/* Proves: a share is read, or refused; of many keys about that share is in the sample. */
START_TEST(samples)
{
	static const char *const wrong[] = {"1", "%", "0%", "-1%", "101%", "1 %", "1%%", "nan%"};
	struct verify v = {0};
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		ck_assert_msg(!verify_read_sample(&v, wrong[i], &err), "%s", wrong[i]);
	ck_assert(verify_read_sample(&v, "100%", &err));
	ck_assert_uint_eq(v.sampled, UINT64_C(1) << 32);
	ck_assert(verify_read_sample(&v, "12.5%", &err));
	ck_assert_uint_eq(v.sampled, UINT64_C(1) << 29);
	int in = 0;
	for (uint32_t i = 0; i < 8000; i++)
		in += verify_wants(&v, (struct slice){(const uint8_t *)&i, sizeof(i)});
	ck_assert_int_gt(in, 850);
	ck_assert_int_lt(in, 1150);
}
END_TEST

/* Proves: keys are taken in their order or by name, and nothing else is. */
START_TEST(keys)
{
	struct column columns[] = {{.name = "namespace"}, {.name = "key"}, {.name = "value"}};
	struct table table = {.columns = columns, .ncolumns = 3, .nkeys = 2};
	struct stream stream = {.table = &table};
	static const struct {
		const char *args[3];
		bool good;
	} cases[] = {
		{{"a", "b=c", NULL}, true},
		{{"namespace=a", "key=b=c", NULL}, true},
		{{"key=b=c", "namespace=a", NULL}, true},
		{{"a", NULL, NULL}, false},
		{{"a", "b", "c"}, false},
		{{"key=a", "key=b", NULL}, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *args[3];
		size_t n = 0;
		struct why w = {.v = {.stream = &stream}};
		for (; n < 3 && cases[i].args[n]; n++)
			args[n] = xstrdup(cases[i].args[n]);
		ck_assert_msg(why_take_keys(&w, args, n) == cases[i].good, "case %zu", i);
		if (cases[i].good) {
			ck_assert_str_eq(w.keys[0], "a");
			ck_assert_str_eq(w.keys[1], "b=c");
		}
		free(w.keys);
		while (n > 0)
			free(args[--n]);
	}
}
END_TEST

static Suite *verify_suite(void)
{
	Suite *suite = suite_create("verify");
	TCase *tc = tcase_create("verify");
	tcase_add_test(tc, digests);
	tcase_add_test(tc, left_out);
	tcase_add_test(tc, samples);
	tcase_add_test(tc, keys);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(verify_suite)
