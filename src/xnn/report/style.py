"""The look of a report: one style sheet, light and dark, for a phone, a desk and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfcf9; --panel: #f4f2ec; --ink: #1d1f24; --muted: #5c6068; --rule: #d9d5ca;
  --accent: #8a3b12; --warn-paper: #fdf1e3; --warn-rule: #c9772a;
  --series-1: #1a5f9e; --series-2: #bb4a0c; --series-3: #2f7d4f; --series-4: #7a4a9e;
  --good: #2a6e41; --bad: #a32626;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --panel: #1e2126; --ink: #e6e4de; --muted: #a3a6ad; --rule: #3a3e46;
    --accent: #f0a271; --warn-paper: #2b2117; --warn-rule: #c98a4b;
    --series-1: #74b4ee; --series-2: #f2a15f; --series-3: #79c795; --series-4: #c39be6;
    --good: #7fce9b; --bad: #f08a8a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem;
  background: var(--paper); color: var(--ink);
  font: 1.06rem/1.6 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, serif;
}
h1, h2, h3, nav, table, figcaption, .facts, .note, .tiles, .names { font-family: system-ui,
  -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 {
  font-size: 1.32rem; line-height: 1.3; margin: 3rem 0 .8rem; padding-top: .9rem;
  border-top: 1px solid var(--rule);
}
h2 .number { color: var(--accent); margin-right: .5em; font-variant-numeric: tabular-nums; }
h3 { font-size: 1.02rem; margin: 1.8rem 0 .4rem; }
p, ul { margin: .6rem 0 1rem; max-width: 42rem; }
ul { padding-left: 1.2rem; }
li { margin: .5rem 0; }
.subtitle { color: var(--muted); margin-top: 0; }
.lead { font-size: 1.14rem; }
.note {
  background: var(--warn-paper); border-left: 4px solid var(--warn-rule); border-radius: 3px;
  padding: .75rem 1rem; margin: 1.4rem 0; font-size: .95rem; line-height: 1.5; max-width: none;
}
nav ol {
  list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .35rem 1.3rem;
  font-size: .9rem;
}
nav li { margin: 0; }
nav a { color: var(--accent); text-underline-offset: .18em; text-decoration-thickness: 1px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr));
  gap: .8rem; margin: 1.4rem 0; }
.tile { background: var(--panel); border-radius: 6px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.7rem; line-height: 1.25; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.tile .interval { font-size: .85rem; color: var(--muted); font-variant-numeric: tabular-nums; }
.tile .what { display: block; font-size: .88rem; line-height: 1.4; margin-top: .3rem; }
.figure { margin: 1.4rem 0; }
figcaption { font-size: .87rem; line-height: 1.5; color: var(--muted); margin-top: .5rem;
  max-width: 44rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr));
  gap: 0 2rem; align-items: start; }
.small { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr));
  gap: 0 2.4rem; align-items: start; }
.single { max-width: 30rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial,
  sans-serif !important; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .6rem; }
.seen { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.4rem, 1fr)); gap: 1.1rem; }
.sheet img, .seen img { display: block; width: 100%; height: auto; border-radius: 3px; }
.seen img + .names, .sheet img + .names { margin-bottom: .45rem; }
.tokens { image-rendering: pixelated; }
.names { font-size: .78rem; line-height: 1.35; color: var(--muted); overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1.2rem 0; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4; }
caption { text-align: left; font-weight: 600; padding-bottom: .5rem; }
th, td { text-align: left; padding: .5rem .7rem .5rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
thead th { border-bottom: 2px solid var(--ink); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
td { font-variant-numeric: tabular-nums; }
td.verbatim, code { font-family: ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace;
  font-size: .86em; overflow-wrap: anywhere; font-variant-numeric: normal; }
.number-cell { text-align: right; padding-right: 1.1rem; white-space: nowrap; }
.sub { display: block; color: var(--muted); font-size: .87em; font-weight: 400; }
.yes { color: var(--good); font-weight: 600; }
.no { color: var(--bad); font-weight: 600; }
pre { background: var(--panel); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto;
  font-size: .84rem; line-height: 1.55; }
pre code { font-size: 1em; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--rule);
  color: var(--muted); font-size: .9rem; }
@media (max-width: 34rem) {
  body { padding: 1.4rem 1rem 3rem; font-size: 1rem; }
  h1 { font-size: 1.6rem; }
  table { font-size: .82rem; }
  th, td { padding-right: .5rem; }
  .number-cell { padding-right: .6rem; white-space: normal; }
  .seen { grid-template-columns: repeat(3, 1fr); gap: .8rem; }
  .sheet { grid-template-columns: repeat(4, 1fr); gap: .4rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, table, .note { break-inside: avoid; }
}
.heat { display: block; min-width: 4.5rem; padding: .35rem .45rem; }
"""

HEAT_STEPS = 10
"""Shades of a heat map beside none: `heat heat-0` to `heat heat-10`, from chance to certainty."""

STYLE += "".join(
    f".heat-{step} {{ background: rgb(196 52 32 / {0.055 * step:.3f}); }}\n"
    for step in range(1, HEAT_STEPS + 1)
)
