"""Self-critical training: the reward is CIDEr-D, and what is rewarded becomes likelier."""

import numpy as np
import pytest
import torch
from pycocoevalcap.cider.cider import Cider

from model.batches import collate
from model.config import TrainingConfig
from model.decoding import NEVER_WRITTEN
from model.self_critical import CiderScorer, bare, captions_of_images, sample_captions, self_critical
from model.training_loop import TrainingState, ignore_step, make_optimizer, reinforced_loss, token_loss, train_epoch
from model.vocabulary import END, PAD, START, UNKNOWN
from tests.unit.tiny_captioner import VOCABULARY, quick_training, stroke_batch, stroke_samples, tiny_captioner

WORDS = ["a", "dog", "runs", "over", "the", "hill", "while", "two", "children", "watch", "it", "from", "their", "boat"]


def sentences(count: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, len(WORDS), size=rng.integers(1, 14)).tolist() for _ in range(count)]


def text(tokens: list[int]) -> str:
    return " ".join(WORDS[token] for token in tokens)


def test_the_reward_is_cider_as_others_compute_it() -> None:
    references = {image: sentences(1 + image % 5, seed=image) for image in range(12)}
    captions = {image: sentences(1, seed=100 + image)[0] for image in range(12)}
    captions[3] = references[3][0]
    scorer = CiderScorer(references.values())
    ours = [scorer.score([captions[image]], references[image])[0] for image in range(12)]
    _, theirs = Cider().compute_score(
        {image: [text(one) for one in known] for image, known in references.items()},
        {image: [text(one)] for image, one in captions.items()},
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert max(ours) > 1


def test_samples_follow_each_other_by_image_and_end_once() -> None:
    images = 1 - stroke_batch(3).images.float() / 255
    torch.manual_seed(0)
    tokens = sample_captions(tiny_captioner().eval(), images, num_samples=4, max_tokens=6)
    assert tokens.shape[0] == 12
    assert tokens.shape[1] <= 7
    assert len({tuple(caption) for caption in tokens.tolist()}) > 6
    for caption in tokens.tolist():
        assert caption[0] == START
        written = [token for token in caption[1:] if token != PAD]
        assert END not in written[:-1]
        assert caption[1 : 1 + len(written)] == written
    likeliest = sample_captions(_sure_captioner(), images, num_samples=4, max_tokens=6)
    assert {tuple(caption) for caption in likeliest.tolist()} == {(START, *VOCABULARY.encode(["c"]) * 6)}


def _sure_captioner() -> torch.nn.Module:
    """A captioner that always writes c."""
    captioner = tiny_captioner().eval()
    with torch.no_grad():
        captioner.decoder.output.bias[VOCABULARY.encode(["c"])[0]] = 1e4
    return captioner


def cider_training(**changes: object) -> TrainingConfig:
    return quick_training(objective="cider", start_from="pretrained", **changes)


def test_an_advantage_is_what_a_sample_has_over_its_images_others() -> None:
    batch = stroke_batch(6)
    scorer = CiderScorer(captions_of_images(batch))
    captioner = tiny_captioner()
    captioner.train()
    torch.manual_seed(0)
    (reinforced,) = self_critical([batch], captioner, scorer, cider_training(num_samples=3), max_tokens=6)
    assert not captioner.training  # dropout would make another network learn than the one that wrote
    assert reinforced.image_indices.tolist() == [image for image in range(6) for _ in range(3)]
    assert reinforced.images is batch.images
    advantages = reinforced.advantages.view(6, 3)
    torch.testing.assert_close(advantages.sum(dim=1), torch.zeros(6), atol=1e-5, rtol=0)
    rewards = torch.tensor(
        [
            scorer.score([[token for token in caption if token not in (START, PAD)]], references)[0]
            for references, captions in zip(
                captions_of_images(batch), reinforced.tokens.view(6, 3, -1).tolist(), strict=True
            )
            for caption in captions
        ]
    ).view(6, 3)
    expected = rewards[:, 0] - rewards[:, 1:].mean(dim=1)
    torch.testing.assert_close(advantages[:, 0], expected)
    assert expected.abs().max() > 0


def test_an_images_own_captions_follow_the_sampled_ones_with_a_weight_of_their_own() -> None:
    batch = stroke_batch(6)
    training = cider_training(num_samples=3, reference_weight=0.25)
    torch.manual_seed(0)
    scorer = CiderScorer(captions_of_images(batch))
    (reinforced,) = self_critical([batch], tiny_captioner(), scorer, training, max_tokens=3)
    num_own = len(batch.tokens)
    assert reinforced.image_indices.tolist() == [image for image in range(6) for _ in range(3)] + list(range(6))
    assert reinforced.advantages[-num_own:].tolist() == [0.25] * num_own
    assert captions_of_images(batch) == [
        [bare(caption)] for caption in reinforced.tokens[-num_own:].tolist()
    ]  # whole, though longer than those that are sampled
    assert reinforced.advantages[:-num_own].abs().max() > 0


def test_without_advantages_of_its_own_a_caption_counts_as_in_ordinary_training() -> None:
    logits = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[4, 5, 2, 0], [5, 2, 0, 0], [4, 4, 4, 2]])
    written = logits.clone()
    written[..., NEVER_WRITTEN] = -torch.inf
    torch.testing.assert_close(reinforced_loss(logits, targets, torch.ones(3)), token_loss(written, targets))
    one = reinforced_loss(logits, targets, torch.tensor([0.0, -2.0, 0.0]))
    torch.testing.assert_close(one, -2 * 2 / 9 * token_loss(written[1:2], targets[1:2]))


