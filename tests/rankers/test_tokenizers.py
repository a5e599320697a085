"""Tokenizers trained from texts."""

from pathlib import Path

from transformers import AutoTokenizer

from ranklift.rankers.tokenizers import train_tokenizer


def test_words_become_tokens_and_unknown_ones_are_marked() -> None:
    tokenizer = train_tokenizer(["Red apple, red pear", "apple"], 100)
    ids = tokenizer("red APPLE plum", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["red", "apple", "[UNK]"]


def test_the_most_frequent_words_fill_the_vocabulary() -> None:
    tokenizer = train_tokenizer(["a a a b b c"], 9)  # seven special tokens and two words
    assert len(tokenizer) == 9
    ids = tokenizer("a b c", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["a", "b", "[UNK]"]


def test_a_saved_tokenizer_is_loaded_as_it_was(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["red apple"], 100)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    assert loaded.get_vocab() == tokenizer.get_vocab()
    special = (loaded.pad_token_id, loaded.cls_token_id, loaded.sep_token_id, loaded.eos_token_id)
    assert len(set(special)) == 4
    assert loaded.mask_token == "[MASK]"


def test_the_same_texts_give_the_same_tokenizer() -> None:
    texts = [f"word{i % 97} other{i % 89}" for i in range(2_000)]
    assert train_tokenizer(texts, 150).get_vocab() == train_tokenizer(texts, 150).get_vocab()
