/*
 * err.h - an error as a value: what class it is of, a server's code, and what happened in words.
 *
 * The class says who can do something about it. Functions fill the error and return false (or
 * NULL), callers put context in front on the way up, and the loop that decides logs it, once.
 */
#pragma once

#include "base/base.h"

enum err_class {
	ERR_NONE,   /* no error */
	ERR_RETRY,  /* the world may get better: wait and do the same again */
	ERR_POISON, /* this one event can never be written: dead-letter it, go on with the rest */
	ERR_CONFIG, /* an operator has to change something: halt, and say what */
	ERR_FATAL,  /* we are wrong or out of means: stop the process */
};

#define ERR_TEXT_SIZE 760

struct err {
	enum err_class class;
	char code[8];             /* a SQLSTATE, or empty */
	char text[ERR_TEXT_SIZE]; /* one line, without row data or secrets */
};

/* Sets class and text. Returns false, so that "return err_set(...)" reads well. */
bool err_set(struct err *err, enum err_class class, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the text; class and code stay. Returns false. */
bool err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

void err_clear(struct err *err); /* no error, no text; NULL is fine */

/* "retry", "poison", ... */
const char *err_class_name(enum err_class class);
