"""A comparison runs the real loop on the same batches for every contender, and writes what it measured."""

from itertools import islice

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.bench.tables import markdown, read_rows
from cqlbench.bench.updates import BATCHES, CONTENDERS, FLOORS, HIDDEN, Comparison, PremadeReplay
from cqlbench.cli import app

CPU = torch.device("cpu")


def invoke(*words):
    return CliRunner().invoke(app, ["bench", *words])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder that a run of a few updates wrote."""
    out = tmp_path_factory.mktemp("bench") / "new"
    outcome = invoke("--hidden", "8", "--pairs", "2", "--updates", "2", "--out", str(out))
    assert outcome.exit_code == 0, outcome.output
    assert "times as fast" in outcome.output
    return out


def test_the_table_has_a_line_per_contender(tiny):
    header = (tiny / "bench.csv").read_text().splitlines()[0]
    assert header == (
        "algorithm,hidden,contender,reference,ratio_median,ratio_low,ratio_high,milliseconds_median,gflops,gemm_share"
    )
    rows = read_rows(tiny / "bench.csv")
    assert [row.contender for row in rows] == [
        contender.name for contenders in CONTENDERS.values() for contender in contenders
    ]
    for row in rows:
        assert row.hidden == 8
        assert 0 < row.ratio_low <= row.ratio_median <= row.ratio_high
        assert row.milliseconds_median > 0
        assert row.gflops > 0
        assert row.gemm_share > 0
        if row.contender == row.reference:
            assert row.reference == f"d3rlpy-{row.algorithm}"
            assert row.ratio_low == row.ratio_high == 1


def test_the_page_shows_the_table_and_the_figure_is_there(tiny):
    assert markdown(read_rows(tiny / "bench.csv")) in (tiny / "bench.md").read_text()
    assert {path.suffix for path in tiny.glob("bench.*")} == {".csv", ".md", ".svg", ".pdf", ".png"}


def test_every_contender_gets_the_same_batches():
    replay = PremadeReplay(CQLConfig(), CPU)
    ours, theirs = (list(islice(replay.batches(seed, 256), BATCHES + 1)) for seed in (0, 1))
    assert all(one is other for one, other in zip(ours, theirs, strict=True))
    assert ours[BATCHES] is ours[0]
    assert ours[0].observations.shape == (256, 11)
    assert ours[0].actions.shape == (256, 3)


def measured(reference, contender, flops, rates, device="cpu"):
    name, _, _, other = (contender.name for contender in CONTENDERS["cql"])
    return Comparison(
        "cql",
        256,
        device,
        {name: np.array(contender), other: np.array(reference)},
        {name: flops, other: flops},
        {"mm": np.array(rates) / 2, "onednn": np.array(rates)},
    )


def test_rows_and_verdicts_are_those_of_the_times():
    """Twice as fast in every round; 1 GFLOP in 20 ms is 50 GFLOP/s, half of the faster kernel's rate."""
    numbers = [0.04, 0.06, 0.02], [0.02, 0.03, 0.01], 10**9, [1e11, 1e11 / 1.5, 2e11]
    comparison = measured(*numbers)
    row, reference = comparison.rows()
    assert row[:7] == ("cql", 256, "cql", "d3rlpy-cql", 2, 2, 2)
    assert (row.milliseconds_median, row.gflops) == pytest.approx((20, 50))
    assert row.gemm_share == pytest.approx(0.5)
    assert reference.gemm_share == pytest.approx(0.25)
    faster, limit = comparison.verdicts()
    assert (faster.bound, faster.outcome) == (FLOORS["cql"][256], "met")
    assert (limit.bound, limit.outcome) == (1.4, "missed")
    assert limit.measured.median == pytest.approx(2)
    # The floors are not of a GPU.
    assert not measured(*numbers, device="cuda:0").verdicts()


def test_floors_are_of_contenders_there_are():
    names = {contender.name for contenders in CONTENDERS.values() for contender in contenders}
    assert set(FLOORS) <= names
    assert all(set(floors) == set(HIDDEN) for floors in FLOORS.values())


# Of the next two one runs on every machine: torch either has a GPU or has not.
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_cuda_is_skipped_with_a_sentence():
    outcome = invoke("--device", "cuda")
    assert outcome.exit_code == 0
    assert outcome.output.startswith("Skipped: --device cuda needs a GPU")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_with_a_gpu_cuda_is_measured(tmp_path):
    outcome = invoke("--device", "cuda", "--hidden", "8", "--pairs", "2", "--updates", "2", "--out", str(tmp_path))
    assert outcome.exit_code == 0, outcome.output
    assert read_rows(tmp_path / "bench.csv")


@pytest.mark.parametrize(
    ("words", "named"),
    [(["--algorithms", "cql,td3"], "td3"), (["--hidden", "64,many"], "many"), (["--hidden", "0"], "'0'")],
)
def test_what_is_not_known_is_refused_by_name(words, named):
    outcome = invoke(*words)
    assert outcome.exit_code != 0
    assert named in str(outcome.exception)


@pytest.mark.parametrize("command", [[], ["end-to-end"], ["processes"]])
def test_help_ends_with_an_example(command):
    outcome = invoke(*command, "--help")
    assert outcome.exit_code == 0
    assert "Example: cqlbench bench" in outcome.output
