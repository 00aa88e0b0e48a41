/*
 * digest.c - SHA-256 by libcrypto, the only file that includes its headers.
 *
 * Where a digest stands for a text, as in a cache that everybody's texts go through, a hash that is
 * only quick would let somebody find a second text for it. Any thread.
 */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/buf.h"

void digest_bytes(struct slice bytes, uint8_t out[DIGEST_SIZE])
{
	if (EVP_Digest(bytes.data, bytes.len, out, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* as below */
}

bool digest_is(const uint8_t a[DIGEST_SIZE], const uint8_t b[DIGEST_SIZE])
{
	return CRYPTO_memcmp(a, b, DIGEST_SIZE) == 0;
}

void digest_pieces(const struct slice *pieces, size_t n, uint8_t out[DIGEST_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	for (size_t i = 0; ok && i < n; i++) {
		uint8_t length[8];
		put_be64(length, pieces[i].len);
		ok = EVP_DigestUpdate(ctx, length, sizeof(length)) == 1 &&
		     EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].len) == 1;
	}
	if (!ok || EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		abort(); /* out of memory, or a libcrypto without SHA-256 */
	EVP_MD_CTX_free(ctx);
}
