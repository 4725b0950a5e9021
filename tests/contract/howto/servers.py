"""The environment of a deployment."""

from __future__ import annotations


def env(name: str) -> str:
    return f"the value of {name}"


CACHES = {"default": {"LOCATION": "redis://cache.example:6379/0"}}
