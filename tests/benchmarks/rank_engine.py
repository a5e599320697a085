"""The packed engine against CrossEncoder and OpenVINO, same weights, two cores.

python -m tests.benchmarks.run rank_engine
python -m tests.benchmarks.rank_engine REQUESTS ROUNDS     # another size, speeds only, printed

The peers need an interpreter of their own: see rank_engine_peers.py. The trained student is made
once, from a collection that is not part of the project: see rank_engine_student.py.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.benchmarks.rank_engine_student import COLLECTION, lists_to_rank, trained_student
from transformers import PreTrainedTokenizerBase

from ranklift.rankers.agreement import Agreement, agreement
from ranklift.rankers.artefacts import Lineage, Manifest, load_ranker, new_artefact
from ranklift.rankers.backbones import load_scorer
from ranklift.rankers.base import Ranker, RankingList, Text, score_texts
from ranklift.rankers.convert import convert
from ranklift.rankers.cross_encoder import load_tokenizer
from ranklift.rankers.encoding import Pair, PairEncoder
from ranklift.rankers.engines import packed
from ranklift.rankers.engines.bert_weights import Affine, encoder_weights
from ranklift.rankers.engines.packed import PackedEngine
from ranklift.rankers.engines.packed_linear import onednn_linear, plain_linear
from ranklift.rankers.pretrained import minilm_folder
from ranklift.rankers.saving import save

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "build" / "peers" / "rank" / "bin" / "python"
MODELS = ROOT / "build" / "rank_engine"
REQUESTS, ROUNDS = 40, 5
THREADS = 2
SEED = 11
# Tokens of a pair: log-normal with median 68 and 95 % below 122, as in the workload described.
MEDIAN_TOKENS, SIGMA = 68, 0.355
SLICE = 5  # requests after which the next engine has its turn
MAX_TOKENS = 512
CHUNKS = (256, 512, 1_024, 2_048, 4_096)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Request = tuple[str, list[str]]


@dataclass(frozen=True, slots=True)
class Run:
    """One engine's pass over some requests, tokenisation included."""

    seconds: float
    cpu_seconds: float
    scores: list[list[float]]


Engine = Callable[[Sequence[Request]], Run]


def workload(tokenizer: PreTrainedTokenizerBase, requests: int) -> list[Request]:
    """Return queries of 3 to 8 words with 10 to 50 documents; a word is a token."""
    rng = np.random.default_rng(SEED)
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha() and len(word) > 2)

    def text(count: int) -> str:
        return " ".join(words[i] for i in rng.integers(len(words), size=count))

    made = []
    for _ in range(requests):
        asked = int(rng.integers(3, 9))
        lengths = np.exp(rng.normal(np.log(MEDIAN_TOKENS), SIGMA, size=int(rng.integers(10, 51))))
        documents = [text(max(1, int(length) - asked - 3)) for length in lengths]
        made.append((text(asked), documents))
    return made


def ours(ranker: Ranker[Any], workers: ThreadPoolExecutor) -> Engine:
    """Return our engine as the server uses it: a share of each request on each core."""

    def scored(query: str, documents: Sequence[str]) -> list[float]:
        pairs = ranker.encode(query, [Text("", "", each) for each in documents]).pairs
        order = sorted(range(len(pairs)), key=lambda i: -pairs[i].tokens)
        shares = [order[start::THREADS] for start in range(THREADS)]
        values = np.empty(len(pairs))
        found = workers.map(lambda share: ranker.scores([pairs[i] for i in share]), shares)
        for share, scores in zip(shares, found, strict=True):
            values[share] = scores
        return [float(value) for value in values]

    def run(requests: Sequence[Request]) -> Run:
        began, cpu = time.perf_counter(), time.process_time()
        scores = [scored(query, documents) for query, documents in requests]
        return Run(time.perf_counter() - began, time.process_time() - cpu, scores)

    return run


