"""What the tables leave out: words as labels, blanks, error messages, bounds."""

import time

import pytest

from ocicat.errors import UserError
from ocicat.selector import SelectorError, parse
from ocicat.selector.ast import MAX_DEPTH
from ocicat.selector.parser import MAX_LABEL


def failure(text):
    with pytest.raises(SelectorError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("contains contains 'x'", 'contains contains "x"'),
        ("in in {'x'}", 'in in {"x"}'),
        ("not not in {'x'}", 'not not in {"x"}'),
        ("has == 'y'", 'has == "y"'),
        ("all != 'y' && global=='z'", '(all != "y" && global == "z")'),
        ("has(has)", "has(has)"),
        ("has(contains)", "has(contains)"),
        ("all.x == 'y'", 'all.x == "y"'),
        ("a.b/c-d_e == 'y'", 'a.b/c-d_e == "y"'),
        ("-1 == ''", '-1 == ""'),
    ],
)
def test_operator_words_are_labels_where_a_label_stands(text, canonical):
    assert parse(text).text == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a=='b'", 'a == "b"'),
        ("\ta\t==\t'b'\t", 'a == "b"'),
        ("a notin{'b'}", 'a not in {"b"}'),
        ("a not \t in { 'b' , }", 'a not in {"b"}'),
        ("a starts\twith'b'", 'a starts with "b"'),
        ("a endswith 'b'", 'a ends with "b"'),
        ("all( )&&global(\t)", "(all() && global())"),
        ("has( a )||has(b)", "(has(a) || has(b))"),
        ("a in {}", "a in {}"),
    ],
)
def test_blanks_are_free_between_words(text, canonical):
    assert parse(text).text == canonical


@pytest.mark.parametrize(
    "text", ["has (a)", "all ()", "a\n== 'b'", "all()\n", "a\u00a0== 'b'", "a = = 'b'", "a ! = 'b'", "al l()"]
)
def test_blanks_inside_a_word_and_line_breaks_are_refused(text):
    failure(text)


@pytest.mark.parametrize(
    "text",
    [
        "a in {,}",
        "a in {'b',,}",
        "a in {'b' 'c'}",
        "a in 'b'",
        "a in {b}",
        "a not {'b'}",
        "a == 'b' 'c'",
        "a == 'b' c == 'd'",
        "has()",
        "has('a')",
        "has(a b)",
        "has(a",
        "all(a)",
        "global(",
        "a starts 'b'",
        "a starts-with 'b'",
        "ain {'b'}",
        "&& a == 'b'",
        "a == 'b' &&",
        "a == 'b' && || all()",
        "a == 'b' and all()",
        "a == {'b'}",
        "a contains {'b'}",
        "!= 'b'",
        "é == 'b'",
        "a == 'b\\''",
    ],
)
def test_refuses(text):
    failure(text)


def test_not_binds_to_one_operation():
    selector = parse('!a == "b" && c == "d"')
    assert selector.text == '(!a == "b" && c == "d")'
    assert selector.matches({"c": "d"})
    assert not selector.matches({"a": "b", "c": "d"})


def test_and_binds_tighter_than_or():
    assert parse("has(a) || has(b) && has(c)").text == "(has(a) || (has(b) && has(c)))"


def test_grouping_that_changes_nothing_is_dropped_and_grouping_that_nests_is_kept():
    assert parse("((has(a)))").text == "has(a)"
    assert parse("(has(a) && has(b)) && has(c)").text == "((has(a) && has(b)) && has(c))"


@pytest.mark.parametrize("text", ["!!has(a)", "!(!has(a))", "!!!(!(has(a)))", "! ! has(a)"])
def test_an_even_number_of_nots_cancels_also_across_parentheses(text):
    assert parse(text).text == "has(a)"


def test_an_empty_value_is_contained_only_in_a_label_that_is_there():
    for operator in ("contains", "starts with", "ends with"):
        selector = parse(f"a {operator} ''")
        assert selector.matches({"a": ""})
        assert not selector.matches({"b": ""})


