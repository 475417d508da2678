"""What the app's tests share; and where things are."""

from pathlib import Path

APP = Path(__file__).resolve().parents[2]
ROOT = APP.parents[1]
PICTURES = Path(__file__).parent / "pictures"
