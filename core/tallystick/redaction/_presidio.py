"""Microsoft Presidio as a detector: names, places and what else its recognizers know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tallystick.errors import DriverMissing
from tallystick.redaction._detectors import Detector


def presidio(
    analyzer: Any = None,
    *,
    language: str = "en",
    entities: Iterable[str] | None = None,
    score: float = 0.5,
) -> Detector:
    """
    A detector that asks Presidio; DriverMissing where it is not installed.

    *analyzer* is an ``AnalyzerEngine`` of your own, else one with its defaults, which needs the
    language model that its documentation names. What it finds with less than *score* is left. It
    takes far longer than the other detectors: milliseconds for a sentence.
    """
    engine = analyzer if analyzer is not None else _engine()
    wanted = None if entities is None else list(entities)

    def find(text: str) -> list[tuple[int, int]]:
        found: Any = engine.analyze(text=text, language=language, entities=wanted)
        return [(hit.start, hit.end) for hit in found if hit.score >= score]

    return Detector("presidio", find)


def _engine() -> Any:
    try:
        import presidio_analyzer  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise DriverMissing(
            'Presidio is not installed: pip install "tallystick[presidio]", and a language model '
            "for it"
        ) from error
    made: Any = presidio_analyzer
    return made.AnalyzerEngine()
