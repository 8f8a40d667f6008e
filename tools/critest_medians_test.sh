#!/usr/bin/env bash
# Shows that critest-medians, the first argument, takes all rounds together, and
# says so where one side has nothing.
set -euo pipefail
medians=$(realpath "$1")
cd "$(mktemp -d)"

lifecycle() { # file operation nanoseconds...
  local file=$1 operation=$2 points
  shift 2
  points=$(printf '{"operationsDurationsNs": [%s]},' "$@")
  mkdir -p "${file%/*}"
  printf '{"operationsNames": ["%s"], "datapoints": [%s]}' "$operation" "${points%,}" >"$file"
}
scratch() { # directory nanoseconds
  mkdir -p "$1"
  jq -n --arg experiment "{\"Measurements\": [{\"Durations\": [$2]}]}" \
    '[{SpecReports: [{ReportEntries: [{Value: {AsJSON: $experiment}}]}, {}]}]' >"$1/report.json"
}

lifecycle podvisor-1/pod_benchmark_data.json CreatePod 3000000 1000000
lifecycle podvisor-2/pod_benchmark_data.json CreatePod 8000000
lifecycle containerd-1/pod_benchmark_data.json CreatePod 1000000 2000000
lifecycle podvisor-1/image_listing_benchmark_data.json ListImages 1500000
scratch podvisor-1 4000000
scratch containerd-1 8000000

want='operation podvisor ms most n containerd ms n ratio
CreatePod 3 8 3 1.5 2 2
ListImages 1.5 1.5 1 - 0 -
StartFromScratch 4 4 1 8 1 0.5'
got=$("$medians" . | tr -s ' ' | sed 's/ $//')
[[ $got == "$want" ]] || { printf 'got:\n%s\nwant:\n%s\n' "$got" "$want"; exit 1; }
