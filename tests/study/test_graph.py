import pytest

from neurn import study
from neurn.study.graph import Item, Plan, Stage, check_order, code_digest, digest
from neurn.study.store import Store

from .toy import SETTINGS, stages


def _stage(name, needs=(), items=()):
    return Stage(name, name, needs, ("neurn.study.graph",), (), lambda *_: list(items), print)


def keys(made):
    return {name: planned.key for name, planned in Plan(made, SETTINGS, str).items.items()}


def test_a_key_follows_from_parameters_inputs_and_code(monkeypatch):
    before = keys(stages(3))
    assert keys(stages(3)) == before
    assert not set(before.values()) & set(keys(stages(3, seed=10)).values())
    other = keys(stages(3, seed=1))
    for stage in ("draw", "square"):  # names do not count
        assert other[f"{stage}/0"] == before[f"{stage}/1"]
    assert other["total/all"] != before["total/all"]
    monkeypatch.setattr("neurn.study.graph.code_digest", lambda _: "changed")
    assert not set(before.values()) & set(keys(stages(3)).values())


def test_a_key_follows_from_files_and_libraries(monkeypatch):
    stage = (_stage("a", items=[Item("a", "x", files=("f",))]),)
    one = Plan(stage, SETTINGS, lambda *_: "1").items["a/x"].key
    assert one != Plan(stage, SETTINGS, lambda *_: "2").items["a/x"].key
    before = keys(stages(1))
    monkeypatch.setattr("neurn.study.graph.library_version", lambda _: "0")
    assert keys(stages(1)) != before


def test_what_says_how_work_is_done_is_in_no_key():
    other = study.parse('[architectures]\n[run]\nworkers = 7\nthreads = 3\nmemory = "1 GB"')
    ours = {n: p.key for n, p in Plan(stages(2), other, str).items.items()}
    assert ours == keys(stages(2))


def test_stages_follow_those_they_need():
    with pytest.raises(ValueError, match="stage 'b': named twice, or before"):
        check_order([_stage("b", ("a",)), _stage("a")])
    with pytest.raises(ValueError, match="stage 'a': named twice"):
        check_order([_stage("a"), _stage("a")])


def test_items_read_only_what_their_stage_needs():
    bad = [_stage("a", items=[Item("a", "x")]), _stage("b", (), [Item("b", "y", {}, ("a/x",))])]
    with pytest.raises(ValueError, match="b/y: planned twice, or reads what b does not need"):
        Plan(bad, SETTINGS, str)
    with pytest.raises(ValueError, match="a/x: planned twice"):
        Plan([_stage("a", items=[Item("a", "x"), Item("a", "x")])], SETTINGS, str)


def test_digests():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert code_digest("neurn.study") != code_digest("neurn.study.graph")
    with pytest.raises(ValueError, match=r"'neurn.nothing' is no module"):
        code_digest("neurn.nothing")


def test_a_file_is_hashed_again_when_it_changes(tmp_path):
    store = Store(tmp_path / "o")
    store.prepare()
    file = tmp_path / "f"
    file.write_text("one")
    first = store.hash_file(str(file))
    assert Store(tmp_path / "o").hash_file(str(file)) == first
    file.write_text("three")
    assert store.hash_file(str(file)) != first
    with pytest.raises(study.StudyError, match="cannot be read"):
        store.hash_file(str(tmp_path / "no"))
