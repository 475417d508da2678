"""What the tests from outside share; and where the tree is."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
