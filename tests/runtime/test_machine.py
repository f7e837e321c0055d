import pytest

from edgecnn_runtime import machine
from edgecnn_runtime.machine import cpu_family, cpu_name, family_of, has_amx


@pytest.mark.parametrize(
    ("architecture", "features", "family"),
    [
        ("x86_64", {"avx2", "avx512f", "avx512_vnni"}, "x86-64-avx512-vnni"),
        ("AMD64", {"avx2", "avx_vnni"}, "x86-64-avx2-vnni"),
        ("x86_64", {"avx2", "avx512f"}, "x86-64-avx512"),
        ("x86_64", {"avx2", "fma"}, "x86-64-avx2"),
        ("x86_64", {"sse4_2"}, "x86-64"),
        ("aarch64", {"asimd", "asimddp", "i8mm"}, "aarch64-i8mm"),
        ("aarch64", {"asimd", "asimddp"}, "aarch64-dotprod"),
        ("arm64", set(), "aarch64"),
        ("riscv64", set(), "riscv64"),
        ("", set(), "unknown"),
    ],
)
def test_family_of_names_the_strongest_feature(architecture, features, family):
    assert family_of(architecture, features) == family


def test_cpu_family_reads_what_linux_lists(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Toy CPU\nflags\t\t: sse2 avx2\n")
    monkeypatch.setattr(machine, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    assert (cpu_family(), cpu_name()) == ("x86-64-avx2", "Toy CPU")


def test_cpu_family_is_the_architecture_where_nothing_is_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    assert cpu_family() == "x86-64"
    assert cpu_name()


@pytest.mark.parametrize(("flags", "amx"), [("avx512_vnni amx_tile amx_int8", True), ("amx_tile amx_bf16", False)])
def test_has_amx_looks_for_8_bit_tiles(monkeypatch, tmp_path, flags, amx):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert has_amx() is amx


def test_has_amx_is_unknown_where_nothing_is_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "missing")
    assert has_amx() is None
