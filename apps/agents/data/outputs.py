"""The verifier of outputs: looks in Rucio for what PanDA's jobs say they have made."""

from __future__ import annotations

from collections.abc import Sequence

from apps.runs.errors import RetryableError
from apps.stf import selectors, services
from apps.stf.models import ProcessingOutput

from .batches import by_run
from .rucio import FileFacts, RefusedByRucio, Rucio

MOST_OUTPUTS = 200


class OutputVerifier:
    """Its step is the loop `outputs` of the data agent."""

    def __init__(self, rucio: Rucio) -> None:
        self._rucio = rucio
        # Moves on through those that are not there: they must not hide the younger ones for ever.
        self._after = 0

    def step(self) -> bool:
        """Verify a batch of outputs; True when there may be more.

        Raises:
            RetryableError: Rucio is away, or refuses what is asked of some runs. The others are looked after.
        """
        outputs = selectors.outputs_to_verify(limit=MOST_OUTPUTS, after=self._after)
        refusals = []
        for of_run in by_run(outputs, lambda output: output.job.task.run_id):
            try:
                self._verify(of_run)
            except RefusedByRucio as refusal:
                refusals.append(f"run {of_run[0].job.task.run.run_number}: Rucio refuses: {refusal}")
        more = len(outputs) == MOST_OUTPUTS
        self._after = outputs[-1].pk if more else 0
        if refusals:
            raise RetryableError("; ".join(refusals))
        return more

    def _verify(self, outputs: Sequence[ProcessingOutput]) -> None:
        """The outputs of one run."""
        facts: dict[tuple[str, str], FileFacts] = {}
        for scope, rse in sorted({(output.scope, output.rse) for output in outputs}):
            names = [output.name for output in outputs if (output.scope, output.rse) == (scope, rse)]
            found = self._rucio.files_at(scope, names, rse=rse)
            facts |= {(scope, name): fact for name, fact in found.items()}
        members = {
            (scope, dataset): self._rucio.members(scope, dataset)
            for scope, dataset in sorted({(output.scope, output.dataset) for output in outputs})
            if dataset
        }
        wrong = {
            output.pk: why
            for output in outputs
            if (
                why := _what_is_wrong(
                    output,
                    facts.get((output.scope, output.name)),
                    members.get((output.scope, output.dataset), set()),
                )
            )
        }
        services.mark_outputs(
            outputs[0].job.task.run,
            registered=[output.pk for output in outputs if output.pk not in wrong],
            missing=wrong,
        )


def _what_is_wrong(output: ProcessingOutput, fact: FileFacts | None, members: set[str]) -> str:
    if fact is None:
        return f"Rucio knows no copy of it at {output.rse}"
    if fact.state != "available":
        return f"Rucio has its copy at {output.rse} as {fact.state}"
    if (fact.size_bytes, fact.checksum) != (output.size_bytes, output.checksum):
        return (
            f"Rucio has {fact.size_bytes} bytes with adler32 {fact.checksum}, "
            f"PanDA said {output.size_bytes} and {output.checksum}"
        )
    if output.dataset and output.name not in members:
        return f"it is not in the dataset {output.dataset}"
    return ""
