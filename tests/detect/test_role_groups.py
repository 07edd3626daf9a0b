"""Which tensors are held against one another, and when a group's time goes on."""

from __future__ import annotations

import numpy as np

from bifurk_service.detect.layer_history import LayerHistory
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.role_groups import name_pattern, role_groups
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import TensorInfo
from tests.detect.layers import one_role
from tests.detect.runs import gpt


def test_matrices_and_biases_of_every_name_are_groups_of_their_own() -> None:
    groups = role_groups(gpt(6), least_layers=6)
    assert len(groups.names) == 9
    assert groups.names[0] == "blocks.*.attention.qkv.weight"
    assert groups.mask.all()


def test_too_few_layers_are_no_group() -> None:
    assert role_groups(gpt(5), least_layers=6).names == ()


def test_members_stand_by_depth_whatever_order_they_come_in() -> None:
    groups = role_groups(one_role(7)[::-1], least_layers=6)
    assert groups.members.tolist() == [[6, 5, 4, 3, 2, 1, 0]]


def test_roles_and_dimensions_part_what_names_do_not() -> None:
    tensors = [
        TensorInfo(id=layer, name=f"h.{layer}.w", layer=layer, role="other", shape=shape)
        for layer, shape in enumerate([(4, 4)] * 3 + [(4,)] * 3)
    ]
    assert role_groups(tensors, least_layers=4).names == ()


def test_the_layer_is_left_out_of_the_name_and_experts_are_not() -> None:
    assert name_pattern("h.11.mlp.experts.11.up", 11) == "h.*.mlp.experts.11.up"
    assert name_pattern("layer3.2.conv1.weight", 302) == "layer*.*.conv1.weight"
    assert name_pattern("head.weight", 4) == "head.weight"


def test_values_that_come_in_turns_make_one_round_a_turn() -> None:
    tensors, layers = one_role(6), _history()
    rounds = []
    for index, clock in enumerate(clocks(12)):
        known = np.arange(6) % 3 == index % 3
        went_on = layers.take(clock, tensors, np.full(6, float(index)), known)
        rounds.append(bool(went_on[0]))
    assert np.flatnonzero(rounds).tolist() == [0, 3, 6, 9]
    assert layers.history.values[:3, -1].tolist() == [9, 7, 8]


def test_a_value_that_is_lost_is_the_one_before() -> None:
    tensors, layers = one_role(6), _history()
    for index, clock in enumerate(clocks(3)):
        known = np.arange(6) != (0 if index == 2 else -1)
        layers.take(clock, tensors, np.full(6, float(index)), known)
    assert layers.history.values[:2, -3:].tolist() == [[0, 1, 1], [0, 1, 2]]


def test_a_layer_that_stays_away_takes_no_part_until_it_comes_back() -> None:
    tensors, layers = one_role(6), _history()
    for index, clock in enumerate(clocks(10)):
        known = (np.arange(6) != 0) | (index < 4) | (index == 9)
        layers.take(clock, tensors, np.full(6, float(index)), known)
    assert layers.taking_part(2).tolist() == [[False, True, True, True, True, True]]
    assert layers.history.counts[0] == 1


def _history() -> LayerHistory:
    return LayerHistory(12, Memory(told=False), restarts_at_interval=False, least_layers=6)
