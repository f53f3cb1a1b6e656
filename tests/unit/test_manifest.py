"""Manifests: YAML and JSON as people write them, with the lines they stand in, and the text we write."""

from __future__ import annotations

import json
from inspect import cleandoc

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.errors import UserError
from ocicat.model.manifest import json_text, ordered, read, yaml_read, yaml_text
from ocicat.model.v3.kinds import KINDS

HEAD = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\n"
SET = HEAD + "metadata:\n  name: a\n  labels:\n    app: %s\n"


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def either_parser(request, monkeypatch):
    """The library has a parser in C where it could be built, and one in Python that says other words."""
    if request.param == "python":
        monkeypatch.setattr(yaml_read, "_PARSER", yaml.SafeLoader)
    else:
        assert yaml_read._PARSER is yaml.CSafeLoader


def raws(text, source="f.yaml"):
    data = text if isinstance(text, bytes) else text.encode()
    found = read(data, source=source)
    for manifest in found:
        for field, what in manifest.unclear:
            raise UserError(f"{manifest.where_of(field)}: {field}: {what}")
    return [manifest.raw for manifest in found]


def error(text, source="f.yaml"):
    with pytest.raises(UserError) as caught:
        raws(text, source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def label(word):
    return raws(SET % word)[0]["metadata"]["labels"]["app"]


# --- documents --------------------------------------------------------------------------------------------------


def test_one_document():
    (manifest,) = read(b"kind: Tier\nmetadata: {name: t}\n", source="f.yaml")
    assert (manifest.raw, manifest.where) == ({"kind": "Tier", "metadata": {"name": "t"}}, "f.yaml:1")


def test_several_documents_and_empty_ones_between():
    text = "# nothing\n---\n---\nkind: Tier\nname: a\n---\n~\n---\n# c\n\nkind: Tier\nname: b\n...\n---\n"
    found = read(text.encode(), source="f.yaml")
    assert [(manifest.raw["name"], manifest.where) for manifest in found] == [("a", "f.yaml:4"), ("b", "f.yaml:11")]


@pytest.mark.parametrize("text", ["", "\n", "# only talk\n", "---\n---\n", "\ufeff", "  \n\t\n"])
def test_a_text_that_holds_nothing_gives_nothing(text):
    assert raws(text) == []


def test_what_an_editor_leaves_behind_does_not_matter():
    for text in (
        "\ufeffkind: Tier\nname: a\n",
        "kind: Tier\r\nname: a\r\n",
        "---\nkind: Tier\nname: a",
        "kind: Tier   \nname: a",
    ):
        assert raws(text) == [{"kind": "Tier", "name": "a"}]


@pytest.mark.parametrize("kind", ["IPPoolList", "List"])
def test_lists_are_taken_apart(kind):
    text = f"""
    apiVersion: projectcalico.org/v3
    kind: {kind}
    metadata: {{resourceVersion: "12"}}
    items:
    - apiVersion: projectcalico.org/v3
      kind: IPPool
      metadata: {{name: a}}
    - apiVersion: projectcalico.org/v3
      kind: IPPool
      metadata: {{name: b}}
    """
    found = read(cleandoc(text).encode(), source="f.yaml")
    assert [(manifest.raw["metadata"], manifest.where) for manifest in found] == [
        ({"name": "a"}, "f.yaml:5"),
        ({"name": "b"}, "f.yaml:8"),
    ]


def test_elements_of_a_typed_list_need_not_say_their_type_again():
    (raw,) = raws("apiVersion: projectcalico.org/v3\nkind: IPPoolList\nitems: [{metadata: {name: a}}]")
    assert raw == {"kind": "IPPool", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "a"}}


def test_a_sequence_of_resources():
    assert raws("- kind: Tier\n- kind: IPPool\n") == [{"kind": "Tier"}, {"kind": "IPPool"}]
    assert raws('[{"kind": "Tier"}, {"kind": "IPPool"}]') == [{"kind": "Tier"}, {"kind": "IPPool"}]
    assert raws("[]") == []
    assert raws("kind: TierList\nitems: []") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("just text", "f.yaml:1:1: is no resource"),
        ("a: 1\n---\n- 5\n", "f.yaml:3:1: is no resource"),
        ("kind: TierList\nitems:\n- kind: Tier\n- 7\n", "f.yaml:4:1: is no resource"),
        ("kind: TierList\nitems: {a: b}\n", "f.yaml:2:1: items: must be a list"),
        ("\n42\n", "f.yaml:2:1: is no resource"),
        ('"quoted"', "f.yaml:1:1: is no resource"),
    ],
)
def test_what_is_no_resource(text, said):
    assert error(text).startswith(said)


