"""Whatever is wrong with the input, the answer is one clear line on stderr, exit code 2 and no traceback."""

import json

import numpy as np
import pandas as pd
import pytest

FAST = "--horizon 0.5 --runs 2"
LARGE = ("predict signsgd --lr 0.5", "compare", "compare --problem toeplitz:0.5", "check", "sde")


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A folder of files that are wrong in one way each."""
    folder = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    holes, spikes = X.copy(), X.copy()
    holes[3, 1], spikes[2, 0] = np.nan, np.inf
    np.savez(folder / "good.npz", X=X, y=y)
    np.savez(folder / "nan.npz", X=holes, y=y)
    np.savez(folder / "inf.npz", X=spikes, y=y)
    np.savez(folder / "short.npz", X=X, y=y[:-1])
    np.savez(folder / "wide.npz", X=X[:3], y=y[:3])
    np.save(folder / "skew.npy", np.array([[1.0, 0.5], [0.1, 1.0]]))
    np.save(folder / "negative.npy", np.array([[1.0, 2.0], [2.0, 1.0]]))
    np.save(folder / "infinite.npy", np.array([[1.0, np.inf], [np.inf, 1.0]]))
    np.save(folder / "vector.npy", np.ones(7))
    pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [1.0, 0.0, 1.0]}).to_csv(folder / "d.csv", index=False)
    (folder / "text.csv").write_text("", encoding="utf-8")
    (folder / "broken.npz").write_bytes(b"not a zip file")
    (folder / "odd.txt").write_text("1 2 3", encoding="utf-8")
    (folder / "config.json").write_text('{"horizn": 3}', encoding="utf-8")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    (folder / "list.json").write_text("[1]", encoding="utf-8")
    (folder / "kind.json").write_text('{"horizon": "soon"}', encoding="utf-8")
    (folder / "other.json").write_text('{"command": "predict", "options": {}}', encoding="utf-8")
    (folder / "python.json").write_text('{"command": "compare", "options": {"problem": "python"}}', encoding="utf-8")
    (folder / "done").mkdir()
    (folder / "done" / "summary.json").write_text("{}", encoding="utf-8")
    return folder


CASES = [
    ("compare @missing.npz", "no such file"),
    ("compare nothing", "bundled data sets are digits"),
    ("compare @broken.npz", "cannot be read"),
    ("compare @text.csv", "empty"),
    ("compare @odd.txt", "unknown kind of file"),
    ("compare @good.npz --target z", "'z'"),
    ("compare @d.csv --target z", "'z'"),
    ("compare @nan.npz", "missing"),
    ("compare @inf.npz", "infinite"),
    ("compare @short.npz", "29"),
    ("compare @wide.npz", "fewer rows than columns"),
    ("compare digits --target y", "leave out --target"),
    ("compare @good.npz --scale rows", "scale"),
    ("compare @good.npz --noise cauchy:0,1", "noise"),
    ("compare @good.npz --dim 20", "--dim"),
    ("compare @good.npz --cov @skew.npy", "--cov"),
    ("compare --cov @skew.npy", "symmetric"),
    ("compare --cov @negative.npy", "positive semi-definite"),
    ("compare --cov @infinite.npy", "finite"),
    ("compare --cov @missing.npy", "no such file"),
    ("compare --problem covariance", "--cov"),
    ("compare --problem banana", "banana"),
    ("compare --dim 0", "dim"),
    ("compare --dim -3", "dim"),
    *[(f"{command} --dim 1{13 * '0'}", "GB of memory, and this machine has") for command in LARGE],
    *[(f"{command} --dim 1{30 * '0'}", "Use a smaller --dim") for command in LARGE],
    *[(f"{command} --dim {dim}", "--dim") for command in LARGE for dim in ("1e3", "2.5", "abc")],
    ("compare --dim 0 --problem toeplitz:0.5", "got 0"),
    ("compare --dim 10 --spectrum logg:1,2", "logg"),
    ("compare --dim 10 --spectrum log:1", "log"),
    ("compare --dim 10 --spectrum log:a,b", "log"),
    ("compare --dim 10 --noise cauhcy:2,1", "cauhcy"),
    ("compare --dim 10 --noise cauchy:2,x", "cauchy"),
    ("compare --dim 10 --noise gaussian:-1", "gaussian"),
    ("compare --dim 10 --lr sgd=0", "above 0"),
    ("compare --dim 10 --lr sgd=-1", "above 0"),
    ("compare --dim 10 --lr sgd=nan", "finite"),
    ("compare --dim 10 --lr sgd=.1 --lr sgd=.2", "gives a rate of sgd twice"),
    ("compare --dim 10 --lr sgd=fast", "number"),
    ("compare --dim 10 --lr 0.5", "NAME=VALUE"),
    ("compare --dim 10 --lr lion=0.5", "lion"),
    ("compare --dim 10 --optimizers lion", "lion"),
    ("compare --dim 10 --horizon -1", "horizon"),
    ("compare --dim 10 --runs 0", "num_runs"),
    ("compare --dim 10 --seed -1", "seed"),
    ("compare --dim 10 --batch-size 0", "batch_size"),
    ("compare --dim 10 --betas 0.9", "betas"),
    ("compare --dim 10 --betas 0.9,1", "betas"),
    ("compare --dim 10 --dtype int8", "dtype"),
    ("compare --dim 10 --device toaster", "device"),
    ("compare --dim 10 --scale columns", "--scale does not go with a gaussian problem"),
    ("compare --dim 10 --no-center", "--no-center does not go with"),
    ("compare --cov @vector.npy --ridge 0", "--ridge does not go with a covariance problem"),
    ("compare --dim 10 --problem toeplitz:0.5 --rotated", "--rotated does not go with an operator problem"),
    ("compare --dim 10 --start nines", "nines: a matrix or vector is read from"),
    ("compare --dim 10 --start @vector.npy", "start"),
    ("compare --dim 10 --target @vector.npy", "target"),
    ("compare --dim 10 --out @done", "--force"),
    ("compare --dim 10 --out @odd.txt", "is a file"),
    ("compare --dim 10 --out @odd.txt/below", "is a file"),
    ("compare --config @missing.json", "cannot be read"),
    ("compare --config @broken.json", "JSON"),
    ("compare --config @list.json", "object"),
    ("compare --config @config.json", "horizn"),
    ("compare --config @kind.json", "horizon"),
    ("compare --config @other.json", "signscope predict"),
    ("compare --config @python.json", "Python"),
    ("compare --horizont 3", "--horizont"),
    ("compare --horizon soon", "--horizon"),
    ("compare a b", "b"),
    ("predict", "OPTIMIZER"),
    ("predict lion --dim 10", "lion"),
    ("predict signsgd --dim 10 --lr adam=0.5", "adam"),
    ("predict signsgd --dim 10 --lr 0.5 --method exact", "exact"),
    ("predict signsgd --dim 10 --lr 0.5 --method guess", "method"),
    ("predict signsgd --dim 10 --lr 0.5 --quantity weight", "quantity"),
    ("simulate sgd --dim 10 --lr 0.5 --rows replace --horizon 1", "from_data"),
    ("simulate sgd @good.npz --lr 0.5 --rows twice --horizon 1", "rows"),
    ("schedule signsgd --dim 10 --shapes ,", "--shapes"),
    ("where nobody1999", "xiao2024"),
    ("where", "xiao2024"),
    ("compar", "compare"),
]


@pytest.mark.parametrize(("line", "word"), CASES, ids=[line for line, _ in CASES])
def test_bad_input_is_one_line_and_exit_code_two(cli, bad, line, word):
    answer = cli(line.replace("@", f"{bad}/"))
    assert answer.code == 2, (answer.out, answer.err)
    assert answer.out == ""
    assert answer.err.startswith("signscope")
    assert answer.err.count("\n") == 1, answer.err
    assert word in answer.err
    assert "Traceback" not in answer.err


def test_the_message_survives_debug_as_a_traceback(cli, bad):
    answer = cli(f"compare {bad}/nan.npz --debug")
    assert answer.code == 1
    assert answer.err == ""  # the exception itself reaches the interpreter


def test_a_folder_that_cannot_be_written_is_found_before_the_work(cli, bad, monkeypatch):
    from signscope.cli import commands

    monkeypatch.setattr(commands, "build_problem", lambda options: pytest.fail("the work had begun"))
    assert cli(f"compare --dim 10 --out {bad}/odd.txt").code == 2


def test_force_replaces_an_earlier_result(cli, bad):
    words = f"compare --dim 10 {FAST} --optimizers sgd --lr sgd=0.1 --force --out {bad}/done"
    assert cli(words).code == 0
    assert json.loads((bad / "done" / "summary.json").read_text(encoding="utf-8"))["schema"] == 1
