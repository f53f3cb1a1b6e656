"""JSON patches: the examples of RFC 7386 appendix A and RFC 6902 appendix A, and what is refused."""

from __future__ import annotations

import copy

import pytest

from ocicat.errors import UserError
from ocicat.resources.patching import apply_operations, merge


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge(target, patch, result):
    before = copy.deepcopy(target)
    assert merge(target, patch) == result
    assert target == before


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["a", "b"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["a", "q", "b"]}),
        ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
        ({"foo": ["a", "q", "b"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "b"]}),
        ({"baz": 1, "foo": 2}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo", "foo": 2}),
        (
            {"a": {"x": 1, "y": 2}, "b": {}},
            [{"op": "move", "from": "/a/x", "path": "/b/x"}],
            {"a": {"y": 2}, "b": {"x": 1}},
        ),
        ({"f": [1, 2, 3, 4]}, [{"op": "move", "from": "/f/1", "path": "/f/3"}], {"f": [1, 3, 4, 2]}),
        (
            {"a": [1]},
            [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}],
            {"a": [1], "b": [1, 2]},
        ),
        ({"a": 1.0}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1.0}),
        ({"foo": {}}, [{"op": "add", "path": "/foo/bar", "value": {"g": 1}, "xyz": 1}], {"foo": {"bar": {"g": 1}}}),
        (
            {"/": 9, "~1": 10},
            [{"op": "test", "path": "/~01", "value": 10}, {"op": "remove", "path": "/~1"}],
            {"~1": 10},
        ),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["bar", ["x"]]}),
        ({"foo": None}, [{"op": "replace", "path": "/foo", "value": 1}], {"foo": 1}),
        ({"foo": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"": {"": 1}}, [{"op": "remove", "path": "//"}], {"": {}}),
    ],
)
def test_operations(target, operations, result):
    before, asked = copy.deepcopy(target), copy.deepcopy(operations)
    assert apply_operations(target, operations) == result
    assert (target, operations) == (before, asked)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({"op": "remove"}, "patch: a JSON patch is a list of operations"),
        ([1], "patch[0]: must be an object with op and path"),
        ([{"op": "ad", "path": "/a"}], "patch[0]: op: 'ad' must be one of add, remove, replace, move, copy, test"),
        ([{"op": "add", "path": "/a"}], "patch[0]: value: is missing"),
        ([{"op": "add", "path": "a", "value": 1}], "patch[0]: path: 'a' must be a pointer such as /spec/selector"),
        ([{"op": "add", "value": 1}], "patch[0]: path: None must be a pointer such as /spec/selector"),
        ([{"op": "remove", "path": "/nix"}], "patch[0]: path: there is no /nix"),
        ([{"op": "replace", "path": "/nix", "value": 1}], "patch[0]: path: there is no /nix"),
        ([{"op": "add", "path": "/x/y", "value": 1}], "patch[0]: path: there is no /x"),
        ([{"op": "add", "path": "/list/9", "value": 1}], "patch[0]: path: '9' is no place in a list of 3"),
        ([{"op": "add", "path": "/list/01", "value": 1}], "patch[0]: path: '01' is no place in a list of 3"),
        ([{"op": "remove", "path": "/list/-"}], "patch[0]: path: '-' is no place in a list of 2"),
        ([{"op": "remove", "path": "/empty/0"}], "patch[0]: path: the list is empty"),
        ([{"op": "add", "path": "/text/a", "value": 1}], "patch[0]: path: /text is neither an object nor a list"),
        ([{"op": "test", "path": "/text", "value": "u"}], "patch[0]: test: /text holds something else"),
        ([{"op": "test", "path": "/one", "value": True}], "patch[0]: test: /one holds something else"),
        ([{"op": "move", "from": "/map", "path": "/map/a"}], "patch[0]: path: '/map/a' lies in '/map', which is moved"),
        ([{"op": "remove", "path": "/one"}, {"op": "remove", "path": "/one"}], "patch[1]: path: there is no /one"),
    ],
)
def test_refused(operations, message):
    target = {"list": [1, 2], "empty": [], "text": "t", "one": 1, "map": {}}
    with pytest.raises(UserError) as caught:
        apply_operations(target, operations)
    assert caught.value.message == message
    assert target == {"list": [1, 2], "empty": [], "text": "t", "one": 1, "map": {}}
