"""A small causal language model in Hugging Face's Trainer.

    pip install bifurk torch transformers accelerate
    BIFURK_URL=http://127.0.0.1:8700 python examples/transformers_causal_lm.py

The line of bifurk's is `callbacks=[BifurkCallback(...)]`.
"""

import argparse
import tempfile
from pydoc_data.topics import topics

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from bifurk.integrations.transformers import BifurkCallback

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=300)
steps = parser.parse_args().steps

text = "".join(topics.values()).encode()  # the reference of Python itself, a byte a token
rows = torch.tensor(list(text[: len(text) // 128 * 128])).view(-1, 128)
data = [{"input_ids": row, "labels": row} for row in rows]
training, evaluation = data[:-64], data[-64:]

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=128, n_embd=64, n_layer=4, n_head=4))
with tempfile.TemporaryDirectory(prefix="causal-lm-") as folder:
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=8,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            logging_steps=10,
            eval_strategy="steps",
            eval_steps=100,
            save_steps=100,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=training,
        eval_dataset=evaluation,
        callbacks=[BifurkCallback(project="examples", every=20)],
    )
    trainer.train()
