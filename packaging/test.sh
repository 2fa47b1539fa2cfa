#!/bin/sh
# The test command: vet, unit and protocol tests, the same under the race detector,
# then the built binary end to end. "full" adds the long runs.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-short}
tags=gms_pure_go
short=-short
[ "$mode" = full ] && short=

step() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }

step 'format and vet'
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; exit 1; }
CGO_ENABLED=0 go vet -tags $tags ./...

step 'unit and protocol tests'
CGO_ENABLED=0 go test -tags $tags $short -timeout 15m $(CGO_ENABLED=0 go list -tags $tags ./... | grep -v -e /e2e -e /bench)

if command -v gcc >/dev/null; then
	step 'race detector'
	# The SQL engine takes minutes to build with the detector: only in the full run.
	skip='-e /e2e -e /bench -e /cmd/'
	[ "$mode" = full ] || skip="$skip -e /db/sql -e /roles/db$"
	# shellcheck disable=SC2046,SC2086
	CGO_ENABLED=1 go test -race -tags $tags -short -timeout 15m $(go list -tags $tags ./... | grep -v $skip)
else
	echo 'skipped: the race detector needs gcc'
fi

step 'end to end'
CGO_ENABLED=0 go test -tags $tags $short -count=1 -timeout 20m ./e2e/...
step 'done'
