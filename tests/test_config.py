from pathlib import Path
from typing import Self

import pytest
from pydantic import ValidationError, model_validator

from crossfade.config import Field, Settings, load_toml, validate
from crossfade.errors import ConfigError


class Inner(Settings):
    steps: int = Field(5, ge=0, description="Steps.")
    rate: float = Field(0.1, gt=0, description="Rate.")


class Outer(Settings):
    first: Inner = Field(Inner(), description="One.")
    second: Inner = Field(Inner(), description="Another.")
    name: str = Field(description="A name.")


class Whole(Settings):
    left: int = Field(1, description="Left.")
    right: int = Field(1, description="Right.")

    @model_validator(mode="after")
    def _equal(self) -> Self:
        if self.left != self.right:
            raise ValueError(f"left and right must be equal, got {self.left} and {self.right}")
        return self


def test_every_fault_of_every_level_is_named_with_its_value() -> None:
    wrong = {"first": {"steps": -1}, "second": {"rate": 0, "stesp": 3}, "naem": "x"}
    with pytest.raises(ConfigError) as caught:
        validate(Outer, wrong, "run.toml")
    assert str(caught.value).splitlines() == [
        "run.toml: ",
        "  first.steps should be greater than or equal to 0, got -1",
        "  second.rate should be greater than 0, got 0",
        "  second.stesp is not a setting; remove it or check its spelling",
        "  name is missing; give it a value",
        "  naem is not a setting; remove it or check its spelling",
    ]


def test_a_settings_object_built_in_code_reports_the_same_way() -> None:
    with pytest.raises(ConfigError, match=r"^Outer: first\.steps should be .* 0, got -1$"):
        Outer(first={"steps": -1}, name="x")


def test_a_rule_over_several_settings_speaks_for_itself() -> None:
    with pytest.raises(ConfigError) as caught:
        Whole(left=2)
    assert str(caught.value) == "Whole: left and right must be equal, got 2 and 1"


def test_a_single_fault_is_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Inner, {"steps": "many"}, "run.toml")
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).endswith("got 'many'")


def test_a_huge_wrong_value_is_shortened() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Inner, {"steps": "x" * 10_000}, "run.toml")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_setting_is_a_finite_number(value: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        Inner(rate=value)


def test_settings_are_frozen() -> None:
    inner = Inner()
    with pytest.raises(ValidationError, match="frozen"):
        inner.steps = 3  # type: ignore[misc]


def test_changing_makes_a_checked_copy() -> None:
    inner = Inner()
    assert inner.changed(steps=7) == Inner(steps=7)
    assert inner.steps == 5
    with pytest.raises(ConfigError, match="steps"):
        inner.changed(steps=-7)
    assert Outer(name="x").changed(name="y").first == Inner()


def test_settings_come_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('name = "Zoë"\n[first]\nsteps = 2\n', encoding="utf-8")
    assert load_toml(Outer, file) == Outer(name="Zoë", first=Inner(steps=2))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"steps = = 3", "TOML"),
        (b"name = '\xff'", "utf-8"),
        (b"steps = 1\nsteps = 2", "TOML"),
        (None, "no such file"),
    ],
)
def test_an_unreadable_file_is_named_with_the_reason(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "run.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_toml(Inner, file)
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)


def test_a_wrong_value_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("steps = -1")
    with pytest.raises(ConfigError, match=r"run\.toml: steps .* got -1"):
        load_toml(Inner, file)
