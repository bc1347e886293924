"""classify: its data, its epochs, and how it predicts, with the real parts and small models."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from seqloom.data.batch import padding_share
from seqloom.data.records import Records
from seqloom.data.tokenizers.base import PAD, UNKNOWN
from seqloom.errors import DataError
from seqloom.tasks.classify import Classify, ClassifySettings, TrainingEpoch

GOOD, BAD = ("good", "great", "warm", "좋은", "훌륭하다"), ("bad", "dull", "cold", "나쁜", "지루하다")
REST = ("the", "film", "was", "and", "very", "영화", "정말", "배우가")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def reviews(count: int, seed: int = 1, labels: tuple[str, str] = ("나쁨", "good"), longest: int = 14) -> Records:
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        side = draw.randrange(2)
        words = [draw.choice(REST) for _ in range(draw.randint(0, longest))] + [draw.choice((BAD, GOOD)[side])]
        draw.shuffle(words)
        rows.append((" ".join(words), labels[side]))
    columns = {"review": [text for text, _ in rows], "mood": [label for _, label in rows]}
    return Records("reviews.csv", columns, list(range(2, count + 2)), format="csv")


def fitted(records: Records, **changed: Any) -> Classify:
    small = {
        "cell": "gru",
        "hidden": 5,
        "embedding": 4,
        "batch": 8,
        "min_frequency": 1,
        "text": "review",
        "label": "mood",
    }
    task = Classify(ClassifySettings.parse(small | changed))
    task.fit(task.check(records, use="train"))
    return task


# --- data -------------------------------------------------------------------------------------------------------------


def test_columns_that_were_not_found_are_named() -> None:
    records = reviews(5)
    for settings, told in (({}, "the text"), ({"text": "review"}, "the label")):
        with pytest.raises(DataError, match=f"no column was found that could be {told}") as refused:
            Classify(ClassifySettings.parse(settings)).check(records)
        assert "review, mood" in str(refused.value)
    assert Classify(ClassifySettings.parse({"text": "review"})).check(records, use="predict") is records


def test_labels_that_are_numbers_stand_in_their_order() -> None:
    records = reviews(12)
    written = ["10", "9", "-1", "2.5", "good", "a", "10", "9", "-1", "2.5", "good", "a"]
    task = fitted(Records("x.csv", records.columns | {"mood": written}, records.lines, format="csv"))
    assert task.labels == ["-1", "2.5", "9", "10", "a", "good"]
    assert task.encode(records_with(records, written)).targets.tolist() == [3, 2, 0, 1, 5, 4] * 2


def records_with(records: Records, labels: list[str]) -> Records:
    return Records(records.file, records.columns | {"mood": labels}, records.lines, format="csv")


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [("a fine film of words", "word"), ("정말로 좋은 영화였다", "bpe"), ("영화 was fine and warm", "word")],
)
def test_the_text_chooses_the_tokenizer(text: str, tokenizer: str) -> None:
    records = Records("x.csv", {"review": [text + f" {n}" for n in range(6)], "mood": list("ababab")}, [2] * 6)
    task = fitted(records, vocabulary=400)
    assert task.tokenizer.name == task.settings.tokenizer == tokenizer
    assert fitted(records, tokenizer="char").tokenizer.name == "char"


def test_the_split_keeps_labels_apart_and_all_records() -> None:
    records = reviews(200)
    task = fitted(records, split=0.2)
    train, valid, how = task.split(records)
    assert len(train) + len(valid) == 200
    assert 36 <= len(valid) <= 44
    assert "20%" in how
    assert "seed 1" in how
    assert not set(train.columns["review"]) & set(valid.columns["review"])
    whole, same, how = fitted(records, split=0).split(records)
    assert whole is same is records
    assert how.startswith("none")


def test_unknown_tokens_are_counted_and_empty_texts_are_one_unknown() -> None:
    task = fitted(reviews(60))
    arrays, unknown = task._arrays(["good zebra 얼룩말 film", "", "   ", "good"])
    assert unknown == 2
    assert [array.tolist().count(UNKNOWN) for array in arrays] == [2, 1, 1, 0]
    assert [len(array) for array in arrays] == [4, 1, 1, 1]


def test_saved_and_loaded_it_prepares_the_same(tmp_path: Path) -> None:
    task = fitted(reviews(40), tokenizer="jamo")
    task.save(tmp_path)
    again = Classify.load(task.settings, tmp_path)
    assert again.labels == task.labels
    one, other = task.encode(reviews(30, 2)), again.encode(reviews(30, 2))
    assert [array.tolist() for array in one.arrays] == [array.tolist() for array in other.arrays]
    assert one.targets.tolist() == other.targets.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.json", "tokenizer.json"]


# --- epochs -----------------------------------------------------------------------------------------------------------


def epochs(**changed: Any) -> tuple[Classify, Any]:
    records = reviews(150, longest=40)
    task = fitted(records, **({"max_length": 9, "token_dropout": 0.0} | changed))
    return task, task.encode(records)


def test_an_epoch_has_every_example_once_and_another_order_each_time() -> None:
    task, examples = epochs()
    one, two = task.epoch(examples, 0), task.epoch(examples, 1)
    assert len(one) == -(-150 // 8) == len(two)
    for batches in (one, two):
        seen = np.concatenate([batch.indices for batch in batches])
        assert sorted(seen.tolist()) == list(range(150))
    assert [batch.indices.tolist() for batch in one] != [batch.indices.tolist() for batch in two]


def test_a_batch_is_a_function_of_seed_epoch_and_place_alone() -> None:
    task, examples = epochs(token_dropout=0.3)
    backwards = [task.epoch(examples, 3)[place] for place in reversed(range(19))][::-1]
    for batch, again in zip(task.epoch(examples, 3), backwards, strict=True):
        assert torch.equal(batch.inputs, again.inputs)
        assert torch.equal(batch.targets, again.targets)
    other, _ = epochs(token_dropout=0.3, seed=2)
    assert any(
        batch.inputs.shape != again.inputs.shape or not torch.equal(batch.inputs, again.inputs)
        for batch, again in zip(other.epoch(examples, 3), backwards, strict=True)
    )


def test_long_texts_are_stretches_of_themselves_and_every_part_comes_up() -> None:
    task, examples = epochs()
    starts: set[int] = set()
    long = int(examples.lengths.argmax())
    for number in range(300):
        for batch in task.epoch(examples, number):
            for index, row, length, target in zip(
                batch.indices, batch.inputs.tolist(), batch.lengths.tolist(), batch.targets.tolist(), strict=True
            ):
                whole = examples.arrays[index].tolist()
                assert length == min(len(whole), 9)
                assert not any(row[length:])
                places = [at for at in range(len(whole) - length + 1) if whole[at : at + length] == row[:length]]
                assert places
                assert target == examples.targets[index]
                if index == long:
                    starts.update(places)
    assert {0, len(examples.arrays[long]) - 9} <= starts


def test_dropped_tokens_are_unknown_and_padding_stays() -> None:
    task, examples = epochs(token_dropout=0.25)
    plain, _ = epochs()
    dropped = total = 0
    for number in range(5):
        for batch, whole in zip(task.epoch(examples, number), plain.epoch(examples, number), strict=True):
            changed = batch.inputs != whole.inputs
            assert (batch.inputs[changed] == UNKNOWN).all()
            assert (batch.inputs[whole.inputs == PAD] == PAD).all()
            dropped += int(changed.sum())
            total += int((whole.inputs != PAD).sum())
    assert abs(dropped / total - 0.25) < 0.03


def test_padding_stays_small() -> None:
    records = reviews(600, longest=60)
    task = fitted(records, max_length=400)
    epoch = task.epoch(task.encode(records), 0)
    assert isinstance(epoch, TrainingEpoch)
    assert padding_share(epoch.lengths, epoch.order) < 0.15


# --- model ------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_sum_over_the_batch_with_its_gradient() -> None:
    task, examples = epochs()
    model = task.build().eval()
    batch = task.epoch(examples, 0)[0]
    loss = task.loss(model, batch, ())
    scores = model(batch.inputs, batch.lengths).detach()
    by_hand = -sum(float(scores[row].log_softmax(0)[target]) for row, target in enumerate(batch.targets.tolist()))
    assert float(loss.sum.detach()) == pytest.approx(by_hand, rel=1e-5)
    assert loss.count == len(batch.targets)
    assert int(loss.correct) == int((scores.argmax(1) == batch.targets).sum())
    assert loss.carried == ()
    loss.sum.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_evaluation_reads_texts_whole_up_to_twice_the_length_and_then_both_ends() -> None:
    records = reviews(90, longest=40)
    task = fitted(records, max_length=9)
    model = task.build().eval()
    examples = task.encode(records)
    nats = right = 0.0
    with torch.no_grad():
        for array, target in zip(examples.arrays, examples.targets.tolist(), strict=True):
            seen = array if len(array) <= 18 else np.concatenate([array[:9], array[-9:]])
            scores = model(torch.tensor(seen[None], dtype=torch.long), torch.tensor([len(seen)]))
            nats += float(cross_entropy(scores, torch.tensor([target])))
            right += int(scores.argmax()) == target
    assert (examples.lengths > 18).any()
    evaluation = task.evaluate(model, examples)
    assert evaluation.metrics["loss"] == pytest.approx(nats / 90, rel=1e-5)
    assert evaluation.metrics["accuracy"] == pytest.approx(right / 90)
    assert evaluation.count == 90
    assert evaluation.details == {}
    assert task.evaluate(model, examples, details=True).details.keys() == {"confusion", "per_label", "mistakes"}


def test_predictions_are_distributions_over_the_labels_in_the_order_of_the_texts() -> None:
    records = reviews(60)
    task = fitted(records)
    model = task.build().eval()
    texts = [*records.columns["review"], "", "얼룩말 🦓 zebra"]
    found, unknown = task.predict(model, texts)
    assert unknown == 3
    for text, prediction in zip(texts, found, strict=True):
        assert list(prediction["probabilities"]) == task.labels
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert prediction["probability"] == max(prediction["probabilities"].values())
        assert prediction["probabilities"][prediction["label"]] == prediction["probability"]
        (alone,), _ = task.predict(model, [text])
        assert alone["probability"] == pytest.approx(prediction["probability"], abs=2e-6)
    assert task.predict(model, []) == ([], 0)


def test_a_label_that_training_did_not_see_is_an_error_with_its_line() -> None:
    task = fitted(reviews(40))
    records = reviews(10, 3)
    records.columns["mood"][4] = "goood"
    with pytest.raises(DataError) as refused:
        task.encode(records)
    assert (refused.value.code, refused.value.line) == ("D045", 6)
    assert 'did you mean "good"' in str(refused.value)


def test_the_error_is_that_of_a_share() -> None:
    task = fitted(reviews(60))
    evaluation = task.evaluate(task.build().eval(), task.encode(reviews(60)))
    share = evaluation.metrics["accuracy"]
    assert task.error(evaluation) == pytest.approx(1.96 * (share * (1 - share) / 60) ** 0.5)


def test_baselines_see_the_same_records() -> None:
    records = reviews(300)
    task = fitted(records)
    train, valid, _ = task.split(records)
    ngrams, majority = task.baselines(train, valid, seconds=None)
    labels = valid.columns["mood"]
    most = max(set(train.columns["mood"]), key=train.columns["mood"].count)
    assert majority.value == pytest.approx(labels.count(most) / len(labels))
    assert ngrams.value > 0.9 > majority.value
    assert ngrams.loss is not None
    assert majority.loss is not None
    assert ngrams.loss < majority.loss


def test_it_says_what_it_is_and_what_comes_next() -> None:
    task = fitted(reviews(60), cell="lstm", layers=2, bidirectional=True)
    assert task.describe() == f"lstm 2 x 5, both directions, over {len(task.tokenizer)} words"
    assert task.next_command(Path("runs/x")) == "predict runs/x FILE"


# --- mixed with n-grams -----------------------------------------------------------------------------------------------


def mixed(folder: Path, **changed: Any) -> tuple[Classify, Any, Any]:
    """A task whose network knows nothing and whose bag of n-grams knows everything, with its model and examples."""
    records = reviews(300)
    task = fitted(records, **changed)
    train, valid, _ = task.split(records)
    task.baselines(train, valid, seconds=None)
    task.save(folder)
    task.save_baselines(folder)
    model = task.build().eval()
    examples = task.encode(valid)
    task.calibrate(model, examples, folder)
    return task, model, examples


def test_the_network_answers_alone_until_the_shares_are_learnt(tmp_path: Path) -> None:
    records = reviews(300)
    task = fitted(records)
    model = task.build().eval()
    examples = task.encode(records)
    before = task.evaluate(model, examples).metrics
    train, valid, _ = task.split(records)
    task.baselines(train, valid, seconds=None)
    assert task.evaluate(model, examples).metrics == before
    assert "network_accuracy" not in before
    task.calibrate(model, task.encode(valid), tmp_path)
    after = task.evaluate(model, examples).metrics
    assert after["network_accuracy"] == before["accuracy"]
    assert after["accuracy"] > 0.9 > before["accuracy"]


def test_mixed_probabilities_are_the_pool_of_the_two(tmp_path: Path) -> None:
    task, model, examples = mixed(tmp_path)
    shares = json.loads((tmp_path / "mixture.json").read_text("utf-8"))
    assert shares.keys() == {"network", "ngrams"}
    assert shares["ngrams"] > 0.5
    assert task.mixture.bag is not None
    network, bag = task._network(model, examples.arrays), task.mixture.bag.probabilities(examples.texts)
    powers = network ** shares["network"] * bag ** shares["ngrams"]
    expected = powers / powers.sum(axis=1, keepdims=True)
    found, _ = task.predict(model, examples.texts)
    np.testing.assert_allclose([list(each["probabilities"].values()) for each in found], expected, atol=1e-6)
    assert task.describe().endswith("words and n-grams")


def test_a_mixture_is_saved_and_loaded(tmp_path: Path) -> None:
    task, model, examples = mixed(tmp_path)
    names = ["labels.json", "mixture.json", "ngrams.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    again = Classify.load(task.settings, tmp_path)
    assert again.evaluate(model, examples).metrics == task.evaluate(model, examples).metrics
    assert again.predict(model, ["좋은 film", ""]) == task.predict(model, ["좋은 film", ""])


def test_a_training_that_goes_on_judges_the_network_alone(tmp_path: Path) -> None:
    task, model, examples = mixed(tmp_path)
    again = Classify.load(task.settings, tmp_path)
    again.forget_calibration()
    assert again.mixture.bag is not None
    alone = again.evaluate(model, examples).metrics
    assert alone["accuracy"] == task.evaluate(model, examples).metrics["network_accuracy"]


def test_a_mixture_can_be_left_out(tmp_path: Path) -> None:
    task, model, examples = mixed(tmp_path, ngrams=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.json", "tokenizer.json"]
    assert "network_accuracy" not in task.evaluate(model, examples).metrics
    assert task.describe().endswith("words")


def test_a_damaged_mixture_is_told(tmp_path: Path) -> None:
    task, _, _ = mixed(tmp_path)
    (tmp_path / "ngrams.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(ValueError, match=r"ngrams\.safetensors"):
        Classify.load(task.settings, tmp_path)
    (tmp_path / "ngrams.safetensors").unlink()
    assert Classify.load(task.settings, tmp_path).mixture.bag is None
