/*
 * roff.c - man page source out of help texts and of our own Markdown.
 *
 *   "show   each setting"       .TP, show in bold, each setting
 *   "## [kafka]"                .SH [kafka]
 *   "| key | default | why |"   .TP, the first cell in bold; "default: 5" of the middle
 *                                 ones; the last on a line of its own
 *
 * It reads what this program prints, not Markdown at large: no nesting, no links, a table's first
 * two lines are its head. So man pages say what --help and docs/CONFIG.md say, and nobody has to
 * write a setting down twice.
 *
 * Pure functions from text to text. Nothing can fail: what is not understood comes out as a
 * paragraph.
 */
#include <stdbool.h>
#include <string.h>

#include "base/base.h"
#include "cli/roff.h"

#define MAX_CELLS 8

struct span {
	const char *s;
	size_t len;
};

/* What roff would read as something else than it is. */
static void put_char(struct buf *out, char c)
{
	static const char *const special[256] = {
		['\\'] = "\\e",  ['-'] = "\\-",    ['~'] = "\\(ti",
		['^'] = "\\(ha", ['\''] = "\\(aq", ['"'] = "\\(dq",
	};
	const char *escaped = special[(unsigned char)c];
	if (escaped)
		buf_puts(out, escaped);
	else
		buf_u8(out, (uint8_t)c);
}

/* A dot at the beginning would be a request. */
void roff_text(struct buf *out, const char *text, size_t len)
{
	bool bold = false;
	if (len > 0 && *text == '.')
		buf_puts(out, "\\&"); /* at the beginning of a line it would be a request */
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '`') {
			put_char(out, text[i]);
			continue;
		}
		bold = !bold;
		buf_puts(out, bold ? "\\fB" : "\\fR");
	}
}

void roff_line(struct buf *out, const char *text)
{
	roff_text(out, text, strlen(text));
	buf_u8(out, '\n');
}

static void put_line(struct buf *out, struct span line)
{
	roff_text(out, line.s, line.len);
	buf_u8(out, '\n');
}

static struct span next_line(const char **text)
{
	struct span line = {.s = *text, .len = strcspn(*text, "\n")};
	*text += line.len + ((*text)[line.len] == '\n');
	return line;
}

/* Blanks only: there are no tabs. */
static struct span trim(struct span s)
{
	while (s.len > 0 && *s.s == ' ')
		s.s++, s.len--;
	while (s.len > 0 && s.s[s.len - 1] == ' ')
		s.len--;
	return s;
}

static bool begins(struct span line, const char *with)
{
	return line.len >= strlen(with) && memcmp(line.s, with, strlen(with)) == 0;
}

static struct span behind(struct span line, size_t n)
{
	return trim((struct span){.s = line.s + n, .len = line.len - n});
}

/* --- help texts */

/* Length of the word of "word   meaning", 0 for a line that is none. */
static size_t item_word(struct span line)
{
	const char *gap = memmem(line.s, line.len, "  ", 2);
	return gap && gap > line.s ? (size_t)(gap - line.s) : 0;
}

/* Lists are known by two blanks behind a word. */
void roff_help(struct buf *out, const char *help)
{
	bool in_list = false, gap = true; /* a blank line before this one */
	while (*help) {
		struct span line = next_line(&help);
		size_t word = item_word(line);
		if (line.len == 0) {
			gap = true;
			continue;
		}
		if (word > 0) {
			buf_puts(out, ".TP\n\\fB");
			roff_text(out, line.s, word);
			buf_puts(out, "\\fR\n");
			line = behind(line, word);
			in_list = true;
		} else if (gap || (in_list && *line.s != ' ')) {
			buf_puts(out, ".PP\n");
			in_list = false;
		}
		gap = false;
		put_line(out, trim(line));
	}
}

/* --- Markdown */

/* "| a | b |": the outer bars belong to it. */
static size_t split_cells(struct span line, struct span *cells)
{
	size_t n = 0;
	for (size_t at = 1; at < line.len && n < MAX_CELLS;) {
		const char *bar = memmem(line.s + at, line.len - at, " |", 2);
		size_t end = bar ? (size_t)(bar - line.s) : line.len;
		cells[n++] = trim((struct span){.s = line.s + at, .len = end - at});
		at = end + 2;
	}
	return n;
}

/* A row of another number of cells than the head comes out as text. */
static void table_row(struct buf *out, struct span head, struct span row)
{
	struct span names[MAX_CELLS], cells[MAX_CELLS];
	size_t n = split_cells(row, cells);
	bool first = true;
	if (split_cells(head, names) != n || n == 0)
		return put_line(out, row);
	buf_puts(out, ".TP\n");
	put_line(out, cells[0]);
	for (size_t i = 1; i + 1 < n; i++) {
		if (cells[i].len == 0)
			continue;
		buf_puts(out, first ? "" : "; ");
		roff_text(out, names[i].s, names[i].len);
		buf_puts(out, ": ");
		roff_text(out, cells[i].s, cells[i].len);
		first = false;
	}
	buf_puts(out, first ? "" : "\n.br\n");
	put_line(out, cells[n - 1]);
}

static void table(struct buf *out, struct span head, const char **text)
{
	next_line(text); /* |---|---| */
	while (**text == '|')
		table_row(out, head, next_line(text));
}

/* Until the closing fence, as it stands. */
static void code(struct buf *out, const char **text)
{
	buf_puts(out, ".PP\n.RS 4\n.EX\n");
	while (**text) {
		struct span line = next_line(text);
		if (begins(line, "```"))
			break;
		put_line(out, line);
	}
	buf_puts(out, ".EE\n.RE\n");
}

/* A heading brings its own distance. */
static void skip_blank(const char **text)
{
	*text += **text == '\n';
}

/* Line by line: blocks are known by how they begin. */
void roff_markdown(struct buf *out, const char *markdown)
{
	bool gap = false;
	while (*markdown) {
		struct span line = next_line(&markdown);
		if (begins(line, "# ") || begins(line, "Generated by ")) {
			skip_blank(&markdown);
		} else if (begins(line, "## ")) {
			buf_puts(out, ".SH ");
			put_line(out, behind(line, 3));
			skip_blank(&markdown);
		} else if (begins(line, "|")) {
			table(out, line, &markdown);
		} else if (begins(line, "```")) {
			code(out, &markdown);
		} else if (begins(line, "- ")) {
			buf_puts(out, ".IP \\(bu 2\n");
			put_line(out, behind(line, 2));
		} else if (line.len > 0) {
			buf_puts(out, gap ? ".PP\n" : "");
			put_line(out, trim(line));
		}
		gap = line.len == 0;
	}
}
