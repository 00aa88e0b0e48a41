/*
 * pem_pair.c - a server's certificate and its key, as their files have them now.
 *
 * Whether the two fit each other is for the library that shows them to say. Nothing is kept between
 * two readings: who wants to know whether the files are others reads them again and compares.
 *
 * Thread: any. Failure: an error that names the setting or the file, never what is in it.
 */
#include "io/pem_pair.h"

#include <stdlib.h>
#include <string.h>

#include "core/config.h"

bool pem_pair_read(struct pem_pair *p, const char *certificate_file, const char *key_file,
		   struct err *err)
{
	*p = (struct pem_pair){0};
	if (!certificate_file && !key_file)
		return true;
	if (!certificate_file || !key_file)
		return err_set(err, ERR_CONFIG,
			       "gateway.certificate_file and gateway.key_file go together");
	p->certificate = config_secret(NULL, certificate_file, err);
	p->key = p->certificate ? config_secret(NULL, key_file, err) : NULL;
	if (!p->key)
		pem_pair_free(p);
	return p->key != NULL;
}

bool pem_pair_same(const struct pem_pair *a, const struct pem_pair *b)
{
	return strcmp(a->certificate, b->certificate) == 0 && strcmp(a->key, b->key) == 0;
}

void pem_pair_free(struct pem_pair *p)
{
	if (p->key)
		explicit_bzero(p->key, strlen(p->key));
	free(p->key);
	free(p->certificate);
	*p = (struct pem_pair){0};
}
