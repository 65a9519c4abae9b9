"""The sections of the demo report, in the order of reading."""

from collections.abc import Sequence

from xnn.report.figures import (
    Bar,
    cmc_figure,
    leak_figure,
    loss_figure,
    roc_figure,
    validation_figure,
)
from xnn.report.limits import NOT_PROTECTED
from xnn.report.markup import Html, bullets, element, escape, figure, join, paragraph
from xnn.report.page import Section
from xnn.report.pictures import before_and_after, contact_sheet, token_pca_images
from xnn.report.results import AttackRow, DemoResults, UtilityRow
from xnn.report.tables import estimate_cell, table, verdict_cell

_MAX_COMPARED = 6


def summary_section(results: DemoResults) -> Section:
    """Say in three sentences what this is, and in tiles what came out."""
    headline = _headline(results.utility)
    attack = _protected_attack(results)
    sentences = (
        f"The owner turned {results.num_photos} photographs of {results.num_subjects} people into "
        "features, rearranged and mixed them under a secret key, and gave the result to a cloud "
        "that trained a recogniser on it without a photograph, a name or the key. "
        f"{_utility_sentence(headline)} {_attack_sentence(attack)}"
    )
    tiles = [
        _tile(row.value, row.low, row.high, f"{_words(row.metric)}, {_scheme(row.scheme)}")
        for row in headline
    ]
    what = f"{_words(attack.metric)} of the strongest attacker; guessing {attack.chance:.1%}"
    tiles.append(_tile(attack.value, attack.low, attack.high, what))
    body = join([paragraph(sentences, class_="lead"), element("div", join(tiles), class_="tiles")])
    return Section(anchor="what", title="What this is, in three sentences", body=body)


def faces_section(results: DemoResults) -> Section:
    """Show what the owner started from."""
    crops = figure(
        contact_sheet(results.crops, results.names),
        caption=f"{len(results.crops)} of the aligned crops, under the names of the owner's "
        f"folders. {results.credit}",
    )
    text = paragraph(
        "Every photograph is searched for a face and brought to one position and size, eyes and "
        "mouth always in the same place. This happens on the owner's machine, and nothing on this "
        "row ever leaves it."
    )
    return Section(anchor="faces", title="The faces", body=join([text, crops]))


def cloud_section(results: DemoResults) -> Section:
    """Show the features before the key and as they were sent."""
    shown = slice(_MAX_COMPARED)
    rows, columns = results.grid
    plain = token_pca_images(results.plain_tokens, grid=results.grid)
    sent = token_pca_images(results.obfuscated_tokens, grid=results.grid)
    text = (
        f"The extractor reads a face as {results.plain_tokens.shape[1]} tokens of "
        f"{results.plain_tokens.shape[2]} numbers. Below, each token is one square, coloured by "
        "the three directions in which the tokens vary most, found from the records alone. "
        "Before the key, the squares lie where they lie in the photograph. The key puts them in "
        "another order, the same for all records, and mixes the numbers of each."
    )
    spare = results.plain_tokens.shape[1] - rows * columns
    left_out = " The first token of each record is left out to fill the square." if spare else ""
    compared = figure(
        before_and_after(results.crops[shown], plain[shown], sent[shown], results.names[shown]),
        caption="From top to bottom: the photograph, its features, and the record in the order in "
        f"which the cloud received it.{left_out} The picture is scrambled for the eye; that is "
        "not a measure of protection, see the attack and the limits below.",
    )
    body = join([paragraph(text), compared])
    return Section(anchor="cloud", title="What the cloud sees", body=body)


