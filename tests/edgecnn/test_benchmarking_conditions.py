from dataclasses import replace

import pytest

from edgecnn.benchmarking.conditions import Snapshot

QUIET = Snapshot(
    seconds=100.0,
    own_cpu_s=10.0,
    load=0.1,
    busy_s=1000.0,
    steal_s=5.0,
    all_s=4000.0,
    frequency_mhz=2000.0,
    temperature_c=50.0,
    throttles=3,
)
LATER = replace(QUIET, seconds=110.0, own_cpu_s=19.0, busy_s=1009.0, all_s=4020.0)


@pytest.fixture
def system(tmp_path):
    """Writes the files of a system: `system({"proc/stat": "..."})` returns their root."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_take_reads_what_the_system_tells(system):
    snapshot = Snapshot.take(
        system(
            {
                "proc/stat": "cpu  100 200 300 4000 500 60 70 80 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n",
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000\n",
                "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2200000\n",
                "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "2\n",
                "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "3\n",
                "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "10\n",
                "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": "10\n",
                "sys/class/thermal/thermal_zone0/temp": "41000\n",
                "sys/class/thermal/thermal_zone1/temp": "63500\n",
            }
        )
    )
    assert (snapshot.frequency_mhz, snapshot.temperature_c, snapshot.throttles) == (2000.0, 63.5, 15)
    busy, stolen = 100 + 200 + 300 + 60 + 70, 80
    assert snapshot.steal_s / snapshot.busy_s == pytest.approx(stolen / busy)
    assert snapshot.all_s / snapshot.busy_s == pytest.approx((busy + 4000 + 500 + stolen) / busy)


def test_take_leaves_open_what_the_system_does_not_tell(tmp_path):
    snapshot = Snapshot.take(tmp_path)
    assert (snapshot.busy_s, snapshot.steal_s, snapshot.all_s) == (None, None, None)
    assert (snapshot.frequency_mhz, snapshot.temperature_c, snapshot.throttles) == (None, None, None)
    assert snapshot.own_cpu_s > 0


def test_take_leaves_out_a_sensor_that_gives_no_number(system):
    files = {"sys/class/thermal/thermal_zone0/temp": "\n", "sys/class/thermal/thermal_zone1/temp": "40000\n"}
    assert Snapshot.take(system(files)).temperature_c == 40.0


def test_until_sees_no_sign_where_only_this_process_worked():
    conditions = QUIET.until(LATER)
    assert (conditions.seconds, conditions.other_cpus, conditions.steal, conditions.throttle_events) == (10, 0, 0, 0)
    assert conditions.signs == ()


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"busy_s": 1024.0}, "other processes kept 1.5 CPUs busy"),
        ({"steal_s": 6.0}, "the host took 5.0% of the time"),
        ({"throttles": 5}, "the processor throttled 2 times"),
        ({"frequency_mhz": 1500.0}, "the CPU frequency fell from 2000 to 1500 MHz"),
    ],
)
def test_until_names_what_disturbed(changes, sign):
    assert QUIET.until(replace(LATER, **changes)).signs == (sign,)


def test_until_leaves_open_what_is_not_known():
    unknown = dict.fromkeys(("load", "busy_s", "steal_s", "all_s", "frequency_mhz", "temperature_c", "throttles"))
    conditions = replace(QUIET, **unknown).until(replace(LATER, **unknown))
    assert (conditions.other_cpus, conditions.steal, conditions.throttle_events) == (None, None, None)
    assert conditions.signs == ()
