# SPDX-License-Identifier: Apache-2.0
# watched.jq: one row of the summary out of GET .../monitoring
def percent: if . == null then "-" else "\(. * 1000 | round / 10) %" end;
. as $m | $healthy[0] as $h |
"| \($kind) | \($m.classification.accuracy | percent) | \($m.drift.drifted_share | percent) | \($m.ambiguity.entropy * 1000 | round / 1000) | \([$m.bias.groups[]? | "\(.group) \(.accuracy | percent)"] | join(", ")) | \($h.status) \($h.reason) |"
