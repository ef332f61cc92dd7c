"""The C face: primitives one by one, sizes, refusals by name, threads, the compiler, the header."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

import millrace as mr
from millrace.backends.c import generate
from millrace.cli import app
from millrace.compiler.export_c import CSource, load_shared, to_c
from millrace.errors import (
    CompilerError,
    ExportError,
    FileInputError,
    MethodMissingError,
    ModelFileError,
    NonFiniteError,
    RefusedRowError,
    UnknownCategoryError,
)
from millrace.ir import Array, Builder, Column, Program, Text
from millrace.ir.cityhash import category_hash
from millrace.ir.ops import (
    Accumulate,
    Distances,
    Encode,
    Interpolate,
    Nearest,
    SearchSorted,
    Spline,
)
from tests.c_export.judge import ULPS, answers
from tests.conformance.cases import quiet
from tests.conformance.compare import difference

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
STRICT = "-std=c99 -Wall -Wextra -Werror -pedantic"

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
rng = np.random.default_rng(0)


# -- primitives ------------------------------------------------------------------------------------
WIDTH = 5
FLOATS = """
    negative absolute fabs sqrt square reciprocal sign floor ceil trunc rint exp exp2 expm1 log log2
    log10 log1p sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh cbrt deg2rad
    rad2deg radians degrees isnan isinf isfinite signbit logical_not expit log_expit logit entr erf
    erfc ndtr ndtri
"""
PAIRS = """
    add subtract multiply divide maximum minimum fmax fmin power arctan2 hypot copysign fmod
    floor_divide remainder logaddexp heaviside xlogy xlog1py boxcox inv_boxcox equal not_equal less
    less_equal greater greater_equal logical_and logical_or logical_xor nextafter
"""
WHOLE = "negative absolute square sign invert logical_not isnan floor positive"
WHOLE_PAIRS = """
    add subtract multiply maximum minimum bitwise_and bitwise_or bitwise_xor equal less logical_or
"""
LOOSE = dict.fromkeys(("boxcox", "inv_boxcox", "entr", "ndtri", "xlog1py", "log_expit"), 4) | ULPS
"""SciPy's own formulas of log, against libm's: units in the last place."""


def table(width: int = WIDTH) -> Builder:
    return Builder([Column(f"x{i}", "number") for i in range(width)])


def elementwise() -> Program:
    """Every ufunc on floats of the input's dtype, on int64 and on bool."""
    b = table()
    x = b.table
    y = x.take([4, 3, 2, 1, 0])
    whole, other, truth = (v.cast(d) for v, d in ((x, "int64"), (y, "int64"), (x, "bool")))
    for name in FLOATS.split():
        b.output(f"float {name}", x.apply(name))
    for name in PAIRS.split():
        b.output(f"floats {name}", x.combine(name, y))
        b.output(f"mixed {name}", x.combine(name, y.cast("float32")))
    for name in WHOLE.split():
        b.output(f"whole {name}", whole.apply(name))
    for name in WHOLE_PAIRS.split():
        b.output(f"wholes {name}", whole.combine(name, other))
        b.output(f"bytes {name}", whole.cast("int8").combine(name, other.cast("int8")))
    for name in ("logical_not", "invert"):
        b.output(f"truth {name}", truth.apply(name))
    for name in ("add", "multiply", "maximum", "bitwise_xor", "logical_and", "not_equal"):
        b.output(f"truths {name}", truth.combine(name, y.cast("bool")))
    b.output("square", x.combine("power", np.float64(2)))
    for dtype in ("float32", "float64", "int64", "int32", "bool", "uint8", "int16"):
        b.output(f"cast {dtype}", x.cast(dtype))
        b.output(f"back {dtype}", x.cast(dtype).cast("float64"))
    return b.program()


def whole_rows(width: int) -> Program:
    """Primitives that look at a whole row."""
    b = table(width)
    x = b.table
    for name in ("sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin"):
        b.output(f"reduce {name}", x.reduce(name), "vector")
        b.output(f"whole {name}", x.cast("int32").reduce(name), "vector")
        b.output(f"truth {name}", x.cast("bool").reduce(name), "vector")
    for name in ("add", "multiply", "maximum"):
        b.output(f"accumulate {name}", x.then(Accumulate(name)))
    order = x.arg_sort()
    b.output("argsort", order)
    b.output("pick", x.pick_along(order))
    b.output("pick of a constant", b.constant(np.arange(width) * 0.5).pick_along(order))
    b.output("take", x.take([width - 1, 0, *range(0, width, 2)]))
    b.output("concat", b.concat([x.cast("float32"), x.cast("int64"), x]))
    b.output("matmul", x @ np.random.default_rng(1).normal(size=(width, 3)))
    b.output("where", (x > np.float64(0)).where(x, np.float64(-1)))
    return b.program()


