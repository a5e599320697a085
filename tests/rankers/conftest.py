"""A small world in which words mean the same: what BM25 cannot know and clicks can teach.

A concept has three words for it. A query is one of them and an attribute; a
document says the concept in another word. Grade 2: same concept and attribute;
1: same concept; 0: anything else, the same attribute included.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ranklift.rankers.artefacts import Lineage, Manifest, new_artefact
from ranklift.rankers.backbones import Size, new_decoder, new_encoder
from ranklift.rankers.base import ClickedText, RankingList, Text
from ranklift.rankers.bi_encoder import import_bi_encoder
from ranklift.rankers.bm25 import build_bm25
from ranklift.rankers.saving import save
from ranklift.rankers.tokenizers import train_tokenizer

CONCEPTS = 24
ATTRIBUTES = 12
FILLERS = 30
SYNONYMS = 3
MAX_TOKENS = 32
SEED = 7
SMALL = Size(layers=2, width=32, heads=2, feed_forward=64)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Models this small gain nothing from a second thread, and lose much when it has to wait."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def meanings(rng: np.random.Generator) -> list[tuple[int, int]]:
    """All pairs of concept and attribute; the first 60 are for tests, the others for training."""
    pairs = [(c, a) for c in range(CONCEPTS) for a in range(ATTRIBUTES)]
    return [pairs[i] for i in rng.permutation(len(pairs))]


@pytest.fixture(scope="session")
def clicks(meanings: list[tuple[int, int]]) -> list[ClickedText]:
    rng = np.random.default_rng(SEED)
    found = []
    for i in range(2_000):
        concept, attribute = meanings[int(rng.integers(60, len(meanings)))]
        synonym = int(rng.integers(SYNONYMS))
        shown = document(f"c{i}", concept, attribute, synonym, rng)
        found.append(ClickedText(query(concept, attribute, synonym), shown))
    return found


@pytest.fixture(scope="session")
def judged(meanings: list[tuple[int, int]]) -> list[RankingList]:
    """Judged lists of the training queries."""
    rng = np.random.default_rng(SEED + 1)
    return [ranking_list(*meanings[int(i)], rng) for i in rng.integers(60, len(meanings), 400)]


@pytest.fixture(scope="session")
def unjudged(meanings: list[tuple[int, int]]) -> list[RankingList]:
    """Lists of the training queries whose targets say nothing."""
    rng = np.random.default_rng(SEED + 2)
    lists = [ranking_list(*meanings[int(i)], rng) for i in rng.integers(60, len(meanings), 1_000)]
    return [RankingList(x.query, x.documents, (0.0,) * len(x.documents)) for x in lists]


@pytest.fixture(scope="session")
def held_out(meanings: list[tuple[int, int]]) -> list[RankingList]:
    """Judged lists of queries that no training has seen."""
    rng = np.random.default_rng(SEED + 3)
    return [ranking_list(concept, attribute, rng) for concept, attribute in meanings[:60]]


@pytest.fixture(scope="session")
def tokenizer(clicks: list[ClickedText]) -> PreTrainedTokenizerBase:
    return train_tokenizer((f"{each.query} {each.document.body}" for each in clicks), 500)


@pytest.fixture(scope="session")
def artefacts(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: PreTrainedTokenizerBase,
    clicks: list[ClickedText],
) -> dict[str, Path]:
    """One artefact of each kind; the neural ones are untrained, with scores spread out."""
    home = tmp_path_factory.mktemp("models")
    build_bm25([each.document for each in clicks], home / "bm25")
    language_model = new_decoder(SMALL, tokenizer, MAX_TOKENS, seed=1)
    write(language_model, tokenizer, "causal_lm", home / "causal_lm")
    decoder = language_model_with_head(home / "causal_lm")
    write(decoder, tokenizer, "decoder", home / "decoder")
    encoder = new_encoder(SMALL, tokenizer, MAX_TOKENS, seed=2)
    # Fresh weights are so small that all scores look alike.
    with torch.no_grad():
        for weight in encoder.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
    write(encoder, tokenizer, "encoder", home / "encoder")
    import_bi_encoder(home / "encoder", home / "bi_encoder", MAX_TOKENS)
    return {kind: home / kind for kind in ("bm25", "bi_encoder", "causal_lm", "decoder", "encoder")}


@pytest.fixture
def documents() -> list[Text]:
    """Documents of very different lengths, two of them too long for the small models."""
    return [
        Text("short", "cbaba fbaba", ""),
        Text("long", "cbabe ababo", " ".join(["fbaba", "cbaba", "ababo"] * 20)),
        Text("middle", "", "cbabi abade fbabo fbade fbadu cbabo abadu"),
        Text("strange", "\x00\x07 \u202e", "😀 never seen words"),
        Text("longer", "cbabu", " ".join(["fbafi", "abafi"] * 40)),
        Text("nothing known", "zzz", ""),
    ]


@pytest.fixture
def write_artefact() -> Callable[[PreTrainedModel, PreTrainedTokenizerBase, str, Path], None]:
    return write


def write(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, kind: str, folder: Path
) -> None:
    with new_artefact(folder, Manifest(kind, "fp32", MAX_TOKENS, Lineage("cpt"))) as temporary:
        save(model, tokenizer, temporary, max_tokens=MAX_TOKENS)


def language_model_with_head(folder: Path) -> PreTrainedModel:
    from ranklift.rankers.backbones import load_scorer

    return load_scorer(folder, head_seed=3)


def word(kind: str, number: int, synonym: int = 0) -> str:
    """Return a word of letters that no other arguments give."""
    syllables = [consonant + vowel for consonant in "bdfg" for vowel in "aeiou"]
    code = number * SYNONYMS + synonym
    return kind + syllables[code // 20] + syllables[code % 20]


def query(concept: int, attribute: int, synonym: int) -> str:
    return f"{word('c', concept, synonym)} {word('a', attribute)}"


def document(
    identity: str, concept: int, attribute: int, avoided: int, rng: np.random.Generator
) -> Text:
    """Return a document about a concept that never uses its synonym number `avoided`."""
    allowed = [s for s in range(SYNONYMS) if s != avoided]
    names = [word("c", concept, allowed[int(i)]) for i in rng.integers(len(allowed), size=2)]
    fill = [word("f", int(n)) for n in rng.integers(FILLERS, size=int(rng.integers(2, 6)))]
    body = [names[1], word("a", attribute), *fill]
    rng.shuffle(body)
    return Text(identity, f"{names[0]} {word('a', attribute)}", " ".join(body))


def ranking_list(concept: int, attribute: int, rng: np.random.Generator) -> RankingList:
    """Return a query with six candidates: two of each grade, one of grade 0 with the attribute."""
    synonym = int(rng.integers(SYNONYMS))

    def other(number: int, of: int) -> int:
        return int((number + rng.integers(1, of)) % of)

    kinds = [
        (concept, attribute, 2.0),
        (concept, attribute, 2.0),
        (concept, other(attribute, ATTRIBUTES), 1.0),
        (concept, other(attribute, ATTRIBUTES), 1.0),
        (other(concept, CONCEPTS), attribute, 0.0),
        (other(concept, CONCEPTS), other(attribute, ATTRIBUTES), 0.0),
    ]
    order = rng.permutation(len(kinds))
    documents = tuple(
        document(f"d{place}", kinds[i][0], kinds[i][1], synonym, rng)
        for place, i in enumerate(order)
    )
    return RankingList(
        query(concept, attribute, synonym), documents, tuple(kinds[i][2] for i in order)
    )
