"""A language model learns Python's reference, then Python's code by low-rank adapters (LoRA).

    pip install bifurk torch transformers accelerate peft
    BIFURK_URL=http://127.0.0.1:8700 python examples/peft_lora.py

Watched are the adapters' factors; the frozen weights below them are left out.
"""

import argparse
import inspect
import tempfile
from pydoc_data.topics import topics

import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, Trainer, TrainingArguments

from bifurk.integrations.transformers import BifurkCallback

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=200, help="of each of the two trainings")
steps = parser.parse_args().steps


def rows(text: str) -> list[dict[str, torch.Tensor]]:
    """A byte a token, 128 of them a row."""
    codes = torch.tensor(list(text.encode()))
    cut = codes[: len(codes) // 128 * 128].view(-1, 128)
    return [{"input_ids": row, "labels": row} for row in cut]


def train(name: str, model: PreTrainedModel, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=8,
            learning_rate=1e-3,
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        callback = BifurkCallback(project="examples", every=20)
        Trainer(model, arguments, train_dataset=rows(text), callbacks=[callback]).train()


torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=128, n_embd=64, n_layer=4, n_head=4))
train("base", model, "".join(topics.values()))

adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["c_attn", "c_fc"]))
adapted.print_trainable_parameters()
train("adapted", adapted, inspect.getsource(argparse) + inspect.getsource(inspect))
