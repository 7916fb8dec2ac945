"""1986, scaled up: the network that reads TinyDigits, with more of everything, reads MNIST.

Logistic units, squared error and momentum, as Rumelhart, Hinton and Williams had them; MNIST came twelve years later.
It is fetched on first use (12 MB) into milestones/datasets/mnist/.

    python milestones/03_1986_mlp/02_rumelhart_mnist.py --plot mnist.png
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from any directory
from command_line import options, ran, watched
from data_manager import DatasetManager
from gradients import Tensor, nn, repeatable, torch

HIDDEN, BATCH, RATE, MOMENTUM = 128, 16, 0.1, 0.9


def network() -> nn.Module:
    """784 pixels, 128 hidden units, one output for each digit."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, 10), nn.Sigmoid())


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance from the wanted outputs: 1 for the right digit, 0 for the others."""
    wanted = nn.functional.one_hot(labels, 10)
    return ((outputs - wanted) ** 2).sum(dim=1).mean() / 2


@torch.no_grad()
def read(model: nn.Module, images: Tensor) -> Tensor:
    """The digit whose output is the strongest, for every image."""
    return model(images).argmax(dim=1)


def main() -> None:
    """Learn from 60,000 digits, read 10,000 others."""
    asked = options(__doc__, epochs=12, quick=5)
    repeatable(asked.seed)
    digits = DatasetManager().get("mnist")
    test_images, test_labels = map(torch.tensor, digits.test.arrays(dtype="float32"))
    batches = digits.train.batches(BATCH, shuffle=True, seed=asked.seed, dtype="float32")

    model = network()
    descent = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    accuracies: list[float] = []
    started = time.perf_counter()
    for epoch in range(1, asked.epochs + 1):
        for images, labels in watched(batches, f"epoch {epoch}"):
            error = squared_error(model(torch.from_numpy(images)), torch.from_numpy(labels))
            descent.zero_grad()
            error.backward()
            descent.step()
        accuracies.append((read(model, test_images) == test_labels).double().mean().item())
        print(f"epoch {epoch:2}: error {error.item():.4f}, test accuracy {accuracies[-1]:.2%}", flush=True)
    took = time.perf_counter() - started

    if asked.plot:
        from pictures import classified

        guesses = read(model, test_images).numpy()
        classified(asked.plot, "An MLP of 1986 reads MNIST", accuracies, *digits.test.arrays(), guesses,
                   digits.classes)  # fmt: skip
    print(f"MNIST, MLP 784-{HIDDEN}-10: test accuracy {accuracies[-1]:.2%}; {asked.epochs} epochs, {took:.0f} s")


if __name__ == "__main__":
    ran(main)
