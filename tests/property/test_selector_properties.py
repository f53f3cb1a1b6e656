"""Selectors against a naive reading of their tree, and against text that means harm."""

import contextlib

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocicat.selector import SelectorError, parse
from ocicat.selector.ast import All, And, Compare, Comparison, Global, Has, In, Not, NotIn, Or, canonical
from ocicat.selector.compile import compile as compile_node
from ocicat.selector.parser import parse as parse_node
from ocicat.selector.restrictions import restrictions

# Few labels and values, so that conditions meet the labels they speak of.
LABELS = st.sampled_from(["a", "b", "in", "has", "x.y/z-0"])
VALUES = st.sampled_from(["", "v", "w", "vw", "'", '"', "é", "\n"])
LABEL_SETS = st.dictionaries(LABELS, VALUES, max_size=4)
VALUE_SETS = st.lists(VALUES, max_size=4).map(lambda values: tuple(sorted(set(values))))

CONDITIONS = st.one_of(
    st.builds(All),
    st.builds(Global),
    st.builds(Has, LABELS),
    st.builds(Compare, LABELS, st.sampled_from(Comparison), VALUES),
    st.builds(In, LABELS, VALUE_SETS),
    st.builds(NotIn, LABELS, VALUE_SETS),
)


def combined(nodes):
    operands = st.lists(nodes, min_size=2, max_size=4).map(tuple)
    plain = nodes.filter(lambda node: not isinstance(node, Not))
    return st.one_of(st.builds(Not, plain), st.builds(And, operands), st.builds(Or, operands))


NODES = st.recursive(CONDITIONS, combined, max_leaves=12)

WORDS = [
    "a",
    "has(",
    "all(",
    "global(",
    "in",
    "not in",
    "contains",
    "starts with",
    "==",
    "!=",
    "!",
    "&&",
    "||",
    "&",
    "=",
]
SIGNS = ["(", ")", "{", "}", ",", "'v'", '"v"', "'", '"', " ", "\t", "\n", "\x00", "é", "\ud800"]
SOUP = st.lists(st.sampled_from(WORDS + SIGNS), max_size=40).map("".join)


def naive(node, labels):
    own = labels.get(getattr(node, "label", ""))
    match node:
        case All() | Global():
            return True
        case Has():
            return own is not None
        case Compare(comparison=Comparison.EQUALS):
            return own is not None and own == node.value
        case Compare(comparison=Comparison.DIFFERS):
            return own is None or own != node.value
        case Compare(comparison=Comparison.CONTAINS):
            return own is not None and own.find(node.value) >= 0
        case Compare(comparison=Comparison.STARTS):
            return own is not None and own[: len(node.value)] == node.value
        case Compare(comparison=Comparison.ENDS):
            return own is not None and own[len(own) - len(node.value) :] == node.value and len(own) >= len(node.value)
        case In():
            return own is not None and own in node.values
        case NotIn():
            return own is None or own not in node.values
        case Not():
            return not naive(node.operand, labels)
        case And():
            return all(naive(operand, labels) for operand in node.operands)
        case Or():
            return any(naive(operand, labels) for operand in node.operands)


def allows(restriction, own):
    """Whether a label with the value `own` (None: absent) keeps the restriction."""
    values = restriction.must_have_one_of
    return not (
        (restriction.must_be_present and own is None)
        or (restriction.must_be_absent and own is not None)
        or (values is not None and own not in values)
    )


@settings(deadline=None)
@given(NODES)
def test_canonical_text_reads_back_to_the_same_tree(node):
    assert parse_node(canonical(node)) == node


@settings(deadline=None)
@given(NODES, LABEL_SETS)
def test_the_closure_agrees_with_the_tree(node, labels):
    assert compile_node(node)(labels) is naive(node, labels)


@settings(deadline=None)
@given(NODES, LABEL_SETS)
def test_labels_that_break_a_restriction_never_match(node, labels):
    kept = all(allows(restriction, labels.get(label)) for label, restriction in restrictions(node).items())
    assert kept or not naive(node, labels)


@settings(deadline=None)
@given(st.one_of(st.text(), SOUP))
@example("(" * 5_000)
@example("!" * 5_000)
@example("a in {" + "'v'," * 5_000)
@example("a" * 5_000 + " == ''")
@example("a == '\udfff'")
def test_any_text_is_a_selector_or_a_selector_error(text):
    with contextlib.suppress(SelectorError):
        selector = parse(text)
        assert parse(selector.text) == selector
        assert parse(selector.text).uid == selector.uid