# --- what cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("kind: Tier\nspec:\n\torder: 1\n", "f.yaml:3:1: "),
        ("kind: Tier\nspec:\n  order: 1\n   x: 2\n", "f.yaml:4:"),
        ("kind: Tier\n  x: 1\n", "f.yaml:2:"),
        ("kind: [Tier\n", "f.yaml:2:1: "),
        ("kind: 'Tier\n", "f.yaml:2:1: "),
        ("a: b: c\n", "f.yaml:1:5: "),
        ("a: *x\n", "f.yaml:1:4: the alias *x has no anchor before it"),
        ("kind: Tier\nkind: Tier\n", "f.yaml:2:1: 'kind' stands here twice, first in line 1"),
        ("spec:\n  a: 1\n  b: 2\n  'a': 3\n", "f.yaml:4:3: 'a' stands here twice, first in line 2"),
        ("? [a]\n: b\n", "f.yaml:1:3: a key must be plain text"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4: the tag !!python/object:os.system"),
        ("a: !mine {b: c}\n", "f.yaml:1:4: the tag !mine is not supported"),
        ("a: !!set {b}\n", "f.yaml:1:4: the tag !!set is not supported"),
        ("a: !!int word\n", "f.yaml:1:4: the tag !!int does not fit 'word'"),
        ("a: .inf\n", "f.yaml:1:4: .inf: a number must be finite"),
        ("a: 1e999\n", "f.yaml:1:4: 1e999: a number must be finite"),
        ("a: &x [*x]\n", "f.yaml:1:8: the alias *x stands inside its own anchor"),
        ("a: {<<: 5}\n", "f.yaml:1:5: << takes the fields of a mapping"),
        ("a: \x00\n", "f.yaml:1:4: "),
        ("%YAML 9.9\n---\na: b\n", "f.yaml:1:1: "),
    ],
)
def test_an_error_has_its_line_and_column(text, place):
    assert error(text).startswith(place), error(text)


def test_text_that_is_not_utf_8():
    assert error(b"a: b\nc: \xff\n").startswith("f.yaml:2:4: the byte 0xff is no UTF-8")
    assert error("kind: Tier".encode("utf-16")) == "f.yaml: is UTF-16 (save it as UTF-8)"


def test_a_small_text_cannot_become_a_large_value():
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "aliases stand for more than 100000 values" in error(laughs)
    keys = "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n} {{a: *a{n - 1}, b: *a{n - 1}}}\n" for n in range(1, 40))
    assert "aliases stand for more than 100000 values" in error(keys)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "- " * 100_000, "[" * 70 + "]" * 70])
def test_deep_nesting_is_refused(text):
    assert error(text).startswith("f.yaml:1:")


# --- aliases ----------------------------------------------------------------------------------------------------


def test_aliases_and_merged_fields():
    text = """
    base: &base {a: 1, b: 2}
    other: &other {c: 3, a: 9}
    one: {<<: *base, b: 7}
    two: {<<: [*base, *other], d: 4}
    same: *base
    quoted: {"<<": text}
    """
    (raw,) = raws(cleandoc(text))
    assert raw["one"] == {"a": 1, "b": 7}
    assert raw["two"] == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert raw["same"] == {"a": 1, "b": 2}
    assert raw["quoted"] == {"<<": "text"}


def test_an_anchor_ends_with_its_document():
    assert "the alias *x has no anchor" in error("a: &x b\n---\na: *x\n")


# --- what words mean --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("Yes", True),
        ("on", True),
        ("y", True),
        ("FALSE", False),
        ("no", False),
        ("Off", False),
        ("n", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("+4", 4),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b11", 3),
        ("010", 8),
        ("0o17", 15),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("089", 89.0),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("1:20", "1:20"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("12:34:56:78:9a:bc", "12:34:56:78:9a:bc"),
        ("::1", "::1"),
        ("yEs", "yEs"),
        ("0x", "0x"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        ("=", "="),
        ("0b_", "0b_"),
        ("'on'", "on"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("! on", "on"),
        ("!!float 1", 1),
        ("!!bool on", True),
    ],
)
def test_words_mean_what_they_mean_to_calicoctl(word, value):
    found = raws(f"a: {word}\n" if word != "-" else "a: '-'\n")[0]["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("word", "text"),
    [("1", "1"), ("true", "true"), ("1.5", "1.5"), ("2020-01-01", "2020-01-01"), ("", ""), ("~", ""), ("'yes'", "yes")],
)
def test_a_word_becomes_text_where_text_is_wanted(word, text):
    assert label(word) == text


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("yes", "true"),
        ("n", "false"),
        ("1.10", "1.1"),
        ("010", "8"),
        ("1e3", "1000.0"),
        ("1_000", "1000"),
        ("1.0", "1.0"),
        ("True", "true"),
    ],
)
def test_a_word_that_can_be_read_in_two_ways_is_refused_where_text_is_wanted(word, meant):
    if word == "1.0":
        assert label("'1.0'") == "1.0"
    assert error(SET % word) == f"f.yaml:6: metadata.labels.app: {word} means {meant} in YAML: put it in quotes"


