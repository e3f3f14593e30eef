"""Searches of data sets that each end as one line of results, and are run again only where they are named."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.searches import read_lines

Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Jobs:
    """The jobs of a benchmark.

    Attributes:
        name: Of the benchmark.
        each: What a job is called, by which its line has its name.
        names: Of all jobs.
        results: The file of lines.
        minutes: Budget of a job, where it is the same for all.
        quick: That of a quick job.
    """

    name: str
    each: str
    names: Sequence[str]
    results: Path
    quick: float
    minutes: float | None = None

    def wanted(self, description: str | None, table: Callable[[Lines], str]) -> Namespace:
        """Return what the command line says, where any job is to be run: `names` says which.

        Of the other options, `minutes` is the budget; where it is nothing, each job has its own.

        Raises:
            SystemExit: The table was printed instead, there are no data, or an option is wrong.
        """
        parser = self._parser(description)
        options = parser.parse_args()
        lines = read_lines(self.results)
        if options.table:
            print(table(lines))
            parser.exit()
        if options.data is None:
            parser.exit(message=f"{self.name}: searches on sets that --data names; nothing is run without it\n")
        if unknown := [name for name in options.names if name not in self.names]:
            parser.error(f"no {self.each} {unknown[0]}; there are {', '.join(self.names)}")
        if options.quick:
            options.minutes = self.quick
        done = {line[self.each] for line in lines}
        options.names = options.names or [name for name in self.names if name not in done]
        return options

    def _parser(self, description: str | None) -> ArgumentParser:
        parser = ArgumentParser(description=description)
        known, folder = f"of {', '.join(self.names)}; all without a line if absent", Path("models") / self.name
        parser.add_argument("names", nargs="*", metavar=self.each.upper(), help=known)
        parser.add_argument("--data", type=Path, metavar="DIR", help="folder of data sets; without it nothing is run")
        parser.add_argument("--work", type=Path, default=folder, metavar="DIR", help="databases and winners")
        parser.add_argument("--minutes", type=float, default=self.minutes, metavar="N", help="budget of each")
        parser.add_argument("--quick", action="store_true", help=f"{self.quick:g} min each, and no line is written")
        parser.add_argument("--table", action="store_true", help="print the results so far in Markdown; run nothing")
        parser.add_argument("--json", action="store_true", help="print the lines as one JSON document")
        return parser

    def told(self, found: Lines, ratios: Mapping[str, float]) -> str:
        """Return lines as one JSON document."""
        measured = {line[self.each]: line for line in found}
        return json.dumps({"version": 1, "name": self.name, "ratios": ratios, "measured": measured})