@contextmanager
def peer(engine: str, folder: Path) -> Iterator[Engine]:
    """Yield an engine of rank_engine_peers.py, in a process of its own."""
    script = Path(__file__).with_name("rank_engine_peers.py")
    with subprocess.Popen(
        [PEERS, script, engine, folder, str(THREADS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(THREADS)},
    ) as process:
        sending, receiving = process.stdin, process.stdout
        if sending is None or receiving is None:
            raise RuntimeError("pipes were asked for")

        def run(requests: Sequence[Request]) -> Run:
            print(json.dumps(requests), file=sending, flush=True)
            line = receiving.readline()
            if not line:
                raise RuntimeError(f"{engine} ended; run it by hand: {script}")
            return Run(**json.loads(line))

        yield run
        sending.close()


def seeded_model() -> Path:
    """Return the artefact of MiniLM with a head of a fixed seed; its bf16 version lies beside."""
    folder = MODELS / "minilm"
    if not folder.exists():
        lineage = Lineage("import")
        with new_artefact(folder, Manifest("encoder", "fp32", MAX_TOKENS, lineage)) as temporary:
            save(
                load_scorer(minilm_folder(), head_seed=1),
                load_tokenizer(minilm_folder()),
                temporary,
            )
    return folder


def in_bf16(source: Path) -> Path:
    folder = source.with_name(f"{source.name}-bf16")
    if not folder.exists():
        convert(source, "bf16", folder)
    return folder


def alternate(
    engines: Mapping[str, Engine], requests: Sequence[Request], rounds: int
) -> dict[str, list[Run]]:
    """Return a run of each engine for each round; they take turns after every few requests."""
    slices = [requests[i : i + SLICE] for i in range(0, len(requests), SLICE)]
    for engine in engines.values():  # shapes are compiled, caches are filled
        engine(requests)
    found: dict[str, list[Run]] = {name: [] for name in engines}
    for _ in range(rounds):
        parts: dict[str, list[Run]] = {name: [] for name in engines}
        for part in slices:
            for name, engine in engines.items():
                parts[name].append(engine(part))
        for name, runs in parts.items():
            found[name].append(
                Run(
                    sum(run.seconds for run in runs),
                    sum(run.cpu_seconds for run in runs),
                    [scores for run in runs for scores in run.scores],
                )
            )
    return found


def peak_gflops(dtype: torch.dtype) -> float:
    """Return the best rate of large products through oneDNN, in GFLOP per CPU second."""
    size, rows = 2_048, 2_048
    linear = onednn_linear(Affine(torch.ones((size, size)), torch.ones(size)), "", dtype)
    inputs = torch.ones((rows, size), dtype=dtype)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(30):
            began = time.process_time()
            linear(inputs)
            best = min(best, time.process_time() - began)
    return 2 * rows * size * size / best / 1e9


def pair_flops(lengths: Sequence[int], layers: int, width: int, inner: int) -> float:
    """Return the floating-point operations of a pair, on average, every layer whole."""
    per_pair = [
        layers * 2 * (n * (4 * width**2 + 2 * width * inner) + 2 * n * n * width) for n in lengths
    ]
    return statistics.fmean(per_pair)


def measure() -> str:
    parts = (speeds(REQUESTS, ROUNDS), _trained(), _chunks(), _layers())
    return "\n\n".join("\n".join(part) for part in parts)


def workload_pairs(requests: Sequence[Request]) -> list[Pair]:
    encoder = PairEncoder(load_tokenizer(seeded_model()), "encoder", MAX_TOKENS)
    return [
        pair
        for query, documents in requests
        for pair in encoder.encode(query, [Text("", "", each) for each in documents]).pairs
    ]


def speeds(requests: int, rounds: int) -> list[str]:
    """Return the table of engines, by the clock and by processor time."""
    torch.set_num_threads(1)
    model = seeded_model()
    asked = workload(load_tokenizer(model), requests)
    lengths = [pair.tokens for pair in workload_pairs(asked)]
    with ExitStack() as stack:
        workers = stack.enter_context(ThreadPoolExecutor(THREADS))
        engines: dict[str, Engine] = {
            "CrossEncoder fp32": stack.enter_context(peer("cross-encoder", model)),
            "OpenVINO fp32": stack.enter_context(peer("openvino-f32", model)),
            "**packed fp32**": ours(load_ranker(model), workers),
            "OpenVINO bf16": stack.enter_context(peer("openvino-bf16", model)),
            "**packed bf16**": ours(load_ranker(in_bf16(model)), workers),
        }
        found = alternate(engines, asked, rounds)
    torch.set_num_threads(THREADS)
    peaks = {name: peak_gflops(dtype) for name, dtype in DTYPES.items()}
    config = load_scorer(model).config
    flops = pair_flops(
        lengths, config.num_hidden_layers, config.hidden_size, config.intermediate_size
    )
    p5, p50, p95 = np.percentile(lengths, (5, 50, 95))
    return [
        "# Engines: pairs scored per second on a CPU",
        "",
        f"{requests} requests of 10 to 50 documents, {len(lengths)} pairs of "
        f"{statistics.fmean(lengths):.0f} tokens (p5 {p5:.0f}, p50 {p50:.0f}, p95 {p95:.0f}), "
        f"generated; one request at a time, tokenisation included, {THREADS} threads: the peers' "
        "inside each layer, ours with half of the request each, as the server does. "
        "Weights: all-MiniLM-L6-v2 with a scalar head of a fixed seed, the same for all. "
        f"Engines take turns every {SLICE} requests; ratios are medians over {rounds} rounds "
        "of the ratio within a round, [lowest..highest]. Ratios by processor time hold on a "
        "busy machine as well; those by the clock need a quiet one.",
        "",
        *_speed_table(found, len(lengths), flops, peaks),
        "",
        *_goals(found),
        "",
        f"A pair takes {flops / 1e9:.3f} GFLOP, counted with every layer whole; the packed "
        "engine computes about an eighth less, the last layer being for [CLS] rows only. "
        "Shares are of the best rate of large products through oneDNN, measured after the rounds: "
        f"fp32 {peaks['fp32']:.0f}, bf16 {peaks['bf16']:.0f} GFLOP per CPU second. CrossEncoder is "
        "as it comes, with its batch of 32, sorted by length; OpenVINO is fed buckets of like "
        "length of at most 2,048 padded tokens.",
    ]


def _speed_table(
    found: Mapping[str, list[Run]], pairs: int, flops: float, peaks: Mapping[str, float]
) -> Iterator[str]:
    first = found["CrossEncoder fp32"]
    expected = [np.array(scores) for scores in first[0].scores]
    yield (
        "| engine | pairs/s | ratio | pairs per CPU second | ratio | share of peak | max error "
        "| Kendall tau (lowest) | same first |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, runs in found.items():
        agreed = agreement(expected, [np.array(scores) for scores in runs[0].scores])
        rate = statistics.median(pairs / run.seconds for run in runs)
        per_cpu = statistics.median(pairs / run.cpu_seconds for run in runs)
        share = per_cpu * flops / 1e9 / peaks["bf16" if "bf16" in name else "fp32"]
        yield (
            f"| {name} | {rate:.0f} | {_ratio(first, runs, 'seconds')} "
            f"| {per_cpu:.0f} | {_ratio(first, runs, 'cpu_seconds')} | {share:.0%} "
            f"| {agreed.max_error:.1e} | {agreed.kendall_tau:.4f} ({agreed.lowest_tau:.3f}) "
            f"| {agreed.top_1:.1%} |"
        )


def _ratio(slow: Sequence[Run], quick: Sequence[Run], by: str) -> str:
    ratios = [getattr(a, by) / getattr(b, by) for a, b in zip(slow, quick, strict=True)]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]"


def _goals(found: Mapping[str, list[Run]]) -> Iterator[str]:
    yield "| goal | by the clock | by processor time |"
    yield "|---|---|---|"
    for goal, slow, quick in (
        ("packed fp32 >= 3.3x CrossEncoder", "CrossEncoder fp32", "**packed fp32**"),
        ("packed fp32 >= 1.2x OpenVINO fp32", "OpenVINO fp32", "**packed fp32**"),
        ("packed bf16 >= 5x CrossEncoder", "CrossEncoder fp32", "**packed bf16**"),
        ("packed bf16 >= 1.1x OpenVINO bf16", "OpenVINO bf16", "**packed bf16**"),
    ):
        by_clock = _ratio(found[slow], found[quick], "seconds")
        yield f"| {goal} | {by_clock} | {_ratio(found[slow], found[quick], 'cpu_seconds')} |"


def _trained() -> list[str]:
    """Return how bf16 agrees with fp32 on a trained student."""
    if not COLLECTION.is_dir():
        return ["The trained student was not measured: its collection is not there."]
    student, lists = trained_student(), lists_to_rank()
    measured = _agreement_of(student, lists)
    return [
        "## bf16 on a trained student",
        "",
        "A random head spreads a query's scores over rounding, so whether bf16 ranks alike is "
        "asked of a trained student: MiniLM fine-tuned on judgments of Vaswani "
        f"(`rank_engine_student.py`), {len(lists)} lists of {len(lists[0].documents)} documents.",
        "",
        "| lists | max error | Kendall tau, mean (lowest) | same first document |",
        "|---|---|---|---|",
        f"| {measured.lists} | {measured.max_error:.1e} | {measured.kendall_tau:.4f} "
        f"({measured.lowest_tau:.3f}) | {measured.top_1:.2%} |",
    ]


def _agreement_of(student: Path, lists: Sequence[RankingList]) -> Agreement:
    expected, found = (
        [score_texts(ranker, each.query, each.documents).values for each in lists]
        for ranker in (load_ranker(student), load_ranker(in_bf16(student)))
    )
    return agreement(expected, found)


def _chunks() -> list[str]:
    """Return pairs per CPU second by the size of a chunk."""
    pairs = workload_pairs(workload(load_tokenizer(seeded_model()), 10))
    weights = encoder_weights(load_scorer(seeded_model()))
    engines = {
        name: PackedEngine(weights, dtype, onednn_linear, name) for name, dtype in DTYPES.items()
    }
    best = {(name, size): float("inf") for name in engines for size in CHUNKS}
    kept = packed.CHUNK_TOKENS
    for _ in range(4):
        for name, size in best:
            packed.CHUNK_TOKENS = size
            began = time.process_time()
            engines[name].scores(pairs)
            best[name, size] = min(best[name, size], time.process_time() - began)
    packed.CHUNK_TOKENS = kept
    return [
        "## Tokens per chunk",
        "",
        f"Pairs per CPU second of the forward pass, {len(pairs)} pairs, best of 4. "
        f"The engine takes {kept:,}.",
        "",
        f"| | {' | '.join(f'{size:,}' for size in CHUNKS)} |",
        f"|---{'|---' * len(CHUNKS)}|",
        *(
            f"| {name} | {' | '.join(f'{len(pairs) / best[name, size]:.0f}' for size in CHUNKS)} |"
            for name in engines
        ),
    ]


def _layers() -> list[str]:
    """Return the rate of a linear layer of MiniLM's shape: torch's own and through oneDNN."""
    affine = Affine(torch.ones((1_536, 384)), torch.ones(1_536))
    rows = (32, 256, 1_024)
    lines = [
        "## One linear layer",
        "",
        "384 to 1,536, GFLOP/s, best of 50: torch's own -> through oneDNN, weights reordered.",
        "",
        f"| rows | {' | '.join(map(str, rows))} |",
        f"|---{'|---' * len(rows)}|",
    ]
    for name, dtype in DTYPES.items():
        cells = []
        for count in rows:
            inputs = torch.ones((count, 384), dtype=dtype)
            rates = []
            for make in (plain_linear, onednn_linear):
                linear, best = make(affine, "", dtype), float("inf")
                for _ in range(50):
                    began = time.perf_counter()
                    linear(inputs)
                    best = min(best, time.perf_counter() - began)
                rates.append(2 * count * 384 * 1_536 / best / 1e9)
            cells.append(f"{rates[0]:.0f} -> {rates[1]:.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(speeds(*map(int, sys.argv[1:]))))
