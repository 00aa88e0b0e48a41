/*
 * config_hide.c - a setting's text without the passwords in it, for people.
 *
 * Works on any text, right or wrong: it looks for what a password stands behind, in a URL and in
 * key=value pairs, and hides rather too much than too little. Pure.
 */
#include <string.h>

#include "core/config_key.h"

/*
 * "password=" and the like, where a word of a DSN or a parameter of a URL begins; returns the
 * length, or 0.
 */
static size_t password_key(const char *s)
{
	static const char *const keys[] = {"password", "sslpassword"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t n = strlen(keys[i]);
		if (strncasecmp(s, keys[i], n) != 0)
			continue;
		n += strspn(s + n, " ");
		if (s[n] == '=')
			return n + 1 + strspn(s + n + 1, " ");
	}
	return 0;
}

/*
 * Length of the value at s: quoted, or up to a blank or &. Words behind it that are no key=value
 * belong to it: a password that should have been quoted.
 */
static size_t password_length(const char *s)
{
	static const char ends[] = " &\t";
	size_t n = 0, word;
	if (*s == '\'') {
		for (n = 1; s[n] && s[n] != '\'';)
			n += s[n] == '\\' && s[n + 1] ? 2 : 1;
		n += s[n] == '\'';
	}
	n += strcspn(s + n, ends);
	for (; s[n]; n += 1 + word) {
		word = strcspn(s + n + 1, ends);
		if (memchr(s + n + 1, '=', word))
			break;
	}
	return n;
}

/*
 * scheme://user:PASSWORD@host, as often as it occurs. Taken is what lies between the first colon
 * and the last @, even where the password holds characters that a URL should have escaped: better
 * too much hidden than too little.
 */
static void hide_userinfo(const char *s, struct buf *out)
{
	for (const char *scheme; (scheme = strstr(s, "://"));) {
		const char *user = scheme + 3, *next = strstr(user, "://");
		size_t room = next ? (size_t)(next - user) : strlen(user);
		const char *at = memrchr(user, '@', room);
		const char *colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
		const char *end = colon ? colon + 1 : user;
		buf_put(out, s, (size_t)(end - s));
		if (colon)
			buf_puts(out, "***");
		s = colon ? at : user;
	}
	buf_puts(out, s);
}

/* URLs, key=value and parameters: whatever form a DSN may have. */
void config_hide_password(const char *value, struct buf *out)
{
	struct buf open = {0};
	hide_userinfo(value, &open);
	const char *start = buf_cstr(&open);
	for (const char *s = start; *s;) {
		bool begins = s == start || strchr(" \t?&", s[-1]);
		size_t key = begins ? password_key(s) : 0;
		if (key == 0) {
			buf_u8(out, (uint8_t)*s++);
			continue;
		}
		buf_put(out, s, key);
		buf_puts(out, "***");
		s += key;
		s += password_length(s);
	}
	buf_free(&open);
}
