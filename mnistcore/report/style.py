"""The style sheet of a report, for screen and print."""

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #222; --faint: #666; --edge: #ddd;
  --pale: #f6f8fa; --link: #0072b2; --shade: #0003; }
@media screen and (prefers-color-scheme: dark) {
  :root { --page: #16181c; --ink: #e4e6e9; --faint: #a3a8b0; --edge: #3b4048; --pale: #21252b;
    --link: #6cb8e6; --shade: #000c; }
  figure .scroll { padding: .6rem; border-radius: 8px; }  /* figures are drawn on white paper */
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 62rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue",
  "DejaVu Sans", Arial, sans-serif; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.6rem 0 .8rem; padding-top: 1rem; border-top: 1px solid var(--edge);
  font-size: 1.35rem; }
.subtitle { margin: .4rem 0 1rem; color: var(--faint); }
nav ol { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: 0; padding: 0;
  list-style-position: inside; }
a { color: var(--link); }
p { max-width: 46rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.4rem, 1fr));
  gap: .8rem; margin: 0 0 1.2rem; }
.tile { padding: .7rem .75rem; border: 1px solid var(--edge); border-radius: 8px;
  background: var(--pale); }
.tile .name { color: var(--faint); font-size: .85rem; }
.tile .value { font-size: 1.35rem; font-weight: 650; font-variant-numeric: tabular-nums;
  line-height: 1.3; white-space: nowrap; }
.tile .remark { color: var(--faint); font-size: .8rem; line-height: 1.35; }
/* A shade at an edge says that more can be scrolled to: it lies under covers that scroll along. */
.scroll { overflow-x: auto; margin: 0 0 1.4rem; background:
  linear-gradient(90deg, var(--page) 40%, transparent) left / 2.5rem 100% no-repeat local,
  linear-gradient(270deg, var(--page) 40%, transparent) right / 2.5rem 100% no-repeat local,
  linear-gradient(90deg, var(--shade), transparent) left / 1rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--shade), transparent) right / 1rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .92rem; }
caption { padding: .2rem 0 .4rem; text-align: left; color: var(--faint); }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--edge); text-align: left;
  vertical-align: top; }
td { max-width: 28rem; }
.beside { display: flex; flex-wrap: wrap; gap: 0 3.5rem; align-items: flex-start; }
th { font-weight: 600; vertical-align: bottom; overflow-wrap: normal; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  overflow-wrap: anywhere; }
.made { margin: 0 0 1rem; display: grid; grid-template-columns: max-content 1fr;
  gap: .1rem 1rem; font-size: .92rem; }
.made dt { color: var(--faint); }
.made dd { margin: 0; min-width: 0; }
tr.best td { font-weight: 650; }
figure { margin: 1.2rem 0 2rem; }
figure .scroll { margin: 0; background: #fff; }
figure img { display: block; max-width: none; height: auto; }
figcaption { margin-top: .5rem; max-width: 46rem; color: var(--faint); font-size: .92rem; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--edge);
  color: var(--faint); font-size: .85rem; }
@media screen and (max-width: 44rem) {
  body { padding: 1.2rem 1rem 2rem; }
  table { font-size: .85rem; }
  th, td { padding-right: .7rem; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
}
@media print {
  @page { size: A4; margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2 { margin-top: 0; border: 0; }
  section.new-page { break-before: page; }
  section { margin-top: 1.5rem; }
  h2, caption { break-after: avoid; }
  figure, .tile, tr { break-inside: avoid; }
  figure { margin: .6rem 0 1.2rem; }
  figure img { min-width: 0 !important; max-width: 100%; max-height: 215mm; object-fit: contain;
    object-position: left; }
  figure.narrow img { width: auto !important; max-height: 106mm; }
  table { font-size: 8.5pt; }
  th, td { padding-top: .2rem; padding-bottom: .2rem; }
  footer { margin-top: 1rem; border: 0; break-before: avoid; }
  .beside { gap: 0 2rem; }
  .scroll { overflow: visible; background: none; }
  a { color: inherit; text-decoration: none; }
}
"""
