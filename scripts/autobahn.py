"""Run Autobahn's WebSocket cases against the command, with each engine.

The runner is `kosoku <https://pypi.org/project/kosoku/>`_ (MIT), which drives the case files of
the Autobahn TestSuite (Apache-2.0) on Python 3. It is no dependency of ours: install it first,
in an environment of its own if you like. All cases of an engine take some ten minutes; every
case that fails is printed with its reason::

    pip install kosoku
    python scripts/autobahn.py
    python scripts/autobahn.py --engine fast --case '1.*' --case '7.*'
    python scripts/autobahn.py --kosoku /path/to/kosoku --report /tmp/report

Pings are off: to Autobahn a ping is the end of a case, and some cases take longer than our
interval. The runner's version 0.1.0 fails by itself in the twelve cases of compressed empty
messages; they are counted apart as what they are, and a runner without that fault judges them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.e2e.serving import serving

TARGET = "tests.e2e.apps.websocket_raw:asgi"
ENGINES = ("fast", "reference")
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
"""What Autobahn itself does not count as a failure."""
RUNNER_FAULT = "Strings must be encoded before hashing"
"""What a `TypeError` in the runner's own case file says."""
MOST_SECONDS = 3600.0


def judge(report: Path) -> tuple[Counter[str], list[str]]:
    """Return how many cases there are of each verdict, and a line for each that failed."""
    verdicts: Counter[str] = Counter()
    failures: list[str] = []
    index: dict[str, dict[str, Any]] = json.loads((report / "index.json").read_text("utf-8"))
    for cases in index.values():
        for name, case in cases.items():
            behavior, closing = case["behavior"], case["behaviorClose"]
            if behavior in PASSED and closing in PASSED:
                verdicts[behavior] += 1
                continue
            text = json.loads((report / case["reportfile"]).read_text("utf-8"))["result"]
            if behavior == "ERROR" and RUNNER_FAULT in text:
                verdicts["fault of the runner"] += 1
                continue
            verdicts["FAILED"] += 1
            failures.append(f"{name}: {behavior}, closing {closing}: {text}")
    return verdicts, failures


def run(kosoku: str, engine: str, cases: list[str], parallel: int, report: Path) -> int:
    """Run the cases against one engine; return how many failed."""
    include = [word for case in cases for word in ("-i", case)]
    with serving(TARGET, "--ws-engine", engine, "--ws-ping-interval", "0") as server:
        address = f"{server.host}:{server.port}"
        command = [kosoku, "-p", str(parallel), "-o", str(report), *include, address]
        done = subprocess.run(
            command, capture_output=True, check=False, text=True, timeout=MOST_SECONDS
        )
        log = server.log.text
    if not (report / "index.json").exists():
        sys.exit(f"the runner has written no report:\n{done.stdout}{done.stderr}")
    verdicts, failures = judge(report)
    if not verdicts:
        sys.exit("no case has run")
    if "Traceback" in log:
        failures.append(f"there is a traceback in the log:\n{log}")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(f"{engine}: {counts}", *failures, sep="\n  ", flush=True)
    return len(failures)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Autobahn's WebSocket cases.")
    parser.add_argument("--engine", choices=ENGINES, help="one engine instead of both")
    parser.add_argument("--case", action="append", default=[], help="a case or a pattern of them")
    parser.add_argument("--parallel", type=int, default=4, help="cases at a time")
    parser.add_argument("--kosoku", default=shutil.which("kosoku"), help="the runner's path")
    parser.add_argument("--report", type=Path, help="keep the runner's reports in this directory")
    options = parser.parse_args()
    if options.kosoku is None:
        parser.error("kosoku is not on the path: pip install kosoku, or give --kosoku")
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for engine in [options.engine] if options.engine else ENGINES:
            report = (options.report or Path(scratch)) / engine
            failed += run(options.kosoku, engine, options.case, options.parallel, report)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
