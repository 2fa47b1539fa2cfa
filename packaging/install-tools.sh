#!/bin/sh
# Installs the programs that tests and benchmarks use as real peers. Needs root and
# apt; without root it lists what is missing, and the tests that need it skip.
set -eu

# The conformance suite of HTTP/2 is a Go program and needs no root.
tools=$(cd "$(dirname "$0")/.." && pwd)/dist/tools
if [ ! -x "$tools/h2spec" ] && command -v go >/dev/null; then
	GOBIN=$tools go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible ||
		echo "missing, so the tests that need it are skipped: h2spec" >&2
fi

# mysql2, by which Node talks to the database, is no package of Debian.
if [ ! -d "$tools/node/node_modules/mysql2" ] && command -v npm >/dev/null; then
	mkdir -p "$tools/node"
	npm install --silent --no-audit --no-fund --prefix "$tools/node" mysql2@3.11.5 >/dev/null ||
		echo "missing, so the tests that need it are skipped: mysql2 for Node" >&2
fi

packages='
gcc libc6-dev
curl openssl ca-certificates iproute2 procps util-linux
haproxy nginx-light keepalived nftables
mariadb-server mariadb-client sysbench prometheus-mysqld-exporter
php-fpm php-cli php-mysql php-gd
python3-pymysql python3-cryptography
wordpress wordpress-theme-twentytwentytwo
nghttp2-client wrk slowhttptest
debootstrap systemd-container lintian
chromium
'

missing=
for p in $packages; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing, so the tests that need them are skipped:$missing" >&2
	exit 0
fi

# Installing must not start services: the tests start their own on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -q >/dev/null
	apt-get install -y -q --no-install-recommends $missing >/dev/null
}
