"""The decision box: at which sites an STF is processed. The choice depends on the STF alone, never on who came when."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone
from pydantic import ValidationError

from apps.runs import journal
from apps.runs.errors import DomainError, FieldRefused
from apps.runs.models import Run
from apps.runs.selectors import get_run
from apps.runs.workflow_parameters import Processing

from ..choices import Policy
from ..models import DecisionBox, ProcessingSite, StfFile


def processing_parameters(run: Run) -> Processing:
    """The section `[processing]` of a run; of one that was requested before there was such a section, its defaults."""
    return Processing.model_validate(run.parameters.get("processing", {}))


def ensure_box(run: Run) -> DecisionBox:
    """The run's decision box, made from its parameters at first use, with the sites it names."""
    box = DecisionBox.objects.filter(run=run).first()
    if box is not None:
        return box
    parameters = processing_parameters(run)
    sites = list(parameters.sites or run.parameters["replication"]["rses"])
    box, is_new = DecisionBox.objects.get_or_create(
        run=run,
        defaults={
            "policy": parameters.policy,
            "sites": sites,
            "rules": list(parameters.rules),
            "changed_by": run.execution.executed_by,
        },
    )
    if is_new:
        _ensure_sites(sites)
    return box


@transaction.atomic
def set_policy(
    run_number: int,
    policy: str,
    *,
    by: str,
    sites: Sequence[str] | None = None,
    rules: Sequence[str] = (),
) -> DecisionBox:
    """Have the STFs that are registered from now on processed by another policy; those before keep their sites.

    Args:
        sites: in the order in which they take turns; left out, they stay as they are.
        rules: of the policy explicit, such as "E1_BNL:1-10".

    Raises:
        NotFound: no such run.
        FieldRefused: an unknown policy, a site without copies, or a rule that is none.
        DomainError: no name.
    """
    if not by.strip():
        raise DomainError("changing the policy needs a name (by): it stays with the run")
    run = get_run(run_number)
    box = DecisionBox.objects.select_for_update().get(pk=ensure_box(run).pk)
    chosen = list(sites or box.sites)
    _check(run, policy, chosen, rules)
    before = box.policy
    box.policy, box.sites, box.rules = policy, chosen, list(rules)
    box.changed_by, box.changed_at = by, timezone.now()
    box.save()
    _ensure_sites(chosen)
    with journal.on_behalf_of(by):
        journal.record(
            journal.Change(
                "policy_changed",
                run=run,
                payload={"before": before, "policy": policy, "sites": chosen, "rules": list(rules)},
            )
        )
    return box


def sites_of(box: DecisionBox, stf: StfFile) -> list[str]:
    """The sites at which this STF is to be processed, by the policy in force; none for the policy none."""
    match box.policy:
        case Policy.BOTH:
            return list(box.sites)
        case Policy.ROUND_ROBIN:
            return [box.sites[(stf.sequence - 1) % len(box.sites)]]
        case Policy.HASH:
            return [box.sites[zlib.crc32(stf.stf_filename.encode()) % len(box.sites)]]
        case Policy.EXPLICIT:
            return list(dict.fromkeys(site for rule in box.rules if (site := _ruled(rule, stf.sequence))))
        case _:
            return []


def standing_site(chosen: str, sites: Sequence[str], down: set[str]) -> str:
    """Where an STF that may move is to be: at its chosen site, or while that is down at the next one that is up."""
    if chosen not in down or chosen not in sites:
        return chosen
    at = sites.index(chosen)
    return next((site for site in (*sites[at:], *sites[:at]) if site not in down), chosen)


def _ruled(rule: str, sequence: int) -> str:
    """The site of the rule, if the rule is about this sequence."""
    site, _, numbers = rule.partition(":")
    first, _, last = numbers.partition("-")
    return site if int(first) <= sequence <= int(last or first) else ""


def _check(run: Run, policy: str, sites: Sequence[str], rules: Sequence[str]) -> None:
    try:
        Processing(policy=policy, sites=tuple(sites), rules=tuple(rules))  # type: ignore[arg-type] # it checks
    except ValidationError as error:
        first = error.errors()[0]
        why = first["msg"].removeprefix("Value error, ")
        raise FieldRefused(str(first["loc"][0]), f"of run {run.run_number}: {why}") from error
    rses = run.parameters["replication"]["rses"]
    if missing := [site for site in sites if site not in rses]:
        raise FieldRefused(
            "sites",
            f"of run {run.run_number}: no copy goes to {', '.join(missing)}; its copies go to {', '.join(rses)}",
        )


def _ensure_sites(names: Sequence[str]) -> None:
    ProcessingSite.objects.bulk_create(
        [ProcessingSite(name=name, panda_queue=name) for name in names], ignore_conflicts=True
    )
