"""From the text of a selector to its tree, by recursive descent.

    selector   = [ either ] end                      (nothing at all means all())
    either     = both { "||" both }
    both       = operation { "&&" operation }
    operation  = { "!" } ( "(" either ")" | call | label comparison value | label ["not"] "in" set )

Promises:
1. Any text gives a tree or a SelectorError, nothing else: nesting is bounded before Python's own limit is near.
2. Time is linear in the length of the text.
3. The tree keeps the invariants of `ocicat.selector.ast`.
"""

from __future__ import annotations

from ocicat.selector.ast import (
    MAX_DEPTH,
    All,
    And,
    Compare,
    Comparison,
    Global,
    Has,
    In,
    Node,
    Not,
    NotIn,
    Or,
    depth,
)
from ocicat.selector.error import SelectorError
from ocicat.selector.lexer import (
    AND,
    CALL,
    CALL_END,
    COMMA,
    COMPARISON,
    END,
    GROUP,
    GROUP_END,
    LABEL,
    LABEL_ARGUMENT,
    LITERAL,
    MEMBERSHIP,
    NOT,
    OR,
    SET,
    SET_END,
    Lexer,
    Terminal,
)

MAX_LABEL = 512
"""The longest label key, in characters."""

# Blanks between the two words of an operator are free, none included; this is every operator with its blanks removed.
_COMPARISONS = {comparison.replace(" ", ""): comparison for comparison in Comparison}


def parse(text: str) -> Node:
    """The tree of `text`. Errors: SelectorError with the place and what was expected there."""
    lexer = Lexer(text)
    if lexer.take(END) is not None:
        return All()
    node = _either(lexer, 0)
    lexer.expect(END)
    if depth(node) > MAX_DEPTH:
        raise SelectorError(text, 0, f"&& and || nest deeper than {MAX_DEPTH} levels", hint="flatten it")
    return node


def _either(lexer: Lexer, level: int) -> Node:
    operands = [_both(lexer, level)]
    while lexer.take(OR):
        operands.append(_both(lexer, level))
    return operands[0] if len(operands) == 1 else Or(tuple(operands))


def _both(lexer: Lexer, level: int) -> Node:
    operands = [_operation(lexer, level)]
    while lexer.take(AND):
        operands.append(_operation(lexer, level))
    return operands[0] if len(operands) == 1 else And(tuple(operands))


def _operation(lexer: Lexer, level: int) -> Node:
    negated = False
    while lexer.take(NOT):
        negated = not negated
    if lexer.take(GROUP):
        node = _group(lexer, level + 1)
    elif call := lexer.take(CALL):
        node = _call(lexer, call)
    else:
        node = _condition(lexer)
    return _negation(node) if negated else node


def _negation(node: Node) -> Node:
    # Calico cancels `!!a` but keeps `!(!a)`, whose canonical text is then not canonical. Both cancel here.
    return node.operand if isinstance(node, Not) else Not(node)


def _group(lexer: Lexer, level: int) -> Node:
    if level > MAX_DEPTH:
        raise lexer.error(f"parentheses nest deeper than {MAX_DEPTH} levels")
    node = _either(lexer, level)
    lexer.expect(GROUP_END)
    return node


def _call(lexer: Lexer, call: str) -> Node:
    node: Node
    match call:
        case "has(":
            node = Has(_label(lexer, LABEL_ARGUMENT))
        case "all(":
            node = All()
        case _:
            node = Global()
    lexer.expect(CALL_END)
    return node


def _condition(lexer: Lexer) -> Node:
    label = _label(lexer, LABEL)
    if membership := lexer.take(MEMBERSHIP):
        values = _values(lexer)
        return In(label, values) if membership == "in" else NotIn(label, values)
    word = lexer.expect(COMPARISON)
    comparison = _COMPARISONS["".join(word.split())]
    return Compare(label, comparison, lexer.expect(LITERAL)[1:-1])


def _label(lexer: Lexer, terminal: Terminal) -> str:
    position = lexer.position
    label = lexer.expect(terminal)
    if len(label) > MAX_LABEL:
        raise SelectorError(lexer.text, position, f"a label of {len(label)} characters; {MAX_LABEL} are allowed")
    return label


def _values(lexer: Lexer) -> tuple[str, ...]:
    """The values of a set, sorted, each once. An empty set and a comma before the brace are allowed."""
    lexer.expect(SET)
    values = set()
    while literal := lexer.take(LITERAL):
        values.add(literal[1:-1])
        if lexer.take(COMMA) is None:
            break
    lexer.expect(SET_END)
    return tuple(sorted(values))
