"""A model file gives the same model back, or an error that says what is wrong with the file."""

from __future__ import annotations

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import millrace as mr
from millrace.errors import MillraceError, ModelFileError
from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, case, outcome, quiet
from tests.conformance.compare import difference
from tests.runtime.models import boosted, matrix, model, people, pipeline

NATIVE = [name for name in EXAMPLES if EXAMPLES[name].native]


# -- there and back --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NATIVE)
def test_every_example_comes_back(name: str, tmp_path: Path) -> None:
    found = case(name)
    loaded = mr.load(found.model.save(tmp_path / "model.mill"))
    assert loaded.program == found.model.program
    assert loaded.methods == found.model.methods
    assert (loaded.n_features_in_, loaded.used_columns) == (
        found.model.n_features_in_,
        found.model.used_columns,
    )
    rows = make.first(found.rows, 25)
    for method in found.methods:
        with quiet():
            expected, got = found.model.call(method, rows), loaded.call(method, rows)
        assert type(got) is type(expected)
        assert not difference(expected, got)


@pytest.mark.parametrize("name", NATIVE[::5])
def test_what_is_known_comes_back(name: str, tmp_path: Path) -> None:
    before = case(name).model
    after = mr.load(before.save(tmp_path / "model.mill"))
    for attribute in ("classes_", "feature_names_in_"):
        expected, refused = outcome(lambda a=attribute: getattr(before, a))
        got, error = outcome(lambda a=attribute: getattr(after, a))
        assert type(error) is type(refused)
        if refused is None:
            assert not difference(expected, got)
    assert str(after.describe()) == str(before.describe())
    assert after.info.ignore_extra == before.info.ignore_extra
    assert after.info.provenance == json.loads(json.dumps(before.info.provenance))


def test_the_outcome_of_verification_is_in_the_file(tmp_path: Path) -> None:
    compiled = mr.compile(boosted(), sample=matrix(40))
    loaded = mr.load(compiled.save(tmp_path / "model.mill"))
    assert loaded.info.verification["differences"] == []
    assert loaded.info.verification["rows"]["sample"] == 40
    assert loaded.info.verification["summary"].startswith("the same bits")


def test_a_loaded_model_is_verified_with_its_source(tmp_path: Path) -> None:
    loaded = mr.load(model(boosted).save(tmp_path / "model.mill"))
    assert loaded.verify(matrix(20), source=boosted(), seconds=0.2)
    with pytest.raises(MillraceError, match="source=fitted"):
        loaded.verify(matrix(20))


def contents(path: Path) -> dict[str, str]:
    """The metadata; safetensors writes it in any order."""
    with safetensors.safe_open(path, framework="np") as opened:
        return opened.metadata()


def test_saving_a_loaded_model_writes_the_same(tmp_path: Path) -> None:
    first = model(pipeline).save(tmp_path / "first.mill")
    second = mr.load(first).save(tmp_path / "second.mill")
    assert contents(second) == contents(first)
    assert second.stat().st_size == first.stat().st_size


def test_a_path_is_text_or_a_path(tmp_path: Path) -> None:
    path = model(boosted).save(str(tmp_path / "model.mill"))
    assert path == tmp_path / "model.mill"
    assert not difference(model(boosted).predict(matrix(5)), mr.load(str(path)).predict(matrix(5)))


LIBRARIES = ("sklearn", "lightgbm", "xgboost", "catboost")


