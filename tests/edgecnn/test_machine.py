from edgecnn.machine import describe_machine


def test_describe_machine_names_what_is_installed_and_what_is_not():
    versions = describe_machine().versions
    assert versions["edgecnn"] == versions["edgecnn-runtime"]
    assert versions["onnxruntime-gpu"] is None or versions["onnxruntime"] is None


def test_describe_machine_counts_no_more_usable_cpus_than_there_are():
    machine = describe_machine()
    assert 1 <= machine.usable_cpus <= machine.cpus
    assert machine.cpu
    assert machine.cpu_family
