"""One price library of section 4, in a process of its own and with a Python of its own (bench/requirements.txt).

    python -m bench.price_libraries genai-prices|litellm ROWS ROUNDS

prints the library's version and the CPU seconds per event of each round as one JSON object. Standard library and the
price library only. What is timed is the call and the making of its arguments: rows are decoded before, and nothing is
written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

Price = Callable[[str, str, Mapping[str, int]], object]
"""Prices one event: provider, model, quantities by disjoint class."""


def genai_prices() -> Price:
    from genai_prices import Usage, calc_price  # type: ignore[import-not-found]  # noqa: PLC0415

    def price(provider: str, model: str, quantities: Mapping[str, int]) -> object:
        of = quantities.get
        written, cached = of("cache_write", 0), of("cached_input", 0)
        usage = Usage(
            input_tokens=quantities["input"] + cached + written,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            output_tokens=quantities["output"] + of("reasoning", 0),
        )
        return calc_price(usage, model_ref=model, provider_id=provider).total_price

    return price


def litellm() -> Price:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its own list; nothing is fetched
    from litellm import cost_per_token  # type: ignore[import-not-found]  # noqa: PLC0415

    def price(provider: str, model: str, quantities: Mapping[str, int]) -> object:
        of = quantities.get
        written, cached = of("cache_write", 0), of("cached_input", 0)
        prompt, completion = cost_per_token(
            model=model,
            custom_llm_provider=provider,
            prompt_tokens=quantities["input"] + cached + written,
            cache_read_input_tokens=cached,
            cache_creation_input_tokens=written,
            completion_tokens=quantities["output"] + of("reasoning", 0),
        )
        return prompt + completion

    return price


LIBRARIES: dict[str, Callable[[], Price]] = {"genai-prices": genai_prices, "litellm": litellm}


def main(library: str, rows: str, rounds: str) -> None:
    events: list[list[Any]] = json.loads(Path(rows).read_text(encoding="utf-8"))
    price = LIBRARIES[library]()
    assert all(price(*row[4:7]) for row in events), "an event without a price would be no comparison"
    seconds = []
    for _ in range(int(rounds)):
        begun = process_time()
        for row in events:
            price(*row[4:7])
        seconds.append((process_time() - begun) / len(events))
    print(json.dumps({"version": version(library), "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
