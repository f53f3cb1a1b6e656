"""Values to YAML text. Pure. Any reader of YAML, 1.1 or 1.2, gets back the very same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import yaml

from ocicat.model.manifest.yaml_read import meaning

_DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STR = "tag:yaml.org,2002:str"
_WIDTH = 1 << 20  # no text is broken over lines


class _Dumper(_DUMPER):  # type: ignore[misc,valid-type]
    """No anchors, and quotes around every text that means something else to somebody."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    resolve = cast("Callable[..., str]", dumper.resolve)  # what it would be to the library's own reader
    means_itself = isinstance(meaning(text), str) and resolve(yaml.ScalarNode, text, (True, False)) == _STR
    style = ("|" if "\n" in text else None) if means_itself else '"'
    return dumper.represent_scalar(_STR, text, style=style)


_Dumper.add_representer(str, _text)


def dumped(value: object) -> str:
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=_WIDTH
    )
    return text.removesuffix("...\n")
