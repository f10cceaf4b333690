from pathlib import Path

import pytest

from crossfade.errors import ConfigError
from crossfade.explain.words import PLACEHOLDERS, load_words

HERE = Path(__file__).parents[2] / "src" / "crossfade" / "explain" / "catalogues"
LANGUAGES = sorted(folder.name for folder in HERE.iterdir())
FILES = sorted(HERE.glob("*/*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_catalogue_has_every_phrase_with_its_places(file: Path) -> None:
    words = load_words(file.stem, file.parent.name)
    assert words.phrases.keys() == PLACEHOLDERS.keys()
    for key, places in PLACEHOLDERS.items():
        said = words.say(key, **{name: f"<{name}>" for name in places})
        assert all(f"<{name}>" in said for name in places)


def test_english_has_a_pack_for_each_domain() -> None:
    assert "en" in LANGUAGES
    packs = {file.stem for file in FILES if file.parent.name == "en"}
    assert packs == {"generic", "music", "movies", "books"}


def test_a_pack_says_some_things_its_own_way_and_the_rest_as_everybody() -> None:
    generic, music = load_words(), load_words("music")
    assert music.say("reason.popularity") == "many listeners play it"
    assert generic.say("reason.popularity") == "many others like it"
    assert music.say("opening.sure") == generic.say("opening.sure") == "Recommended because"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_lists_are_joined_as_people_do(parts: list[str], expected: str) -> None:
    assert load_words().listed(parts) == expected


def test_notes_follow_one_another() -> None:
    assert load_words().noted(["a"]) == "a"
    assert load_words().noted(["a", "b", "c"]) == "a; b; c"


def test_braces_in_a_title_are_text() -> None:
    assert load_words().say("name.item", title="{first}") == "“{first}”"


def test_a_translation_is_a_folder_of_files(tmp_path: Path) -> None:
    german = (HERE / "en" / "generic.toml").read_text(encoding="utf-8")
    german = german.replace("{first} and {last}", "{first} und {last}")
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "generic.toml").write_text(german, encoding="utf-8")
    words = load_words(language="de", folder=tmp_path)
    assert words.listed(["a", "b", "c"]) == "a, b und c"


def test_every_fault_of_a_catalogue_is_named(tmp_path: Path) -> None:
    text = (HERE / "en" / "generic.toml").read_text(encoding="utf-8")
    text = text.replace('adapted = "adapted', 'adpated = "adapted')
    text = text.replace("{first} and {last}", "{first} and {second}")
    text = text.replace('plain = "{opening}', 'plain = "{opening')
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "generic.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_words(folder=tmp_path)
    message = str(raised.value)
    assert "note.adapted is missing" in message
    assert "note.adpated is not a phrase" in message
    assert "list.two needs {first}, {last}, got '{first} and {second}'" in message
    assert "sentence.plain" in message


def test_an_unknown_pack_or_language_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r'no file "games\.toml".*books, generic, movies, music'):
        load_words("games")
    with pytest.raises(ConfigError, match=r'no folder "xx".*choose from en'):
        load_words(language="xx")
