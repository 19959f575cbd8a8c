"""Pages out of templates: {{name}} replaced, data put where a script reads it."""

import json
from collections.abc import Iterator, Mapping


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """Return a template with every {{name}} replaced by its value, as it is.

    In one pass, so that a value that happens to hold a placeholder is left as it is.

    Raises:
        KeyError: If the template names a value that is not given.
    """
    return "".join(_parts(template, values))


def json_in_html(value: Mapping[str, object]) -> str:
    """Return JSON that may stand in a script element: "</" would end it."""
    return json.dumps(value, separators=(",", ":")).replace("</", "<\\/")


def _parts(template: str, values: Mapping[str, str]) -> Iterator[str]:
    head, *rest = template.split("{{")
    yield head
    for part in rest:
        name, _, text = part.partition("}}")
        yield values[name]
        yield text
