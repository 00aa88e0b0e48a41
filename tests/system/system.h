/*
 * system.h - how a file of system tests joins the runner.
 *
 *   static Suite *poison_suite(void) { ... suite_create("poison") ... }
 *   SYSTEM_SUITE("poison", poison_suite)
 *
 * The name is what "build/release/system poison" and "tests/run poison" call it. Each test states
 * in a comment what it proves. Every test runs in a process of its own (Check forks), on the one
 * stack of its suite.
 */
#ifndef MEMINGEST_TEST_SYSTEM_H
#define MEMINGEST_TEST_SYSTEM_H

#include <check.h>

void system_register(const char *name, Suite *(*make)(void));

#define SYSTEM_SUITE(name, make)                                                                   \
	__attribute__((constructor)) static void register_##make(void)                             \
	{                                                                                          \
		system_register(name, make);                                                       \
	}

#endif