def test_an_empty_set_holds_nothing():
    assert not parse("a in {}").matches({"a": ""})
    assert not parse("a in {}").matches({})
    assert parse("a not in {}").matches({"a": ""})


def test_selectors_of_one_meaning_in_text_are_equal():
    assert parse("a=='b'") == parse(' (a == "b") ')
    assert len({parse("a=='b'"), parse(' (a == "b") '), parse("all()")}) == 2


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("a", 2, "expected an operator (==, !=, in, not in, contains, starts with, ends with), found the end"),
        ("a == b", 6, "expected a value in quotes, found 'b'"),
        ("a == 'b", 6, "expected a closing ' for the value that starts here"),
        ("a in ['b']", 6, "expected '{', found '['"),
        ("a in {'b'; 'c'}", 10, "expected a value in quotes, ',' or '}', found ';'"),
        ("(a == 'b'", 10, "expected '&&', '||' or ')', found the end"),
        ("a == 'b')", 9, "expected '&&', '||' or the end, found ')'"),
        ("has(a", 6, "expected ')', found the end"),
        ("has(", 5, "expected a label, found the end"),
        ("  a == 'b'  &&  %", 17, "expected a label, has(), all(), global(), '!' or '(', found '%'"),
    ],
)
def test_an_error_tells_the_column_and_what_was_expected(text, column, problem):
    error = failure(text)
    assert (error.column, error.position, error.problem) == (column, column - 1, problem)
    assert f"column {column}: {problem}" in str(error)


@pytest.mark.parametrize(("text", "hint"), [("a = 'b'", "=="), ("all() & all()", "&&"), ("all() | all()", "||")])
def test_a_single_sign_gets_a_hint(text, hint):
    assert hint in failure(text).hint


def test_an_error_is_a_user_error_of_one_line_however_long_the_text():
    error = failure("a == 'b' ||\n" + "x" * 10_000)
    assert isinstance(error, UserError)
    assert "\n" not in str(error)
    assert len(str(error)) < 300


def test_a_lone_surrogate_is_refused():
    assert failure("a == '\ud800'").column == 7


def test_a_label_has_a_longest_length():
    assert parse(f"has({'a' * MAX_LABEL})").matches({"a" * MAX_LABEL: ""})
    assert f"{MAX_LABEL} are allowed" in str(failure("a" * (MAX_LABEL + 1) + " == 'b'"))
    assert failure(f"all() && has({'a' * (MAX_LABEL + 1)})").column == 14


@pytest.mark.parametrize("text", ["(" * 100_000, "(" * 100_000 + "all()" + ")" * 100_000, "!(" * 100_000])
def test_parentheses_nest_to_a_bound(text):
    assert f"deeper than {MAX_DEPTH} levels" in str(failure(text))


def nested(levels):
    """`&&` and `||` by turns, `levels` of them inside one another, in the fewest parentheses that say it."""
    text = "has(a)"
    for level in range(levels):
        text = f"has(b) && {text}" if level % 2 == 0 else f"(has(c) || {text})"
    return text


def test_combinators_nest_to_the_same_bound_and_the_deepest_reads_back():
    deepest = parse(nested(MAX_DEPTH))
    assert parse(deepest.text) == deepest
    assert deepest.matches({"c": ""})
    assert failure(nested(MAX_DEPTH + 1)).problem == f"&& and || nest deeper than {MAX_DEPTH} levels"


def large(size):
    condition = "a == 'v%d' || b in {'x', 'w%d'} && !!!has(c)"
    return " || ".join(condition % (number, number) for number in range(size))


def seconds(text):
    start = time.thread_time()
    parse(text)
    return time.thread_time() - start


def test_time_is_linear_in_length():
    small = min(seconds(large(500)) for _ in range(5))
    assert min(seconds(large(5_000)) for _ in range(5)) < 40 * small  # ten times the text; quadratic would be 100


@pytest.mark.parametrize(
    "text", ["!" * 1_000_000, "a starts" + " " * 1_000_000, "'" + " " * 1_000_000, "a" * 1_000_000]
)
def test_long_garbage_is_refused_at_once(text):
    start = time.thread_time()
    failure(text)
    assert time.thread_time() - start < 5
