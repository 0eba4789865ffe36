"""What the detectors find, what they leave, and that no text takes them long."""

from __future__ import annotations

import random
import string

import pytest

from tallystick.errors import DriverMissing
from tallystick.redaction import DETECTORS, Detector, presidio
from tallystick.redaction._detectors import scan

LETTERS = string.ascii_letters + string.digits
CARD = "4111111111111111"

SECRETS = {
    "token": [
        "sk-" + LETTERS[:48],
        "sk-proj-" + LETTERS[:40] + "_-" + LETTERS[:20],
        "sk-ant-api03-" + LETTERS[:60] + "-AA",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "AIza" + LETTERS[:35],
        "ghp_" + LETTERS[:36],
        "gho_" + LETTERS[:36],
        "github_pat_" + LETTERS[:50],
        "xoxb-123456789012-" + LETTERS[:24],
        "xapp-1-A01-" + LETTERS[:20],
        "sk_live_" + LETTERS[:24],
        "rk_live_" + LETTERS[:24],
        "whsec_" + LETTERS[:32],
        "glpat-" + LETTERS[:20],
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ],
    "card": [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444",
        "2223003122003222", "378282246310005", "3782 822463 10005", "30569309025904",
        "6011111111111117", "3530111333300000", "4222222222222",
    ],
    "iban": [
        "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19",
        "FR1420041010050500013M02606", "NO93 8601 1117 947", "MT84MALT011000012345MTLCAST001S",
    ],
    "email": [
        "ann@example.com", "ann.lee+orders@mail.example.co.uk", "jörg@müller.example", "a@b.io",
    ],
}  # fmt: skip
EVERY = [(kind, secret) for kind, found in SECRETS.items() for secret in found]

HARMLESS = [
    "4111111111111112",  # does not add up
    "1234567890123452",  # adds up, and no card begins so
    "order 123-45-6789-0001",
    "123456789",
    "41111111111111111111111111111111",
    "DE89370400440532013001",
    "XX89370400440532013000",
    "DE8937040044053201300",
    "ann@localhost",
    "@decorator and a @ b",
    "git@github",
    "sk-learn, sk-short",
    "task-" + "a" * 40,
    "eyJhbGciOi.x",
    "-----BEGIN PUBLIC KEY-----",
    "2026-11-21T16:00:00.000000Z",
    "0.4142135623730951",
    "550e8400-e29b-41d4-a716-446655440000",
]


@pytest.mark.parametrize(("kind", "secret"), EVERY, ids=[secret[:20] for _, secret in EVERY])
@pytest.mark.parametrize(
    "around", ["{}", "say {} please", '{{"a": "{}"}}', "({})", "x={};", "{}\n"]
)
def test_a_secret_is_found_among_other_words(kind: str, secret: str, around: str) -> None:
    """Alone, in prose, in JSON, in code."""
    left = scan(around.format(secret), DETECTORS)
    assert left == around.format(f"[redacted:{kind}]")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_a_little_like_it_is_left(text: str) -> None:
    """Numbers that do not add up, names that are none."""
    assert scan(text, DETECTORS) == text


@pytest.mark.parametrize("kind", ["RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "", "PGP "])
def test_a_private_key_goes_whole(kind: str) -> None:
    """From its first line to its last; one that was cut off to the end of the text."""
    end = " BLOCK" if kind == "PGP " else ""
    body = f"-----BEGIN {kind}PRIVATE KEY{end}-----\nMIIE\nabc\n"
    whole = f"{body}-----END {kind}PRIVATE KEY{end}-----"
    assert scan(f"a {whole} b", DETECTORS) == "a [redacted:private_key] b"
    assert scan(f"a {body}", DETECTORS) == "a [redacted:private_key]"


@pytest.mark.parametrize(
    "text", ['aws_secret_access_key = "{}"', "AWS_SECRET_ACCESS_KEY={}", '"SecretAccessKey": "{}"']
)
def test_an_aws_secret_is_known_by_its_name(text: str) -> None:
    """Forty characters alone may be anything."""
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert scan(text.format(secret), DETECTORS) == text.format("[redacted:token]")
    assert scan(f"commit {secret}", DETECTORS) == f"commit {secret}"


def test_decoys_hide_nothing() -> None:
    """Whatever stands before, and however much of it (AW-11: 256 decoys, a middle unread)."""
    chance = random.Random(11)
    decoys = " ".join(["4111111111111112"] * 2000)
    groups = "1234 " * 400 + "4111 1111 1111 1111" + " 5678" * 400
    words = " ".join("".join(chance.choices(LETTERS, k=7)) for _ in range(100_000))
    for text in (
        f"{decoys} 4111111111111111 {decoys}",
        groups,
        words + " 4111111111111111 " + words,
    ):
        assert "[redacted:card]" in scan(text, DETECTORS)
        assert CARD not in scan(text, DETECTORS).replace(" ", "")


UGLY = [
    "a", "eyJ", "eyJa.", "4", "4 ", "4444 ", "DE89", "DE89 ", "a@", "a@b ", "a.", "@", "sk-", "-",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "secret", "secret = ", "x@y.", "ghp_", "9" * 19,
]  # fmt: skip


@pytest.mark.parametrize("piece", UGLY, ids=lambda piece: piece[:12])
def test_no_text_takes_long_because_it_was_made_to(piece: str) -> None:
    """Megabytes of it are read within the time that one test has; what is squared is not."""
    text = (piece * 1_000_000)[:1_000_000]
    assert isinstance(scan(text, DETECTORS), str)


def test_of_what_overlaps_everything_goes() -> None:
    """The mark is the first one's, and nothing of the others is left."""
    one = Detector("one", lambda text: [(2, 6)])
    two = Detector("two", lambda text: [(4, 8), (2, 5)])
    assert scan("0123456789", (one, two)) == "01[redacted:one]89"
    assert scan("0123456789", (two, one)) == "01[redacted:one]89"


class Analyzer:
    """What Presidio's engine looks like from here; the real one brings models of its own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, list[str] | None]] = []

    def analyze(self, text: str, language: str, entities: list[str] | None) -> list[Hit]:
        self.asked.append((text, language, entities))
        return [Hit(3, 6, 0.9), Hit(0, 2, 0.2)]


class Hit:
    def __init__(self, start: int, end: int, score: float) -> None:
        self.start, self.end, self.score = start, end, score


def test_presidio_is_asked_for_the_rest() -> None:
    """Through its own engine; what it is not sure of is left."""
    engine = Analyzer()
    detector = presidio(engine, language="de", entities=["PERSON"])
    assert scan("an Ann is", (detector,)) == "an [redacted:presidio] is"
    assert engine.asked == [("an Ann is", "de", ["PERSON"])]


def test_presidio_itself_finds_a_phone_number() -> None:
    """Where it is installed, with the recognizers that need no language model."""
    analyzer = pytest.importorskip("presidio_analyzer")
    recognizer = analyzer.predefined_recognizers.PhoneRecognizer()

    class Engine:
        def analyze(self, text: str, language: str, entities: list[str] | None) -> object:
            return recognizer.analyze(text, ["PHONE_NUMBER"], None)

    assert "555" not in scan("call +1 212 555 0123", (presidio(Engine(), score=0.3),))


def test_without_presidio_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked."""
    monkeypatch.setitem(__import__("sys").modules, "presidio_analyzer", None)
    with pytest.raises(DriverMissing, match=r"tallystick\[presidio\]"):
        presidio()
