"""After the keepers' storm: a new process ends what is open, and all is counted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tallystick import Ledger, Status
from tallystick._archive._seal_file import read
from tallystick._archive._signing import checker
from tallystick._canonical import canonical
from tallystick._codec import encode
from tallystick.errors import ApprovalRequired, EffectFailed, LedgerError, ResultNotStored
from tests._urls import LEASED

from ._keepers import KINDS, STEPS, call, decide, opened, travel
from ._keepers_world import KNOWING, LEASE, Camp, Report, World

#: in these nothing has come to its end
OPEN = (Status.PENDING, Status.APPROVED, Status.RUNNING, Status.IN_DOUBT, Status.COMPENSATING)
#: rounds in which a person and the agents bring everything to its end
_ROUNDS = 10
_ALL = 1_000_000


class Judge:
    """Brings everything to its end and fills the report."""

    def __init__(self, camp: Camp, report: Report) -> None:
        self.camp = camp
        self.report = report
        self.world = World(camp.folder)
        self.flaws = report.flaws
        self._ran = 0

    def run(self, kill_imports: Callable[[Path], None], mirror: str) -> None:
        """All of it; *kill_imports* imports an archive into *mirror*, dying now and then."""
        if self.camp.store in LEASED:
            time.sleep(LEASE + 0.2)
        archive = self.camp.folder / "last"
        with opened(self.camp.url, self.world) as ledger:
            ledger.recover()
            self._open_is_whole(ledger)
            self._end(ledger)
            self._again(ledger)
            self._sealed(ledger)
            ledger.export(archive)
        self._counted(archive)
        kill_imports(archive)
        self._mirrored(archive, mirror)
        self._second(archive)
        for name, kept in (("busy", "busy"), ("asked", "asked"), ("carried", "imports")):
            setattr(self.report, kept, sum(1 for _ in self.world.lines(name)))
        self.report.exports = len(list(self.camp.folder.glob("archive-*")))
        self.report.carried = sum(line[0] for line in self.world.lines("carried"))
        self.flaws += [str(line) for name in ("odd", "flaw") for line in self.world.lines(name)]

    def _open_is_whole(self, ledger: Ledger) -> None:
        """Nothing that is open lost what it needs, and what was asked for is still asked."""
        found = {effect.key: effect for effect in ledger.effects(limit=_ALL)}
        shown = {item.effect.key for item in ledger.pending()}
        for effect in found.values():
            if effect.status in OPEN and effect.payload_dropped_at is not None:
                self.flaws.append(f"{effect.tool} is {effect.status}, and its payload was dropped")
            if effect.status in (Status.PENDING, Status.IN_DOUBT) and effect.key not in shown:
                self.flaws.append(f"{effect.tool} is {effect.status}, and not in the inbox")
        for key, n in self.world.lines("asked"):
            asked = found.get(key)
            if asked is None or (asked.status in OPEN and asked.args != {"n": n}):
                self.flaws.append(f"p {n} was asked for and is gone, or is another one")

    def _end(self, ledger: Ledger) -> None:
        """As people and agents would, until nothing is open but what waits for a decision."""
        trips = {int(run.id.removeprefix("trip-")) for run in ledger.runs(limit=_ALL)}
        ended: dict[int, str] = {}
        for _ in range(_ROUNDS):
            ledger.recover()
            decide(ledger, self.world, late=True)
            ended = {int(trip): str(status) for trip, status in self.world.lines("ended")}
            for trip in trips - {*ended}:
                with contextlib.suppress(LedgerError):
                    travel(ledger, self.world, trip)
            if not trips - {*ended}:
                break
        meant = {trip: "succeeded" if trip % 2 else "compensated" for trip in trips}
        if meant != ended:
            self.flaws.append(f"trips end as {sorted(ended.items())} and not as they should")
        for effect in ledger.effects(limit=_ALL):
            if effect.tool in KINDS and effect.status in (Status.APPROVED, Status.FAILED):
                n = effect.args.get("n")
                if n is not None:
                    call(ledger, self.world, effect.tool, n)
        self.report.trips = len(trips)
        self.report.undone = sum(status == "compensated" for status in ended.values())

    def _again(self, ledger: Ledger) -> None:
        """Each key is called once more, and nothing runs."""
        receipts = self.world.receipts()
        numbers = {(kind, n) for kind, n, *_ in self._called()}
        found = {effect.key: effect for effect in ledger.effects(limit=_ALL)}
        for kind, n in sorted(numbers):
            options: dict[str, Any] = {"workflow": f"w-{n % 7}", "policy": KINDS[kind][0]}
            try:
                answer = ledger.call(kind, self._never, {"n": n}, **options)
            except (ResultNotStored, EffectFailed, ApprovalRequired) as met:
                self._met(kind, n, found[met.key], met)
            else:
                if answer["receipt"] not in receipts.values():
                    self.flaws.append(f"{kind} {n} is said to be {answer}, and never was")
        if self._ran:
            self.flaws.append(f"{self._ran} tools ran a second time")

    def _never(self, n: int) -> dict[str, str]:
        self._ran += 1
        return {"receipt": "none"}

    def _called(self) -> set[tuple[str, int]]:
        named = {
            (kind, n)
            for name in ("got", "forgotten", "refused")
            for kind, n, *_ in self.world.lines(name)
        }
        return named | {(k, n) for k, n, _, _ in self.world.lines("did") if k in KINDS}

    def _met(self, kind: str, n: int, effect: Any, met: LedgerError) -> None:
        """What a caller meets fits what the effect is."""
        dropped, status = effect.payload_dropped_at is not None, effect.status
        if isinstance(met, ResultNotStored):
            fits = dropped and status is Status.SUCCEEDED
        elif isinstance(met, EffectFailed):
            fits = status is Status.FAILED and kind == "x"
        else:
            fits = status is Status.PENDING and kind == "p"
        if not fits:
            self.flaws.append(f"{kind} {n} is {status}, and its caller got {met!r}")

    def _sealed(self, ledger: Ledger) -> None:
        """The ledger is sound, with its seals, and each seal that was given is in the file."""
        seals, key = self.camp.folder / "seals", self.camp.folder / "key"
        public = key.with_name("key.pub")
        sealed = ledger.seal(seals, key=key)
        checked = ledger.verify(seal=seals, public_key=public, last_root=sealed.root)
        self.flaws += [f"damaged: {damage}" for damage in checked.damage]
        roots = read(seals, checker(public), "default").roots
        for number, root in self.world.lines("sealed"):
            if roots[number - 1 : number] != [root]:
                self.flaws.append(f"seal {number} was given, and is not in the file")
        self.report.seals = len(roots)

    def _counted(self, archive: Path) -> None:
        """Every deed once, with its record; every record with its deed, or with none."""
        records = {
            said["effect"]["key"]: said
            for line in archive.read_text().splitlines()[1:-1]
            if (said := json.loads(line))
        }
        deeds: dict[tuple[str, int], list[str]] = defaultdict(list)
        for kind, about, key, receipt in self.world.lines("did"):
            deeds[kind, about].append(f"{key} {receipt}")
            self._recorded(kind, about, receipt, records.get(key))
        for (kind, about), seen in deeds.items():
            if len(set(seen) if kind in KNOWING else seen) != 1:
                self.flaws.append(f"{kind} {about} happened {len(seen)} times: {seen}")
        told = Counter(kind for kind, _ in deeds)
        for step in STEPS:
            if told[f"un-{step}"] != self.report.undone:
                self.flaws.append(
                    f"{told[f'un-{step}']} times un-{step}: {self.report.undone} meant"
                )
        self._results(records)
        tombs = [said for said in records.values() if said["effect"]["args"].isdigit()]
        untold = [t for t in tombs if "retained" not in {e["kind"] for e in t.get("events", ())}]
        self.flaws += [f"a tombstone says nothing: {said['effect']}" for said in untold]
        self.report.effects, self.report.happened = len(records), len(deeds)
        self.report.retained = len(tombs)
        self.report.forgotten = sum(1 for _ in self.world.lines("forgotten"))

    def _recorded(self, kind: str, about: int, receipt: str, record: Any) -> None:
        """A deed's record: there, with its outcome and its digests, payload or not."""
        if record is None:
            self.flaws.append(f"{kind} {about} happened, and has no record")
            return
        effect = record["effect"]
        meant = ("compensated",) if kind in STEPS and about % 2 == 0 else ("succeeded",)
        result: Any = {"receipt": receipt} if kind in KINDS else receipt
        digest = hashlib.sha256(encode(result).encode()).hexdigest()
        if effect["status"] not in meant or effect.get("result_digest") != digest:
            self.flaws.append(f"{kind} {about} is recorded as {effect}, and it was {receipt}")
        if kind in KINDS:
            said = hashlib.sha256(canonical({"n": about})).hexdigest()
            if (effect["digest"], effect["shown"]) != (said, said):
                self.flaws.append(f"{kind} {about} has other digests: {effect}")

    def _results(self, records: dict[str, Any]) -> None:
        """What a caller was given is what happened, and is there unless it was dropped."""
        happened = {
            (kind, about, receipt): key for kind, about, key, receipt in self.world.lines("did")
        }
        for kind, n, receipt in self.world.lines("got"):
            self.report.results += 1
            key = happened.get((kind, n, receipt))
            effect = records.get(str(key), {}).get("effect", {})
            if not effect.get("args", "").isdigit() and receipt not in effect.get("result", ""):
                self.flaws.append(f"{kind} {n}: somebody got {receipt}, and it is {effect}")

    def _mirrored(self, archive: Path, mirror: str) -> None:
        """Imported again after all deaths, it is the same; and so it is after that."""
        with Ledger(mirror, lease=LEASE) as ledger:
            for known in (False, True):
                done = ledger.load(archive)
                if done.imported + done.known != done.effects or (known and done.imported):
                    self.flaws.append(f"an import that was cut off is not completed: {done}")
            again = archive.with_name("again")
            ledger.export(again)
            if again.read_text().splitlines()[1:-1] != archive.read_text().splitlines()[1:-1]:
                self.flaws.append("what came in is not what went out")
            self.flaws += [f"damaged in the mirror: {d}" for d in ledger.verify().damage]

    def _second(self, archive: Path) -> None:
        """Nothing began where everything was carried to, all the time."""
        with Ledger(self.camp.second, lease=LEASE) as ledger:
            ledger.load(archive, on_conflict="skip")
            begun = (Status.RUNNING, Status.APPROVED, Status.COMPENSATING)
            for effect in ledger.effects(limit=_ALL):
                if effect.status in begun:
                    self.flaws.append(f"{effect.tool} is {effect.status} where it was carried to")
            self.flaws += [f"damaged in the second: {d}" for d in ledger.verify().damage]
