/* test_err.c - error values: class, code, one line, cut where it must be. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "unit.h"

/* Setting returns false, fills class and text, and forgets the code of an earlier error. */
START_TEST(set_fills)
{
	struct err err = {.class = ERR_FATAL, .code = "40P01", .text = "old"};
	ck_assert(!err_set(&err, ERR_RETRY, "broker %d is away", 3));
	ck_assert_int_eq(err.class, ERR_RETRY);
	ck_assert_str_eq(err.code, "");
	ck_assert_str_eq(err.text, "broker 3 is away");
}
END_TEST

/* Wrapping puts context in front and leaves class and code alone. */
START_TEST(wrap_keeps_class_and_code)
{
	struct err err = {0};
	err_set(&err, ERR_POISON, "no such column");
	memcpy(err.code, "42703", 6);
	ck_assert(!err_wrap(&err, "topic %s", "a"));
	ck_assert(!err_wrap(&err, "batch %d", 7));
	ck_assert_str_eq(err.text, "batch 7: topic a: no such column");
	ck_assert_str_eq(err.code, "42703");
	ck_assert_int_eq(err.class, ERR_POISON);
}
END_TEST

/* Bytes of others that are no text do not make the error one that nobody can store. */
START_TEST(text_is_utf8)
{
	struct err err = {0};
	err_set(&err, ERR_POISON, "codec \"%s\"", "\xf2\x10\xc3\xa4\xff");
	ck_assert_str_eq(err.text, "codec \"? \xc3\xa4?\"");
	err_wrap(&err, "%.1s", "\xc3\xa4");
	ck_assert_str_eq(err.text, "?: codec \"? \xc3\xa4?\"");
}
END_TEST

/* A text of several lines, as libpq gives it, becomes one line without a blank at its end. */
START_TEST(text_is_one_line)
{
	struct err err = {0};
	err_set(&err, ERR_RETRY, "ERROR:  x\nDETAIL:\ty\r\n");
	ck_assert_str_eq(err.text, "ERROR:  x DETAIL: y");
	err_wrap(&err, "a\nb");
	ck_assert_str_eq(err.text, "a b: ERROR:  x DETAIL: y");
}
END_TEST

/*
 * What is too long ends with "..." inside the buffer, never within a character, whatever the
 * alignment.
 */
START_TEST(long_text_is_cut_between_characters)
{
	char text[2000];
	struct err err = {0};
	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 4); /* the euro sign */
		err_set(&err, ERR_CONFIG, "%s", text);
		size_t len = strlen(err.text);
		ck_assert_uint_lt(len, sizeof(err.text));
		ck_assert_uint_gt(len, sizeof(err.text) - 8);
		ck_assert_str_eq(err.text + len - 3, "...");
		ck_assert_uint_eq((len - 3 - shift) % 3, 0);
	}
}
END_TEST

/*
 * Wrapping a full text keeps the context in front and cuts the tail; a context that fills all of it
 * does no harm.
 */
START_TEST(wrap_cuts_the_tail)
{
	char text[2000];
	struct err err = {0};
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, ERR_CONFIG, "%s", text);
	err_wrap(&err, "memingest.ini:3");
	ck_assert_int_eq(strncmp(err.text, "memingest.ini:3: xxx", 20), 0);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_str_eq(err.text + strlen(err.text) - 3, "...");
	err_wrap(&err, "%s", text);
	ck_assert_uint_lt(strlen(err.text), sizeof(err.text));
}
END_TEST

/* Arguments may point into the error's own text. */
START_TEST(own_text_as_argument)
{
	struct err err = {0};
	err_set(&err, ERR_RETRY, "first");
	err_set(&err, ERR_CONFIG, "%s, %s", err.text, "second");
	ck_assert_str_eq(err.text, "first, second");
	err_wrap(&err, "<%s>", err.text);
	ck_assert_str_eq(err.text, "<first, second>: first, second");
}
END_TEST

/* Callers that do not care pass NULL. */
START_TEST(null_is_fine)
{
	ck_assert(!err_set(NULL, ERR_RETRY, "x"));
	ck_assert(!err_wrap(NULL, "x"));
	err_clear(NULL);
	struct err err = {.class = ERR_RETRY, .code = "08006", .text = "x"};
	err_clear(&err);
	ck_assert(err.class == ERR_NONE && !err.code[0] && !err.text[0]);
}
END_TEST

/* Each class has its own name. */
START_TEST(class_names)
{
	ck_assert_str_eq(err_class_name(ERR_NONE), "none");
	ck_assert_str_eq(err_class_name(ERR_RETRY), "retry");
	ck_assert_str_eq(err_class_name(ERR_POISON), "poison");
	ck_assert_str_eq(err_class_name(ERR_CONFIG), "config");
	ck_assert_str_eq(err_class_name(ERR_FATAL), "fatal");
}
END_TEST

static Suite *err_suite(void)
{
	Suite *s = suite_create("err");
	TCase *t = tcase_create("err");
	tcase_add_test(t, set_fills);
	tcase_add_test(t, wrap_keeps_class_and_code);
	tcase_add_test(t, text_is_one_line);
	tcase_add_test(t, text_is_utf8);
	tcase_add_test(t, long_text_is_cut_between_characters);
	tcase_add_test(t, wrap_cuts_the_tail);
	tcase_add_test(t, own_text_as_argument);
	tcase_add_test(t, null_is_fine);
	tcase_add_test(t, class_names);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(err_suite)