def test_tokens_that_are_never_written_gain_nothing_from_what_samples_lose() -> None:
    logits = torch.zeros(1, 3, 6, requires_grad=True)
    with_unknown = torch.tensor([[4, UNKNOWN, 5]])  # an image's own caption may hold it
    reinforced_loss(logits, with_unknown, torch.tensor([-1.0])).backward()
    assert (logits.grad[0, [0, 2]][:, NEVER_WRITTEN] == 0).all()
    assert (logits.grad[0, [0, 2]] != 0).sum() == 6  # of three tokens that are written, <end> among them
    assert logits.grad[0, 1, UNKNOWN] != 0


def test_the_weight_of_an_images_own_caption_is_a_factor_of_its_reference_weight() -> None:
    samples = stroke_samples(2)
    batch = collate([samples[0] | {"caption_weight": 3.0}, samples[1]], 1)
    training = cider_training(reference_weight=0.5, num_samples=2)
    scorer = CiderScorer(captions_of_images(batch))
    (taught,) = self_critical([batch], tiny_captioner(), scorer, training, max_tokens=8)
    assert taught.advantages[-2:].tolist() == [1.5, 0.5]
    assert taught.caption_weights is None


def test_captions_that_are_rewarded_become_likelier() -> None:
    batch = collate(stroke_samples(16), 1)
    scorer = CiderScorer(captions_of_images(batch))
    captioner = tiny_captioner(dropout=0.4)
    training = cider_training(learning_rate=0.02, num_epochs=60, num_samples=16)
    images = 1 - batch.images.float() / 255

    def mean_reward() -> float:
        torch.manual_seed(1)
        captioner.eval()
        samples = sample_captions(captioner, images, 20, 8).view(16, 20, -1).tolist()
        bare = [[[token for token in one if token not in (START, PAD)] for one in of_image] for of_image in samples]
        pairs = zip(bare, captions_of_images(batch), strict=True)
        return float(np.mean([scorer.score(captions, references) for captions, references in pairs]))

    before = mean_reward()
    state, optimizer = TrainingState(), make_optimizer(captioner, training)
    for _ in range(60):
        batches = self_critical([batch], captioner, scorer, training, max_tokens=8)
        train_epoch(captioner, batches, optimizer, training, state, 60, ignore_step)
    assert mean_reward() > 3 * before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "bleu"}, "objective is 'bleu'"),
        ({"objective": "cider", "start_from": None}, "untrained networks sample noise"),
        ({"num_samples": 1}, "num_samples is 1"),
        ({"reference_weight": -0.1}, "reference_weight is -0.1"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quick_training(**changes)
