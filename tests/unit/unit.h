/*
 * unit.h - how a unit test file joins the runner.
 *
 *   static Suite *buf_suite(void) { ... }
 *   UNIT_SUITE(buf_suite)
 *
 * Each test states in a comment what it proves. The function is called as the suite, with _suite.
 */
#pragma once

#include <check.h>

/* function: "buf_suite" for the suite "buf". */
void unit_register(const char *function, Suite *(*make)(void));

#define UNIT_SUITE(make)                                                                           \
	__attribute__((constructor)) static void register_##make(void)                             \
	{                                                                                          \
		unit_register(#make, make);                                                        \
	}
