/*
 * unit.h - how a unit test file joins the runner.
 *
 *   static Suite *buf_suite(void) { ... }
 *   UNIT_SUITE(buf_suite)
 *
 * Each test states in a comment what it proves.
 */
#pragma once

#include <check.h>

void unit_register(Suite *(*make)(void));

#define UNIT_SUITE(make)                                                                           \
	__attribute__((constructor)) static void register_##make(void)                             \
	{                                                                                          \
		unit_register(make);                                                               \
	}
