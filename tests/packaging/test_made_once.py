"""Folders that tests share: made once, and never another file's."""

import pytest


def test_a_folder_is_filled_once_and_found_again(made_once):
    filled = []
    assert made_once("once", filled.append) == made_once("once", filled.append)
    assert len(filled) == 1


def test_two_files_that_ask_for_one_name_get_a_folder_each(made_once):
    def write(folder):
        (folder / "first").touch()

    def write_other(folder):
        (folder / "second").touch()

    write_other.__module__ = "another_test_file"
    folders = made_once("shared", write), made_once("shared", write_other)
    assert [[path.name for path in folder.iterdir()] for folder in folders] == [["first"], ["second"]]


def test_a_folder_whose_maker_failed_is_made_anew(made_once):
    def fail(folder):
        (folder / "half").touch()
        raise RuntimeError

    def write(folder):
        (folder / "whole").touch()

    with pytest.raises(RuntimeError):
        made_once("failed", fail)
    assert [path.name for path in made_once("failed", write).iterdir()] == ["whole"]
