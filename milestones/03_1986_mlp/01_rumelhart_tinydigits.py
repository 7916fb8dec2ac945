"""1986, in a second or two: hidden units find out for themselves what to look for in a digit.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
As in the paper: logistic units in both layers, squared error, gradient descent with momentum.
Not as in the paper: the weights change after every 10 images instead of after a sweep through all of them.

    python milestones/03_1986_mlp/01_rumelhart_tinydigits.py --plot digits.png
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from any directory
from command_line import options, ran, watched
from data_manager import DatasetManager
from gradients import Tensor, nn, repeatable, torch

HIDDEN, BATCH, RATE, MOMENTUM = 32, 10, 0.2, 0.9


def network() -> nn.Module:
    """64 pixels, 32 hidden units, one output for each digit."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, 10), nn.Sigmoid())


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance from the wanted outputs: 1 for the right digit, 0 for the others."""
    wanted = nn.functional.one_hot(labels, 10)
    return ((outputs - wanted) ** 2).sum(dim=1).mean() / 2


@torch.no_grad()
def read(model: nn.Module, images: Tensor) -> Tensor:
    """The digit whose output is the strongest, for every image."""
    return model(images).argmax(dim=1)


def main() -> None:
    """Learn from 1,000 digits, read 200 others."""
    asked = options(__doc__, epochs=40, quick=10)
    repeatable(asked.seed)
    digits = DatasetManager().get("tinydigits")
    test_images, test_labels = map(torch.tensor, digits.test.arrays())
    batches = digits.train.batches(BATCH, shuffle=True, seed=asked.seed)

    model = network()
    descent = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    accuracies: list[float] = []
    started = time.perf_counter()
    for epoch in watched(range(1, asked.epochs + 1), "learning"):
        for images, labels in batches:
            error = squared_error(model(torch.from_numpy(images)), torch.from_numpy(labels))
            descent.zero_grad()
            error.backward()
            descent.step()
        accuracies.append((read(model, test_images) == test_labels).double().mean().item())
        if epoch % 5 == 0 or epoch == asked.epochs:
            print(f"epoch {epoch:2}: error {error.item():.4f}, test accuracy {accuracies[-1]:.1%}")
    took = time.perf_counter() - started

    if asked.plot:
        from pictures import classified

        guesses = read(model, test_images).numpy()
        classified(asked.plot, "An MLP of 1986 reads TinyDigits", accuracies, *digits.test.arrays(), guesses,
                   digits.classes)  # fmt: skip
    print(f"TinyDigits, MLP 64-{HIDDEN}-10: test accuracy {accuracies[-1]:.1%}; {asked.epochs} epochs, {took:.1f} s")


if __name__ == "__main__":
    ran(main)
