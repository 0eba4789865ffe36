"""A process that tells one story and may be killed in it: ``python -m tests.crash._agent``."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from tallystick import Guarantee

from ._matrix import live
from ._stage import Setting, Stage
from ._stories import STORIES


def main() -> None:
    """Tell the story that the only argument describes, as JSON."""
    logging.disable(logging.ERROR)
    told = json.loads(sys.argv[1])
    setting = Setting(
        store=told["store"],
        url=told["url"],
        way=told["way"],
        guarantee=Guarantee(told["guarantee"]),
        folder=Path(told["folder"]),
        target=told["url"],
    )
    story = next(story for story in STORIES if story.name == told["story"])
    stage = Stage(setting, story, told["tenant"])
    print(live(stage))
    stage.close()


if __name__ == "__main__":
    main()
