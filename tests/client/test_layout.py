"""Layer and role, over the parameter names of the families people train."""

from __future__ import annotations

import pytest

from bifurk.layout import ROLES, Layout, layout_of, strip_wrappers

D, F, V = 64, 256, 1000
Row = tuple[str, tuple[int, ...], int | None, str]

GPT_2: list[Row] = [
    ("transformer.wte.weight", (V, D), None, "embedding"),
    ("transformer.wpe.weight", (128, D), None, "embedding"),
    ("transformer.h.3.ln_1.weight", (D,), 3, "norm"),
    ("transformer.h.3.ln_1.bias", (D,), 3, "bias"),
    ("transformer.h.3.attn.c_attn.weight", (D, 3 * D), 3, "attention.qkv"),
    ("transformer.h.3.attn.c_attn.bias", (3 * D,), 3, "bias"),
    ("transformer.h.3.attn.c_proj.weight", (D, D), 3, "attention.output"),
    ("transformer.h.3.attn.c_proj.bias", (D,), 3, "bias"),
    ("transformer.h.3.ln_2.weight", (D,), 3, "norm"),
    ("transformer.h.3.mlp.c_fc.weight", (D, F), 3, "mlp.up"),
    ("transformer.h.3.mlp.c_proj.weight", (F, D), 3, "mlp.down"),
    ("transformer.ln_f.weight", (D,), None, "norm"),
    ("transformer.ln_f.bias", (D,), None, "bias"),
    ("lm_head.weight", (V, D), None, "unembedding"),
]
GPT_NEOX: list[Row] = [
    ("gpt_neox.embed_in.weight", (V, D), None, "embedding"),
    ("gpt_neox.layers.3.input_layernorm.weight", (D,), 3, "norm"),
    ("gpt_neox.layers.3.input_layernorm.bias", (D,), 3, "bias"),
    ("gpt_neox.layers.3.post_attention_layernorm.weight", (D,), 3, "norm"),
    ("gpt_neox.layers.3.attention.query_key_value.weight", (3 * D, D), 3, "attention.qkv"),
    ("gpt_neox.layers.3.attention.query_key_value.bias", (3 * D,), 3, "bias"),
    ("gpt_neox.layers.3.attention.dense.weight", (D, D), 3, "attention.output"),
    ("gpt_neox.layers.3.mlp.dense_h_to_4h.weight", (F, D), 3, "mlp.up"),
    ("gpt_neox.layers.3.mlp.dense_4h_to_h.weight", (D, F), 3, "mlp.down"),
    ("gpt_neox.final_layer_norm.weight", (D,), None, "norm"),
    ("embed_out.weight", (V, D), None, "unembedding"),
]
LLAMA: list[Row] = [
    ("model.embed_tokens.weight", (V, D), None, "embedding"),
    ("model.layers.11.self_attn.q_proj.weight", (D, D), 11, "attention.query"),
    ("model.layers.11.self_attn.k_proj.weight", (D, D), 11, "attention.key"),
    ("model.layers.11.self_attn.v_proj.weight", (D, D), 11, "attention.value"),
    ("model.layers.11.self_attn.o_proj.weight", (D, D), 11, "attention.output"),
    ("model.layers.11.self_attn.q_norm.weight", (16,), 11, "norm"),
    ("model.layers.11.mlp.gate_proj.weight", (F, D), 11, "mlp.gate"),
    ("model.layers.11.mlp.up_proj.weight", (F, D), 11, "mlp.up"),
    ("model.layers.11.mlp.down_proj.weight", (D, F), 11, "mlp.down"),
    ("model.layers.11.input_layernorm.weight", (D,), 11, "norm"),
    ("model.layers.11.post_attention_layernorm.weight", (D,), 11, "norm"),
    ("model.norm.weight", (D,), None, "norm"),
    ("lm_head.weight", (V, D), None, "unembedding"),
]
LLAMA_ORIGINAL: list[Row] = [
    ("tok_embeddings.weight", (V, D), None, "embedding"),
    ("layers.0.attention.wq.weight", (D, D), 0, "attention.query"),
    ("layers.0.attention.wk.weight", (D, D), 0, "attention.key"),
    ("layers.0.attention.wv.weight", (D, D), 0, "attention.value"),
    ("layers.0.attention.wo.weight", (D, D), 0, "attention.output"),
    ("layers.0.feed_forward.w1.weight", (F, D), 0, "mlp.gate"),
    ("layers.0.feed_forward.w2.weight", (D, F), 0, "mlp.down"),
    ("layers.0.feed_forward.w3.weight", (F, D), 0, "mlp.up"),
    ("layers.0.attention_norm.weight", (D,), 0, "norm"),
    ("layers.0.ffn_norm.weight", (D,), 0, "norm"),
    ("norm.weight", (D,), None, "norm"),
    ("output.weight", (V, D), None, "unembedding"),
]
MIXTURES: list[Row] = [
    ("model.layers.2.block_sparse_moe.gate.weight", (8, D), 2, "other"),
    ("model.layers.2.block_sparse_moe.experts.5.w1.weight", (F, D), 2, "mlp.gate"),
    ("model.layers.2.block_sparse_moe.experts.5.w2.weight", (D, F), 2, "mlp.down"),
    ("model.layers.2.block_sparse_moe.experts.5.w3.weight", (F, D), 2, "mlp.up"),
    ("model.layers.2.mlp.gate.weight", (60, D), 2, "other"),
    ("model.layers.2.mlp.experts.7.gate_proj.weight", (F, D), 2, "mlp.gate"),
    ("model.layers.2.mlp.experts.gate_up_proj", (8, D, 2 * F), 2, "mlp.up"),
]
BERT: list[Row] = [
    ("bert.embeddings.word_embeddings.weight", (V, D), None, "embedding"),
    ("bert.embeddings.position_embeddings.weight", (512, D), None, "embedding"),
    ("bert.embeddings.token_type_embeddings.weight", (2, D), None, "embedding"),
    ("bert.embeddings.LayerNorm.weight", (D,), None, "norm"),
    ("bert.embeddings.LayerNorm.gamma", (D,), None, "norm"),
    ("bert.embeddings.LayerNorm.beta", (D,), None, "bias"),
    ("bert.encoder.layer.3.attention.self.query.weight", (D, D), 3, "attention.query"),
    ("bert.encoder.layer.3.attention.self.query.bias", (D,), 3, "bias"),
    ("bert.encoder.layer.3.attention.self.key.weight", (D, D), 3, "attention.key"),
    ("bert.encoder.layer.3.attention.self.value.weight", (D, D), 3, "attention.value"),
    ("bert.encoder.layer.3.attention.output.dense.weight", (D, D), 3, "attention.output"),
    ("bert.encoder.layer.3.attention.output.LayerNorm.weight", (D,), 3, "norm"),
    ("bert.encoder.layer.3.intermediate.dense.weight", (F, D), 3, "mlp.up"),
    ("bert.encoder.layer.3.output.dense.weight", (D, F), 3, "mlp.down"),
    ("bert.encoder.layer.3.output.LayerNorm.weight", (D,), 3, "norm"),
    ("bert.pooler.dense.weight", (D, D), None, "other"),
    ("cls.predictions.bias", (V,), None, "bias"),
    ("cls.predictions.transform.dense.weight", (D, D), None, "other"),
    ("cls.predictions.transform.LayerNorm.weight", (D,), None, "norm"),
    ("cls.predictions.decoder.weight", (V, D), None, "unembedding"),
    ("classifier.weight", (2, D), None, "unembedding"),
    ("distilbert.transformer.layer.1.attention.q_lin.weight", (D, D), 1, "attention.query"),
    ("distilbert.transformer.layer.1.attention.out_lin.weight", (D, D), 1, "attention.output"),
    ("distilbert.transformer.layer.1.ffn.lin1.weight", (F, D), 1, "mlp.up"),
    ("distilbert.transformer.layer.1.ffn.lin2.weight", (D, F), 1, "mlp.down"),
    ("distilbert.transformer.layer.1.sa_layer_norm.weight", (D,), 1, "norm"),
]
VIT: list[Row] = [
    ("cls_token", (1, 1, D), None, "embedding"),
    ("pos_embed", (1, 197, D), None, "embedding"),
    ("patch_embed.proj.weight", (D, 3, 16, 16), None, "embedding"),
    ("patch_embed.proj.bias", (D,), None, "bias"),
    ("blocks.3.norm1.weight", (D,), 3, "norm"),
    ("blocks.3.attn.qkv.weight", (3 * D, D), 3, "attention.qkv"),
    ("blocks.3.attn.qkv.bias", (3 * D,), 3, "bias"),
    ("blocks.3.attn.proj.weight", (D, D), 3, "attention.output"),
    ("blocks.3.ls1.gamma", (D,), 3, "other"),
    ("blocks.3.norm2.weight", (D,), 3, "norm"),
    ("blocks.3.mlp.fc1.weight", (F, D), 3, "mlp.up"),
    ("blocks.3.mlp.fc2.weight", (D, F), 3, "mlp.down"),
    ("norm.weight", (D,), None, "norm"),
    ("head.weight", (10, D), None, "unembedding"),
    ("conv_proj.weight", (D, 3, 16, 16), None, "conv"),
    (
        "encoder.layers.encoder_layer_3.self_attention.in_proj_weight",
        (3 * D, D),
        3,
        "attention.qkv",
    ),
    ("encoder.layers.encoder_layer_3.mlp.0.weight", (F, D), 3, "mlp.up"),
    ("encoder.layers.encoder_layer_3.mlp.3.weight", (D, F), 3, "mlp.down"),
    ("encoder.layers.encoder_layer_3.ln_1.weight", (D,), 3, "norm"),
    ("heads.head.weight", (10, D), None, "unembedding"),
    ("vit.encoder.layer.0.attention.attention.query.weight", (D, D), 0, "attention.query"),
    ("vit.encoder.layer.0.layernorm_before.weight", (D,), 0, "norm"),
]
RESNET: list[Row] = [
    ("conv1.weight", (64, 3, 7, 7), None, "conv"),
    ("bn1.weight", (64,), None, "norm"),
    ("bn1.bias", (64,), None, "bias"),
    ("layer1.0.conv1.weight", (64, 64, 3, 3), 100, "conv"),
    ("layer2.1.conv1.weight", (128, 128, 3, 3), 201, "conv"),
    ("layer2.1.bn2.weight", (128,), 201, "norm"),
    ("layer2.0.downsample.0.weight", (128, 64, 1, 1), 200, "conv"),
    ("layer2.0.downsample.1.weight", (128,), 200, "norm"),
    ("layer3.35.conv3.weight", (1024, 256, 1, 1), 335, "conv"),
    ("fc.weight", (1000, 512), None, "unembedding"),
    ("fc.bias", (1000,), None, "bias"),
    ("features.0.weight", (64, 3, 3, 3), 0, "conv"),
    ("classifier.6.weight", (1000, 4096), None, "other"),
    ("features.denseblock2.denselayer5.conv1.weight", (128, 64, 1, 1), 205, "conv"),
    ("features.denseblock2.denselayer5.norm1.weight", (64,), 205, "norm"),
    ("layers.2.blocks.5.attn.qkv.weight", (3 * D, D), 205, "attention.qkv"),
    ("stages.1.blocks.0.mlp.fc1.weight", (F, D), 100, "mlp.up"),
    ("features.3.1.mlp.0.weight", (F, D), 301, "mlp.up"),
]
TORCH_TRANSFORMER: list[Row] = [
    ("layers.3.self_attn.in_proj_weight", (3 * D, D), 3, "attention.qkv"),
    ("layers.3.self_attn.in_proj_bias", (3 * D,), 3, "bias"),
    ("layers.3.self_attn.out_proj.weight", (D, D), 3, "attention.output"),
    ("layers.3.self_attn.out_proj.bias", (D,), 3, "bias"),
    ("layers.3.multihead_attn.q_proj_weight", (D, D), 3, "attention.query"),
    ("layers.3.multihead_attn.bias_k", (1, 1, D), 3, "bias"),
    ("layers.3.linear1.weight", (F, D), 3, "mlp.up"),
    ("layers.3.linear2.weight", (D, F), 3, "mlp.down"),
    ("layers.3.norm1.weight", (D,), 3, "norm"),
    ("layers.3.norm2.bias", (D,), 3, "bias"),
    ("norm.weight", (D,), None, "norm"),
    ("encoder.layers.0.linear1.weight", (F, D), 0, "mlp.up"),
]
OTHER_FAMILIES: list[Row] = [
    ("shared.weight", (V, D), None, "embedding"),
    ("encoder.block.3.layer.0.SelfAttention.q.weight", (D, D), 3, "attention.query"),
    ("encoder.block.3.layer.0.SelfAttention.o.weight", (D, D), 3, "attention.output"),
    (
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        (32, 8),
        0,
        "other",
    ),
    ("encoder.block.3.layer.1.DenseReluDense.wi_0.weight", (F, D), 3, "mlp.gate"),
    ("encoder.block.3.layer.1.DenseReluDense.wi_1.weight", (F, D), 3, "mlp.up"),
    ("encoder.block.3.layer.1.DenseReluDense.wo.weight", (D, F), 3, "mlp.down"),
    ("decoder.layers.4.fc1.weight", (F, D), 4, "mlp.up"),
    ("decoder.layers.4.fc2.weight", (D, F), 4, "mlp.down"),
    ("decoder.layers.4.self_attn_layer_norm.weight", (D,), 4, "norm"),
    ("decoder.embed_positions.weight", (512, D), None, "embedding"),
    ("encoder.blocks.1.mlp.2.weight", (D, F), 1, "mlp.down"),
    ("encoder.positional_embedding", (1500, D), None, "embedding"),
    ("backbone.layers.0.mixer.in_proj.weight", (F, D), 0, "other"),
    ("backbone.layers.0.mixer.conv1d.weight", (F, 1, 4), 0, "conv"),
    ("backbone.layers.0.mixer.A_log", (F, 16), 0, "other"),
    ("decoder.layers.3.self_attention.linear_qkv.weight", (3 * D, D), 3, "attention.qkv"),
    ("lstm.weight_ih_l0", (4 * D, D), None, "other"),
    ("lstm.bias_ih_l0", (4 * D,), None, "bias"),
    ("base.model.layers.3.self_attn.q_proj.lora_A.default.weight", (8, D), 3, "attention.query"),
    ("embedding_model.layers.1.mlp.up_proj.weight", (F, D), 1, "mlp.up"),
    ("logit_scale", (), None, "other"),
]
PLAIN: list[Row] = [
    ("token_embedding.weight", (V, D), None, "embedding"),
    ("position_embedding.weight", (128, D), None, "embedding"),
    ("blocks.2.attention.qkv.weight", (3 * D, D), 2, "attention.qkv"),
    ("blocks.2.attention.output.weight", (D, D), 2, "attention.output"),
    ("blocks.2.mlp.up.weight", (F, D), 2, "mlp.up"),
    ("blocks.2.mlp.gate.weight", (F, D), 2, "mlp.gate"),
    ("blocks.2.mlp.down.weight", (D, F), 2, "mlp.down"),
    ("blocks.2.norm.weight", (D,), 2, "norm"),
    ("head.weight", (V, D), None, "unembedding"),
    ("embedding.weight", (59, D), None, "embedding"),
    ("unembed_matrix.weight", (59, D), None, "other"),
    ("unembed.weight", (59, D), None, "unembedding"),
    ("hidden.weight", (256, 2 * D), None, "other"),
    ("hidden.bias", (256,), None, "bias"),
    ("output.weight", (59, 256), None, "unembedding"),
    ("output.bias", (59,), None, "bias"),
    ("0.weight", (D, D), 0, "other"),
    ("net.4.weight", (D, D), 4, "other"),
    ("weight", (D, D), None, "other"),
    ("", (D, D), None, "other"),
]
FAMILIES = {
    "GPT-2": GPT_2,
    "GPT-NeoX": GPT_NEOX,
    "Llama": LLAMA,
    "Llama, original names": LLAMA_ORIGINAL,
    "mixtures of experts": MIXTURES,
    "BERT": BERT,
    "ViT": VIT,
    "ResNet and other stages": RESNET,
    "nn.TransformerEncoder": TORCH_TRANSFORMER,
    "other families": OTHER_FAMILIES,
    "plain": PLAIN,
}


