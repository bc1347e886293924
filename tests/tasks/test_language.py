"""language: its streams and windows, its figures, and the text it writes."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from seqloom import parts
from seqloom.data.records import Records, Reject
from seqloom.data.tokenizers.base import UNKNOWN
from seqloom.errors import DataError
from seqloom.tasks.language import SAMPLE_LENGTH, Language, LanguageSettings

TEXT = (
    "옛날 어느 마을에 the old clock 하나가 있었다.\n그 시계는 every evening 같은 노래를 불렀다.\n"
    "값이 없는 것이 가장 좋은 것이라고 사람들은 말했다, and they laughed.\n"
) * 6


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def lines(text: str = TEXT) -> Records:
    written = text.split("\n")
    return Records("글.txt", {"text": written}, list(range(1, len(written) + 1)), format="txt")


def fitted(text: str = TEXT, **changed: Any) -> Language:
    small = {"cell": "gru", "hidden": 6, "embedding": 4, "layers": 2, "batch": 4, "window": 16}
    task = Language(LanguageSettings.parse(small | changed))
    task.fit(task.check(lines(text), use="train"))
    return task


# --- data -------------------------------------------------------------------------------------------------------------


def test_a_table_needs_the_name_of_its_text() -> None:
    table = Records("시.csv", {"title": ["a", "b"], "poem": ["가나다", "라마바"]}, [2, 3], format="csv")
    with pytest.raises(DataError, match="no column was found") as refused:
        Language(LanguageSettings()).check(table)
    assert "title, poem" in str(refused.value)
    checked = Language(LanguageSettings.parse({"text": "poem"})).check(table)
    assert checked.columns == {"text": ["가나다", "라마바"]}


@pytest.mark.parametrize("share", [0.1, 0.37, 0.9])
def test_the_end_of_the_text_is_split_off_and_nothing_is_lost(share: float) -> None:
    task = fitted(split=share)
    train, valid, how = task.split(task.check(lines()))
    (first,), (last,) = task.inputs(train), task.inputs(valid)
    assert first + last == TEXT
    assert len(last) == pytest.approx(share * len(TEXT), abs=1)
    assert f"{share:.0%}" in how


def test_rows_that_were_left_out_stay_known_after_the_split() -> None:
    reject = Reject(3, "D012", "ragged", "a,b,c")
    train, _, _ = fitted(split=0.2).split(replace(lines(), rejects=(reject,)))
    assert train.rejects == (reject,)


def test_nothing_is_split_off_with_a_share_of_zero() -> None:
    records = lines()
    train, valid, how = fitted(split=0).split(records)
    assert train is valid is records
    assert how.startswith("none")


@pytest.mark.parametrize(("stride", "least"), [(0, 20), (3, 17)])
def test_a_text_that_is_too_short_is_refused(stride: int, least: int) -> None:
    task = fitted(stride=stride)
    assert len(task.encode(lines(TEXT[:least])).arrays[0]) == least
    with pytest.raises(DataError, match=f"{least - 1} characters; at least {least} are needed") as refused:
        task.encode(lines(TEXT[: least - 1]))
    assert refused.value.code == "D046"


def test_unknown_tokens_are_counted() -> None:
    examples = fitted().encode(lines("뷁" + TEXT[:30] + "🙂뷁"))
    assert examples.unknown == 3
    assert examples.tokens == 33


def test_saved_and_loaded_it_prepares_the_same(tmp_path: Path) -> None:
    task = fitted(tokenizer="bpe", vocabulary=300)
    task.save(tmp_path)
    again = Language.load(task.settings, tmp_path)
    assert again.encode(lines()).arrays[0].tolist() == task.encode(lines()).arrays[0].tolist()


# --- epochs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "window"), [(4, 16), (3, 7), (1, 50), (32, 128), (500, 500)])
@pytest.mark.parametrize("length", [20, 21, 57, len(TEXT)])
def test_streams_go_on_where_they_stopped(batch: int, window: int, length: int) -> None:
    task = fitted(batch=batch, window=window)
    examples = task.encode(lines(TEXT[:length]))
    tokens = examples.arrays[0]
    numbers = replace(examples, arrays=[np.arange(len(tokens), dtype=np.int32)])  # a token that says its place
    steps = set()
    for number in range(12):
        epoch = task.epoch(numbers, number)
        steps.add(len(epoch))
        rows = np.concatenate([inputs for inputs, _ in epoch], axis=1)
        assert rows.shape[0] <= batch
        assert max(inputs.shape[1] for inputs, _ in epoch) <= window
        for inputs, targets in epoch:
            assert np.array_equal(targets, inputs + 1)
        assert (np.diff(rows, axis=1) == 1).all()
        flat = rows.flatten()
        assert len(set(flat.tolist())) == len(flat)  # no token twice in an epoch
        assert flat[-1] + 1 < len(tokens)
    assert len(steps) == 1  # a training of N epochs knows its number of steps


def test_long_texts_are_read_nearly_whole_and_cut_elsewhere_each_epoch() -> None:
    task = fitted()
    examples = task.encode(lines())
    assert examples.tokens > 600
    cuts = {task.epoch(examples, number)[0][0][0].tobytes() for number in range(10)}
    assert len(cuts) > 5
    for number in range(10):
        read = sum(targets.size for _, targets in task.epoch(examples, number))
        assert read >= examples.tokens - task.settings.window - 2 * task.settings.batch
    again = [pair[0].tolist() for pair in task.epoch(examples, 3)]
    assert again == [pair[0].tolist() for pair in task.epoch(examples, 3)]


def test_windows_of_a_stride_come_each_once_in_another_order() -> None:
    task = fitted(stride=3, window=10, batch=7)
    examples = task.encode(lines(TEXT[:100]))
    tokens = examples.arrays[0]
    wanted = sorted(tokens[at : at + 11].tolist() for at in range(0, len(tokens) - 10, 3))
    orders = []
    for number in (0, 1):
        rows = [
            [*one, other[-1]]
            for inputs, targets in task.epoch(examples, number)
            for one, other in zip(inputs.tolist(), targets.tolist(), strict=True)
        ]
        assert sorted(rows) == wanted
        orders.append(rows)
    assert orders[0] != orders[1]


def test_the_state_is_carried_between_streams_and_not_between_windows() -> None:
    for stride, carried in ((0, 2), (5, 0)):
        task = fitted(stride=stride)
        examples = task.encode(lines())
        model = task.build()
        batch = task.epoch(examples, 0)[0]
        loss = task.loss(model, batch, ())
        assert len(loss.carried) == carried
        assert not any(tensor.requires_grad for tensor in loss.carried)
        scores, state = model.eval()(torch.tensor(batch[0].astype(np.int64)))
        task.settings = task.settings.model_copy(update={"dropout": 0.0})
        again = task.loss(model, batch, ())
        by_hand = cross_entropy(
            scores.flatten(0, 1), torch.tensor(batch[1].astype(np.int64)).flatten(), reduction="sum"
        )
        assert float(again.sum.detach()) == pytest.approx(float(by_hand.detach()), rel=1e-6)
        assert again.count == batch[1].size
        if carried:
            following = task.epoch(examples, 0)[1]
            on = task.loss(model, following, again.carried)
            scores, _ = model(torch.tensor(following[0].astype(np.int64)), state)
            wanted = cross_entropy(
                scores.flatten(0, 1), torch.tensor(following[1].astype(np.int64)).flatten(), reduction="sum"
            )
            assert float(on.sum.detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)


# --- judging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", parts.names("tokenizers"))
def test_the_figures(tokenizer: str) -> None:
    task = fitted(tokenizer=tokenizer, vocabulary=300)
    model = task.build().eval()
    examples = task.encode(lines())
    tokens = torch.tensor(examples.arrays[0][None].astype(np.int64))
    with torch.no_grad():
        nats = float(cross_entropy(model(tokens[:, :-1])[0][0], tokens[0, 1:]))
    found = task.evaluate(model, examples)
    characters = len(task.tokenizer.normalize(TEXT))
    assert found.count == examples.tokens - 1
    assert found.metrics["loss"] == pytest.approx(nats, rel=1e-4)
    assert found.metrics["perplexity"] == pytest.approx(exp(nats), rel=1e-3)
    assert found.metrics["nats_per_character"] == pytest.approx(nats * examples.tokens / characters, rel=1e-4)
    assert found.metrics["bits_per_character"] == pytest.approx(found.metrics["nats_per_character"] / log(2))


def test_the_figures_of_windows_count_each_window() -> None:
    task = fitted(stride=4, window=9)
    model = task.build().eval()
    tokens = task.encode(lines()).arrays[0].astype(np.int64)
    nats, right, count = 0.0, 0, 0
    with torch.no_grad():
        for start in range(0, len(tokens) - 9, 4):
            inputs, targets = torch.tensor(tokens[start : start + 9]), torch.tensor(tokens[start + 1 : start + 10])
            scores = model(inputs[None])[0][0]
            nats += float(cross_entropy(scores, targets, reduction="sum"))
            right += int((scores.argmax(1) == targets).sum())
            count += 9
    found = task.evaluate(model, task.encode(lines()))
    assert found.count == count
    assert found.metrics["loss"] == pytest.approx(nats / count, rel=1e-5)
    assert found.metrics["accuracy"] == pytest.approx(right / count)


def test_samples_begin_with_the_text_and_are_the_same_each_time() -> None:
    task = fitted()
    model = task.build().eval()
    examples = task.encode(lines())
    samples = task.evaluate(model, examples, details=True).details["samples"]
    assert samples == task.evaluate(model, examples, details=True).details["samples"]
    assert [sample["temperature"] for sample in samples] == [0.5, 0.8, 1.0]
    for sample in samples:
        assert TEXT.startswith(sample["prompt"])
        assert len(sample["text"]) == SAMPLE_LENGTH
    assert len({sample["text"] for sample in samples}) == 3


def test_baselines_are_the_better_one_first_and_say_when_they_saw_less() -> None:
    task = fitted(split=0.2)
    train, valid, _ = task.split(lines(TEXT * 3))
    kneser_ney, unigram = task.baselines(train, valid, seconds=None)
    assert kneser_ney.value < unigram.value
    assert (kneser_ney.note, kneser_ney.value) == (None, kneser_ney.loss)
    cut, _ = task.baselines(train, valid, seconds=0.0006)
    assert cut.note == "counted on the last 300 tokens"
    assert cut.value > kneser_ney.value


# --- using ------------------------------------------------------------------------------------------------------------


def test_how_likely_a_text_is() -> None:
    task = fitted()
    model = task.build().eval()
    texts = ["옛날 어느 마을에", "뷁 the", "값", ""]
    found, unknown = task.predict(model, texts)
    assert unknown == 1
    for text, prediction in zip(texts, found, strict=True):
        tokens = torch.tensor(task.tokenizer.encode(text or "\n").astype(np.int64))
        with torch.no_grad():
            scores = model(tokens[None])[0][0]
        assert prediction["tokens"] == len(tokens)
        likely = scores[-1].softmax(0).topk(3)
        assert list(prediction["next"].values()) == pytest.approx(likely.values.tolist(), abs=1e-5)
        if len(tokens) > 1:
            nats = float(cross_entropy(scores[:-1], tokens[1:]))
            assert prediction["loss"] == pytest.approx(nats, rel=1e-4)
            assert prediction["perplexity"] == pytest.approx(exp(nats), rel=1e-3)
        else:
            assert prediction["loss"] is prediction["perplexity"] is None


@pytest.mark.parametrize("tokenizer", parts.names("tokenizers"))
def test_it_writes_what_it_draws_and_never_the_unknown(tokenizer: str) -> None:
    task = fitted(tokenizer=tokenizer, vocabulary=300)
    model = task.build().eval()
    with torch.no_grad():
        model.output.bias[:2] += 50.0  # padding and unknown are by far the likeliest
    pieces = list(task.generate(model, "옛날 ", length=50, seed=3))
    assert "".join(pieces) == "".join(task.generate(model, "옛날 ", length=50, seed=3))
    assert all(pieces)
    if tokenizer == "char":
        assert len("".join(pieces)) == 50
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)


@pytest.mark.parametrize("prompt", ["", "🙂", " "])
def test_any_prompt_will_do(prompt: str) -> None:
    one_line = "여기에는 줄바꿈이없다 " * 5
    task = fitted(one_line, tokenizer="word")
    tokens = task._prompt(prompt)
    assert tokens.tolist() == [UNKNOWN]  # no line break and no such word are known
    assert "".join(task.generate(task.build().eval(), prompt, length=5, seed=1)).split()
    assert fitted()._prompt("").tolist() == fitted().tokenizer.encode("\n").tolist()


def test_it_says_what_it_is_and_what_comes_next() -> None:
    task = fitted(cell="lstm")
    assert task.describe() == f"lstm 2 x 6 over {len(task.tokenizer)} characters"
    assert task.next_command(Path("runs/x")) == 'generate runs/x --prompt "..."'
