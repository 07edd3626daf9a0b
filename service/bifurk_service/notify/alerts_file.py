"""The alerts file: rules, channels and baselines as YAML; what is wrong is named with its place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from bifurk_service.domain import Severity
from bifurk_service.errors import SetupError
from bifurk_service.notify.baselines import Baseline, check_names
from bifurk_service.notify.strict import Globs, Line, Name, Strict

LARGEST_FILE_BYTES: Final = 1 << 20

ChannelName: TypeAlias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]


class Match(Strict):
    """Which alerts a rule is for: all that is given must hold; globs know ``*``, ``?``, ``[...]``.

    Attributes:
        tensor: any tensor of the alert for ``notify``, every one for ``silence``.
    """

    kind: Globs = ("*",)
    project: Line = "*"
    run: Line = "*"
    tensor: Line | None = None
    severity: Annotated[tuple[Severity, ...], Field(min_length=1)] | None = None

    @field_validator("kind", "severity", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given


class Rule(Strict):
    """What happens to alerts that match.

    Attributes:
        minimum_step: alerts seen before this step are kept quiet.
        cooldown_minutes: after an alert, further ones of its kind and run are kept quiet so long.
        channels: who is told; none named: all.
    """

    name: Name
    match: Match = Match()
    action: Literal["silence", "notify"]
    minimum_step: Annotated[int, Field(ge=0)] = 0
    cooldown_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    channels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _silences_only_match(self) -> Rule:
        if self.action == "silence" and self.model_fields_set & {
            "minimum_step",
            "cooldown_minutes",
            "channels",
        }:
            raise ValueError(
                "minimum_step, cooldown_minutes and channels belong to `action: notify`; "
                "a silence holds whenever it matches"
            )
        return self


class ChannelSettings(Strict):
    """What every channel has; the address stands in the file, a variable or a file of its own."""

    url: str | None = None
    url_env: str | None = None
    url_file: Path | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0

    @model_validator(mode="after")
    def _one_address(self) -> ChannelSettings:
        given = [self.url, self.url_env, self.url_file]
        if sum(one is not None for one in given) != 1:
            raise ValueError("expected exactly one of url, url_env, url_file")
        return self


class WebhookSettings(ChannelSettings):
    """Alertmanager's webhook payload, signed where there is a secret."""

    type: Literal["webhook"]
    secret_env: str | None = None
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> WebhookSettings:
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("expected at most one of secret_env, secret_file")
        return self


class SlackSettings(ChannelSettings):
    """An incoming webhook of Slack, or of what understands the same."""

    type: Literal["slack"]


class AlertmanagerSettings(ChannelSettings):
    """An Alertmanager, told again and again until the alert is resolved."""

    type: Literal["alertmanager"]
    repeat_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0


AnyChannelSettings: TypeAlias = Annotated[
    WebhookSettings | SlackSettings | AlertmanagerSettings, Field(discriminator="type")
]


class AlertsFile(Strict):
    """The whole file."""

    channels: dict[ChannelName, AnyChannelSettings] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    baselines: tuple[Baseline, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _headings_may_be_empty(cls, given: Any) -> Any:
        """A heading under which everything is commented out holds null."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _names_are_known(self) -> AlertsFile:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are named {name!r}; a silenced alert names its rule")
        for rule in self.rules:
            for channel in rule.channels:
                if channel not in self.channels:
                    known = ", ".join(self.channels) or "none"
                    raise ValueError(
                        f"rule {rule.name!r} names channel {channel!r}; known: {known}"
                    )
        check_names(self.baselines)
        return self


def read_alerts_file(path: Path) -> AlertsFile:
    """Reads and checks a file.

    Raises:
        SetupError: it cannot be read, is no YAML, or holds what it should not; the file, the line,
            the field, what was expected and what came are named.
    """
    node = _compose(path, _text(path))
    document = {} if node is None else _construct(path, node)
    try:
        return AlertsFile.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = [part for part in found["loc"] if part not in _TAGS]
        line = _line(node, place)
        raise SetupError(f"{path}, line {line}: {_field(place)}{_said(found)}") from None


def secret_text(
    *,
    path: Path,
    field: str,
    variable: str | None,
    file: Path | None,
    environment: Mapping[str, str],
) -> str | None:
    """A value that does not stand in the alerts file itself; None where none is named.

    Args:
        path: of the alerts file; ``file`` is relative to its folder. field: for the error.
    """
    if variable is not None:
        value = environment.get(variable, "").strip()
        source = f"the variable {variable}"
    elif file is not None:
        value = _text(path.parent / file).strip()
        source = str(path.parent / file)
    else:
        return None
    if not value:
        raise SetupError(
            f"{path}: {field}: expected a value in {source}, which is empty or not set"
        )
    return value


def environment() -> Mapping[str, str]:
    """The variables that ``url_env`` and ``secret_env`` name; the one place they are read."""
    return os.environ


_TAGS: Final = ("webhook", "slack", "alertmanager")
_MISFITS: Final = (ValueError, TypeError, AttributeError, LookupError)
"""What PyYAML raises, unmeant, for values that do not fit their tag."""
_UNREADABLE: Final = (yaml.YAMLError, RecursionError, *_MISFITS)
_SHOWN: Final = 80
"""Characters of a wrong value that are shown."""


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
        if len(content) > LARGEST_FILE_BYTES:
            raise SetupError(f"{path}: expected at most {LARGEST_FILE_BYTES} bytes")
        return content.decode()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"{path}: expected UTF-8, got byte {error.start} outside it") from error


def _compose(path: Path, text: str) -> yaml.Node | None:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except _UNREADABLE as error:
        raise SetupError(f"{path}{_yaml_problem(error)}") from error
    return node


def _construct(path: Path, node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except _UNREADABLE as error:
        raise SetupError(f"{path}{_yaml_problem(error)}") from error
    finally:
        loader.dispose()


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or error
    return f"{'' if mark is None else f', line {mark.line + 1}'}: is not YAML: {problem}"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: the second would silently win. Names the line of misfits."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        try:
            return super().construct_object(node, deep=deep)
        except _MISFITS as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"a value does not fit its tag {kind!r}", node.start_mark
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _line(node: yaml.Node | None, place: list[int | str]) -> int:
    """The line of a field, or of the nearest thing around it that is there."""
    if node is None:
        return 1
    line = node.start_mark.line + 1
    for part in place:
        child = _child(node, part)
        if child is None:
            break
        node = child
        line = node.start_mark.line + 1
    return line


def _child(node: yaml.Node, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        return node.value[part] if part < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value if isinstance(value, yaml.CollectionNode) else key
    return None


def _field(place: list[int | str]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{text.removeprefix('.')}: " if text else ""


def _said(found: Any) -> str:
    """What pydantic found, and what came if it is one value: whole entries may hold a secret."""
    message = re.sub(r"^Value error, ", "", found["msg"])
    if found["type"] in ("value_error", "missing", "union_tag_not_found"):
        return message[0].lower() + message[1:]
    if found["type"] == "extra_forbidden":
        return "is not a field that is known here"
    if found["type"] == "union_tag_invalid":
        return f"expected a type of {found['ctx']['expected_tags']}, got {found['ctx']['tag']!r}"
    came = found["input"]
    shown = f", got {str(came)[:_SHOWN]!r}" if isinstance(came, str | int | float) else ""
    return f"{message[0].lower()}{message[1:]}{shown}"