@pytest.mark.parametrize("family", LIBRARIES)
def test_loading_imports_no_source_library(family: str, tmp_path: Path) -> None:
    """A fresh interpreter loads and predicts; scikit-learn and the others stay out."""
    pytest.importorskip(family)
    fitted, rows = pipeline(), people(6)
    if family != "sklearn":
        cls = {
            "lightgbm": lambda: __import__("lightgbm").LGBMRegressor(n_estimators=3, verbose=-1),
            "xgboost": lambda: __import__("xgboost").XGBRegressor(n_estimators=3),
            "catboost": lambda: __import__("catboost").CatBoostRegressor(
                iterations=3, verbose=False, allow_writing_files=False
            ),
        }[family]
        X = matrix(100)
        fitted, rows = cls().fit(X, np.nan_to_num(X[:, 0])), matrix(6)
    compiled = mr.compile(fitted, verify=False)
    path = compiled.save(tmp_path / "model.mill")
    plain = rows.to_dict("records") if family == "sklearn" else rows.tolist()
    code = (
        "import json, sys, numpy, millrace\n"
        "rows = json.loads(sys.stdin.read())\n"
        "rows = rows if isinstance(rows[0], dict) else numpy.array(rows)\n"
        f"model = millrace.load({str(path)!r})\n"
        "answer = model.predict(rows).tolist()\n"
        "one = model.predict_one(rows[0])\n"
        f"heavy = sorted(set(sys.modules) & {{*{LIBRARIES!r}, 'pandas', 'joblib'}})\n"
        "print(json.dumps([answer, numpy.asarray(one).item(), heavy]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=json.dumps(plain),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer, one, heavy = json.loads(done.stdout)
    assert heavy == []
    assert answer == compiled.predict(rows).tolist()
    assert one == answer[0]


# -- files that are not right ----------------------------------------------------------------------
@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return model(pipeline).save(tmp_path / "model.mill")


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        mr.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_truncated(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in [*range(40), *range(40, len(whole), len(whole) // 60), len(whole) - 1]:
        saved.write_bytes(whole[:length])
        assert "not a Millrace model" in refused(saved) or "damaged" in refused(saved)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_anywhere(saved: Path, mask: int) -> None:
    whole = saved.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    first_text = whole.index(b'"__metadata__"')
    # Every byte of the first part of the header, where its keys are, and of its end; then samples.
    at = [*range(first_text + 700), *range(header - 300, header + 20)]
    at += [whole.index(b'"format"') + i for i in range(14)]
    at += [whole.index(b'"checksum"') + i for i in range(80)]
    at += range(0, len(whole), len(whole) // 300)
    unseen = []
    for position in sorted({p for p in at if p < len(whole)}):
        altered = bytearray(whole)
        altered[position] ^= mask
        saved.write_bytes(altered)
        _, error = outcome(lambda: mr.load(saved))
        if not isinstance(error, ModelFileError):
            around = bytes(altered[max(0, position - 15) : position + 15])
            unseen.append(f"byte {position} of {len(whole)}, {around!r}: {error!r:.200}")
    assert not unseen, f"{len(unseen)} alterations:\n" + "\n".join(unseen[:20])


def rewritten(path: Path, **changes: str | None) -> None:
    """The file with other metadata, None for an entry that is left out."""
    with safetensors.safe_open(path, framework="np") as opened:
        metadata = {**opened.metadata(), **changes}
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    kept = {k: v for k, v in metadata.items() if v is not None}
    safetensors.numpy.save_file(arrays, path, metadata=kept)


def test_newer_format(saved: Path) -> None:
    rewritten(saved, format="3")
    message = refused(saved)
    assert "format version 3" in message
    assert "up to 2" in message
    assert "pip install --upgrade millrace" in message


@pytest.mark.parametrize("version", ["0", "-1", "one", "", "1.5", "²"])
def test_a_format_that_never_was(saved: Path, version: str) -> None:
    rewritten(saved, format=version)
    refused(saved)


def test_another_program_under_the_same_checksum(saved: Path) -> None:
    with safetensors.safe_open(saved, framework="np") as opened:
        program = opened.metadata()["program"]
    rewritten(saved, program=program.replace("age", "ago"))
    assert "checksum" in refused(saved)


def test_other_info_under_the_same_checksum(saved: Path) -> None:
    with safetensors.safe_open(saved, framework="np") as opened:
        info = json.loads(opened.metadata()["info"])
    info["ignore_extra"] = not info["ignore_extra"]
    rewritten(saved, info=json.dumps(info))
    assert "checksum" in refused(saved)


@pytest.mark.parametrize("entry", ["format", "program", "info", "checksum"])
def test_metadata_that_lacks_an_entry(saved: Path, entry: str) -> None:
    rewritten(saved, **{entry: None})
    assert entry in refused(saved)


def test_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model.mill"
    assert "no such file" in refused(path)
    for content in (b"", b"a,b\n1,2\n", pickle.dumps(boosted()), b"\0" * 4096, b"PK\x03\x04" * 99):
        path.write_bytes(content)
        refused(path)
    safetensors.numpy.save_file({"weights": np.zeros(3)}, path)
    assert "not a Millrace model" in refused(path)
    (tmp_path / "folder.mill").mkdir()
    refused(tmp_path / "folder.mill")


# -- writing ---------------------------------------------------------------------------------------
def test_a_full_disk_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(arrays: Any, path: str, metadata: Any = None) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(ModelFileError, match="No space left on device") as caught:
        model(boosted).save(saved)
    assert "untouched" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_a_file_size_limit_leaves_the_old_file(saved: Path) -> None:
    """The limit of a real file system, in a process of its own."""
    before = saved.read_bytes()
    code = (
        "import resource, signal, sys, millrace\n"
        "model = millrace.load(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: model.save(sys.argv[1])\n"
        "except millrace.errors.ModelFileError as error: print('refused', error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True)
    assert done.stdout.startswith("refused"), done.stdout + done.stderr
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="Could not write"):
        model(boosted).save(tmp_path / "nowhere" / "model.mill")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelFileError, match="Could not write"):
        model(boosted).save(tmp_path / "file" / "model.mill")
    (tmp_path / "taken.mill").mkdir()
    with pytest.raises(ModelFileError, match="Could not write"):
        model(boosted).save(tmp_path / "taken.mill")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.mill"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ModelFileError, match="Permission denied"):
            model(boosted).save(tmp_path / "model.mill")
    finally:
        tmp_path.chmod(0o700)


def test_the_file_has_ordinary_permissions(saved: Path) -> None:
    other = saved.parent / "other"
    other.write_text("")
    assert saved.stat().st_mode == other.stat().st_mode


SAVE_FOR_EVER = """
import sys, millrace
one, two = millrace.load(sys.argv[1]), millrace.load(sys.argv[2])
one.save(sys.argv[3])
print("ready", flush=True)
while True:
    two.save(sys.argv[3])
    one.save(sys.argv[3])
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    one = model(boosted).save(tmp_path / "one.mill")
    two = model(pipeline).save(tmp_path / "two.mill")
    path = tmp_path / "model.mill"
    whole = [contents(one)["checksum"], contents(two)["checksum"]]
    for milliseconds in (1, 7, 13, 29):
        with subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, one, two, path], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(milliseconds / 1000)
            writer.send_signal(signal.SIGKILL)
        assert mr.load(path).methods  # the checksum fits the arrays
        assert contents(path)["checksum"] in whole


def test_foreign_steps_are_refused(tmp_path: Path) -> None:
    from sklearn.decomposition import NMF
    from sklearn.pipeline import make_pipeline

    X = np.abs(np.nan_to_num(matrix()))
    compiled = mr.compile(make_pipeline(NMF(2, max_iter=500)).fit(X), verify=False)
    assert [s[2] for s in compiled.info.steps] == ["native", "falls back"]
    with pytest.raises(ModelFileError, match="nmf") as caught:
        compiled.save(tmp_path / "model.mill")
    assert "never contains code" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
