#!/bin/sh
# deb: "remove"; rpm: 0. An upgrade keeps the service running.
set -e
case "$1" in remove|0) ;; *) exit 0 ;; esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now stack.service >/dev/null 2>&1 || :
