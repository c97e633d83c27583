"""The style of exported pages: light and dark as the reader's system has it, no font or picture from elsewhere."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --back: #f5f6f8; --card: #fff; --ink: #1b2230; --soft: #5b6577; --line: #dfe3ea;
  --good: #23915a; --warn: #c98500; --stop: #d2601a; --bad: #c62f2f; --miss: #8d3fb0; --wait: #2f6fd0; --skip: #9aa3b2;
  --none: #e7eaf0; --held: #2f6fd0; --time: #7a869a; --dedup: #23915a; --packed: #c98500; }
@media (prefers-color-scheme: dark) { :root { --back: #12151b; --card: #1b2029; --ink: #e7ebf2; --soft: #9aa6b8;
  --line: #313947; --good: #3fb97c; --warn: #e5a82a; --stop: #ef8644; --bad: #f06464; --miss: #bd7be0; --wait: #6aa2f5;
  --skip: #6d7788; --none: #262d39; --held: #6aa2f5; --time: #8f9bb0; --dedup: #3fb97c; --packed: #e5a82a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 24px; margin: 0; }
h2 { font-size: 18px; margin: 32px 0 4px; }
h3 { font-size: 15px; margin: 0 0 8px; overflow-wrap: anywhere; }
h4 { font-size: 13px; margin: 0; font-weight: 600; }
p { margin: 4px 0; }
.soft { color: var(--soft); }
.small { font-size: 13px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 12px 0;
  padding: 14px 16px; }
.verdict { border-left: 6px solid var(--tone); font-size: 17px; overflow-wrap: anywhere; }
.verdict ul { margin: 6px 0 0; padding-left: 20px; font-size: 15px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; }
.tiles .card { margin: 0; }
.tiles b { display: block; font-size: 22px; line-height: 1.3; }
.row { display: grid; grid-template-columns: 190px 1fr; gap: 4px 16px; align-items: end; margin: 10px 0; }
.row > span { overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(270px, 1fr)); gap: 18px; }
.charts > div { min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-top: 1px solid var(--line); vertical-align: top; }
th { border-top: 0; color: var(--soft); font-weight: 600; font-size: 13px; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.t { white-space: nowrap; font-variant-numeric: tabular-nums; }
td.w { min-width: 120px; }
td.m { min-width: 220px; overflow-wrap: anywhere; }
.mark { white-space: nowrap; color: var(--tone); font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; color: var(--soft); margin: 6px 0; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px;
  background: var(--tone); }
svg { display: block; width: 100%; }
svg.strip { height: 30px; }
svg.chart { height: auto; max-width: 460px; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--line); stroke-width: 1; }
.line { fill: none; stroke: var(--tone); stroke-width: 2; stroke-linejoin: round; }
.area { fill: none; } .filled.area { fill: var(--tone); opacity: 0.13; }
.dot, rect { fill: var(--tone); }
.completed { --tone: var(--good); } .warning { --tone: var(--warn); } .interrupted { --tone: var(--stop); }
.interrupted_with_errors { --tone: var(--stop); } .failed { --tone: var(--bad); } .missed { --tone: var(--miss); }
.in_progress { --tone: var(--wait); } .skipped { --tone: var(--skip); } .none { --tone: var(--none); }
.held { --tone: var(--held); } .time { --tone: var(--time); } .dedup { --tone: var(--dedup); }
.packed { --tone: var(--packed); }
@media (max-width: 820px) { table, tbody, tr { display: block; } th, tr:first-child { display: none; }
  tr { border-top: 1px solid var(--line); padding: 6px 0; } tr:nth-child(-n+2) { border-top: 0; }
  td, td.n, td.t, td.w, td.m { display: flex; gap: 16px; justify-content: space-between; text-align: right; border: 0;
    padding: 1px 0; min-width: 0; white-space: normal; }
  td::before { content: attr(data-of); color: var(--soft); text-align: left; white-space: nowrap; }
  td:empty { display: none; } }
@media (max-width: 640px) { .row { grid-template-columns: 1fr; } main { padding: 16px 10px 32px; }
  .tiles { grid-template-columns: 1fr 1fr; } .tiles b { font-size: 19px; } .card { padding: 12px; } }
@media print { .card { break-inside: avoid; } body { background: none; } }
"""
