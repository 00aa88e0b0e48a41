/*
 * system.h - how a file of system tests joins the runner.
 *
 *   static void poison_tests(TCase *tc) { tcase_add_test(tc, ...); ... }
 *   SYSTEM_SUITE("poison", 60, poison_tests)       each of them within 60 s
 *
 * The name is what "build/release/system poison" and "tests/run poison" call it. Each test states
 * in a comment what it proves. Every test runs in a process of its own (Check forks), on the one
 * stack of its suite.
 */
#pragma once

#include <check.h>
#include <stdbool.h>

void system_register(const char *name, int seconds, bool tls, void (*add)(TCase *tc));

#define SYSTEM_SUITE(name, seconds, add)                                                           \
	__attribute__((constructor)) static void register_##add(void)                              \
	{                                                                                          \
		system_register(name, seconds, false, add);                                        \
	}

/* Its stack has certificates, and listeners with TLS (see tests/stack). */
#define SYSTEM_SUITE_TLS(name, seconds, add)                                                       \
	__attribute__((constructor)) static void register_##add(void)                              \
	{                                                                                          \
		system_register(name, seconds, true, add);                                         \
	}