def test_a_truth_value_may_be_spelled_in_any_way_where_one_is_wanted():
    pool = "kind: IPPool\nmetadata: {name: a}\nspec: {cidr: 10.0.0.0/8, disabled: yes, blockSize: 0x1a}\n"
    assert raws(pool)[0]["spec"] == {"cidr": "10.0.0.0/8", "disabled": True, "blockSize": 26}


def test_a_number_or_text_stays_as_it_was_written():
    rule = "kind: Profile\nspec:\n  ingress:\n  - {protocol: %s, destination: {ports: [80, '81', 5:6, 0x50]}}\n"
    assert raws(rule % 6)[0]["spec"]["ingress"][0] == {"protocol": 6, "destination": {"ports": [80, "81", "5:6", 80]}}
    assert error(rule % "on").startswith("f.yaml:4: spec.ingress[0].protocol: on means true in YAML")


def test_names_that_are_numbers():
    assert raws("kind: Tier\nmetadata: {name: 123}")[0]["metadata"]["name"] == "123"
    assert error("kind: Tier\nmetadata: {name: 0123}").startswith("f.yaml:2: metadata.name: 0123 means 83 in YAML")


def test_a_key_that_can_be_read_in_two_ways_is_refused():
    assert error("a:\n  n: x\n").startswith("f.yaml:2:3: the key 'n' means false (put it in quotes")
    assert raws("{1: x, true: w, 'n': z}")[0] == {"1": "x", "true": "w", "n": "z"}


def test_fields_that_nobody_knows_are_kept():
    (raw,) = raws("kind: Tier\nspec: {bogus: yes, more: [1.10, {x: on}]}\nother: 010\n")
    assert raw == {"kind": "Tier", "spec": {"bogus": True, "more": [1.1, {"x": True}]}, "other": 8}


def test_every_word_that_can_be_read_in_two_ways_is_told():
    text = (
        "kind: Tier\nmetadata:\n  name: 010\n  labels: {a: yes, b: 1, c: no}\n---\nkind: Tier\nmetadata: {name: on}\n"
    )
    first, second = read(text.encode(), source="f.yaml")
    assert [field for field, _ in first.unclear] == ["metadata.name", "metadata.labels.a", "metadata.labels.c"]
    assert second.unclear == (("metadata.name", "on means true in YAML: put it in quotes"),)


# --- lines ------------------------------------------------------------------------------------------------------

