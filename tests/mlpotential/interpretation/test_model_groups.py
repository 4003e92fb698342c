"""Words on the command line and the model files they mean."""

import pytest

from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.interpretation.model_groups import model_groups, one_model


def test_groups(model_files):
    folder = model_files["split_0"].parent
    words = [str(model_files["dtnn"]), f"SchNet={folder}/split_*.safetensors"]
    single, several = model_groups(words)
    assert (single.name, single.model_names) == ("dtnn", ("dtnn",))
    assert (several.name, several.model_names) == ("SchNet", ("split_0", "split_1"))
    (unnamed,) = model_groups([f"{folder}/split_?.safetensors"])
    assert len(unnamed.paths) == 2
    assert one_model(words[0]) == model_files["dtnn"]


def test_a_model_of_a_training_has_the_name_of_its_folder(model_files, tmp_path):
    folder = tmp_path / "a=b"  # a path that is there is no name
    folder.mkdir()
    path = folder / "model.safetensors"
    path.symlink_to(model_files["dtnn"])
    (group,) = model_groups([str(path)])
    assert group.name == "a=b"
    assert group.paths == (path,)


def test_what_is_no_group(model_files, tmp_path):
    path = str(model_files["dtnn"])
    for word in (f"={path}", "SchNet="):
        with pytest.raises(ConfigError, match="names no model"):
            model_groups([word])
    with pytest.raises(ConfigError, match="dtnn names two groups"):
        model_groups([path, path])
    with pytest.raises(ModelFileError, match="no model file matches"):
        model_groups([f"x={tmp_path}/*.safetensors"])
    with pytest.raises(ModelFileError, match="cannot read the model file"):
        model_groups([str(tmp_path / "absent.safetensors")])
    with pytest.raises(ConfigError, match="are 2 models"):
        one_model(str(model_files["split_0"]).replace("split_0", "split_*"))
