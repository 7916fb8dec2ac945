"""2017, in a few minutes: attention, and nothing else that mixes places, learns to talk one character at a time.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017; only its decoder, as GPT took it in 2018.
As in the paper: scaled dot-product attention with several heads, ReLU layers four times as wide, residual sums,
dropout, one matrix for the characters going in and coming out, Adam with a warm-up.
Modern means: normalization before each part (2019), places given by rotation (RoPE, 2021), AdamW.

It first reads with dropout, which keeps it from learning by heart, and then without, so that it does.

    python milestones/05_2017_transformer/01_vaswani_tinytalks.py --plot talks.png
"""

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from any directory
from command_line import options, ran, watched
from data_manager import DatasetManager
from gradients import nn, repeatable, torch
from transformer import Transformer
from trigram import Trigram

from tinytorch_datasets.dataset import Split

BATCH, RATE, WARM_UP = 8, 3e-3, 150
READING = 0.4  # the part of all epochs that has dropout


def texts_of(split: Split) -> list[str]:
    """Every pair as it stands in the file."""
    return [f"Q: {question}\nA: {answer}\n\n" for question, answer, _ in split]


@torch.no_grad()
def examine(model: Transformer, split: Split) -> tuple[float, np.ndarray]:
    """The loss in nats per character; and for each answer, the share of places where it finds the right character.

    At each place it is given the right characters before. It writes an answer exactly if and only if the share is 1.
    """
    model.eval()
    nats, characters, shares = 0.0, 0, []
    for text in texts_of(split):
        ids, following = model.batch([text])
        scores = model(ids)[0]
        nats += nn.functional.cross_entropy(scores, following[0], reduction="sum").item()
        characters += len(text)
        answer = slice(text.index("\nA: ") + 4, len(text) - 1)
        shares.append((scores.argmax(dim=1) == following[0])[answer].double().mean().item())
    return nats / characters, np.array(shares)


def learn(model: Transformer, texts: list[str], epochs: int) -> Iterator[tuple[int, float]]:
    """Go through the texts `epochs` times; after each, its number and its mean loss."""
    batches = math.ceil(len(texts) / BATCH)
    adam = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    rates = torch.optim.lr_scheduler.LambdaLR(adam, lambda n: min((n + 1) / WARM_UP, 1 - n / (epochs * batches)))
    for epoch in range(1, epochs + 1):
        model.train(epoch <= round(READING * epochs))
        # Texts of about the same length share a batch, so that little of it is padding.
        order = sorted(texts, key=lambda text: len(text) + 10 * torch.rand(1).item())
        nats = 0.0
        for batch in torch.randperm(batches).tolist():
            ids, following = model.batch(order[batch * BATCH :][:BATCH])
            loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), following.flatten())
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            rates.step()
            nats += loss.item()
        yield epoch, nats / batches


def main() -> None:
    """Learn from 245 pairs; measure on others, and by the answers."""
    asked = options(__doc__, epochs=60, quick=20)
    repeatable(asked.seed)
    talks = DatasetManager().get("tinytalks")
    trigram = Trigram(texts_of(talks.train)).loss(texts_of(talks.val))
    model = Transformer(sorted(set(talks.train.text)))

    reading = round(READING * asked.epochs)
    curves: dict[str, list[float]] = {"training": [], "validation": []}
    started = time.perf_counter()
    course = learn(model, texts_of(talks.train), asked.epochs)
    for epoch, loss in watched(course, "learning", asked.epochs):
        curves["training"].append(loss)
        curves["validation"].append(examine(model, talks.val)[0])
        if epoch % 4 == 0 or epoch in (reading, asked.epochs):
            losses_now = ", ".join(f"{name} {losses[-1]:.3f}" for name, losses in curves.items())
            print(f"epoch {epoch:2}, {'reading' if epoch <= reading else 'by heart'}: nats per character, {losses_now}")
    took = time.perf_counter() - started

    print("\nIts answers to the first test question of each level:")
    for level in range(1, 6):
        question = talks.test.questions[int(np.argmax(talks.test.levels == level))]
        print(f"  {level} Q: {question}\n    A: {model.answer(question)}")
    right = {name: examine(model, split)[1] for name, split in talks.items()}
    of_level = {name: [shares[talks[name].levels == n] for n in range(1, 6)] for name, shares in right.items()}
    for name, levels in of_level.items():
        exact = " ".join(f"{(shares == 1).mean():4.0%}" for shares in levels)
        print(f"exact answers in {name:5}, levels 1 to 5: {exact}")
    found = {name: [shares.mean() for shares in levels] for name, levels in of_level.items()}
    for name, shares in found.items():
        print(f"right characters in {name:5}: {' '.join(f'{share:4.0%}' for share in shares)}")

    if asked.plot:
        from pictures import losses as draw

        draw(asked.plot, "A transformer learns to talk", curves, compared={"trigram": trigram}, right=found)
    known = (right["train"][talks.train.levels <= 2] == 1).mean()
    print(f"TinyTalks, transformer: validation loss {curves['validation'][reading - 1]:.3f} nats per character after "
          f"reading (trigram {trigram:.3f}), training questions of levels 1 and 2 answered exactly in the end: "
          f"{known:.1%}; {reading} of {asked.epochs} epochs reading, {took:.0f} s")  # fmt: skip


if __name__ == "__main__":
    ran(main)
