/*
 * fuzz_config.c - any text as a config file.
 *
 *   taken     "config show" prints it, also as JSON, where each setting has value and origin
 *   refused   class CONFIG; findings are lines of text
 *
 * Without an environment. Files that it names (schemas, secrets) are not opened by loading it.
 */
#include <jansson.h>

#include "codec/text.h"
#include "core/config.h"
#include "fuzz.h"

extern char **environ;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static void check_findings(const struct buf *findings, const struct err *err)
{
	struct refusal why = {0};
	if (err->class != ERR_CONFIG || err->text[0] == '\0')
		give_up("an error without class or text", err->text);
	if (findings->len == 0 || findings->data[findings->len - 1] != '\n')
		give_up("findings", "none, or no line");
	if (!text_check_utf8((struct slice){findings->data, findings->len}, &why))
		give_up("findings", why.text);
}

/* The keys of a whole config, with the value of one of them. */
static void check_json(const struct buf *text)
{
	json_error_t at;
	const char *key;
	json_t *all = json_loadb((const char *)text->data, text->len, 0, &at), *setting;
	if (!all || json_object_size(all) < 20)
		give_up("config show --json", all ? "too few settings" : at.text);
	json_object_foreach (all, key, setting) {
		if (!json_is_string(json_object_get(setting, "origin")) ||
		    !json_object_get(setting, "value"))
			give_up(key, "shown without value or origin");
	}
	json_decref(all);
}

static void check_shown(const struct config *config)
{
	struct buf out = {0};
	config_show(config, &out);
	if (out.len == 0 || out.data[out.len - 1] != '\n')
		give_up("config show", "nothing, or no line");
	out.len = 0;
	config_show_json(config, &out);
	check_json(&out);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *none[] = {NULL};
	char **before = environ;
	struct buf findings = {0};
	struct err err = {0};
	struct fuzz_file f = fuzz_file(data, size);
	environ = none;
	struct config *config = config_load(f.path, NULL, 0, &findings, &err);
	if (config)
		check_shown(config);
	else
		check_findings(&findings, &err);
	config_free(config);
	environ = before;
	buf_free(&findings);
	close(f.fd);
	return 0;
}
