"""Manifests: resources as people write them in YAML or JSON, and how they are written for people. Pure.

`read` gives every resource of a text with the line it came from; `yaml_text`, `json_text` and `ordered` write, always in the same
order of fields. YAML itself is loaded when the first YAML is read or written, not before.
"""

from ocicat.model.manifest.documents import Manifest, read, read_value
from ocicat.model.manifest.place import Place
from ocicat.model.manifest.write import json_text, ordered, yaml_text

__all__ = ["Manifest", "Place", "json_text", "ordered", "read", "read_value", "yaml_text"]
