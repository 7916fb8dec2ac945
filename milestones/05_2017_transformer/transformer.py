"""The decoder of "Attention Is All You Need", one character at a time."""

from __future__ import annotations

import math

from gradients import Tensor, nn, torch

WIDTH, HEADS, BLOCKS, DROPOUT = 96, 4, 4, 0.15


class Block(nn.Module):
    """Attention to what came before, then a layer of ReLUs; each adds to what passes through."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH)  # the paper's queries, keys and values
        self.gather = nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH))
        self.drop = nn.Dropout(DROPOUT)

    def attend(self, x: Tensor) -> Tensor:
        texts, places, _ = x.shape
        heads = self.queries_keys_values(x).view(texts, places, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        queries, keys, values = turned(heads[0]), turned(heads[1]), heads[2]
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        ahead = torch.ones(places, places, dtype=torch.bool).triu(1)
        weights = self.drop(scores.masked_fill(ahead, -math.inf).softmax(dim=-1))
        return self.gather((weights @ values).transpose(1, 2).reshape(x.shape))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attend(self.norms[0](x)))
        return x + self.drop(self.think(self.norms[1](x)))


def turned(vectors: Tensor) -> Tensor:
    """Each vector rotated by angles that grow with its place, so that a product tells how far apart two are."""
    places, width = vectors.shape[-2:]
    angles = torch.arange(places)[:, None] * 10_000 ** (-torch.arange(0, width, 2) / width)
    a, b = vectors.chunk(2, dim=-1)
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], dim=-1)


class Transformer(nn.Module):
    """A score for every character that may come next, at every place of every text."""

    def __init__(self, characters: list[str]) -> None:
        super().__init__()
        self.characters = characters
        self.vectors = nn.Parameter(torch.randn(len(characters), WIDTH) / math.sqrt(WIDTH))
        self.blocks = nn.Sequential(nn.Dropout(DROPOUT), *[Block() for _ in range(BLOCKS)], nn.LayerNorm(WIDTH))

    def forward(self, ids: Tensor) -> Tensor:
        return self.blocks(self.vectors[ids] * math.sqrt(WIDTH)) @ self.vectors.T

    def encode(self, text: str) -> Tensor:
        return torch.tensor([self.characters.index(character) for character in text])

    def batch(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """What the model reads, and what comes next at each place; -100, which losses leave out, after the end."""
        encoded = nn.utils.rnn.pad_sequence([self.encode("\n" + text) for text in texts], True, -100)
        return encoded[:, :-1].clamp(min=0), encoded[:, 1:]

    @torch.no_grad()
    def answer(self, question: str) -> str:
        """The likeliest character, again and again, until the line ends."""
        ids = start = self.encode(f"\nQ: {question}\nA: ")
        while len(ids) < len(start) + 200 and (len(ids) == len(start) or ids[-1] != self.characters.index("\n")):
            ids = torch.cat([ids, self(ids[None])[0, -1:].argmax(dim=-1)])
        return "".join(self.characters[i] for i in ids[len(start) :]).strip()
