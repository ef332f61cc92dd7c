"""Metrics are scikit-learn's, on all rows and on every weighting of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from millrace.training import metrics as module
from millrace.training.metrics import aligned, difference, metrics

N = 400
RNG = np.random.default_rng(0)
CLASSES = np.array(["high", "low", "mid"])
WEIGHTS = np.bincount(RNG.integers(0, N, N), minlength=N).astype(float)
RTOL = 1e-12  # sums of 400 terms in another order


def classified(n_classes: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Labels, answers that are often right, with ties, and the classes."""
    classes = CLASSES[:n_classes]
    code = RNG.integers(0, n_classes, N)
    raw = RNG.random((N, n_classes)).round(2) + 0.01
    raw[np.arange(N), code] += 0.5
    probability = raw / raw.sum(axis=1, keepdims=True)
    answers = {"predict": classes[probability.argmax(axis=1)], "predict_proba": probability}
    return classes[code].astype(object), answers, classes


def expected(n_classes: int, y: Any, answers: Any, classes: Any) -> dict[str, Callable[..., float]]:
    predicted, probability = answers["predict"].astype(object), answers["predict_proba"]
    found: dict[str, Callable[..., float]] = {
        "log loss": lambda w: sk.log_loss(y, probability, labels=classes, sample_weight=w),
        "accuracy": lambda w: sk.accuracy_score(y, predicted, sample_weight=w),
        "balanced accuracy": lambda w: sk.balanced_accuracy_score(y, predicted, sample_weight=w),
    }
    if n_classes > 2:
        f1 = lambda w: sk.f1_score(y, predicted, average="macro", sample_weight=w)  # noqa: E731
        return {**found, "macro F1": f1}
    positive, score = y == classes[1], probability[:, 1]
    return {
        **found,
        "ROC AUC": lambda w: sk.roc_auc_score(positive, score, sample_weight=w),
        "average precision": lambda w: sk.average_precision_score(positive, score, sample_weight=w),
        "F1": lambda w: sk.f1_score(y, predicted, pos_label=classes[1], sample_weight=w),
        "Brier score": lambda w: sk.brier_score_loss(positive, score, sample_weight=w),
    }


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["all rows", "a sample"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_metrics_of_classes_are_those_of_scikit_learn(n_classes: int, weight: Any) -> None:
    y, answers, classes = classified(n_classes)
    task = "binary" if n_classes == 2 else "multiclass"
    found = module._functions(task, y, answers, classes)
    weights = np.ones(N) if weight is None else weight
    wanted = expected(n_classes, y, answers, classes)
    assert list(found) == list(wanted)
    for name, metric in found.items():
        np.testing.assert_allclose(metric(weights), wanted[name](weight), rtol=RTOL, err_msg=name)


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["all rows", "a sample"])
def test_metrics_of_numbers_are_those_of_scikit_learn(weight: Any) -> None:
    y = RNG.normal(50, 3, N)
    answers = {"predict": y + RNG.normal(size=N)}
    found = module._functions("regression", y, answers, None)
    weights = np.ones(N) if weight is None else weight
    for name, of in {
        "RMSE": sk.root_mean_squared_error,
        "mean absolute error": sk.mean_absolute_error,
        "R²": sk.r2_score,
    }.items():
        wanted = of(y, answers["predict"], sample_weight=weight)
        np.testing.assert_allclose(found[name](weights), wanted, rtol=1e-10, err_msg=name)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Accuracy of an answer that is right 80 % of the time, over 100 sets of rows."""
    rng, covered = np.random.default_rng(3), 0
    classes = np.array([0, 1])
    for _ in range(100):
        y = rng.integers(0, 2, 200)
        predicted = np.where(rng.random(200) < 0.8, y, 1 - y)
        answers = {"predict": predicted, "predict_proba": np.eye(2)[predicted]}
        found = next(m for m in metrics("binary", y, answers, classes) if m.name == "accuracy")
        covered += found.low <= 0.8 <= found.high
    assert 88 <= covered <= 100  # 95 is expected; fewer than 88 has a chance of 0.2 %


def test_an_interval_of_many_rows_is_found_from_some_of_them(monkeypatch: Any) -> None:
    y = RNG.normal(size=2000)
    answers = {"predict": y + RNG.normal(size=2000)}
    whole = metrics("regression", y, answers)[0]
    monkeypatch.setattr(module, "MOST", 500)
    some = metrics("regression", y, answers)[0]
    assert some.value == whole.value
    ratio = (some.high - some.low) / (whole.high - whole.low)
    assert 0.7 < ratio < 1.4  # both are estimates of one width, from 200 samples each


def test_a_difference_is_of_the_same_samples() -> None:
    y, answers, classes = classified(2)
    same = difference("binary", y, answers, answers, classes)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    worse = {**answers, "predict_proba": np.full((N, 2), 0.5)}
    found = difference("binary", y, answers, worse, classes)
    wanted = sk.log_loss(y, worse["predict_proba"], labels=classes)
    wanted -= sk.log_loss(y, answers["predict_proba"], labels=classes)
    np.testing.assert_allclose(found.value, wanted, rtol=1e-10)
    assert 0 < found.low < found.value < found.high


def test_a_metric_without_a_value_warns_of_nothing() -> None:
    y = np.array(["high"] * 5, object)
    answers = {"predict": y, "predict_proba": np.tile([0.9, 0.1], (5, 1))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {m.name: m for m in metrics("binary", y, answers, CLASSES[:2])}
    assert np.isnan(found["ROC AUC"].value)
    assert np.isnan(found["ROC AUC"].low)
    assert found["accuracy"].value == 1.0


def test_a_class_that_the_model_never_saw_has_probability_zero() -> None:
    probability = np.array([[0.3, 0.7], [0.6, 0.4]])
    found = aligned(probability, np.array(["high", "mid"]), CLASSES)
    np.testing.assert_array_equal(found, [[0.3, 0.0, 0.7], [0.6, 0.0, 0.4]])
