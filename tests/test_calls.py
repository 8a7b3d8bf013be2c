"""What is asked of `generate`, as those who answer in its place read it."""

from transformers import GenerationConfig

from pipelines.calls import Stated


def test_what_a_config_states_is_read_again_where_it_changed():
    stated, config = Stated(), GenerationConfig(num_beams=4, eos_token_id=[1])
    for change in (lambda: None, lambda: setattr(config, "num_beams", 2), lambda: config.eos_token_id.append(3)):
        change()
        assert stated.by(config) == config.to_diff_dict()
        assert stated.by(config) is stated.by(config)
    other = GenerationConfig(num_beams=3)
    assert stated.by(other) == other.to_diff_dict()
