from hypothesis import given
from hypothesis import strategies as st

from edgecnn_exporters.graph.layer_names import LayerNames, find_layer, mark, marked_layer, unique

LEAF = LayerNames()
layer_name = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(layer_name, max_size=3), st.integers(0, 10**6), st.sampled_from(["", "/MatMulAddFusion", "_token_3"]))
def test_marked_layer_returns_what_mark_was_given(path, number, appended):
    layer = "/".join(path)
    assert marked_layer(mark(layer, number) + appended) == layer


def test_marked_layer_is_empty_for_a_name_without_a_mark():
    assert marked_layer("Transpose_token_0") == ""


def test_find_layer_prefers_the_name_that_keras_counted():
    names = LayerNames({"pool": LEAF, "pool_1": LEAF, "pool_1_1": LEAF})
    found = [find_layer(f"{scope}/MaxPool", names) for scope in ("pool_1", "pool_1_2", "pool_1_1_3")]
    assert found == ["pool", "pool_1", "pool_1_1"]


def test_find_layer_skips_scopes_that_are_no_layer():
    names = LayerNames({"block": LayerNames({"conv": LEAF})})
    assert find_layer("functional/block_1/while/conv_1/Conv2D", names) == "block/conv"


def test_find_layer_does_not_take_the_operation_for_a_layer():
    assert find_layer("Relu", LayerNames({"Relu": LEAF})) == ""


@given(st.sets(st.sampled_from(["a", "a_1", "a_2", "b"])))
def test_unique_is_not_taken(taken):
    assert unique("a", taken) not in taken
