"""Draw the diagrams of the documentation that have no picture yet, and drop the pictures of none.

    python scripts/write_diagrams.py

Needs npm, which fetches mermaid from its registry, and Chromium, in which mermaid draws. The
pictures are committed: see scripts/docs_hooks.py.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.docs_hooks import DIAGRAMS, ROOT, diagrams, digest

MERMAID = "mermaid@11.12.0"
PAGE = """<!doctype html><meta charset="utf-8"><div id="out"></div>
<script src="mermaid.min.js"></script><script>
mermaid.initialize({startOnLoad: false, theme: "neutral", securityLevel: "loose", htmlLabels: false,
  deterministicIds: true, fontFamily: "sans-serif", flowchart: {htmlLabels: false}});
mermaid.render("diagram", %s).then(done => { document.getElementById("out").innerHTML =
  "<pre>" + new XMLSerializer().serializeToString(new DOMParser().parseFromString(done.svg,
  "text/html").querySelector("svg")).replaceAll("&", "&amp;").replaceAll("<", "&lt;") + "</pre>";
});
</script>"""


def fetch(directory: Path) -> None:
    """Put mermaid's script into *directory*."""
    subprocess.run(["npm", "pack", "--silent", MERMAID], cwd=directory, check=True)
    with tarfile.open(next(directory.glob("mermaid-*.tgz"))) as archive:
        script = archive.extractfile("package/dist/mermaid.min.js")
        assert script is not None
        (directory / "mermaid.min.js").write_bytes(script.read())


def draw(directory: Path, source: str) -> str:
    """Return the picture of one diagram.

    Raises:
        ValueError: Mermaid did not understand it.
    """
    (directory / "page.html").write_text(PAGE % json.dumps(source), encoding="utf-8")
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    sandbox = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    options = ["--headless=new", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    printed = subprocess.run(
        [chromium, *sandbox, *options, f"--user-data-dir={directory}/profile", "page.html"],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"<pre>(.*?)</pre>", printed, re.DOTALL)
    if found is None:
        raise ValueError(f"mermaid draws nothing of\n{source}")
    return fixed_size(smaller(html.unescape(found[1]))) + "\n"


def smaller(picture: str) -> str:
    """Round coordinates to a tenth of a pixel, and drop what only scripts would read."""
    picture = re.sub(r' data-[a-z-]+="[^"]*"', "", picture)
    return re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", picture)


def fixed_size(picture: str) -> str:
    """Give the picture its own width, which a page may shrink."""
    found = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', picture)
    assert found is not None
    size = f'width="{float(found[1]):.0f}" height="{float(found[2]):.0f}"'
    return picture.replace('width="100%"', size, 1)


def main() -> int:
    """Draw what is missing."""
    home = ROOT / "docs" / DIAGRAMS
    wanted = {digest(source): source for _, source in diagrams()}
    for picture in home.glob("*.svg"):
        if picture.stem not in wanted:
            picture.unlink()
    missing = {name: text for name, text in wanted.items() if not (home / f"{name}.svg").exists()}
    if not missing:
        return 0
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        fetch(directory)
        for stem, source in missing.items():
            (home / f"{stem}.svg").write_text(draw(directory, source), encoding="utf-8")
            print("drew", stem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
