"""The text of `engine run --stage filter --dry-run`, made from a WhatIf."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.filter.semantic_set import kept_shares
from pipelines.stages.what_if import COLUMNS, EXAMPLES, Flip, WhatIf


def render_what_if(x: WhatIf) -> str:
    """Tables of counts and coverage, then examples of changed verdicts."""
    if x.same:
        return "\n".join(
            [f"Nothing would change: these rules are the committed ones ({x.committed}).", *_curve_lines(x)]
        )
    head = f"{x.committed} is committed" if x.committed else "No verdicts are committed yet: every count is new"
    lines = [f"{head}; {x.proposed} is what the recipe's rules would give. Nothing was written."]
    if x.rewritten:
        lines.append(
            f"{', '.join(x.rewritten)} would run again on the regions that are kept then. "
            "Their texts are counted as they are now, except those that name a region that would be dropped."
        )
    lines.append("")
    lines += [*_column_lines(x), "", *_rule_lines(x), "", *_coverage_lines(x), *_curve_lines(x)]
    for kept, title in ((False, "would be dropped"), (True, "would be kept")):
        if chosen := _spread([flip for flip in x.flips if flip.kept is kept]):
            lines += ["", f"examples that {title}:", *(_flip_line(flip) for flip in chosen)]
    if not x.flips and x.committed:
        lines += ["", "No verdict would change."]
    return "\n".join(lines)


def _column_lines(x: WhatIf) -> list[str]:
    lines = [f"{'':<16}{'given':>10}{'kept now':>10}{'kept then':>11}{'change':>9}"]
    for name, change in x.columns.items():
        if change.given:
            now = change.now if change.new < change.given else None
            lines.append(
                f"{name:<16}{change.given:>10}{_or_new(now):>10}{change.then:>11}{_delta(now, change.then):>9}"
            )
            if 0 < change.new < change.given:
                lines.append(f"  {change.new} of them not judged yet")
    return lines


def _rule_lines(x: WhatIf) -> list[str]:
    lines = [f"{'dropped by':<40}{'now':>10}{'then':>10}{'change':>9}"]
    for name, change in x.columns.items():
        for rule, (now, then) in change.rules.items():
            shown = now if change.new < change.given else None
            lines.append(f"{name + ': ' + rule:<40}{_or_new(shown):>10}{then:>10}{_delta(shown, then):>9}")
    return lines if len(lines) > 1 else ["No rule drops anything."]


def _coverage_lines(x: WhatIf) -> list[str]:
    rows = {f"images with a kept {name[:-1]}": (now, then) for name, (now, then) in x.covered.items() if now or then}
    rows["distinct labels kept"] = (len(x.labels[0]), len(x.labels[1]))
    lines = [f"{'coverage':<40}{'now':>10}{'then':>10}{'change':>9}"]
    for title, (now, then) in rows.items():
        shown = now if x.committed else None
        lines.append(f"{title:<40}{_or_new(shown):>10}{then:>10}{_delta(shown, then):>9}")
    if x.committed:
        for title, labels in (("lost", x.labels[0] - x.labels[1]), ("gained", x.labels[1] - x.labels[0])):
            if labels:
                more = f" and {len(labels) - 12} more" if len(labels) > 12 else ""
                lines.append(f"  labels {title}: {', '.join(sorted(labels)[:12])}{more}")
    return lines


def _curve_lines(x: WhatIf) -> list[str]:
    """For several eps, the share of training images that semantic_duplicate would keep of those that reach it."""
    if not x.curve:
        return []
    shares = kept_shares(x.curve)
    lines = ["", f"{'semantic_duplicate: kept at eps':<32}" + "".join(f"{eps:>8g}" for eps, _, _ in shares)]
    lines.append(
        f"{'  of ' + str(x.curve['images']) + ' training images':<32}" + _percents(kept for _, kept, _ in shares)
    )
    if x.curve["audit_images"]:
        title = f"  far from {x.curve['audit_images']} audit images"
        lines.append(f"{title:<32}" + _percents(far for _, _, far in shares))
    return lines


def _percents(shares: Iterable[float]) -> str:
    return "".join(f"{share:>8.1%}" for share in shares)


def _or_new(count: int | None) -> str:
    return "-" if count is None else str(count)


def _delta(now: int | None, then: int) -> str:
    return "new" if now is None else f"{then - now:+d}" if then != now else "="


def _spread(flips: list[Flip]) -> list[Flip]:
    """At most EXAMPLES changed verdicts, from as many columns and rules as possible."""
    groups: dict[tuple[str, str], list[Flip]] = {}
    for flip in flips:
        groups.setdefault((flip.column, flip.rule), []).append(flip)
    nth = [(place, flip) for group in groups.values() for place, flip in enumerate(group)]
    chosen = [flip for _, flip in sorted(nth, key=lambda pair: pair[0])[:EXAMPLES]]
    return sorted(chosen, key=lambda flip: COLUMNS.index(flip.column))


def _flip_line(flip: Flip) -> str:
    what = flip.what if len(flip.what) <= 40 else flip.what[:37] + "..."
    why = flip.rule
    if flip.value is not None and flip.threshold is not None:
        why += f", {flip.value:.4g} against {flip.threshold:.4g}"
    was = "was dropped by " if flip.kept else ""
    return f"  {flip.image_id} {flip.file}  {flip.annotation_id or 'image'}  {what!r}  {was}{why}"
