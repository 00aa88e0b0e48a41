/*
 * fuzz_text.c - the checks of text and JSON against plain ones (tests/unit/text_reference.c) and
 * against jansson, and the parser of UUIDs.
 *
 * What ours takes, jansson has to take, but for numbers that a double or an int64 cannot hold. What
 * ours refuses, jansson has to refuse, but for what jsonb alone refuses: \u0000, numbers beyond
 * numeric, too much depth.
 */
#include <jansson.h>

#include "../unit/text_reference.h"
#include "codec/pgbin.h"
#include "codec/text.h"
#include "fuzz.h"

static bool jansson_takes(struct slice s, json_error_t *at)
{
	json_t *j = json_loadb((const char *)s.data, s.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, at);
	json_decref(j);
	return j != NULL;
}

static void check_utf8(struct slice s)
{
	struct refusal why;
	uint8_t *copy = xmalloc(s.len + 1);
	bool text = text_check_utf8(s, &why);
	if (text != reference_utf8(s.data, s.len))
		give_up("UTF-8", text ? "taken" : why.text);
	if (text_copy(copy, s) && !text)
		give_up("text_copy", "took what is no text");
	if (s.len > 0 && memcmp(copy, s.data, s.len) != 0)
		give_up("text_copy", "made another text");
	free(copy);
}

static void check_reference(struct slice s, bool ours, const struct refusal *why)
{
	bool vast, theirs = reference_json(s.data, s.len, 64, &vast);
	if (ours && !theirs)
		give_up("the reference refuses what was taken", "");
	if (!ours && theirs && !vast)
		give_up("the reference takes what was refused", why->text);
}

/* s has TEXT_PAD zeros behind it. */
static void check_json(struct slice s)
{
	struct refusal why = {0};
	json_error_t at = {0};
	bool ours = text_check_json(s, 64, &why), theirs = jansson_takes(s, &at);
	check_reference(s, ours, &why);
	if (ours && !theirs && !strstr(at.text, "too big") && !strstr(at.text, "overflow"))
		give_up("jansson refuses what was taken", at.text);
	if (!ours && s.len > 0 && memchr(s.data, 0, s.len))
		return; /* to jansson a NUL behind the value is the end */
	bool jsonb_only = why.reason == REASON_TOO_LARGE || strstr(why.text, "u0000") ||
			  strstr(why.text, "numeric");
	if (!ours && theirs && !jsonb_only)
		give_up("jansson takes what was refused", why.text);
	if (ours && !text_check_utf8(s, &why))
		give_up("JSON that is no text", why.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = {data, size};
	struct refusal why;
	struct buf out = {0};
	uint8_t *padded = xcalloc(1, size + TEXT_PAD);
	if (size > 0)
		memcpy(padded, data, size);
	check_utf8(s);
	check_json((struct slice){padded, size});
	free(padded);
	if (pgbin_uuid_text(&out, s, &why) != (out.len == 20))
		give_up("uuid", "wrote something else than it said");
	buf_free(&out);
	return 0;
}