def points() -> Program:
    """Searching, interpolating and distances."""
    b = table()
    x = b.table
    made = np.random.default_rng(2)
    start = Array(np.array([0, 1, 3, 6, 10, 20]))
    edge = np.concatenate([np.sort(made.normal(size=n).round(1)) for n in (1, 2, 3, 4, 10)])
    for side in ("left", "right"):
        b.output(f"search {side}", x.then(SearchSorted(start, Array(edge), side)))
    b.output("interpolate", x.then(Interpolate(start, Array(edge), Array(made.normal(size=20)))))
    centres = made.normal(size=(30, WIDTH))
    centres[5] = centres[3]
    centres[7, 2] = np.nan
    for metric in ("euclidean", "sqeuclidean", "cityblock", "chebyshev", "nan_euclidean"):
        b.output(f"distance {metric}", x.then(Distances(Array(centres[:7]), metric)))
        b.output(f"nearest {metric}", x.then(Nearest(Array(centres[:7]), 3, metric)))
    for p in (1.0, 2.0, 1.5):
        b.output(f"distance {p}", x.then(Distances(Array(centres[:7]), "minkowski", p)))
    knots = np.array([-2.0, -2, -2, -2, -0.5, 0.5, 0.5, 2, 2, 2, 2])
    weights = Array(made.normal(size=(7, 4)))
    for outside in ("yes", "no", "periodic"):
        b.output(f"spline {outside}", x.column(0).then(Spline(Array(knots), weights, 3, outside)))
    return b.program()


def odd_rows(width: int, dtype: str) -> np.ndarray:
    made = np.random.default_rng(3)
    rows = made.normal(scale=1.5, size=(60, width)).astype(dtype)
    rows[:20] = np.round(rows[:20])
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e30, -1e30, 0.5, 2.0, 1.0, -1.0, 1e-30])
    cells = made.integers(0, rows.size, rows.size // 6)
    rows.ravel()[cells] = odd[made.integers(0, len(odd), len(cells))]
    return rows


@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "program",
    [elementwise(), points(), *(whole_rows(w) for w in (1, 7, 8, 17, 128, 300))],
    ids=["elementwise", "points", "1", "7", "8", "17", "128", "300"],
)
def test_primitives_have_the_bits_of_the_reference(
    program: Program, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = program.bound((dtype,) * len(program.columns))
    shared = shared_of(bound, tmp_path)
    rows = odd_rows(len(program.columns), dtype)
    with quiet(), monkeypatch.context() as patch:
        expected = answers(patch, bound, rows)
    problems = []
    for output in bound.outputs:
        bound_ulps = LOOSE.get(output.name.split()[-1], 0)
        found = difference(
            expected[output.name], shared.call(output.name, rows), bound_ulps, 1e-300
        )
        if found:
            problems.append(f"{output.name}: {found}")
    assert not problems, "\n".join(problems)


def shared_of(program: Program, folder: Path) -> Any:
    """A bound program as a loaded library."""
    made = generate(program, "m")
    about = json.dumps({**made.about, "source": "test", "ignore_extra": False})
    source = CSource("m", made.source, made.header, about)
    return load_shared(source.build_shared(folder / "m.so", f"cc {STRICT}"))


@needs_compiler
def test_a_row_can_be_required(tmp_path: Path) -> None:
    b = table(1)
    x = b.table
    b.output("x", x.require(x >= np.float64(0), "Root", "a number below zero"))
    shared = shared_of(b.program(), tmp_path)
    assert shared.call("x", np.ones((2, 1))).tolist() == [[1.0], [1.0]]
    with pytest.raises(RefusedRowError, match=r"Row 1 .* Root: a number below zero"):
        shared.call("x", np.array([[0.0], [-1.0]]))


@needs_compiler
def test_hashes_of_catboost(tmp_path: Path) -> None:
    made = np.random.default_rng(5)
    texts = ["".join(made.choice(list("abé "), n)) for n in range(200)]
    known = {category_hash(t): i for i, t in enumerate(texts)}
    categories = Array(np.array(sorted(known), np.float64))
    codes = Array(np.array([known[k] for k in sorted(known)], np.int32))
    b = Builder([Column("x", "text")])
    b.output("code", b.table.encode(Encode(categories, codes, hashed=True)), "vector")
    shared = shared_of(b.program().bound(("object",)), tmp_path)
    rows = np.array([*texts, "unknown"], object)[:, None]
    assert shared.call("code", rows).tolist() == [known[category_hash(t)] for t in texts] + [-1]


# -- models ----------------------------------------------------------------------------------------
def people(n: int = 80) -> pd.DataFrame:
    made = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "hours per week": made.normal(size=n),
            "work": made.choice(["private", 'étät "x"??/', "own"], n),
        }
    )


