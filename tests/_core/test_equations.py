"""The equation registry finds marks without imports, and every mark has a bibliography entry."""

from signscope._core.equations import equation, reference_keys, registry


def test_every_marked_equation_cites_a_known_source():
    keys = set(reference_keys())
    unknown = [str(entry) for entry in registry() if entry.key not in keys]
    assert not unknown


def test_mark_records_key_and_place_and_changes_nothing_else():
    @equation("xiao2024", "eq. (9)")
    def double(x: float) -> float:
        return 2 * x

    assert double(3) == 6
    assert double.__equations__ == (("xiao2024", "eq. (9)"),)


def test_registry_reads_nested_marks_from_source(tmp_path):
    (tmp_path / "room.py").write_text(
        'class Law:\n    @equation("xiao2024", "(2)")\n    def m(self):\n        return 1\n\n'
        '@equation("kingma2015", "Algorithm 1")\ndef step():\n    return 2\n'
    )
    found = [(e.name, e.key, e.line) for e in registry(tmp_path)]
    assert found == [("Law.m", "xiao2024", 3), ("step", "kingma2015", 7)]