def utility_section(results: DemoResults) -> Section:
    """Give the recognition rates, with the CMC and the ROC."""
    schemes = list(dict.fromkeys(row.scheme for row in results.utility))
    measured = list(dict.fromkeys((r.protocol, r.metric) for r in results.utility))
    rows = []
    for protocol, metric in measured:
        same = {
            r.scheme: r for r in results.utility if (r.protocol, r.metric) == (protocol, metric)
        }
        any_row = next(iter(same.values()))
        rows.append(
            [
                _with_sub(_words(metric), _words(protocol)),
                *(_utility_cell(same.get(scheme)) for scheme in schemes),
                escape(f"{any_row.chance:.3f}"),
                _with_sub(str(any_row.subjects), _tests(any_row)),
            ]
        )
    listed = table(
        caption="Recognition rates with 95 % intervals",
        headings=["Metric", *schemes, "guessing", "subjects"],
        rows=rows,
        numeric_from=1,
    )
    gallery_size = max(row.subjects for row in results.utility[:1])
    curves = element(
        "div",
        join(
            [
                figure(
                    cmc_figure(results.cmc, gallery_size=gallery_size),
                    caption="How often the right person is among the first k of the gallery "
                    "(closed set). Bands: 95 % intervals over subjects.",
                ),
                figure(
                    roc_figure(results.roc),
                    caption="How many true pairs are accepted at each rate of false accepts. "
                    "Bands as in the CMC; a rate finer than the data can resolve is not drawn.",
                ),
            ]
        ),
        class_="pair",
    )
    text = paragraph(
        "'Plain' is the same training on features without a key: what this extractor and tail "
        "reach when nothing is hidden. By person: nobody in the test was trained on. By image: "
        "new photographs of people who were. The intervals come from resampling subjects."
    )
    return Section(
        anchor="utility", title="Does it still recognise?", body=join([text, listed, curves])
    )


def training_section(results: DemoResults) -> Section:
    """Show that the training learned, and from where it started."""
    loss = figure(
        loss_figure(results.training),
        caption="Loss over the steps of the optimiser. The dotted line is the loss of a tail that "
        "knows nothing: a run that stays there has learned nothing.",
    )
    validation = figure(
        validation_figure(results.training),
        caption="Rank-1 on people in neither training nor test. The best point chose the model.",
    )
    text = paragraph(
        "The cloud's process was given the folder of records and nothing else. It knows the "
        "records, a random class number for each person, and which extractor made them."
    )
    curves = element("div", join([loss, validation]), class_="pair")
    return Section(anchor="training", title="Training in the cloud", body=join([text, curves]))


def attack_section(results: DemoResults) -> Section:
    """Give the leak with its positive control."""
    rows = [
        [
            _with_sub(_words(row.attack), f"on {row.scheme}"),
            escape(_words(row.metric)),
            estimate_cell(row.value, row.low, row.high),
            escape(f"{row.chance:.3f}"),
            verdict_cell(row.control_ok, yes="yes", no="no: proves nothing"),
        ]
        for row in results.attacks
    ]
    listed = table(
        caption="What an attacker without the key reaches",
        headings=["Attack", "metric", "reached", "guessing", "control worked"],
        rows=rows,
        numeric_from=2,
    )
    drawn = figure(
        leak_figure(_bars(results), ylabel="Share of searches found"),
        caption="Recognition by the owner beside recognition by the attackers. One would wish: "
        "high on the left, and on the right at the dotted line of guessing for every scheme but "
        "plain, whose bars there are the positive controls and must be high. Lines: 95 % "
        "intervals.",
        class_="single",
    )
    text = paragraph(
        "The attacker knows the extractor, the scheme and how keys are drawn, has other people's "
        "faces, and lacks only the owner's key. One key made all records, so their statistics, "
        "or a few photographs whose records are known, can give it away. With what was found "
        "the attacker undoes the key and matches the records with clean photographs of the "
        "owner's people. The same attack on plain features is the positive control: if it fails "
        "there too, the attack is broken and its silence says nothing. `xnn board` runs the "
        "whole suite."
    )
    body = join([text, listed, drawn])
    return Section(anchor="attack", title="Two attacks, with their positive controls", body=body)


def limits_section() -> Section:
    """Say what is not protected."""
    text = paragraph(
        "Obfuscation under a key is not encryption. These limits are known, and no number above "
        "removes one of them:"
    )
    return Section(
        anchor="limits", title="What is NOT protected", body=join([text, bullets(NOT_PROTECTED)])
    )


