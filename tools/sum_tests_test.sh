#!/usr/bin/env bash
# Shows that sum-tests, the argument, counts each kind of test.xml.
set -euo pipefail
sum=$(realpath "$1")
cd "$(mktemp -d)"
failures=0

expect() {
  local want=$1 got
  shift
  got=$("$sum" "$@")
  [[ $got == "$want" ]] || { echo "sum-tests $*: \"$got\", not \"$want\""; failures=1; }
}

cat >google.xml <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="1" disabled="0" errors="0" time="0.01" name="AllTests">
  <testsuite name="A" tests="3" failures="1" disabled="0" skipped="1" errors="0" time="0.01">
    <testcase name="One" status="run" result="completed" time="0" classname="A" />
    <testcase name="Two" status="run" result="completed" time="0" classname="A">
      <failure message="x" type=""><![CDATA[a.cc:1
Expected: <testsuite name="quoted" tests="90">]]></failure>
    </testcase>
    <testcase name="Three" status="run" result="skipped" time="0" classname="A">
      <skipped message="no root" />
    </testcase>
  </testsuite>
  <testsuite name="B" tests="1" failures="0" disabled="0" skipped="0" errors="0" time="0">
    <testcase name="One" status="run" result="completed" time="0" classname="B" />
  </testsuite>
</testsuites>
XML
bazels() {
  cat <<XML
<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="tools/x_test" tests="1" failures="0" errors="$1">
    <testcase name="tools/x_test" status="run" duration="1" time="1">$2</testcase>
      <system-out>
Generated test.log (if the file is not UTF-8, then this may be unreadable):
<![CDATA[exec \${PAGER:-/usr/bin/less} "\$0" || exit 1
  <testsuite name="printed" tests="50" failures="7" errors="0">
    <testcase name="printed" result="skipped">
]]>
      </system-out>
    </testsuite>
</testsuites>
XML
}
bazels 0 "" >script.xml
bazels 1 '<error message="exited with error code 1"></error>' >crashed.xml
: >empty.xml

expect "2 passed, 1 failed, 1 skipped" 0 google.xml
expect "1 passed, 0 failed" 0 script.xml
expect "0 passed, 1 failed" 0 crashed.xml
expect "4 passed, 2 failed, 1 skipped" 1 google.xml script.xml crashed.xml script.xml
expect "0 passed, 0 failed" 0 empty.xml
expect "0 passed, 0 failed" 0
expect "1 passed, 1 failed" 1 script.xml
[[ $failures -eq 0 ]] && echo "sum-tests: ok"
exit "$failures"
