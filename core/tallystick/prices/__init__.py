"""What model calls consume, what they cost, and what they can cost at most."""

from __future__ import annotations

from tallystick.prices._book import PriceBook, PriceChain, price_book
from tallystick.prices._cost import Cost
from tallystick.prices._genai import GenaiPrices
from tallystick.prices._input import input_bound
from tallystick.prices._overrides import Overrides
from tallystick.prices._reprice import reprice
from tallystick.prices._usage import Usage

__all__ = [
    "Cost",
    "GenaiPrices",
    "Overrides",
    "PriceBook",
    "PriceChain",
    "Usage",
    "input_bound",
    "price_book",
    "reprice",
]