@pytest.mark.parametrize(
    ("name", "shape", "layer", "role"),
    [
        pytest.param(*row, id=f"{family}: {row[0]}")
        for family, rows in FAMILIES.items()
        for row in rows
    ],
)
def test_a_name_says_its_layer_and_role(
    name: str, shape: tuple[int, ...], layer: int | None, role: str
) -> None:
    assert layout_of(name, shape) == Layout(layer=layer, role=role)


def test_every_role_is_met_by_some_family() -> None:
    assert {row[3] for rows in FAMILIES.values() for row in rows} == set(ROLES)


@pytest.mark.parametrize(
    "name",
    [
        "module.h.0.ln_1.weight",
        "_orig_mod.h.0.ln_1.weight",
        "_orig_mod.module.h.0.ln_1.weight",
        "_fsdp_wrapped_module.h.0._fsdp_wrapped_module.ln_1.weight",
        "h.0._checkpoint_wrapped_module._orig_mod.ln_1.weight",
        "h.0.ln_1.weight",
    ],
)
def test_wrappers_leave_no_trace_in_names(name: str) -> None:
    assert strip_wrappers(name) == "h.0.ln_1.weight"
    assert layout_of(name, (D,)) == Layout(layer=0, role="norm")


def test_a_module_that_only_contains_a_wrappers_word_keeps_its_name() -> None:
    assert strip_wrappers("submodule.my_orig_mod.weight") == "submodule.my_orig_mod.weight"


def test_the_users_first_matching_glob_wins_over_the_name() -> None:
    roles = {"*.mixer.in_proj.*": "mlp.up", "*.in_proj.*": "mlp.gate", "lm_head*": "other"}
    inner = layout_of("module.layers.5.mixer.in_proj.weight", (F, D), roles=roles)
    assert inner == Layout(layer=5, role="mlp.up")
    assert layout_of("lm_head.weight", (V, D), roles=roles).role == "other"
    assert layout_of("wte.weight", (V, D), roles=roles).role == "embedding"


def test_globs_see_upper_and_lower_case() -> None:
    assert layout_of("Mixer.weight", (D, D), roles={"Mixer.*": "mlp.up"}).role == "mlp.up"
    assert layout_of("mixer.weight", (D, D), roles={"Mixer.*": "mlp.up"}).role == "other"


def test_a_role_that_does_not_exist_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"role must be one of attention.qkv, .*got 'router'"):
        layout_of("gate.weight", (8, D), roles={"gate.*": "router"})
