#!/usr/bin/env bash
# Shows that critest-sums, the first argument, fails for all that is not allowed,
# and that sum-tests, the second one, counts every spec.
set -euo pipefail
sums=$(realpath "$1") sum_tests=$(realpath "$2")
cd "$(mktemp -d)"
failures=0

spec() { # name state message
  printf '{"LeafNodeType": "It", "ContainerHierarchyTexts": ["Top"], "LeafNodeText": "%s", "State": "%s", "Failure": {"Message": "%s"}}' "$@"
}
report() { # file specs...
  local file=$1 IFS=,
  shift
  printf '[{"SpecReports": [%s]}]' "$*" >"$file"
}
expect() { # last line, exit status, arguments...
  local want=$1 status=$2 got counted code=0
  shift 2
  got=$("$sums" "$1" results.xml "${@:2}" | tail -n 1) || code=1
  [[ $got == "$want" && $code -eq $status ]] || { echo "critest-sums $*: \"$got\" ($code), not \"$want\" ($status)"; failures=1; }
  # The same to whoever adds up all tests.
  counted=$("$sum_tests" 0 results.xml)
  [[ $counted == "${want%, 0 skipped}" ]] || { echo "sum-tests: \"$counted\", not \"$want\""; failures=1; }
}

report green "$(spec one passed '')" "$(spec 'two [NRI]' skipped 'no socket')" "$(spec 'benchmark about x' skipped '')"
report red "$(spec 'one <b> \"c\"' passed '')" "$(spec two failed 'a reason: <1> & \"2\"')"
report panicked "$(spec one passed '')" "$(spec two panicked 'oh')"
report none

expect "1 passed, 0 failed, 1 skipped" 0 green '' '[NRI]'
expect "1 passed, 1 failed, 0 skipped" 1 green '' 'one'
# A name that no spec has is a line to take out of the list.
expect "1 passed, 1 failed, 1 skipped" 1 green '' '[NRI]' 'three'
expect "1 passed, 1 failed, 0 skipped" 1 red '' 'two'
expect "1 passed, 1 failed, 0 skipped" 1 panicked '' 'two'
expect "0 passed, 0 failed, 0 skipped" 1 none focus
# With a focus what did not begin is not looked at, nor is the list.
report part "$(spec one passed '')" "$(spec two skipped '')"
expect "1 passed, 1 failed, 0 skipped" 1 part '' 'one'
expect "1 passed, 0 failed, 0 skipped" 0 part focus 'three'
[[ $failures -eq 0 ]] && echo "critest-sums: ok"
exit "$failures"