def people_model() -> Any:
    from sklearn.compose import make_column_transformer

    frame = people()
    columns = make_column_transformer(
        (StandardScaler(), ["hours per week"]), (OneHotEncoder(), ["work"])
    )
    target = np.where((frame["hours per week"] > 0) ^ (frame["work"] == "own"), "über", "under")
    return make_pipeline(columns, DecisionTreeClassifier(max_depth=4, random_state=0)).fit(
        frame, target
    )


@pytest.fixture(scope="module")
def model() -> Any:
    return mr.compile(people_model(), verify=False)


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_texts_labels_and_refusals(model: Any, compiler: str, tmp_path: Path) -> None:
    frame = people()
    source = model.to_c(name="income")
    assert "INCOME_NUMBER_HOURS_PER_WEEK = 0" in source.header
    assert "INCOME_TEXT_WORK = 0" in source.header
    shared = load_shared(source.build_shared(tmp_path / "p.so", f"{compiler} {STRICT}"))
    assert shared.methods == ("predict", "predict_proba", "predict_log_proba")
    assert difference(model.predict(frame), shared.predict(frame)) is None
    assert difference(model.predict_proba(frame), shared.predict_proba(frame)) is None
    with pytest.raises(UnknownCategoryError, match=r"Row 3 .*'work'"):
        shared.predict(frame.assign(work=["own", "own", "own", "new"] * 20))
    with pytest.raises(NonFiniteError, match=r"Row 0 .*infinity"):
        shared.predict(frame.assign(**{"hours per week": np.inf}))
    with pytest.raises(MethodMissingError, match="no transform"):
        _ = shared.transform


@needs_compiler
def test_header_is_c_and_cxx_and_source_is_guarded(model: Any, tmp_path: Path) -> None:
    source, header = model.to_c(name="income").write(tmp_path / "made")
    (tmp_path / "use.c").write_text(
        '#include "made/income.h"\nint main(void) { return INCOME_OK; }\n'
    )
    for compiler in [*COMPILERS, *(c for c in ("g++",) if shutil.which(c))]:
        flags = [] if compiler == "g++" else STRICT.split()
        language = ["-x", "c++"] if compiler == "g++" else []
        run([compiler, *flags, *language, "-fsyntax-only", str(tmp_path / "use.c")])
    done = subprocess.run(
        ["cc", "-O2", "-ffast-math", "-c", str(source), "-o", str(tmp_path / "x.o")],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "needs IEEE arithmetic" in done.stderr
    assert header.name == "income.h"


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_compiler
def test_fifty_trees_are_small_and_nothing_is_allocated(tmp_path: Path) -> None:
    X = rng.normal(size=(1500, 12))
    y = (X[:, 0] * X[:, 1] + X[:, 2] + rng.normal(size=1500) > 0).astype(int)
    boosting = GradientBoostingClassifier(
        n_estimators=50, max_leaf_nodes=31, max_depth=None, random_state=0
    ).fit(X, y)
    model = mr.compile(boosting, verify=False)
    trees = next(s.op.forest for s in model.program.steps if hasattr(s.op, "forest"))
    assert trees.n_trees == 50
    assert (trees.feature.values < 0).sum() == 50 * 31
    source, _ = to_c(model, methods=["predict", "predict_proba"]).write(tmp_path)
    built = tmp_path / "model.o"
    run(["cc", *STRICT.split(), "-O2", "-c", str(source), "-o", str(built)])
    assert built.stat().st_size < 60_000
    undefined = {line.split()[-1] for line in run(["nm", "-u", str(built)]).splitlines()}
    assert undefined <= {"exp", "log", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    writable = [
        line for line in run(["nm", str(built)]).splitlines() if re.search(r" [bBdDC] ", line)
    ]
    assert not [line for line in writable if " d " not in line or ".ro" in line]


@needs_compiler
def test_many_threads_at_once(model: Any, tmp_path: Path) -> None:
    frame = people(2000)
    expected = model.predict_proba(frame)
    shared = load_shared(model.to_c().build_shared(tmp_path / "t.so"))
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: shared.predict_proba(frame), range(24)):
            assert difference(expected, got) is None


@needs_compiler
def test_wide_models_compute_in_the_callers_memory(tmp_path: Path) -> None:
    X = rng.normal(size=(40, 300))
    fitted = make_pipeline(StandardScaler(), LinearRegression()).fit(X, X[:, 0])
    model = mr.compile(fitted, verify=False)
    source = to_c(model, name="wide")
    assert "struct wide_predict_scratch *scratch" in source.header
    assert "struct wide_predict_scratch {" in source.header
    shared = load_shared(source.build_shared(tmp_path / "w.so", f"cc {STRICT}"))
    np.testing.assert_allclose(shared.predict(X), fitted.predict(X), rtol=1e-10)


@needs_compiler
def test_batch_says_which_row(tmp_path: Path) -> None:
    X = rng.normal(size=(30, 2))
    model = mr.compile(LinearRegression().fit(X, X[:, 0]), verify=False)
    library = ctypes.CDLL(str(to_c(model).build_shared(tmp_path / "b.so")))
    rows = np.zeros((4, 2))
    rows[2, 1] = np.nan
    out, refused = np.zeros(4), ctypes.c_size_t(99)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (rows, out)]
    size = ctypes.c_size_t
    call = library.model_predict_batch
    status = call(pointers[0], None, size(4), pointers[1], ctypes.byref(refused))
    assert (status & 15, refused.value) == (1, 2)
    library.model_strerror.restype = ctypes.c_char_p
    assert b"LinearRegression" in library.model_strerror(status)
    assert library.model_strerror(0) == b"no error"
    assert call(pointers[0], None, size(2), pointers[1], None) == 0


