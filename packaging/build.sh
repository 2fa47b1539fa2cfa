#!/bin/sh
# Builds dist/stack_VERSION_amd64.deb from dist/stack. VERSION comes from git.
set -eu
cd "$(dirname "$0")"

# v1.2.3-4-gabcdef → 1.2.3+4.gabcdef; without a tag 0.0.0+abcdef.
case "${VERSION:-unknown}" in
v[0-9]*) PACKAGE_VERSION=$(echo "${VERSION#v}" | sed 's/-/+/; s/-/./g') ;;
*) PACKAGE_VERSION="0.0.0+$(echo "${VERSION:-unknown}" | tr - .)" ;;
esac
export PACKAGE_VERSION

mkdir -p ../dist/man ../dist/completion
../dist/stack man ../dist/man
gzip -9nf ../dist/man/*.8
for shell in bash zsh fish; do
	../dist/stack completion $shell >../dist/completion/stack.$shell
done
go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0 package --config nfpm.yaml --packager deb --target ../dist/
