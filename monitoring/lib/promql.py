"""promql.py - what can be said of a PromQL expression by its tokens: which series it selects, inside which functions, and which
labels it groups by. It is not a parser and does not tell a right expression from a wrong one; promtool and Prometheus do that.

    sum by (job) (rate(a_total{x="1"}[5m])) / b  ->  Selector(a_total, {x: (=, 1)}, 5m, (sum, rate)), Selector(b, {}, None, ())
"""

import re
from typing import NamedTuple

TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<range>\[[^\]]*\])|(?P<matchers>\{[^}]*\})
                       |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<other>[=!<>]=|=~|!~|.)""",
    re.X,
)
MATCHER = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*,?')
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = GROUPING | {"and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end", "atan2"}


class Selector(NamedTuple):
    metric: str
    matchers: dict  # label: (operator, value)
    range: str  # None: an instant vector
    inside: tuple  # the functions and aggregations around it, outermost first


class Parsed(NamedTuple):
    selectors: list
    grouping: set  # labels after by, on, ...


def tokens(expr):
    """(kind, text) without blanks and comments; a number with its unit (5m, 14.4) is one "other" token per character."""
    for match in TOKEN.finditer(expr):
        if match.lastgroup:
            yield match.lastgroup, match.group()


def matchers_of(text):
    found = {m.group(1): (m.group(2), m.group(3)) for m in MATCHER.finditer(text.strip("{}"))}
    if MATCHER.sub("", text.strip("{}")).strip():
        raise ValueError(f"cannot read the matchers {text}")
    return found


def is_unit(stream, i):
    """A name that stands right behind a digit is the unit of a duration, as in "offset 1h"."""
    return i > 0 and stream[i - 1][0] == "other" and stream[i - 1][1].isdigit()


def parse(expr):
    stream, selectors, grouping, stack, i = list(tokens(expr)), [], set(), [], 0
    pending = None  # a function whose parenthesis has not come yet: sum by (job) (...)
    while i < len(stream):
        kind, text = stream[i]
        following = stream[i + 1][1] if i + 1 < len(stream) else ""
        if kind == "name" and text in GROUPING:
            i += 1
            if following == "(":
                i += 1
                while stream[i][1] != ")":
                    if stream[i][0] == "name":
                        grouping.add(stream[i][1])
                    i += 1
                i += 1
            continue
        if kind == "name" and text not in WORDS and following in ("(", "by", "without"):
            pending = text
        elif kind == "name" and text not in WORDS and not is_unit(stream, i):
            matchers, window = {}, None
            if i + 1 < len(stream) and stream[i + 1][0] == "matchers":
                matchers, i = matchers_of(stream[i + 1][1]), i + 1
            if i + 1 < len(stream) and stream[i + 1][0] == "range":
                window, i = stream[i + 1][1].strip("[]"), i + 1
            selectors.append(Selector(text, matchers, window, tuple(f for f in stack if f)))
        elif text == "(":
            stack.append(pending)
            pending = None
        elif text == ")":
            stack.pop()
        i += 1
    return Parsed(selectors, grouping)


COMPARISON = re.compile(r"([<>]=?|==|!=)\s*(?!bool)(\d[\d.]*)(?:\s*\*\s*(\d[\d.]*))?")


def limits(expr):
    """The numbers that results are compared with, in order: "a > 14.4 * 0.01 and b < 3" gives [0.144, 3]."""
    return [round(float(number) * float(factor or 1), 9) for _, number, factor in COMPARISON.findall(expr)]


def without_comparisons(expr):
    """The expression with every comparison with a number cut off, so that it gives what would be compared."""
    return COMPARISON.sub("", expr)
