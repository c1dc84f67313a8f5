"""The commands report and calibrate."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

import countermark as cm

pytest.importorskip("sentencepiece")

from command_line import STORY, complaint, run
from conftest import secret_of
from countermark.story import story_tokenizer

TEMPLATE = (
    "Thank you for your letter. We were very happy to hear from you and your little dog, and we "
    "hope that you will come to the park again soon. With love from all of us at the big house."
)
WORDS = re.findall(
    r"\w+",
    "a the little big happy sad dog cat girl boy ball park mom dad friend house tree bird fish toy "
    "box car day went ran saw said liked found made loved wanted played and but so then with to in",
)


def document(seed: int, words: int = 150) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(words)) + "."


def keygen(path: Path, *profiles: str) -> Path:
    for profile in profiles:
        assert run("keygen", path, "--profile", profile, *STORY).exit_code == 0
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def ring(folder: Path) -> Path:
    made = cm.KeyRing.generate()
    made.import_secret("p", secret_of(1), tokenizer=story_tokenizer())
    made.save(folder / "keys.json")
    return folder / "keys.json"


@pytest.fixture(scope="module")
def marked(ring: Path, folder: Path) -> Path:
    path = folder / "marked.txt"
    shown = run("generate", "--keys", ring, "--profile", "p", "--count", 4, "--seed", 7)
    path.write_text(shown.stdout, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def unmarked(folder: Path) -> Path:
    path = folder / "unmarked.txt"
    path.write_text(document(1000, 400), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Path:
    """150 letters that begin alike, half of them as files and half in lines of JSON."""
    path = folder / "corpus"
    (path / "deeper").mkdir(parents=True)
    letters = [f"{TEMPLATE} {document(i)}" for i in range(150)]
    for i, letter in enumerate(letters[:75]):
        (path / "deeper" / f"{i}.txt").write_text(letter, encoding="utf-8")
    lines = "\n\n".join(
        json.dumps({"text": f"{letter}\N{LINE SEPARATOR}", "id": 7}, ensure_ascii=False)
        for letter in letters[75:]
    )
    (path / "more.jsonl").write_text(lines + "\n", encoding="utf-8")
    return path


def copy_of(ring: Path, folder: Path) -> Path:
    path = folder / "keys.json"
    path.write_bytes(ring.read_bytes())
    path.chmod(0o600)
    return path


# report


def test_report_writes_one_page_about_all_texts(
    ring: Path, marked: Path, unmarked: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    shown = run("report", "--keys", ring, "--out", page, marked, unmarked)
    assert shown.exit_code == 0
    assert f"Wrote {page}" in shown.stderr
    assert f"{marked}: marked by p" in shown.stdout
    assert f"{unmarked}: not marked by these keys" in shown.stdout
    assert shown.stdout.count("Among 100 keys, 99 of which marked nothing") == 2
    assert re.search(r"\d+ parts? of the text (is|are) marked: characters ", shown.stdout)
    html = page.read_text(encoding="utf-8")
    assert "<title>Is it marked? 2 texts</title>" in html
    assert html.count('id="text-') >= 2
    assert "http" not in html
    secrets = [entry["secret"] for entry in json.loads(ring.read_text())["entries"]]
    assert not any(secret[:16] in html for secret in secrets)


def test_report_exits_as_detect_does(
    ring: Path, marked: Path, unmarked: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    given = ["report", "--keys", ring, "--out", page]
    assert run(*given, unmarked).exit_code == 1
    assert run(*given, stdin=marked.read_text(encoding="utf-8")).exit_code == 0
    missing = run(*given, marked, tmp_path / "missing.txt")
    assert missing.exit_code == 2
    assert "No such file" in missing.stderr
    assert "Is it marked?" in page.read_text(encoding="utf-8")
    page.unlink()
    assert "No such file" in complaint(run(*given, tmp_path / "missing.txt"))
    assert not page.exists()


def test_report_json(ring: Path, marked: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    shown = run("report", "--keys", ring, "--out", page, "--json", "--decoys", 19, marked)
    assert shown.stderr == ""
    (found,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert found["verdict"] == "marked"
    assert (found["decoy_rank"], found["decoys"], found["decoys_agree"]) == (1, 19, True)
    assert found["regions"][0]["characters"][1] <= len(marked.read_text(encoding="utf-8"))
    assert "ranks 1 of 20" in page.read_text(encoding="utf-8")


def test_report_takes_ids_a_title_and_a_rate(ring: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    given = ["report", "--keys", ring, "--out", page, "--ids", "--title", "Exhibit <7>"]
    assert run(*given, "--rate", 0.001, stdin="1 20 300 4").exit_code == 1
    html = page.read_text(encoding="utf-8")
    assert "<h1>Exhibit &lt;7&gt;</h1>" in html
    assert "10<sup>&minus;3</sup>" in html
    assert "1 20 300 4" in re.sub(r"<[^>]*>", "", html)


def test_report_says_that_the_normalised_form_was_found(
    ring: Path, marked: Path, tmp_path: Path
) -> None:
    text = marked.read_text(encoding="utf-8")
    tampered = "\N{ZERO WIDTH SPACE}".join(text)
    hidden = len(tampered) - len(text)
    page = tmp_path / "page.html"
    shown = run("report", "--keys", ring, "--out", page, stdin=tampered)
    assert shown.exit_code == 0
    words = f"in its normalised form: {hidden:,} invisible characters removed."
    assert words in shown.stdout
    assert words in page.read_text(encoding="utf-8")
    assert words in run("detect", "--keys", ring, stdin=tampered).stdout


def test_report_warns_where_decoys_speak_against_a_verdict(ring: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for seed in range(60):
        given = ["--keys", ring, "--out", page, "--rate", 0.5]
        shown = run("report", *given, stdin=document(seed, 40))
        if "marked by p" in shown.stdout and "ranks 1 " not in shown.stdout:
            break
    assert "Do not rely on this verdict" in shown.stdout
    assert "<div class=warning" in page.read_text(encoding="utf-8")


def test_report_takes_the_place_of_a_page_alone(ring: Path, marked: Path, tmp_path: Path) -> None:
    precious = tmp_path / "notes.txt"
    precious.write_text("precious")
    for target in (precious, ring, marked, tmp_path, tmp_path / "no" / "page.html"):
        before = target.read_bytes() if target.is_file() else b""
        message = complaint(run("report", "--keys", ring, "--out", target, marked))
        assert f"cannot write {target}" in message
        assert not before or target.read_bytes() == before
    page = tmp_path / "page.html"
    for _ in range(2):
        assert run("report", "--keys", ring, "--out", page, marked).exit_code == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--decoys", 0], "--decoys"),
        (["--decoys", 100_001], "--decoys"),
        (["--rate", 2], "(0, 0.5]"),
        (["--profile", "nope"], '"nope"'),
        (["--calibration", "none.calibration"], "none.calibration"),
        ([""], "a FILE is empty"),
    ],
)
def test_report_names_what_is_wrong(
    ring: Path, tmp_path: Path, args: list[object], words: str
) -> None:
    page = tmp_path / "page.html"
    given = ["--keys", ring, "--out", page]
    assert words in complaint(run("report", *given, *args, stdin="Some text."))
    assert not page.exists()


def test_report_needs_a_place(ring: Path) -> None:
    assert "--out" in complaint(run("report", "--keys", ring, stdin="Some text."))


# calibrate


def test_calibrate_is_used_unasked(ring: Path, corpus: Path, tmp_path: Path) -> None:
    keys = copy_of(ring, tmp_path)
    letter = tmp_path / "letter.txt"
    letter.write_text(f"{TEMPLATE} {document(7000)}", encoding="utf-8")

    def scored(*args: object) -> int:
        given = ["--json", "--start", "unknown", "--keys", keys, letter]
        return int(json.loads(run("detect", *given, *args).stdout)["scored"])

    before = scored()
    page = tmp_path / "calibration.html"
    shown = run("calibrate", "--keys", keys, corpus, "--html", page)
    assert shown.exit_code == 0, shown.stderr
    path = tmp_path / "keys.json.p.calibration"
    assert f"Wrote {path} and {page}" in shown.stderr
    assert shown.stdout.startswith("150 documents, ")
    assert "those that at least 4 documents share" in shown.stdout
    assert re.search(r"^50 tokens \([\d,]+ pieces\): p of at most 0.01 in ", shown.stdout, re.M)
    # What the letters share is not scored any more.
    assert scored() < before - 30
    assert scored("--calibration", path) == scored()
    html = page.read_text(encoding="utf-8")
    assert "Calibration of p" in html
    assert html.count('role="img"') >= 1
    assert "http" not in html
    assert "very happy" not in html  # no text of the documents
    aside = tmp_path / "aside.calibration"
    path.rename(aside)
    assert scored() == before
    assert scored("--calibration", aside) < before


def test_calibrate_json_and_a_place_of_its_own(ring: Path, corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "made"
    shown = run("calibrate", "--keys", ring, corpus, "--out", path, "--common-in", 9, "--json")
    assert shown.exit_code == 0
    assert shown.stderr == ""
    (found,) = [json.loads(line) for line in shown.stdout.splitlines()]
    made = cm.Calibration.open(path)
    assert found["file"] == str(path)
    assert found["documents"] == made.documents == 150
    assert found["common_in"] == made.common_in == 9
    assert found["common_ngrams"] == made.common_ngrams > 30
    assert [rates["tokens"] for rates in found["rates"]] == [50, 100, 200, 400, 800, 1600]
    assert not Path(f"{ring}.p.calibration").exists()


def test_calibrate_asks_which_profile(tmp_path: Path, corpus: Path) -> None:
    keys = keygen(tmp_path / "keys.json", "a", "b")
    message = complaint(run("calibrate", "--keys", keys, corpus))
    assert "holds the profiles a, b: name one with --profile" in message
    assert '"c"' in complaint(run("calibrate", "--keys", keys, corpus, "--profile", "c"))
    assert run("calibrate", "--keys", keys, corpus, "--profile", "b").exit_code == 0
    assert [p.name for p in tmp_path.iterdir() if p != keys] == ["keys.json.b.calibration"]


def test_calibrate_replaces_a_calibration_alone(ring: Path, corpus: Path, tmp_path: Path) -> None:
    keys = copy_of(ring, tmp_path)
    precious = tmp_path / "notes.txt"
    precious.write_text("precious")
    for target in (keys, precious, tmp_path, tmp_path / "no" / "made"):
        before = target.read_bytes() if target.is_file() else b""
        message = complaint(run("calibrate", "--keys", keys, corpus, "--out", target))
        assert f"cannot write {target}: " in message
        assert "there is no" in message or "what is there is no calibration" in message
        assert not before or target.read_bytes() == before
    for target in (keys, precious):
        before = target.read_bytes()
        message = complaint(run("calibrate", "--keys", keys, corpus, "--html", target))
        assert f"cannot write {target}" in message
        assert target.read_bytes() == before
    assert not (tmp_path / "keys.json.p.calibration").exists()
    for _ in range(2):
        assert run("calibrate", "--keys", keys, corpus).exit_code == 0


def test_calibrate_leaves_out_what_holds_no_text(ring: Path, corpus: Path, tmp_path: Path) -> None:
    for file in corpus.rglob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00\xff")
    (tmp_path / "empty.txt").write_bytes(b"")
    made = tmp_path / "made"
    shown = run("calibrate", "--keys", ring, tmp_path, "--out", made)
    assert shown.exit_code == 0
    assert shown.stderr.count("Left out: ") == 2
    assert "picture.png, which holds no text" in shown.stderr
    assert cm.Calibration.open(made).documents == 150
    alone = complaint(run("calibrate", "--keys", ring, tmp_path / "picture.png", "--out", made))
    assert "picture.png is not" in alone


def test_calibrate_of_nothing_leaves_no_page(ring: Path, tmp_path: Path) -> None:
    empty, page, made = tmp_path / "empty", tmp_path / "page.html", tmp_path / "made"
    empty.mkdir()
    given = ["calibrate", "--keys", ring, "--out", made, "--html", page]
    assert "needs 100 documents" in complaint(run(*given, empty))
    assert "No such file" in complaint(run(*given, tmp_path / "nowhere"))
    assert not page.exists()
    assert not made.exists()


@pytest.mark.parametrize("line", ["{", "[1]", '{"txt": "a"}', '{"text": 5}', '"text"', "null"])
def test_calibrate_names_a_bad_line(ring: Path, tmp_path: Path, line: str) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text('{"text": "A cat."}\n\n' + line + "\n", encoding="utf-8")
    message = complaint(run("calibrate", "--keys", ring, path, "--out", tmp_path / "made"))
    assert 'documents.jsonl:3 is no object with "text"' in message


def test_a_calibration_of_another_key_is_refused(
    ring: Path, corpus: Path, unmarked: Path, tmp_path: Path
) -> None:
    keys = keygen(tmp_path / "keys.json", "p")
    made = tmp_path / "keys.json.p.calibration"
    assert run("calibrate", "--keys", ring, corpus, "--out", made).exit_code == 0
    assert "key" in complaint(run("detect", "--keys", keys, unmarked))
    page = tmp_path / "page.html"
    assert "key" in complaint(run("report", "--keys", keys, "--out", page, unmarked))
    made.write_text("{}")
    assert "calibration" in complaint(run("detect", "--keys", keys, unmarked))


def test_report_and_calibrate_are_listed() -> None:
    listed = run("--help").stdout
    for command in ("report", "calibrate"):
        assert command in listed
        assert "--json" in run(command, "--help").stdout
