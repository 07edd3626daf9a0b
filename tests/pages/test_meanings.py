"""Every kind of alert has a text, and every text sends people to something that is there."""

from __future__ import annotations

import pytest

from bifurk_service.detect import leaves_baseline, silent
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.pages.forks import FORKS
from bifurk_service.pages.meanings import MEANINGS
from bifurk_service.stats.registry import BY_NAME

KINDS = {watch.kind for watch in (*WATCHES, *OPTIONAL_WATCHES)} | {
    silent.KIND,
    leaves_baseline.KIND,
}


def test_every_kind_has_a_text_and_no_text_is_of_another() -> None:
    assert set(MEANINGS) == KINDS


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_text_says_what_why_where_next_and_when_it_is_harmless(kind: str) -> None:
    meaning = MEANINGS[kind]
    assert len(meaning.causes) == 3
    assert len(meaning.looks) >= 3
    for text in (meaning.what, meaning.harmless, *meaning.causes):
        assert text.endswith("."), text
        assert "  " not in text
    for look in meaning.looks:
        assert look.text.endswith((".", "?")), look.text
        assert not look.statistic or look.statistic in BY_NAME


def test_only_kinds_of_layers_are_forks() -> None:
    assert set(FORKS) <= KINDS
