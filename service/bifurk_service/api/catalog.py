"""The tables that everything is derived from: statistics and detectors."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from bifurk_service.api.grants import Reader
from bifurk_service.api.schemas import (
    DetectorAnswer,
    Page,
    ProfileStatisticAnswer,
    StatisticAnswer,
)
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.rows.profile import PROFILE_STATISTICS

router = APIRouter(prefix="/api/v1", tags=["catalog"])


@router.get("/stats")
def get_stats(_grant: Reader) -> Page[StatisticAnswer]:
    """Every statistic: name, formula, unit, source, nature."""
    return Page(items=[StatisticAnswer.model_validate(asdict(row)) for row in STATISTICS])


@router.get("/profiles")
def get_profile_stats(_grant: Reader) -> Page[ProfileStatisticAnswer]:
    """Every statistic across layers: name, formula, unit, source, nature."""
    return Page(
        items=[ProfileStatisticAnswer.model_validate(asdict(row)) for row in PROFILE_STATISTICS]
    )


@router.get("/detectors")
def get_detectors(_grant: Reader) -> Page[DetectorAnswer]:
    """Every detector and the statistics it watches."""
    return Page(
        items=[
            DetectorAnswer(
                kind=row.kind,
                statistics=list(row.statistics),
                meaning=row.meaning,
                optional=row in OPTIONAL_WATCHES,
            )
            for row in (*WATCHES, *OPTIONAL_WATCHES)
        ]
    )