@needs_compiler
def test_export_command(model: Any, tmp_path: Path) -> None:
    saved, out = model.save(tmp_path / "m.mill"), tmp_path / "out"
    words = ["export", str(saved), "--c", str(out), "--so", str(out / "m.so"), "--name", "income"]
    result = CliRunner().invoke(
        app, [*words, "--method", "predict", "--dtype", "float32", "--json"]
    )
    assert result.exit_code == 0, result.output
    assert {p.name for p in out.iterdir()} == {"income.c", "income.h", "m.so"}
    assert json.loads(result.stdout)["written"][-1] == str(out / "m.so")
    assert load_shared(out / "m.so").methods == ("predict",)
    assert CliRunner().invoke(app, ["export", str(saved)]).exit_code == 2
    assert CliRunner().invoke(app, [*words, "--name", "1"]).exit_code == 2


# -- refusals --------------------------------------------------------------------------------------
def test_what_c_cannot_express_is_refused_by_name() -> None:
    X = rng.normal(size=(30, 2))
    python = make_pipeline(FunctionTransformer(lambda x: x * 2), LinearRegression()).fit(X, X[:, 0])
    with pytest.raises(ExportError, match=r"Cannot export Call \(step \d+.*methods=\["):
        to_c(mr.compile(python, sample=X, verify=False))
    words = CountVectorizer().fit(["one two", "two three"])
    with pytest.raises(ExportError, match="Cannot export Terms"):
        to_c(mr.compile(words, verify=False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "2nd"}, "name='2nd'"),
        ({"name": "while"}, "no word of C"),
        ({"name": "größe"}, "C identifier"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"methods": ["transform"]}, "'transform'.*Choose from"),
    ],
)
def test_options_are_checked(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        to_c(model, **options)


def test_methods_can_be_chosen(model: Any) -> None:
    source = to_c(model, methods="predict").source
    assert "int model_predict(" in source
    assert "predict_proba" not in source


def test_without_a_compiler_it_says_so(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = to_c(model)
    with pytest.raises(CompilerError, match="no-such-cc"):
        source.build_shared(tmp_path / "x.so", "no-such-cc")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CompilerError, match="'cc', 'gcc', 'clang'"):
        source.build_shared(tmp_path / "x.so")


@needs_compiler
def test_a_compiler_that_fails_is_told(model: Any, tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="needs IEEE arithmetic"):
        to_c(model).build_shared(tmp_path / "x.so", "cc -ffast-math")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_library_is_refused(tmp_path: Path, model: Any) -> None:
    (tmp_path / "x.so").write_text("no library")
    with pytest.raises(FileInputError, match="build_shared"):
        load_shared(tmp_path / "x.so")
    with pytest.raises(ModelFileError, match="Could not write"):
        to_c(model).write(tmp_path / "x.so")


def test_texts_with_a_zero_byte_are_refused() -> None:
    b = Builder([Column("x", "text")])
    b.output("x", b.table.is_missing("value", "a\0b"))
    with pytest.raises(ExportError, match="zero byte"):
        generate(b.program().bound(("object",)), "m")
    b = Builder([Column("x", "number")])
    b.output("x", b.table.cast("int64").gather(Text(("a\0", "b"))), "vector")
    with pytest.raises(ExportError, match="zero byte"):
        generate(b.program(), "m")
