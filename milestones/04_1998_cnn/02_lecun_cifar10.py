"""1998, in color: LeNet looks at the photographs of CIFAR-10, and a linear model beside it shows what depth is worth.

The layers are those of LeCun, Bottou, Bengio and Haffner's LeNet-5, with more maps, for colors need more of them.
Modern means: softmax with cross-entropy, momentum, a learning rate that falls to zero, and images mirrored at random.
CIFAR-10 came in 2009; it is fetched on first use (170 MB) into milestones/datasets/cifar-10/.

    python milestones/04_1998_cnn/02_lecun_cifar10.py --quick --plot cifar.png
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from any directory
from command_line import options, ran, watched
from data_manager import DatasetManager
from gradients import Tensor, nn, repeatable, torch

from tinytorch_datasets.dataset import Split

BATCH, MOMENTUM, SHIFT = 50, 0.9, 2
QUICK_IMAGES = 20_000


def lenet() -> nn.Module:
    """LeNet-5 for images of 3x32x32: C convolves, S averages, F connects all."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 5), nn.Tanh(),  # C1: 16 maps of 28x28
        nn.AvgPool2d(2),  # S2: 14x14
        nn.Conv2d(16, 32, 5), nn.Tanh(),  # C3: 32 maps of 10x10
        nn.AvgPool2d(2),  # S4: 5x5
        nn.Conv2d(32, 120, 5), nn.Tanh(), nn.Flatten(),  # C5: 120 units, each seeing the whole image
        nn.Linear(120, 84), nn.Tanh(),  # F6
        nn.Linear(84, 10),
    )  # fmt: skip


def linear() -> nn.Module:
    """One template for each class, and nothing between."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def varied(images: Tensor) -> Tensor:
    """The same photographs a little to the side, each mirrored or not, at random."""
    down, right = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    images = nn.functional.pad(images, [SHIFT] * 4, mode="replicate")[:, :, down : down + 32, right : right + 32]
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images, images.flip(3))


@torch.no_grad()
def name(model: nn.Module, split: Split) -> Tensor:
    """The class whose output is the strongest, for every image of the split."""
    batches = split.batches(1000, normalize="standard")
    return torch.cat([model(torch.from_numpy(images)).argmax(dim=1) for images, _ in batches])


def learn(what: str, model: nn.Module, train: Split, test: Split, epochs: int, rate: float, seed: int) -> list[float]:
    """Go through the training images `epochs` times; the test accuracy after each."""
    batches = train.batches(BATCH, shuffle=True, seed=seed, normalize="standard")
    descent = torch.optim.SGD(model.parameters(), lr=rate, momentum=MOMENTUM)
    falling = torch.optim.lr_scheduler.LinearLR(descent, 1.0, 0.0, total_iters=epochs * len(batches))
    accuracies = []
    for epoch in range(1, epochs + 1):
        for images, labels in watched(batches, f"{what}, epoch {epoch}"):
            loss = nn.functional.cross_entropy(model(varied(torch.from_numpy(images))), torch.from_numpy(labels))
            descent.zero_grad()
            loss.backward()
            descent.step()
            falling.step()
        accuracies.append(float(np.mean(name(model, test).numpy() == test.labels)))
        print(f"{what}, epoch {epoch:2}: loss {loss.item():.3f}, test accuracy {accuracies[-1]:.1%}", flush=True)
    return accuracies


def main() -> None:
    """Learn from 50,000 photographs (quick: the first 20,000), name 10,000 others."""
    asked = options(__doc__, epochs=12, quick=6)
    repeatable(asked.seed)
    cifar = DatasetManager().get("cifar10")
    train = cifar.train[:QUICK_IMAGES] if asked.quick else cifar.train

    started = time.perf_counter()
    flat = learn("linear", linear(), train, cifar.test, min(asked.epochs, 4), 0.001, asked.seed)
    model = lenet()
    accuracies = learn("LeNet", model, train, cifar.test, asked.epochs, 0.01, asked.seed)
    took = time.perf_counter() - started

    if asked.plot:
        from pictures import classified

        classified(asked.plot, "LeNet looks at CIFAR-10", accuracies, *cifar.test.arrays(),
                   name(model, cifar.test).numpy(), cifar.classes, compared={"linear model": flat[-1]})  # fmt: skip
    print(f"CIFAR-10, LeNet: test accuracy {accuracies[-1]:.1%}, linear model {flat[-1]:.1%}; "
          f"{len(train):,} images, {asked.epochs} epochs, {took:.0f} s")  # fmt: skip


if __name__ == "__main__":
    ran(main)
