"""Remake the picture of a report for the README, with the demo's search and a headless browser.

    python docs/picture.py [DEMO]

DEMO is what `robusttune demo DEMO` wrote, robusttune-demo by default. Needs chromium in the path.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from robusttune import Report

PICTURE = Path(__file__).parent / "images" / "report.png"
WIDTH, HEIGHT = 1090, 1260  # what to mend, the best result and a region


def main(demo: str = "robusttune-demo") -> None:
    """Write the picture."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no chromium in the path")
    with tempfile.TemporaryDirectory() as folder:
        page = Report.from_directory(Path(demo, "search")).to_html(Path(folder, "report.html"))
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
                f"--window-size={WIDTH},{HEIGHT}",
                f"--screenshot={PICTURE}",
                page.as_uri(),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )
    sys.stdout.write(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(*sys.argv[1:2])
