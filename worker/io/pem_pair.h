/*
 * pem_pair.h - a server's certificate and its key, as their files have them now.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct pem_pair {
	char *certificate, *key; /* in PEM; NULL: no TLS */
};

/*
 * Neither file: no TLS. False with class CONFIG when only one is named or cannot be read; then
 * there is nothing to free.
 */
MUST_CHECK bool pem_pair_read(struct pem_pair *p, const char *certificate_file,
			      const char *key_file, struct err *err);
bool pem_pair_same(const struct pem_pair *a, const struct pem_pair *b); /* both with TLS */
/* Wipes the key. */
void pem_pair_free(struct pem_pair *p);
