"""Draw the pictures of docs/accuracy.md: python docs/pictures_of_accuracy.py RUN VALIDATED

docs/pictures/mistakes.png has the test images that the network of a run reads wrong, the most
confident mistakes first; docs/pictures/learning.png has the learning curves of a run that held
validation images out.
"""

import sys
from pathlib import Path

from mnistcore import evaluate, figures
from mnistcore.data import load_data
from mnistcore.runs.folder import load_run

PICTURES = Path(__file__).parent / "pictures"


def main(run: str, validated: str) -> None:
    """Draw both."""
    data = load_data()
    scores = evaluate.run(run, dataset=data)
    mistakes = figures.mistakes_gallery(
        data.test_images,
        scores.labels,
        scores.probabilities,
        scores.class_names,
        scores.indices,
        most=len(data.test_images),
    )
    mistakes.savefig(PICTURES / "mistakes.png", dpi=110)
    figures.learning_curves(load_run(validated).history).savefig(PICTURES / "learning.png", dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
