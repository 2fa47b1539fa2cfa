#!/bin/sh
# The test command: vet, unit and protocol tests, the same under the race detector,
# then the built binary end to end. "full" adds the long runs.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-short}
tags=gms_pure_go
short=-short limit=20m
[ "$mode" = full ] && short='' limit=90m # the database's package alone takes three quarters of an hour

step() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }

# report shows packages, failures and, once, why tests were skipped.
report() { go test -json -tags $tags "$@" 2>&1 | dist/testreport -failed dist/failed; }

# tests runs go test on a machine that others may use at the same time. Up to three tests that
# fail run once more, alone: what fails twice has failed, and what failed once stands in the
# output (docs/decisions/115). OPTIONS -- PACKAGES
tests() {
	options=
	while [ "$1" != -- ]; do options="$options $1" && shift; done
	shift
	# shellcheck disable=SC2086
	report $options "$@" && return
	cp dist/failed dist/again
	[ -s dist/again ] && [ "$(wc -l <dist/again)" -le 3 ] || return 1
	while read -r package name; do
		step "UNSTABLE: $name of $package failed, and runs once more"
		# shellcheck disable=SC2086
		report $options -count=1 -run "^$name\$" "$package" </dev/null || return 1
	done <dist/again
	sed 's/^/UNSTABLE, find out why: /' dist/again
}

packages() { go list -tags $tags ./... | grep -v "$@"; }

step 'format and vet'
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; exit 1; }
export CGO_ENABLED=0
go vet -tags $tags ./...
go build -o dist/testreport ./packaging/testreport

step 'unit and protocol tests'
units='-e /e2e -e /bench'
if [ "$mode" = full ]; then
	# Nothing runs beside what is measured there: scans and commits under load, to the millisecond.
	tests -timeout $limit -- stack/roles/db
	units="$units -e /roles/db$"
fi
# shellcheck disable=SC2046,SC2086
tests $short -timeout $limit -- $(packages $units)

step 'end to end'
# One package at a time: what fails over within milliseconds is timed.
tests $short -count=1 -timeout 40m -p 1 -- ./e2e/...

if command -v gcc >/dev/null; then
	step 'race detector'
	# The SQL engine takes minutes to build with the detector: only in the full run.
	skip='-e /e2e -e /bench -e /cmd/ -e /packaging'
	[ "$mode" = full ] || skip="$skip -e /db/sql -e /roles/db$"
	# One goroutine does the work of these: minutes with the detector, and nothing to detect.
	alone='TestCrashInLargeCommit|TestCrashWhileBuilding|TestCrashKeepsWhatWasAcknowledged|TestLargeTransactionMeetsErrors'
	alone="$alone|TestOwnWritesOverAnOlderView|TestRowsChangedBehindAViewAreBounded|TestRandomHistoriesMatchTheModel|TestDuplicatesAreFoundInALoad"
	alone="^($alone|TestScratchIsASortedMap|TestCacheIsHeld|TestKeysCompareAsValues)\$"
	# shellcheck disable=SC2046,SC2086
	export CGO_ENABLED=1
	tests -race -short -timeout $limit -skip "$alone" -- $(packages $skip)
else
	echo 'skipped: the race detector needs gcc'
fi
step 'done'
