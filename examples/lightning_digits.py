"""A classifier of handwritten digits in Lightning.

    pip install bifurk torch lightning scikit-learn
    BIFURK_URL=http://127.0.0.1:8700 python examples/lightning_digits.py

The line of bifurk's is `callbacks=[BifurkCallback(...)]`.
"""

import argparse

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

from bifurk.integrations.lightning import BifurkCallback

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=500)
steps = parser.parse_args().steps


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(32 * 6 * 6, 10)

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        images, labels = batch
        loss = functional.cross_entropy(self.head(self.features(images)), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], _index: int) -> None:
        images, labels = batch
        right = self.head(self.features(images)).argmax(dim=1) == labels
        self.log("val_accuracy", right.float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


lightning.seed_everything(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
training, held_out = random_split(TensorDataset(images, torch.tensor(digits.target)), [1500, 297])

trainer = lightning.Trainer(
    max_steps=steps,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    callbacks=[BifurkCallback(project="examples", every=20)],
)
trainer.fit(Classifier(), DataLoader(training, 64, shuffle=True), DataLoader(held_out, 297))
print({name: round(float(value), 3) for name, value in trainer.callback_metrics.items()})
