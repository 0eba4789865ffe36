"""The most that a call of a model can use: what is reserved before it is made."""

from __future__ import annotations

from datetime import timedelta

from tallystick._budgets._amounts import Metric
from tallystick._budgets._rules import Refusal
from tallystick._budgets._terms import Terms
from tallystick._model import at
from tallystick._values import Value
from tallystick.errors import BudgetError, UnpricedModel
from tallystick.prices import PriceBook

#: how far ahead of its price a call may begin
_AHEAD = timedelta(minutes=10)


class ModelRequest(Value):
    """
    What is known of a model call before it is made.

    ``input_bound`` is a proven upper bound of its input tokens (see
    :func:`tallystick.prices.input_bound`), ``output_bound`` the tokens that all its answers
    together may have; ``None`` is what the model itself allows. ``digest`` is a sha256 over
    provider, model and the whole payload. ``attempts`` is how often the client may send it by
    itself, ``context`` its service tier. Where the caller can do with fewer output tokens than
    ``output_bound``, ``least_output`` says with how few.
    """

    model: str
    provider: str | None = None
    input_bound: int | None = None
    output_bound: int | None = None
    cached: bool = False
    audio: bool = False
    digest: bytes | None = None
    attempts: int = 1
    context: str | None = None
    least_output: int | None = None


class Bound:
    """The most that a request can use."""

    def __init__(self, book: PriceBook, request: ModelRequest, moment: int) -> None:
        self._book = book
        self._request = request
        self._at = at(moment)
        name, provider = request.model, request.provider
        self._input = request.input_bound
        if self._input is None:
            self._input = book.max_input(name, provider)
        self._output = request.output_bound
        if self._output is None:  # an answer has its place in the window, too
            self._output = book.max_output(name, provider) or book.max_input(name, provider)
        self._costs: dict[int, int | None] = {}

    def wanted(self, terms: Terms, metric: Metric) -> int | None:
        """What it wants of a metric; BudgetError where that has no bound, or no price."""
        if metric is Metric.REQUESTS:
            return 1
        if metric is Metric.AMOUNT:
            return None
        if self._input is None or self._output is None:
            side = "output" if self._output is None else "input"
            raise BudgetError(
                f"nobody knows how many {side} tokens {self._request.model} may use, so the "
                f"budget {terms.name} cannot reserve them; limit the answer (max_tokens), or give "
                "the model's maximum in the price book (the extra `prices` brings one)"
            )
        if metric is Metric.TOKENS:
            return (self._input + self._output) * self._request.attempts
        cost = self._cost(self._output)
        if cost is None:
            raise UnpricedModel(
                f"the budget {terms.name} limits money and nobody knows what "
                f"{self._request.model} costs; nothing was sent. Give its price with "
                "tallystick.prices.Overrides, or install the extra `prices`",
                model=self._request.model,
                provider=self._request.provider,
            )
        return cost

    def usd_or_none(self) -> int | None:
        """The most that it can cost, in billionths of a dollar, where that is known."""
        known = self._input is not None and self._output is not None
        return self._cost(self._output or 0) if known else None

    def _cost(self, output: int) -> int | None:
        if output not in self._costs:
            self._costs[output] = self._dearest(output)
        return self._costs[output]

    def _dearest(self, output: int) -> int | None:
        request = self._request
        cost = self._book.bound(
            request.model,
            input_tokens=self._input or 0,
            output_tokens=output,
            provider=request.provider,
            at=self._at,
            within=_AHEAD,
            cached=request.cached,
            context=request.context,
            audio=request.audio,
        )
        return None if cost is None else cost.nanos * request.attempts

    def fitting(self, refusal: Refusal) -> int | None:
        """The most output tokens that fit what is left, if the caller can do with so few."""
        least, most = self._request.least_output, self._output
        if least is None or most is None or self._input is None:
            return None
        left, metric = refusal.figures.remaining, refusal.demand.metric
        if metric is Metric.TOKENS:
            fewer = left // self._request.attempts - self._input
        elif metric is Metric.USD:
            fewer = self._affordable(left, most)
        else:
            return None
        return fewer if least <= fewer < most else None

    def _affordable(self, left: int, most: int) -> int:
        """By bisection: the dearest rate may change with the size."""
        low, high = -1, most
        while high - low > 1:
            middle = (low + high) // 2
            cost = self._cost(middle)
            low, high = (middle, high) if cost is not None and cost <= left else (low, middle)
        return low
