"""What is told of accepted answers, foreign pictures and another site: for the terminal and pages alike."""

from bctoolkit.documents import Outcome
from bctoolkit.rendering.table import Table
from bctoolkit.statistics.selective import AcceptedAnswers, ForeignPictures, RiskCoverage
from bctoolkit.statistics.site import FEWEST, SiteCheck
from bctoolkit.statistics.two_samples import Superiority

__all__ = ["accepted_line", "curve_line", "foreign_line", "kinds_table", "site_line"]


def site_line(check: SiteCheck) -> str:
    """Whether the images look like those of the validation part, and by what."""
    if check.distance is None or check.doubt is None:
        return (
            f"site: {check.count} images are too few to say whether they look like the validation images; {FEWEST} do"
        )
    what = {
        Outcome.PASSED: "these images look like the validation images",
        Outcome.FAILED: "these images look DIFFERENT from the validation images; what was measured on those says "
        "nothing about these",
        Outcome.UNDECIDED: "it is not clear whether these images look like the validation images",
    }[check.outcome]
    return (
        f"site: {what}: further off in {_share(check.distance)} and less sure in {_share(check.doubt)} of pairs with "
        f"{check.stored} of them; different above {check.limit:.0%}"
    )


def accepted_line(answers: AcceptedAnswers) -> str:
    """Coverage and accuracy of the accepted answers, and calibration."""
    low, high = answers.coverage_ci95
    accepted = f"accepted {answers.coverage:.2%} ({low:.2%}–{high:.2%}; fitted to {answers.stated_coverage:.0%})"
    if answers.accuracy is not None and answers.accuracy_ci95 is not None:
        low, high = answers.accuracy_ci95
        accepted += f", of these right {answers.accuracy:.2%} ({low:.2%}–{high:.2%})"
    calibration = f"ECE {answers.ece:.4f} at temperature {answers.temperature:.2f}"
    return f"{accepted}; {answers.errors_refused} of {answers.errors} errors refused; {calibration}"


def curve_line(curve: RiskCoverage) -> str:
    """Accuracy of the surest answers, at a few coverages."""
    accuracies = [f"{1 - curve.at(share):.2%} of the surest {share:.0%}" for share in (0.8, 0.9, 0.95)]
    return f"risk–coverage: right {', '.join(accuracies)}; area {curve.area:.4f}"


def foreign_line(foreign: ForeignPictures) -> str:
    """The false-accept rate."""
    low, high = foreign.share_ci95
    return (
        f"foreign pictures of {foreign.source}: {foreign.accepted} of {foreign.count} accepted, {foreign.share:.2%} "
        f"({low:.2%}–{high:.2%})"
    )


def kinds_table(foreign: ForeignPictures) -> Table:
    """Foreign pictures by kind."""
    rows = [
        (name, str(kind.count), str(kind.accepted), f"{kind.ci95[0]:.1%}–{kind.ci95[1]:.1%}")
        for name, kind in foreign.kinds.items()
    ]
    return Table(("foreign pictures", "count", "accepted", "95 % interval"), rows)


def _share(measured: Superiority) -> str:
    return f"{measured.share:.0%} ({measured.low:.0%}–{measured.high:.0%})"