def making_section(results: DemoResults) -> Section:
    """Say how to make this page again."""
    commands = element("pre", element("code", escape("\n".join(results.commands))), tabindex="0")
    total = sum(results.seconds.values())
    stages = [[escape(k), escape(f"{v:.1f}")] for k, v in results.seconds.items()]
    stages.append([escape("together"), escape(f"{total:.1f}")])
    versions = [[escape(k), element("code", escape(v))] for k, v in results.versions.items()]
    seeds = [[escape(k), escape(str(v))] for k, v in results.seeds.items()]
    tables = [
        table(
            caption="Wall-clock time", headings=["Stage", "seconds"], rows=stages, numeric_from=1
        ),
        table(caption="Versions", headings=["Part", "version"], rows=versions, numeric_from=1),
        table(caption="Seeds", headings=["Used for", "seed"], rows=seeds, numeric_from=1),
    ]
    parts = [
        element("h3", escape("Commands")),
        commands,
        element("div", join(tables), class_="small"),
        paragraph(
            f"Machine: {results.machine}. The key comes from the operating system and depends on "
            "no seed."
        ),
    ]
    return Section(anchor="making", title="How this was made", body=join(parts))


def _headline(rows: Sequence[UtilityRow]) -> list[UtilityRow]:
    first = rows[0]
    return [r for r in rows if (r.protocol, r.metric) == (first.protocol, first.metric)]


def _protected_attack(results: DemoResults) -> AttackRow:
    """Return the strongest attack on a scheme that is not plain, by the first metric there is."""
    keyed = [row for row in results.attacks if row.scheme != "plain"] or list(results.attacks)
    return max((r for r in keyed if r.metric == keyed[0].metric), key=lambda row: row.value)


def _utility_sentence(rows: Sequence[UtilityRow]) -> str:
    first = rows[0]
    of_what = "of searches" if first.metric == "rank_1" else f"({_words(first.metric)})"
    reached = [f"{row.value:.1%} {of_what} {_scheme(row.scheme)}" for row in rows]
    tested = {
        "by_person": "On people it had never met",
        "by_image": "On new photographs of the people it was trained on",
    }.get(first.protocol, f"Tested {_words(first.protocol)}")
    found = "the right person comes first in" if first.metric == "rank_1" else "it reaches"
    return f"{tested}, {found} {' and '.join(reached)}; guessing gives {first.chance:.1%}."


def _attack_sentence(row: AttackRow) -> str:
    reached = f"An attacker without the key reaches {row.value:.1%}, where guessing gives"
    if row.control_ok:
        return (
            f"{reached} {row.chance:.1%}; the same attack does succeed on features without a key."
        )
    return (
        f"{reached} {row.chance:.1%}, but the same attack fails on features without a key too, so "
        "this says nothing about the leak."
    )


def _bars(results: DemoResults) -> list[Bar]:
    headline = _headline(results.utility)
    attacked = [row for row in results.attacks if row.metric == headline[0].metric]
    grouped: list[tuple[str, UtilityRow | AttackRow]] = [("owner", row) for row in headline]
    grouped += [(f"attacker,\n{_words(row.attack)}", row) for row in attacked]
    return [
        Bar(group=group, scheme=r.scheme, value=r.value, low=r.low, high=r.high, chance=r.chance)
        for group, r in grouped
    ]


def _scheme(name: str) -> str:
    return "without a key (plain)" if name == "plain" else f"under the key ({name})"


def _tile(value: float, low: float, high: float, what: str) -> Html:
    return element(
        "div",
        join(
            [
                element("b", escape(f"{value:.1%}")),
                element("span", escape(f"{low:.1%} to {high:.1%}"), class_="interval"),
                element("span", escape(what), class_="what"),
            ]
        ),
        class_="tile",
    )


def _utility_cell(row: UtilityRow | None) -> Html:
    return escape("-") if row is None else estimate_cell(row.value, row.low, row.high)


def _with_sub(text: str, below: str) -> Html:
    return Html(f"{escape(text)} {element('span', escape(below), class_='sub')}")


def _tests(row: UtilityRow) -> str:
    return f"{row.probes} {'probes' if row.metric.startswith('rank_') else 'mated pairs'}"


def _words(name: str) -> str:
    if name.startswith("rank_"):
        return name.replace("_", "-")
    if name == "eer":
        return "equal error rate"
    return name.replace("_", " ").replace("tar at far", "TAR at FAR")