POLICY = """\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: a
spec:
  ingress:
  - action: Allow
  - action: Deny
    source:
      nets:
      - 10.0.0.0/8
      - 11.0.0.0/8
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("spec.ingress[1].source.nets[1]", 12), ("spec.ingress[1].action", 8), ("spec.ingress[0]", 7), ("spec.ingress", 6),
        ("spec.ingress[1].destination.nets[0]", 8), ("spec.ingress[9]", 6), ("metadata.name", 4), ("metadata.labels.a.b/c", 3),
        ("spec.selector", 5), ("nosuch", 1), ("", 1),
    ],
)  # fmt: skip
def test_the_line_of_a_field(field, line):
    (manifest,) = read(POLICY.encode(), source="f.yaml")
    assert manifest.where_of(field) == f"f.yaml:{line}"


def test_the_line_of_a_field_in_json():
    text = json.dumps({"kind": "TierList", "items": [{"kind": "Tier", "spec": {"order": [1, 2]}}]}, indent=1)
    (manifest,) = read(text.encode(), source="f.json")
    lines = text.splitlines()
    assert manifest.where == "f.json:4"
    assert '"order"' in lines[manifest.place.line_of("spec.order") - 1]
    assert lines[manifest.place.line_of("spec.order[1]") - 1].strip() == "2"


def test_the_line_of_what_an_alias_stands_for_is_that_of_the_alias():
    (manifest,) = read(b"a: &x\n  b: 1\nc: *x\n", source="f.yaml")
    assert manifest.place.line_of("c.b") == 3


# --- JSON -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "f.json:1:10: 'a' stands here twice, first in line 1"),
        ('{"a": 1,}', "f.json:1:9: a name in double quotes must stand here"),
        ('{"a": [1,]}', "f.json:1:10: a value must stand here"),
        ('{"a" 1}', "f.json:1:6: ':' must stand here"),
        ('{"a": 1 "b": 2}', "f.json:1:9: ',' must stand here"),
        ('{"a":\n "x\ny"}', "f.json:2:"),
        ('{"a": 1', "f.json:1:8: ',' must stand here"),
        ('{"a": "\\ud800"}', "f.json:1:15: half of a surrogate pair"),
        ('{"a": 1e999}', "f.json:1:7: 1e999: the number is too large"),
        ('{"a": NaN, "b": ]}', "f.json:1:7: a value must stand here"),
        ('[{"kind": "Tier"}] extra', "f.json:1:20: a value must stand here"),
    ],
)
def test_what_is_no_json(text, said):
    assert error(text, "f.json").startswith(said), error(text, "f.json")


def test_json_that_yaml_would_read_otherwise():
    text = '{"kind": "Tier",\n\t"a": "\\ud83d\\ude00\\/", "b": 1E3, "c": "on", "d": null, "e": -0.5, "f": []}'
    assert raws(text) == [{"kind": "Tier", "a": "\U0001f600/", "b": 1000.0, "c": "on", "d": None, "e": -0.5, "f": []}]


def test_json_lines_are_documents():
    assert raws('{"kind": "Tier"}\n{"kind": "Node"}\n') == [{"kind": "Tier"}, {"kind": "Node"}]


def test_yaml_in_flow_style_is_no_json_and_fine():
    assert raws("{kind: Tier, a: [b, 'c']}") == [{"kind": "Tier", "a": ["b", "c"]}]
    assert raws("{kind: Tier}\n---\n{kind: Node}\n") == [{"kind": "Tier"}, {"kind": "Node"}]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(
    st.dictionaries(st.text(), JSON, max_size=4).map(lambda value: {**value, "kind": "X"}), st.sampled_from([None, 1])
)
def test_json_is_read_as_pythons_own_decoder_reads_it(value, indent):
    assert raws(json.dumps(value, indent=indent)) == [json.loads(json.dumps(value))]


# --- writing ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(JSON.filter(lambda value: value is not None))
def test_what_is_written_is_read_back(value):
    document = {"kind": "X", "value": value}
    text = yaml_text(document)
    assert raws(text) == [document]
    assert yaml.safe_load(text) == document


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "y",
        "No",
        "1e3",
        "0o17",
        "010",
        "1_000",
        "~",
        "",
        "null",
        "1:20",
        "2020-01-01",
        "=",
        "<<",
        ".inf",
        "- a",
        "# x",
        " x",
        "x: y",
        "'",
        "a\nb\n",
        "a\n\n",
        "\t",
        "\x7f",
        "\u2028",
        "\ufeff",
        "é",
    ],
)
def test_text_that_others_might_take_for_something_else_is_quoted(text):
    written = yaml_text({"kind": "X", "value": text})
    assert raws(written)[0]["value"] == text
    assert yaml.safe_load(written)["value"] == text
    if text in ("on", "y", "1e3", "0o17", "010"):
        assert f'value: "{text}"' in written


def test_the_order_of_fields_is_that_of_their_definition():
    raw = {
        "spec": {
            "zzz": 1,
            "egress": [],
            "ingress": [{"source": {"ports": [1], "nets": []}, "action": "Allow"}],
            "order": 1,
            "aaa": 2,
        },
        "metadata": {"labels": {"b": "1", "a": "2"}, "uid": "u", "name": "a"},
        "other": {"z": 1, "x": [{"d": 1, "c": 2}]},
        "kind": "GlobalNetworkPolicy",
        "apiVersion": "projectcalico.org/v3",
    }
    assert yaml_text(ordered(raw)) == cleandoc("""
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata:
          name: a
          uid: u
          labels:
            a: "2"
            b: "1"
        spec:
          order: 1
          ingress:
          - action: Allow
            source:
              nets: []
              ports:
              - 1
          egress: []
          aaa: 2
          zzz: 1
        other:
          x:
          - c: 2
            d: 1
          z: 1
        """) + "\n"  # fmt: skip
    assert ordered(raw) == raw
    assert json_text(ordered(raw)).startswith('{\n  "apiVersion": "projectcalico.org/v3",\n  "kind"')


def test_several_documents_are_written_apart():
    assert yaml_text([{"a": 1}, {"b": 2}]) == "a: 1\n---\nb: 2\n"
    assert yaml_text([]) == ""


def test_the_order_knows_every_kind():
    for kind in KINDS.values():
        raw = {"spec": {}, "kind": kind.name}
        assert list(ordered(raw)) == ["kind", "spec"]
