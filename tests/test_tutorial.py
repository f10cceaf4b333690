"""The tutorial notebook runs from top to bottom without a warning, and shows what its text says."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tutorial" / "first-recommender.ipynb"
STRICT = "import warnings; warnings.simplefilter('error')\n"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each code cell printed and showed, HTML last, by the name of the cell."""
    page = read()
    first = next(cell for cell in page.cells if cell.cell_type == "code")
    first.source = STRICT + first.source
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder))
        # Through files beside the kernel, so that no port is opened.
        patch.chdir(folder)
        local = Config({"KernelManager": {"transport": "ipc"}})
        NotebookClient(page, timeout=300, kernel_name="python3", config=local).execute()
    found = {}
    for cell in page.cells:
        if cell.cell_type == "code":
            parts = [one.get("text") or one["data"]["text/plain"] for one in cell.outputs]
            parts += [
                one["data"]["text/html"]
                for one in cell.outputs
                if "text/html" in one.get("data", {})
            ]
            found[cell.id] = "\n".join(parts)
    return found


def listed(text: str) -> list[str]:
    """The items of a printed list."""
    return re.findall(r"^ +\d+\. .*\[(track-\d+)\]$", text, re.MULTILINE)


def test_the_notebook_is_kept_without_what_it_printed() -> None:
    assert NOTEBOOK.stat().st_size < 20_000
    for cell in read().cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert cell.metadata == {}


def test_its_links_lead_somewhere() -> None:
    targets = [t for cell in read().cells for t in re.findall(r"\]\(([^)#]+)", cell.source)]
    assert targets
    assert [target for target in targets if not (NOTEBOOK.parent / target).exists()] == []


@pytest.mark.slow
def test_tables_go_in_and_show_themselves(shown: dict[str, str]) -> None:
    assert "listener-00" in shown["tables"]
    assert re.match(r"Dataset\('listening', 8,891 events, 92 users, 300 items, ", shown["dataset"])
    assert "<td>8,891</td>" in shown["dataset"]
    assert shown["fit"].startswith("HybridModel('listening', 4 bases, auto serves, not saved)")
    assert "Popularity(PopularityConfig(half_life_days=30.0))</td>" in shown["fit"]


@pytest.mark.slow
def test_a_list_has_reasons_and_the_first_is_explained(shown: dict[str, str]) -> None:
    items = listed(shown["recommend"])
    assert len(items) == 5
    assert shown["recommend"].count("You might like this because you listen to ") >= 5
    assert f"item_id='{items[0]}'" in shown["why"]
    shares = [int(share) for share in re.findall(r">(\d+)%</td>", shown["why"])]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100
    assert re.search(rf"listener-05 ┆ {items[0]} +┆ \d", shown["predict"])
    assert re.search(r"no such track ┆ null +┆ null", shown["predict"])


@pytest.mark.slow
def test_the_knob_turns_and_wishes_hold(shown: dict[str, str]) -> None:
    turned = re.findall(r"diversity (.*): (\d+) genres, mean score (.*)", shown["diversity"])
    assert [float(diversity) for diversity, _, _ in turned] == [0.0, 0.5, 0.9]
    genres, scores = [int(n) for _, n, _ in turned], [float(mean) for _, _, mean in turned]
    assert genres == sorted(set(genres))
    assert scores == sorted(set(scores), reverse=True)
    before, after = listed(shown["recommend"]), listed(shown["filters"])
    assert len(after) == 5
    assert before[1] not in after
    assert before[0] not in after  # it is of the genre that is not wanted


@pytest.mark.slow
def test_a_stranger_gets_what_they_asked_for(shown: dict[str, str]) -> None:
    assert len(listed(shown["stranger"])) == 5
    assert shown["stranger"].count("because you asked for jazz") >= 5
    assert not {"track-010", "track-011"} & set(listed(shown["stranger"]))
    assert shown["similar"].startswith("by item_knn\n")
    assert len(listed(shown["similar"])) == 3


@pytest.mark.slow
def test_the_numbers_have_intervals_and_the_blend_is_ahead(shown: dict[str, str]) -> None:
    ranking = re.findall(
        r"(\w+) (0\.\d{4})", shown["evaluate"].partition("ndcg@10: ")[2].split(")")[0]
    )
    assert {name for name, _ in ranking} == {
        "auto",
        "popularity",
        "item_knn",
        "ease",
        "content_knn",
    }
    assert ranking[0][0] == "auto"
    assert len(re.findall(r"0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]</td>", shown["evaluate"])) == 10
    assert "best other" in shown["paired"]
    assert "reference" in shown["paired"]


@pytest.mark.slow
def test_what_is_kept_answers_as_before_and_everybody_is_served(shown: dict[str, str]) -> None:
    assert shown["save"].strip() == "same list: True"
    assert shown["batch"].startswith("92 listeners, 276 rows")
